package kafka

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-462d9463/sluice/shard"
)

// logState is one log: a partition of a Kafka topic. There may be ten thousand idle ones: it has no goroutine and no
// timer of its own, and its slices are nil while they are empty.
//
//	first ≤ next ≤ seen, acked ≤ seen
//	[first, next) begins and ends with a record, or is empty
//
// Bounds go by records: behind next there may be a marker, which nobody is shown.
type logState struct {
	e         *Engine
	topic     *topic
	partition int
	essential atomic.Bool

	opening chan struct{} // holds an element while the log is being opened
	opened  atomic.Bool

	mu         sync.Mutex // guards what follows; no other lock is taken while it is held, but those of budget and pending
	gone       bool       // the topic was deleted
	first      shard.Offset
	next       shard.Offset
	dropped    shard.Offset // all before it was trimmed, or dropped by Kafka; at most first
	seen       shard.Offset // all before it has been looked at: what is there is known to count
	acked      shard.Offset // the end of our last batch that Kafka acknowledged
	starts     []start      // where nodes took over, ascending; replaced, never written to
	lastMillis int64        // of our newest record ever queued
	sequence   int32        // of our next record in this partition
	queue      []*entry     // not in a batch yet
	flight     *flight      // the batch under way: one at a time, so that nothing can be reordered
	queued     bool         // the sender has the log: there is a queue or a flight
	attempts   int          // with this flight
	single     int          // so many entries are sent in batches of their own
	changed    chan struct{}
	watchers   int
	retention  retention
}

var _ shard.Log = (*logState)(nil)

// entry is one append on its way. It is also its own Pending.
type entry struct {
	payload payload
	marker  bool
	millis  int64
	weight  int64       // in the budget; 0: it takes no room
	settled func(error) // called before Wait returns, in the order of the log

	done chan struct{}
	at   shard.Appended
	err  error
}

// Wait implements shard.Pending.
func (en *entry) Wait(ctx context.Context) (shard.Appended, error) {
	select {
	case <-en.done:
	default:
		select {
		case <-en.done:
		case <-ctx.Done():
			return shard.Appended{}, ctx.Err()
		}
	}
	return en.at, en.err
}

type failedPending struct{ err error }

// Wait implements shard.Pending.
func (p failedPending) Wait(context.Context) (shard.Appended, error) { return shard.Appended{}, p.err }

func newLogState(e *Engine, t *topic, partition int) *logState {
	return &logState{e: e, topic: t, partition: partition, opening: make(chan struct{}, 1)}
}

func (l *logState) String() string { return fmt.Sprintf("%s/%d", l.topic.name, l.partition) }

func (l *logState) errGone() error { return fmt.Errorf("%w: %s", shard.ErrNotFound, l) }

// usable returns why nothing can be done with the log any more.
func (l *logState) usable() error {
	if err := l.e.usable(); err != nil {
		return err
	}
	return l.alive()
}

