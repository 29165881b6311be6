package shardtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/seed-462d9463/sluice/shard"
)

func testOrder(s *suite) {
	l := s.log()
	var pending []shard.Pending
	var records []shard.Record
	for i := range 200 { // queued without waiting: order must not depend on it
		r := value("record %d", i)
		records = append(records, r)
		pending = append(pending, l.Append(s.ctx(), []shard.Record{r}))
	}
	var want []shard.Record
	for i, p := range pending {
		at, err := p.Wait(s.ctx())
		if err != nil {
			s.Fatalf("append %d: %v", i, err)
		}
		want = append(want, expected(at, records[i:i+1])...)
	}
	for i := 1; i < len(want); i++ {
		if want[i].Offset <= want[i-1].Offset {
			s.Fatalf("append %d got offset %d after %d", i, want[i].Offset, want[i-1].Offset)
		}
	}
	if want[0].Offset < 0 {
		s.Fatalf("first offset is %d", want[0].Offset)
	}
	s.equal(s.readAll(l, 0), want)
	s.checkBounds(l, want)
}

func testAtomicAppend(s *suite) {
	l := s.log()
	const writers, batches, size = 4, 20, 7
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for b := range batches {
				var records []shard.Record
				for i := range size {
					records = append(records, value("%d/%d/%d", w, b, i))
				}
				if _, err := l.Append(s.ctx(), records).Wait(s.ctx()); err != nil {
					s.Errorf("append: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
	got := s.readAll(l, 0)
	if len(got) != writers*batches*size {
		s.Fatalf("%d records, want %d", len(got), writers*batches*size)
	}
	for i := 0; i < len(got); i += size {
		name := strings.TrimSuffix(string(got[i].Value), "/0")
		for j := range size {
			r := got[i+j]
			if want := fmt.Sprintf("%s/%d", name, j); string(r.Value) != want {
				s.Fatalf("record %q where %q should be: another append came between", r.Value, want)
			}
			if r.Offset != got[i].Offset+shard.Offset(j) || !r.Time.Equal(got[i].Time) {
				s.Fatalf("record %q is @%d at %v, its append began @%d at %v", r.Value, r.Offset, r.Time, got[i].Offset, got[i].Time)
			}
		}
	}
	s.checkTimes(got)
}

func testReuseAfterAppend(s *suite) {
	l := s.log()
	key, head, val := make([]byte, 16), make([]byte, 16), make([]byte, 4096)
	records := make([]shard.Record, 2)
	headers := make([]shard.Header, 1)
	fill := func(n byte) {
		for _, b := range [][]byte{key, head, val} {
			for i := range b {
				b[i] = n
			}
		}
		headers[0] = shard.Header{Name: fmt.Sprint("header ", n), Value: head}
		records[0] = shard.Record{Key: key, Headers: headers, Value: val}
		records[1] = shard.Record{Key: key[:1], Value: val[:1]}
	}
	var want [][]shard.Record
	var pending []shard.Pending
	for n := range 50 {
		fill(byte(n))
		want = append(want, cloneAll(records))
		pending = append(pending, l.Append(s.ctx(), records))
		fill(0xEE) // all that the append was given is overwritten while it is under way
		records[0] = shard.Record{}
	}
	var all []shard.Record
	for i, p := range pending {
		at, err := p.Wait(s.ctx())
		if err != nil {
			s.Fatalf("append %d: %v", i, err)
		}
		all = append(all, expected(at, want[i])...)
	}
	s.equal(s.readAll(l, 0), all)
}

func testIgnoredOnTheWayIn(s *suite) {
	l := s.log()
	r := value("record")
	r.Offset, r.Time = 1<<40, time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)
	want := s.append(l, r)
	if want[0].Offset == 1<<40 {
		s.Fatal("the caller's offset was taken")
	}
	s.equal(s.readAll(l, 0), want)
}

func testAppendNothing(s *suite) {
	l := s.log()
	defer func() {
		if recover() == nil {
			s.Error("append of no records did not panic")
		}
		s.checkBounds(l, nil)
	}()
	l.Append(s.ctx(), nil)
}

func testContent(s *suite) {
	l := s.log()
	var binary []byte
	for i := range 256 {
		binary = append(binary, byte(i))
	}
	records := []shard.Record{
		{}, // nothing at all
		{Key: []byte{}, Value: []byte{}},
		{Key: []byte("only a key")},
		{Value: []byte("only a value")},
		{Headers: []shard.Header{{Name: "only", Value: []byte("a header")}}},
		{Key: binary, Value: binary, Headers: []shard.Header{{Name: "binary", Value: binary}}},
		{Headers: []shard.Header{{}, {Name: "empty value"}, {Value: []byte("empty name")}}},
		{Headers: []shard.Header{{Name: "same", Value: []byte("1")}, {Name: "other"}, {Name: "same", Value: []byte("2")}}},
		{Headers: []shard.Header{{Name: "grüße-日本語", Value: []byte("🌊")}}},
		{Value: make([]byte, 100_000)}, // zeros look like space that was never written
		{Value: bytes.Repeat([]byte{0xFF}, 5000)},
		{},
	}
	want := s.append(l, records...)
	for _, r := range records { // and once more, each in an append of its own
		want = append(want, s.append(l, r)...)
	}
	s.equal(s.readAll(l, 0), want)
	for _, w := range want {
		s.equal(s.read(l, w.Offset, shard.Limit{Records: 1}), []shard.Record{w})
	}
}

// largest returns records that are as large as each limit allows.
func largest() map[string][]shard.Record {
	headers := make([]shard.Header, shard.MaxHeaders)
	for i := range headers {
		headers[i] = shard.Header{Name: fmt.Sprintf("%0255d", i), Value: pattern(100, byte(i))}
	}
	return map[string][]shard.Record{
		"key":     {{Key: pattern(shard.MaxKeyBytes, 1)}},
		"headers": {{Headers: headers}},
		"10 MiB":  {{Key: []byte("large"), Value: pattern(10<<20, 2)}},
		"one":     {{Value: pattern(shard.MaxAppendBytes-16, 3)}},
		"three": {
			{Value: pattern(5<<20-16, 4)}, {Value: pattern(5<<20-16, 5)}, {Value: pattern(6<<20-16, 6)},
		},
	}
}

func testLimitsTaken(s *suite) {
	l := s.log()
	var want []shard.Record
	for name, records := range largest() {
		at, err := l.Append(s.ctx(), records).Wait(s.ctx())
		if err != nil {
			s.Fatalf("largest append (%s): %v", name, err)
		}
		want = append(want, expected(at, records)...)
	}
	many := make([]shard.Record, 10_000)
	for i := range many {
		many[i] = value("small %d", i)
	}
	want = append(want, s.append(l, many...)...)
	s.equal(s.readAll(l, 0), want)
}

func testTooLarge(s *suite) {
	l := s.log()
	want := s.append(l, value("before"))
	small := value("small, beside one that is too large")
	long := strings.Repeat("n", 256)
	for name, records := range map[string][]shard.Record{
		"key":          {{Key: make([]byte, shard.MaxKeyBytes+1)}},
		"headers":      {{Headers: make([]shard.Header, shard.MaxHeaders+1)}},
		"header name":  {{Headers: []shard.Header{{Name: long}}}},
		"value":        {{Value: make([]byte, shard.MaxAppendBytes-15)}},
		"sum":          {small, {Value: make([]byte, 8<<20)}, {Value: make([]byte, 8<<20)}},
		"one of three": {small, {Key: make([]byte, shard.MaxKeyBytes+1)}, small},
	} {
		_, err := l.Append(s.ctx(), records).Wait(s.ctx())
		s.wantErr("append beyond the limit of "+name, err, shard.ErrTooLarge)
	}
	want = append(want, s.append(l, value("after"))...)
	s.equal(s.readAll(l, 0), want)
	s.checkBounds(l, want)
}

func testPendingContext(s *suite) {
	l := s.log()
	want := s.append(l, value("before"))
	ctx, cancel := context.WithCancel(s.Context())
	cancel()
	doubtful := value("whose outcome nobody waited for")
	p := l.Append(s.ctx(), []shard.Record{doubtful})
	at, err := p.Wait(ctx)
	if err != nil && !errors.Is(err, context.Canceled) {
		s.Fatalf("wait with an ended context: %v", err)
	}
	if err != nil { // it may be asked for again
		at, err = p.Wait(s.ctx())
		if err != nil {
			s.Fatalf("wait once more: %v", err)
		}
	}
	want = append(want, expected(at, []shard.Record{doubtful})...)
	want = append(want, s.append(l, value("after"))...)
	s.equal(s.readAll(l, 0), want)
}

func testConcurrentAppenders(s *suite) {
	l := s.log()
	const writers, each = 16, 100
	type key struct{ writer, n int }
	acked := make([][]shard.Record, writers)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			var pending []shard.Pending
			var records []shard.Record
			for n := range each {
				r := value("%d %d", w, n)
				records = append(records, r)
				pending = append(pending, l.Append(s.ctx(), []shard.Record{r}))
			}
			for n, p := range pending {
				at, err := p.Wait(s.ctx())
				if err != nil {
					s.Errorf("append: %v", err)
					return
				}
				acked[w] = append(acked[w], expected(at, records[n:n+1])...)
			}
		})
	}
	wg.Wait()
	seen := map[int][]shard.Record{}
	for _, r := range s.readAll(l, 0) {
		var k key
		if _, err := fmt.Sscanf(string(r.Value), "%d %d", &k.writer, &k.n); err != nil {
			s.Fatalf("record %q was never appended", r.Value)
		}
		if k.n != len(seen[k.writer]) {
			s.Fatalf("writer %d: record %d at place %d", k.writer, k.n, len(seen[k.writer]))
		}
		seen[k.writer] = append(seen[k.writer], r)
	}
	for w := range writers {
		s.equal(seen[w], acked[w])
	}
}
