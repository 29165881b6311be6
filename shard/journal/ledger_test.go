package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/seed-462d9463/sluice/shard"
)

// ledger is what an outside observer knows of an engine, and holds it against what comes back after a crash. An observer
// is told of an append, a trim, a new or deleted topic, or has read a record; whatever he knows must not change.
type ledger struct {
	mu     sync.Mutex // guards all of it
	topics map[string]*topicLedger
}

// topicLedger is a topic. Create and Delete of one topic are tried one after the other.
type topicLedger struct {
	name       string
	partitions int // acknowledged; 0: it is not there
	wanted     int // what an attempt without an answer would make of it, or partitions
	logs       []*logLedger
}

// logLedger is a log; its first offset is 0.
type logLedger struct {
	records []shard.Record // acknowledged or seen, by offset
	tried   []*attempt     // appends behind them without an answer, in order
	first   shard.Offset   // acknowledged or seen
	trying  shard.Offset   // of a trim without an answer
	next    shard.Offset   // there was a record before this
	lax     bool           // some of what was tried may have been taken back, from a full disk
	bySize  bool           // what is durable may be trimmed by the engine itself
}

// attempt is one append.
type attempt struct {
	records []shard.Record
	acked   bool
}

func newLedger() *ledger { return &ledger{topics: map[string]*topicLedger{}} }

// clone returns a ledger that can go its own way.
func (l *ledger) clone() *ledger {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := newLedger()
	for name, t := range l.topics {
		tc := *t
		tc.logs = nil
		for _, led := range t.logs {
			lc := *led
			lc.records, lc.tried = slices.Clip(led.records), slices.Clone(led.tried)
			tc.logs = append(tc.logs, &lc)
		}
		c.topics[name] = &tc
	}
	return c
}

// topic returns what is known of a topic.
func (l *ledger) topic(name string) *topicLedger {
	t := l.topics[name]
	if t == nil {
		t = &topicLedger{name: name}
		l.topics[name] = t
	}
	return t
}

// wants notes that a topic will have so many partitions; 0 deletes it.
func (t *topicLedger) wants(partitions int) {
	t.wanted = partitions
	for len(t.logs) < partitions {
		t.logs = append(t.logs, &logLedger{bySize: len(t.logs) > 0 && t.logs[0].bySize})
	}
}

// has notes that it does.
func (t *topicLedger) has(partitions int) {
	t.partitions, t.wanted = partitions, partitions
	t.logs = t.logs[:partitions]
}

// answered notes the outcome of an append.
func (led *logLedger) answered(a *attempt, at shard.Appended, err error) error {
	switch {
	case err == nil:
		a.acked = true
		for i := range a.records {
			a.records[i].Offset, a.records[i].Time = at.First+shard.Offset(i), at.Time
		}
	case errors.Is(err, shard.ErrNoSpace), errors.Is(err, shard.ErrTooLarge), errors.Is(err, shard.ErrNotFound):
		led.tried = slices.DeleteFunc(led.tried, func(other *attempt) bool { return a == other })
	}
	for len(led.tried) > 0 && led.tried[0].acked {
		for _, r := range led.tried[0].records {
			if r.Offset != shard.Offset(len(led.records)) {
				return fmt.Errorf("append acknowledged at offset %d, want %d", r.Offset, len(led.records))
			}
			led.records = append(led.records, r)
		}
		led.tried = led.tried[1:]
		led.next = max(led.next, shard.Offset(len(led.records)))
	}
	return nil
}

// saw notes bounds that were shown.
func (led *logLedger) saw(first, next shard.Offset) error {
	switch {
	case first < led.first:
		return fmt.Errorf("first offset %d, but it was %d", first, led.first)
	case first > max(led.first, led.trying) && !led.bySize:
		return fmt.Errorf("first offset %d, but nobody trimmed beyond %d", first, max(led.first, led.trying))
	case next < led.next:
		return fmt.Errorf("next offset %d, but there were records up to %d", next, led.next)
	}
	led.first, led.next = first, next
	return nil
}