// alive returns why nothing can come of what was queued. While the engine is being closed much can.
func (l *logState) alive() error {
	if err := l.e.Err(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone {
		return l.errGone()
	}
	return nil
}

// reason replaces an error by what is behind it: the end of the log or of the engine.
func (l *logState) reason(err error) error {
	if err == nil {
		return nil
	}
	if why := l.usable(); why != nil {
		return why
	}
	return err
}

// Append implements shard.Log.
func (l *logState) Append(ctx context.Context, records []shard.Record) shard.Pending {
	if len(records) == 0 {
		panic("kafka: append of no records")
	}
	en, err := l.append(ctx, records)
	if err != nil {
		return failedPending{err}
	}
	return en
}

func (l *logState) append(ctx context.Context, records []shard.Record) (*entry, error) {
	if err := shard.CheckRecords(records); err != nil {
		return nil, err
	}
	if err := l.usable(); err != nil {
		return nil, err
	}
	en := &entry{payload: newPayload(records)}
	if size := en.payload.size() + batchHeaderBytes; size > maxBatchBytes {
		return nil, fmt.Errorf("%w: %d bytes encoded, at most %d", shard.ErrTooLarge, size, maxBatchBytes)
	}
	if !l.essential.Load() { // those are few and small, and must not wait for others
		en.weight = int64(en.payload.size())
		if err := l.e.reserve(ctx, en.weight); err != nil {
			return nil, err
		}
	}
	if err := l.enqueue(en); err != nil {
		l.e.release(en.weight)
		return nil, err
	}
	return en, nil
}

// enqueue puts an entry behind the others of the log. It does not block.
func (l *logState) enqueue(en *entry) error {
	en.done = make(chan struct{})
	if !l.e.pending.add() {
		return l.e.closedError()
	}
	l.mu.Lock()
	err := l.e.Err()
	if l.gone {
		err = l.errGone()
	}
	if err != nil {
		l.mu.Unlock()
		l.e.pending.done(1)
		return err
	}
	en.millis = max(time.Now().UnixMilli(), l.lastMillis)
	l.lastMillis = en.millis
	l.queue = append(l.queue, en)
	wake := !l.queued
	l.queued = true
	l.mu.Unlock()
	if wake {
		l.e.sender.schedule(l)
	}
	return nil
}

// settle ends entries, which are in no queue and no flight any more.
func (l *logState) settle(entries []*entry, err error) {
	freed := int64(0)
	for _, en := range entries {
		if err != nil {
			en.err = err
		}
		if en.settled != nil {
			en.settled(en.err)
		}
		freed += en.weight
		close(en.done)
	}
	l.e.release(freed)
	l.e.pending.done(len(entries))
}

// abandon fails all that has not been acknowledged.
func (l *logState) abandon(err error) {
	l.mu.Lock()
	var entries []*entry
	if l.flight != nil {
		entries = l.flight.entries
	}
	entries = append(entries, l.queue...)
	l.flight, l.queue = nil, nil
	l.notify()
	l.mu.Unlock()
	l.settle(entries, err)
}

// drop makes the log one of a topic that was deleted.
func (l *logState) drop() {
	l.mu.Lock()
	l.gone = true
	l.mu.Unlock()
	l.abandon(l.errGone())
}

// notify wakes those who wait. The lock is held.
func (l *logState) notify() {
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// Bounds implements shard.Log.
func (l *logState) Bounds() (first, next shard.Offset) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.first, l.next
}

// Trimmed tells shard.Trimmed what was dropped: a log begins with a marker, so its first record never has the offset 0.
func (l *logState) Trimmed() shard.Offset {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dropped
}

// Wait implements shard.Log.
func (l *logState) Wait(ctx context.Context, from shard.Offset) error {
	for {
		if err := l.e.usable(); err != nil {
			return err
		}
		l.mu.Lock()
		if l.gone {
			l.mu.Unlock()
			return l.errGone()
		}
		if l.first < l.next && from < l.next {
			l.mu.Unlock()
			return nil
		}
		if l.changed == nil {
			l.changed = make(chan struct{})
		}
		changed := l.changed
		l.watchers++
		watch := l.watchers == 1
		l.mu.Unlock()
		if watch {
			l.e.poller.watch(l)
		}
		var err error
		select {
		case <-changed:
		case <-ctx.Done():
			err = ctx.Err()
		case <-l.e.failed:
		case <-l.e.ending:
		}
		l.mu.Lock()
		l.watchers--
		l.mu.Unlock()
		if err != nil {
			return err
		}
	}
}

// found takes in that there is a durable batch of records, when all before it has been looked at. The lock is held.
func (l *logState) found(base, last shard.Offset) {
	if last < l.next {
		return
	}
	if l.first == l.next {
		l.first = max(l.first, base)
	}
	l.next = last + 1
	l.notify()
}

// observe looks at batches that were fetched from pos on, if they are news. It fails the engine if a newer node has the
// log, and says then that they must not be used.
func (l *logState) observe(pos shard.Offset, batches []*batch) error {
	newer, begun := l.look(pos, batches, false)
	if newer != nil && l.e.kindOf(newer, nil) == foreignRecords && !l.topic.control {
		// The marker of a node that we do not know. It has said in the control topic who it is before, or it is none.
		if err := l.e.control.catchUp(l.e.ctx); err != nil {
			return l.reason(err)
		}
		if err := l.alive(); err != nil {
			return err
		}
		newer, begun = l.look(pos, batches, true)
	}
	l.keepWithin(begun)
	if newer != nil {
		err := fmt.Errorf("%w (log %s, offset %d)", ErrSuperseded, l, newer.base)
		l.e.fail(err)
		return err
	}
	return nil
}

// look does it, and returns a newer node's batch if there is one, and the marks that are to be kept.
// With trusted set, the marker of a producer that is not known is a record.
func (l *logState) look(pos shard.Offset, batches []*batch, trusted bool) (newer *batch, begun []mark) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, b := range batches {
		if b.last < l.seen || l.seen < pos {
			continue
		}
		kind := l.e.kindOf(b, l.starts)
		if kind == newerEra || kind == foreignRecords && !trusted && isMarker(b) {
			return b, begun
		}
		if kind != noRecords {
			l.found(b.base, b.last)
		}
		if kind == foreignRecords { // ours are counted when they are acknowledged
			begun = append(begun, l.retention.note(b.base, int64(b.bytes))...)
		}
		l.seen = b.last + 1
		pos = l.seen
	}
	return nil, begun
}
