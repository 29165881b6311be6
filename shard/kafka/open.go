package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/seed-462d9463/sluice/shard"
)

// mark writes this node's marker, and returns where it is.
func (l *logState) mark(ctx context.Context) (shard.Appended, error) {
	en := &entry{payload: newPayload([]shard.Record{newMarker(l.e.pid, l.e.epoch)}), marker: true}
	if err := l.enqueue(en); err != nil {
		return shard.Appended{}, err
	}
	at, err := en.Wait(ctx)
	if err != nil {
		return at, fmt.Errorf("write the marker of %s: %w", l, err)
	}
	return at, nil
}

// openLog takes a log over: it writes the marker behind which earlier nodes cannot write, looks for the bounds before
// it, and says in the control topic where it is.
func (l *logState) openLog(ctx context.Context) error {
	select {
	case l.opening <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-l.opening }()
	if l.opened.Load() {
		return nil
	}
	marker, err := l.mark(ctx)
	if err != nil {
		return err
	}
	begin, err := l.offsetAt(ctx, earliest)
	if err != nil {
		return err
	}
	doc := l.e.control.logDoc(l.topic.name, l.partition)
	first := max(begin, doc.First)
	l.mu.Lock()
	l.dropped = first
	l.starts = doc.Starts
	l.mu.Unlock()
	tail, err := l.tail(ctx, first, marker.First)
	if err != nil {
		return err
	}
	next := first
	if tail.next > first {
		next = tail.next
		l.mu.Lock()
		l.first, l.next = first, next // so that firstAt looks from here on
		l.mu.Unlock()
		if first, err = l.firstAt(ctx, first); err != nil {
			return err
		}
	}
	taken := start{Offset: marker.First, PID: l.e.pid, Epoch: l.e.epoch}
	replace := false
	if n := len(doc.Starts); n > 0 {
		replace = tail.next <= doc.Starts[n-1].Offset && !tail.late
	}
	err = l.e.control.commit(ctx, change{Kind: changeLog, Log: &logChange{
		Topic: l.topic.name, ID: l.topic.id, Partition: l.partition, Start: &taken, Replace: replace,
	}}, nil)
	if err != nil {
		return err
	}
	doc = l.e.control.logDoc(l.topic.name, l.partition)
	l.mu.Lock()
	l.first, l.next = first, next
	l.seen, l.acked = marker.First+1, max(l.acked, marker.First+1)
	l.starts = doc.Starts
	l.retention.marks = slices.Clone(doc.Marks)
	l.lastMillis = max(l.lastMillis, tail.millis)
	l.mu.Unlock()
	if doc.First > begin {
		l.e.trimmer.add(l)
	}
	l.opened.Store(true)
	return nil
}

// tail is what stands at the end of a log before this node's marker.
type tail struct {
	next   shard.Offset // the offset behind the last record; 0: there is none
	millis int64        // the greatest time that our nodes wrote, as far as we looked
	late   bool         // there is what does not count because of a start: that one must be kept
}

// tail looks for the last record between two offsets, from the end on, in growing steps: there may be markers only.
func (l *logState) tail(ctx context.Context, low, high shard.Offset) (t tail, err error) {
	for step := shard.Offset(1); high > low; step *= 4 {
		begin := max(low, high-step)
		for pos, n := begin, 0; pos < high; {
			batches, err := l.fetch(ctx, pos, fetchLeast)
			if errors.Is(err, errOutside) {
				first, err := l.offsetAt(ctx, earliest)
				if err != nil {
					return t, err
				}
				if first > pos { // others have dropped the oldest meanwhile
					low, pos = max(low, first), first
					continue
				}
				batches = nil
			} else if err != nil {
				return t, err
			}
			if len(batches) == 0 { // a new leader does not know yet that it is durable
				if err := l.lag(ctx, n); err != nil {
					return t, err
				}
				n++
				continue
			}
			l.mu.Lock()
			starts := l.starts
			l.mu.Unlock()
			for _, b := range batches {
				if b.base >= high {
					break
				}
				kind := l.e.kindOf(b, starts)
				if kind == newerEra {
					return t, fmt.Errorf("%w (log %s, offset %d)", ErrSuperseded, l, b.base)
				}
				if kind != noRecords {
					t.next = b.last + 1
				} else if !b.isControl() && b.count > 0 && !isMarker(b) {
					t.late = true
				}
				if kind != foreignRecords && !b.isControl() {
					t.millis = max(t.millis, b.maxTime)
				}
			}
			pos = batches[len(batches)-1].last + 1
		}
		if t.next > 0 {
			return t, nil
		}
		high = begin
	}
	return t, nil
}
