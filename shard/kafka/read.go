package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed-462d9463/sluice/shard"
)

// Read implements shard.Log.
func (l *logState) Read(ctx context.Context, from shard.Offset, limit shard.Limit) ([]shard.Record, error) {
	if err := l.usable(); err != nil {
		return nil, err
	}
	ctx, cancel := l.e.during(ctx)
	defer cancel()
	records, err := l.read(ctx, from, limit, time.Time{})
	return records, l.reason(err)
}

func fetchSize(limit shard.Limit) int {
	size := fetchDefault
	if limit.Bytes > 0 {
		size = limit.Bytes + limit.Bytes/4
	}
	if limit.Records > 0 && limit.Records <= 16 {
		size = min(size, fetchLeast)
	}
	return min(max(size, fetchLeast), fetchMost)
}

// read returns the records from an offset on whose time is not before a given one.
func (l *logState) read(ctx context.Context, from shard.Offset, limit shard.Limit, since time.Time) ([]shard.Record, error) {
	first, _ := l.Bounds()
	from = max(from, first)
	pos := from
	size := fetchSize(limit)
	for n := 0; ; {
		batches, err := l.fetch(ctx, pos, size)
		if errors.Is(err, errOutside) {
			var again bool
			if again, err = l.outside(ctx, pos); err == nil && again {
				first, _ = l.Bounds()
				from = max(from, first)
				pos = max(pos, from)
				continue
			}
			batches = nil
		}
		if err != nil {
			return nil, err
		}
		if err := l.observe(pos, batches); err != nil {
			return nil, err
		}
		records, err := l.collect(batches, from, limit, since)
		if err != nil || len(records) > 0 {
			return records, err
		}
		if len(batches) > 0 {
			pos = batches[len(batches)-1].last + 1
			continue
		}
		if _, next := l.Bounds(); pos >= next {
			return nil, nil
		}
		if err := l.lag(ctx, n); err != nil {
			return nil, err
		}
		n++
	}
}

// outside does what is to be done when Kafka has no records at an offset: others may have dropped the oldest. It tells
// whether there is more to be found behind.
func (l *logState) outside(ctx context.Context, pos shard.Offset) (again bool, err error) {
	begin, err := l.offsetAt(ctx, earliest)
	if err != nil || begin <= pos {
		return false, err
	}
	if l.topic.control {
		// Only nodes drop something there, and behind what they have written; so it was another one, after its marker.
		l.mu.Lock()
		seen := l.seen
		l.mu.Unlock()
		if begin > seen {
			err := fmt.Errorf("%w (the control topic begins at offset %d)", ErrSuperseded, begin)
			l.e.fail(err)
			return false, err
		}
		return true, nil
	}
	// What is not there any more cannot be looked at: a newer node may have dropped it, and its marker.
	if err := l.e.control.catchUp(ctx); err != nil {
		return false, err
	}
	l.mu.Lock()
	l.first = max(l.first, begin)
	l.next = max(l.next, l.first)
	l.dropped = max(l.dropped, begin)
	l.seen = max(l.seen, l.first)
	l.mu.Unlock()
	l.e.opts.Logger.Warn("Kafka has dropped records by itself; does the topic have retention settings?",
		"topic", l.topic.kafka, "partition", l.partition, "first_offset", begin)
	return true, nil
}

// collect returns the records of batches that are to be shown, from an offset on and within the limit.
func (l *logState) collect(batches []*batch, from shard.Offset, limit shard.Limit, since time.Time) ([]shard.Record, error) {
	l.mu.Lock()
	starts := l.starts
	l.mu.Unlock()
	ceilings := l.ceilings(batches, starts)
	var out []shard.Record
	size := 0
	full := false
	floor := time.UnixMilli(0).UTC() // other clients give what times they like
	for i, b := range batches {
		kind := l.e.kindOf(b, starts)
		if kind == noRecords || kind == newerEra {
			continue
		}
		if l.topic.control && kind == foreignRecords {
			continue
		}
		err := b.records(func(r shard.Record) bool {
			if kind == foreignRecords {
				r.Time = foreignTime(r.Time, floor, ceilings[i])
			}
			floor = r.Time
			if r.Offset < from || r.Time.Before(since) {
				return true
			}
			size += r.Size()
			if limit.Records > 0 && len(out) == limit.Records || limit.Bytes > 0 && size > limit.Bytes && len(out) > 0 {
				full = true
				return false
			}
			out = append(out, r)
			return true
		})
		if err != nil && len(out) == 0 {
			return nil, l.corrupt(b.base, err)
		}
		if err != nil || full {
			break
		}
	}
	return out, nil
}

// foreignTime makes the time that another client gave its record one that does not break the log's order, as far as
// the records around it are known: not before the record before it, not after the node's own record behind it.
func foreignTime(t, floor, ceiling time.Time) time.Time {
	if t.After(ceiling) {
		t = ceiling
	}
	if t.Before(floor) {
		t = floor
	}
	return t
}

// ceilings returns for each batch the time of the next one that the log's node wrote, or now if there is none.
func (l *logState) ceilings(batches []*batch, starts []start) []time.Time {
	out := make([]time.Time, len(batches))
	ceiling := time.UnixMilli(time.Now().UnixMilli()).UTC()
	for i := len(batches) - 1; i >= 0; i-- {
		out[i] = ceiling
		if l.e.kindOf(batches[i], starts) == ownRecords {
			ceiling = time.UnixMilli(batches[i].firstTime).UTC()
		}
	}
	return out
}

// At implements shard.Log.
func (l *logState) At(ctx context.Context, t time.Time) (shard.Offset, error) {
	if err := l.usable(); err != nil {
		return 0, err
	}
	ctx, cancel := l.e.during(ctx)
	defer cancel()
	at, err := l.at(ctx, t)
	return at, l.reason(err)
}

func (l *logState) at(ctx context.Context, t time.Time) (shard.Offset, error) {
	first, next := l.Bounds()
	if first == next {
		return next, nil
	}
	from := first
	// Before 1970 nothing was written, and Kafka takes negative times for something else.
	if millis := t.Add(time.Millisecond - 1).UnixMilli(); millis > 0 {
		at, err := l.offsetAt(ctx, millis)
		if err != nil {
			return 0, err
		}
		if at < 0 {
			_, next := l.Bounds()
			return next, nil
		}
		from = max(from, at)
	}
	// Kafka may name a marker, or a record that is not shown.
	records, err := l.read(ctx, from, shard.Limit{Records: 1}, t)
	if err != nil {
		return 0, err
	}
	if len(records) > 0 {
		return records[0].Offset, nil
	}
	_, next = l.Bounds()
	return next, nil
}

// firstAt returns the offset of the first record that is shown at or after an offset, which must be there.
func (l *logState) firstAt(ctx context.Context, from shard.Offset) (shard.Offset, error) {
	records, err := l.read(ctx, from, shard.Limit{Records: 1}, time.Time{})
	if err != nil {
		return 0, err
	}
	if len(records) == 0 {
		return 0, fmt.Errorf("log %s: no record at or after offset %d, where one was", l, from)
	}
	return records[0].Offset, nil
}
