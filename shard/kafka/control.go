package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/seed-462d9463/sluice/shard"
)

// controlName is the control topic's name, behind the prefix.
const controlName = "sluice.control"

// snapshotGrowth is how many bytes of changes there may be before the state is written anew, if that is more than four
// times what the state takes.
const snapshotGrowth = 4 << 20

// control is the log of everything about the logs: one partition, which every node reads wholly at its start and then
// writes anew, with nothing before that left.
type control struct {
	*logState

	mu    sync.Mutex // guards what follows, and keeps the order of the log that of the state
	state *state     // after all changes that have been queued
	bytes int64      // of changes since the last snapshot
	size  int64      // of the last snapshot

	loaded bool // there was something; set by load
}

// load reads the control topic up to this node's marker.
func (c *control) load(ctx context.Context) error {
	marker, err := c.mark(ctx)
	if err != nil {
		return err
	}
	for {
		begin, err := c.loadBefore(ctx, marker.First)
		if !errors.Is(err, errOutside) {
			return err
		}
		// What the node before us wanted to be dropped has been dropped only now; behind it is the whole state. If nothing has been
		// dropped, records are not there that should be.
		now, asked := c.offsetAt(ctx, earliest)
		if asked != nil {
			return asked
		}
		if now <= begin {
			return err
		}
	}
}

// loadBefore reads, from the first record that there is, all before an offset, which is that of this node's marker. It
// returns where it began, and fails with errOutside when records are dropped meanwhile.
func (c *control) loadBefore(ctx context.Context, before shard.Offset) (begin shard.Offset, err error) {
	pos, err := c.offsetAt(ctx, earliest)
	if err != nil {
		return 0, err
	}
	if begin = pos; begin > before {
		return begin, fmt.Errorf("%w: it has been started while this one was starting (the control topic begins at offset %d)", ErrSuperseded, begin)
	}
	c.state, c.loaded = newState(), false
	c.e.writers.set(nil)
	c.logState.mu.Lock()
	c.first, c.next, c.seen, c.acked = begin, begin, before+1, before+1
	c.logState.mu.Unlock()
	var highest era // of the batches so far: what an older one wrote behind them does not count
	for n := 0; pos < before; {
		batches, err := c.fetch(ctx, pos, fetchMost)
		if err != nil {
			return begin, err
		}
		if len(batches) == 0 {
			if err := c.lag(ctx, n); err != nil {
				return begin, err
			}
			n++
			continue
		}
		for _, b := range batches {
			if b.base < before {
				if err := c.loadBatch(b, &highest); err != nil {
					return begin, err
				}
			}
			pos = b.last + 1
		}
	}
	c.e.writers.add(c.e.pid)
	if c.e.era().before(highest) {
		return begin, fmt.Errorf("%w: it has been started while this one was starting", ErrSuperseded)
	}
	return begin, nil
}

func (c *control) loadBatch(b *batch, highest *era) error {
	if b.isControl() || b.count == 0 {
		return nil
	}
	if isMarker(b) {
		c.e.writers.add(b.pid)
	}
	writer, known := c.e.writers.era(b.pid, b.epoch)
	var changes []change
	var unknown error
	err := b.records(func(r shard.Record) bool {
		if isMarker(b) {
			return false
		}
		ch, err := decodeChange(r)
		if err != nil {
			unknown = fmt.Errorf("offset %d: %w", r.Offset, err)
			return false
		}
		changes = append(changes, ch)
		return true
	})
	if err != nil {
		return c.corrupt(b.base, err)
	}
	if !known && unknown == nil && len(changes) > 0 && changes[0].Begin != nil && len(c.e.writers.all()) == 0 {
		// The first batch that is left: the marker before it has been dropped.
		c.e.writers.set(changes[0].Begin.order())
		writer, known = c.e.writers.era(b.pid, b.epoch)
	}
	if !known || writer.before(*highest) {
		return nil // somebody else's, or of an earlier node that came too late
	}
	if unknown != nil {
		return unknown
	}
	*highest = writer
	for _, ch := range changes {
		if ch.Begin != nil {
			c.e.writers.set(ch.Begin.order())
		}
		c.loaded = true
		c.state.apply(ch)
	}
	return nil
}

// commit makes a change durable. done is called when it is decided, before commit returns and in the order of all
// changes, also when the caller has gone.
func (c *control) commit(ctx context.Context, ch change, done func(error)) error {
	c.mu.Lock()
	en, err := c.queueChange(ch, done)
	if err == nil && c.bytes > max(snapshotGrowth, 4*c.size) {
		_, err = c.queueSnapshot()
	}
	c.mu.Unlock()
	if err != nil {
		return err
	}
	_, err = en.Wait(ctx)
	return err
}

// queue appends records. done is called with where the first one is.
func (c *control) queue(records []shard.Record, done func(shard.Offset, error)) (*entry, error) {
	en := &entry{payload: newPayload(records)}
	en.settled = func(err error) { done(en.at.First, err) }
	if size := en.payload.size() + batchHeaderBytes; size > maxBatchBytes {
		return nil, fmt.Errorf("the state of all topics takes %d bytes in the control topic, at most %d are possible", size, maxBatchBytes)
	}
	return en, c.enqueue(en)
}

// queueChange appends one change and applies it. The lock is held.
func (c *control) queueChange(ch change, done func(error)) (*entry, error) {
	if t := ch.Topic; t != nil && t.Stage == "" {
		// Its logs may have been opened or trimmed since the caller looked.
		if old := c.state.topics[t.Name]; old != nil && old.ID == t.ID {
			t.Logs = old.Logs
		}
	}
	r, err := ch.encode()
	if err != nil {
		return nil, err
	}
	en, err := c.queue([]shard.Record{r}, func(_ shard.Offset, err error) {
		if done != nil {
			done(err)
		}
	})
	if err != nil {
		return nil, err
	}
	c.state.apply(ch)
	c.bytes += int64(r.Size())
	return en, nil
}

// queueSnapshot writes the whole state, and has what is before it dropped. The lock is held.
func (c *control) queueSnapshot() (*entry, error) {
	var records []shard.Record
	size := int64(0)
	for _, ch := range c.state.snapshot(c.e.writers.all()) {
		r, err := ch.encode()
		if err != nil {
			return nil, err
		}
		records = append(records, r)
		size += int64(r.Size())
	}
	en, err := c.queue(records, func(at shard.Offset, err error) {
		if err == nil {
			c.trimmed(at)
		}
	})
	if err == nil {
		c.size, c.bytes = size, 0
	}
	return en, err
}

// snapshot writes the state as this node begins with it.
func (c *control) snapshot(ctx context.Context) error {
	c.mu.Lock()
	en, err := c.queueSnapshot()
	c.mu.Unlock()
	if err != nil {
		return err
	}
	_, err = en.Wait(ctx)
	return err
}

// doc returns a copy of what is kept of a topic.
func (c *control) doc(name string) (topicDoc, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.state.topics[name]
	if t == nil {
		return topicDoc{}, false
	}
	return *t, true
}

// logDoc returns a copy of what is kept of a log.
func (c *control) logDoc(topic string, partition int) logDoc {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t := c.state.topics[topic]; t != nil && t.Logs[partition] != nil {
		return *t.Logs[partition]
	}
	return logDoc{}
}
