package firehose

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/sinks"
	"github.com/seed-462d9463/sluice/stream/aggregate"
)

// ownSource is the delivery stream's own log.
var ownSource = source{}

// resolve finds out which logs there are to read. It reports false if that could not be told now.
func (d *delivery) resolve(ctx context.Context) (bool, error) {
	d.resolveAt = time.Time{}
	if d.own != nil {
		return true, nil // known from the start
	}
	from := d.doc.Definition.Kinesis.stream()
	logs, changed, err := d.service.sources.Logs(from.Account, from.Region, from.Name)
	d.changed = changed
	switch {
	case errors.Is(err, ErrSourceNotFound):
		if changed == nil {
			d.resolveAt = time.Now().Add(sourceRetry)
		}
		d.forgetAll(err)
		return true, nil
	case err != nil:
		if d.fatal(ctx, err) {
			return false, err
		}
		d.resolves++
		d.changed = nil
		d.resolveAt = time.Now().Add(sourceRetry)
		d.reads.failed(fmt.Errorf("find the shards of %s: %w", from, err))
		return false, nil
	}
	if d.resolves > 0 {
		d.resolves = 0
		d.reads.ok()
	}
	d.setSources(logs)
	present := make(map[source]bool, len(logs))
	for _, l := range logs {
		src := l.source()
		present[src] = true
		if in := d.inputs[src]; in != nil {
			in.close(l.Closed)
		}
	}
	for src, in := range d.inputs {
		if !present[src] && !in.ended {
			d.skipLost(in, nil) // all that was left of it has been dropped
		}
	}
	d.forget(func(src source) bool { return !present[src] })
	d.addInputs(ctx)
	return true, nil
}

func (d *delivery) setSources(logs []Log) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sources = logs
}

func (l *Log) source() source { return source{Generation: l.Generation, Partition: l.Partition} }

// close takes note that nothing more is appended to an input's log. If all that is in it has been scanned, it has ended.
func (in *input) close(closed bool) {
	in.closed = closed
	if _, next := in.log.Bounds(); closed && in.pos >= next {
		in.ended = true
		if in.unwatch != nil {
			in.unwatch()
		}
	}
}

// addInputs begins to read the logs of the shards whose parents have been scanned to their ends, so that the records of
// a partition key keep their order when its shard is split or merged. One that was begun before goes on: its parents
// had ended then.
func (d *delivery) addInputs(ctx context.Context) {
	present := make(map[source]bool, len(d.sources))
	for i := range d.sources {
		present[d.sources[i].source()] = true
	}
	for i := range d.sources {
		l := &d.sources[i]
		src := l.source()
		_, begun := d.state.end(src)
		held := false
		for _, partition := range l.Parents {
			parent := source{Generation: l.Generation, Partition: partition}
			in := d.inputs[parent]
			held = held || present[parent] && (in == nil || !in.ended)
		}
		if begun || !held {
			d.addInput(ctx, src, l.Range, l.Log)
			d.inputs[src].close(l.Closed)
		}
	}
}

// addInput begins to read a log: where the state says, or from its start if it is new.
func (d *delivery) addInput(ctx context.Context, src source, keys aggregate.HashRange, log shard.Log) {
	if d.inputs[src] != nil {
		return
	}
	in := &input{source: src, keys: keys, log: log}
	in.ctx, in.stop = context.WithCancel(ctx)
	in.pos, _ = d.state.end(src)
	d.mu.Lock()
	d.inputs[src] = in
	d.mu.Unlock()
	d.ready = append(d.ready, in)
}

func (in *input) forgotten() bool { return in.ctx.Err() != nil }

// forget stops reading the logs that are gone, and drops what is known of them. What of them is in the batch or
// in intents is left to the uploads, which will find it missing.
func (d *delivery) forget(gone func(source) bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for src, in := range d.inputs {
		if gone(src) {
			in.stop()
			delete(d.inputs, src)
		}
	}
	for src := range d.state.floors {
		if gone(src) {
			delete(d.state.floors, src)
		}
	}
	kept := d.ready[:0]
	for _, in := range d.ready {
		if !in.forgotten() {
			kept = append(kept, in)
		}
	}
	d.ready = kept
}

// forgetAll is for a source stream that is gone.
func (d *delivery) forgetAll(cause error) {
	if len(d.inputs) == 0 && len(d.state.floors) == 0 {
		return
	}
	d.log.Warn("the source stream is gone; what had not been delivered of it is lost", "error", cause)
	d.setSources(nil)
	d.forget(func(source) bool { return true })
}