// matches tells whether records that were read are what was appended. They may lie behind what is acknowledged.
func (led *logLedger) matches(records []shard.Record) error {
	var expected []shard.Record
	for _, a := range led.tried {
		expected = append(expected, a.records...)
	}
	known := shard.Offset(len(led.records))
	skipped := 0
	for i, r := range records {
		switch at := int(r.Offset - known); {
		case i > 0 && r.Offset != records[i-1].Offset+1:
			return fmt.Errorf("offset %d follows %d", r.Offset, records[i-1].Offset)
		case i > 0 && r.Time.Before(records[i-1].Time):
			return fmt.Errorf("offset %d has time %v, after %v", r.Offset, r.Time, records[i-1].Time)
		case r.Offset < 0:
			return fmt.Errorf("offset %d", r.Offset)
		case at < 0:
			if want := led.records[r.Offset]; !alike(r, want) || !r.Time.Equal(want.Time) {
				return fmt.Errorf("offset %d holds %.60q of %v, want %.60q of %v", r.Offset, r.Value, r.Time, want.Value, want.Time)
			}
		default:
			for led.lax && at+skipped < len(expected) && !alike(r, expected[at+skipped]) {
				skipped++
			}
			if at+skipped >= len(expected) || !alike(r, expected[at+skipped]) {
				return fmt.Errorf("offset %d holds %.60q, which nobody appended there", r.Offset, r.Value)
			}
		}
	}
	return nil
}

func alike(a, b shard.Record) bool {
	return bytes.Equal(a.Value, b.Value) && bytes.Equal(a.Key, b.Key) &&
		slices.EqualFunc(a.Headers, b.Headers, func(a, b shard.Header) bool {
			return a.Name == b.Name && bytes.Equal(a.Value, b.Value)
		})
}

// check holds what an engine recovered against the ledger, and takes it over: what was seen must not go any more.
func (l *ledger) check(e shard.Engine) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	ctx := context.Background()
	topics, err := e.Topics(ctx)
	if err != nil {
		return err
	}
	there := map[string]int{}
	for _, t := range topics {
		if there[t.Name] = t.Partitions; l.topics[t.Name] == nil {
			return fmt.Errorf("topic %s, which nobody made", t.Name)
		}
	}
	for name, t := range l.topics {
		n := there[name]
		if n != t.partitions && n != t.wanted {
			return fmt.Errorf("topic %s has %d partitions, want %d, or %d which was tried", name, n, t.partitions, t.wanted)
		}
		t.wants(n)
		t.has(n)
		for i, led := range t.logs {
			log, err := e.Open(ctx, name, i)
			if err == nil {
				err = led.check(ctx, log)
			}
			if err != nil {
				return fmt.Errorf("%s/%d: %w", name, i, err)
			}
		}
	}
	return nil
}

func (led *logLedger) check(ctx context.Context, log shard.Log) error {
	got, err := readEverything(ctx, log)
	if err != nil {
		return err
	}
	first, next := log.Bounds()
	if err := led.saw(first, next); err != nil {
		return err
	}
	if n := shard.Offset(len(got)); n != next-first || n > 0 && got[0].Offset != first {
		return fmt.Errorf("%d records between %d and %d", n, first, next)
	}
	if err := led.matches(got); err != nil {
		return err
	}
	if next > shard.Offset(len(led.records)) && !led.wholeAt(int(next)-len(led.records)) {
		return fmt.Errorf("the log ends at offset %d, in the middle of an append", next)
	}
	for _, r := range got {
		if int(r.Offset) >= len(led.records) {
			led.records = append(led.records, r)
		}
	}
	for len(led.records) < int(next) { // trimmed before anybody saw them
		led.records = append(led.records, shard.Record{Offset: shard.Offset(len(led.records)), Time: time.Time{}})
	}
	led.tried, led.trying, led.lax, led.bySize = nil, first, false, false
	return nil
}

// wholeAt tells whether so many records of what was tried end with an append.
func (led *logLedger) wholeAt(n int) bool {
	if led.lax {
		return true // some of it may be gone
	}
	for _, a := range led.tried {
		if n <= 0 {
			break
		}
		n -= len(a.records)
	}
	return n == 0
}

func readEverything(ctx context.Context, l shard.Log) ([]shard.Record, error) {
	var all []shard.Record
	from := shard.Offset(0)
	for {
		got, err := l.Read(ctx, from, shard.Limit{Bytes: 3000})
		if err != nil || len(got) == 0 {
			return all, err
		}
		all = append(all, got...)
		from = got[len(got)-1].Offset + 1
	}
}