// scratches are what scans read into: of the records they keep nothing.
var scratches = sync.Pool{New: func() any { return new(shard.Scratch) }}

// scan reads a chunk of the next input and adds it to the batch, cutting as often as it is full and may be cut.
func (d *delivery) scan(ctx context.Context) error {
	in := d.ready[0]
	d.ready = d.ready[1:]
	if in.forgotten() {
		return nil
	}
	final := in.closed // before the read: what it does not find will never be there
	scratch := scratches.Get().(*shard.Scratch)
	defer func() {
		scratch.Release(keptMemory, keptRecords)
		scratches.Put(scratch)
	}()
	records, err := shard.ReadInto(ctx, in.log, in.pos, shard.Limit{Bytes: readBytes}, scratch)
	if err != nil {
		return d.unreadable(ctx, in, err)
	}
	if in.failures > 0 {
		in.failures = 0
		d.reads.ok()
	}
	d.skipLost(in, records)
	some := len(records) > 0
	for records = d.fill(in, records); len(records) > 0 && d.mayCut(); records = d.fill(in, records) {
		if err := d.cut(ctx); err != nil {
			return err
		}
	}
	// What a read that gave nothing leaves before the end is a gap, which the next read would not get over either.
	if _, next := in.log.Bounds(); some && next > in.pos {
		d.ready = append(d.ready, in)
		return nil
	}
	if final {
		in.ended = true
		d.addInputs(ctx)
	} else {
		d.watch(in)
	}
	if len(d.ready) == 0 {
		d.holdUntil = time.Now().Add(scanPause)
	}
	return nil
}

// fill adds records to the batch until it is full, and returns those that are left.
func (d *delivery) fill(in *input, records []shard.Record) []shard.Record {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range records {
		if d.full() {
			return records[i:]
		}
		r := &records[i]
		bytes, leftOut := d.expander.size(r.Value, in.keys)
		if leftOut > 0 {
			d.log.Warn("user records of an aggregated record are left out: they do not belong to the shard",
				"partition", in.Partition, "offset", r.Offset, "user_records", leftOut)
		}
		d.batch.add(in.source, r.Offset, r.Time, bytes)
		in.pos = r.Offset + 1
	}
	return nil
}

// skipLost counts the records that the source dropped before they were scanned. (Where there were gaps between them
// this is an upper bound.)
func (d *delivery) skipLost(in *input, records []shard.Record) {
	trimmed := shard.Trimmed(in.log)
	if trimmed <= in.pos {
		return
	}
	if len(records) > 0 { // it may have been trimmed further since the read
		trimmed = min(trimmed, records[0].Offset)
	}
	lost := int64(trimmed - in.pos)
	if lost <= 0 {
		return
	}
	d.log.Warn("records were dropped by their source before they could be delivered",
		"partition", in.Partition, "from", in.pos, "to", trimmed, "records", lost)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.batch.skipped += lost
	in.pos = trimmed
}

// watch waits in the background until the input has something to scan.
func (d *delivery) watch(in *input) {
	at := in.pos
	ctx, cancel := context.WithCancel(in.ctx)
	in.unwatch = cancel
	d.done.Go(func() {
		defer cancel()
		// An error is told by the scan that follows, unless it is the end.
		_ = in.log.Wait(ctx, at)
		d.signal(in)
	})
}

func (d *delivery) signal(in *input) {
	select {
	case d.signals <- in:
	case <-in.ctx.Done():
	}
}

// unreadable decides what to do with an input that gave an error.
func (d *delivery) unreadable(ctx context.Context, in *input, err error) error {
	if d.fatal(ctx, err) || d.own != nil && errors.Is(err, shard.ErrNotFound) {
		return fmt.Errorf("read partition %d: %w", in.Partition, err)
	}
	if errors.Is(err, shard.ErrNotFound) {
		d.log.Warn("a log of the source stream is gone; what had not been delivered of it is lost",
			"partition", in.Partition, "from", in.pos)
		d.forget(func(src source) bool { return src == in.source })
		d.setSources(slices.DeleteFunc(slices.Clone(d.sources), func(l Log) bool { return l.source() == in.source }))
		d.addInputs(ctx)
		return nil
	}
	d.reads.failed(fmt.Errorf("partition %d: %w", in.Partition, err))
	in.failures++
	attempt := in.failures
	d.done.Go(func() {
		if sinks.WaitBackoff(in.ctx, attempt) == nil {
			d.signal(in)
		}
	})
	return nil
}
