package shardtest

import (
	"fmt"
	"sync"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-462d9463/sluice/shard"
)

func testImmutable(s *suite) {
	l := s.log()
	type kept struct{ got, copy []shard.Record }
	var all []kept
	for i := range 40 {
		r := value("record %d", i)
		r.Value = append(r.Value, pattern(20_000, byte(i))...)
		r.Headers = []shard.Header{{Name: "n", Value: fmt.Append(nil, i)}}
		s.append(l, r)
		for _, from := range []shard.Offset{0, shard.Offset(i)} {
			got := s.read(l, from, shard.Limit{})
			all = append(all, kept{got, cloneAll(got)})
		}
		if i%10 == 9 {
			if err := l.Trim(s.ctx(), shard.Offset(i-3)); err != nil {
				s.Fatalf("trim: %v", err)
			}
		}
	}
	if s.h.Reopen != nil {
		s.h.Engine = s.h.Reopen(s.t)
	}
	for _, k := range all {
		s.equal(k.got, k.copy)
	}
}

func testReadLimit(s *suite) {
	l := s.log()
	var want []shard.Record
	for i := range 30 {
		want = append(want, s.append(l, shard.Record{Key: []byte("k"), Value: pattern(100+i, byte(i))})...)
	}
	for _, limit := range []shard.Limit{
		{}, {Records: -1, Bytes: -1}, {Records: 1}, {Records: 2}, {Records: 29}, {Records: 31}, {Bytes: 117}, {Bytes: 234},
		{Bytes: 235}, {Bytes: 236}, {Bytes: 1000}, {Bytes: 1 << 30}, {Records: 3, Bytes: 1 << 30}, {Records: 30, Bytes: 400},
	} {
		for start := range want {
			got := s.read(l, want[start].Offset, limit)
			// A Read may end earlier than the limit, never later, and never empty.
			if len(got) == 0 || len(got) > len(want)-start {
				s.Fatalf("read from %d within %+v returned %d records", start, limit, len(got))
			}
			s.equal(got, want[start:start+len(got)])
			if limit.Records > 0 && len(got) > limit.Records {
				s.Fatalf("%d records within %+v", len(got), limit)
			}
			size := 0
			for i := range got {
				size += got[i].Size()
			}
			if limit.Bytes > 0 && size > limit.Bytes && len(got) > 1 {
				s.Fatalf("%d bytes in %d records within %+v", size, len(got), limit)
			}
		}
	}
}

func testFirstRecordAlways(s *suite) {
	l := s.log()
	want := s.append(l, shard.Record{Value: pattern(10<<20, 1)})
	want = append(want, s.append(l, value("small"))...)
	for _, limit := range []shard.Limit{{Bytes: 1}, {Bytes: 1 << 20}, {Records: 1, Bytes: 1}} {
		s.equal(s.read(l, 0, limit), want[:1])
		s.equal(s.read(l, want[1].Offset, limit), want[1:])
	}
}

func testAtOrAfter(s *suite) {
	l := s.log()
	var want []shard.Record
	for i := range 20 {
		want = append(want, s.append(l, value("a %d", i), value("b %d", i), value("c %d", i))...)
	}
	for o := shard.Offset(-2); o <= want[len(want)-1].Offset; o++ {
		i := 0
		for want[i].Offset < o {
			i++
		}
		s.equal(s.readAll(l, o), want[i:])
		s.equal(s.read(l, o, shard.Limit{Records: 1}), want[i:i+1])
	}
}

// testReadInto reads with the same scratch all the time, from records that are just durable, from old ones, and beside small
// ones some that are longer than all that was read before.
func testReadInto(s *suite) {
	l := s.log()
	var want []shard.Record
	for i := range 60 {
		var records []shard.Record
		for n := range 1 + i%4 {
			records = append(records, shard.Record{Key: []byte("k"), Value: pattern(100+1000*(i*n%17), byte(i))})
		}
		want = append(want, s.append(l, records...)...)
	}
	want = append(want, s.append(l, shard.Record{Value: pattern(700_000, 1)}, shard.Record{Value: pattern(300_000, 2)}, value("last"))...)
	var scratch shard.Scratch
	readAll := func(limit shard.Limit) {
		s.Helper()
		for at := 0; at < len(want); {
			got, err := shard.ReadInto(s.ctx(), l, want[at].Offset, limit, &scratch)
			if err != nil || len(got) == 0 || len(got) > len(want)-at || limit.Records > 0 && len(got) > limit.Records {
				s.Fatalf("read into scratch from %d within %+v: %d records, %v", want[at].Offset, limit, len(got), err)
			}
			s.equal(got, want[at:at+len(got)])
			at += len(got)
		}
		if got, err := shard.ReadInto(s.ctx(), l, want[len(want)-1].Offset+1, limit, &scratch); err != nil || len(got) > 0 {
			s.Fatalf("read into scratch from the end: %d records, %v", len(got), err)
		}
	}
	limits := []shard.Limit{{}, {Bytes: 1}, {Bytes: 40_000}, {Records: 1}, {Records: 7, Bytes: 1 << 20}}
	for _, limit := range limits {
		readAll(limit)
	}
	if s.h.Reopen != nil {
		s.replace(s.h.Reopen, &l)
		for _, limit := range limits {
			readAll(limit)
		}
	}
	if err := l.Trim(s.ctx(), want[10].Offset); err != nil {
		s.Fatalf("trim: %v", err)
	}
	want = want[10:]
	readAll(shard.Limit{Bytes: 40_000})
}

func testReadNothing(s *suite) {
	l := s.log()
	for _, from := range []shard.Offset{-1, 0, 1, 1 << 50} {
		s.equal(s.read(l, from, shard.Limit{}), nil)
	}
	s.checkBounds(l, nil)
	want := s.append(l, value("record"))
	for _, from := range []shard.Offset{want[0].Offset + 1, want[0].Offset + 2, 1 << 50} {
		s.equal(s.read(l, from, shard.Limit{}), nil)
	}
}

func testIndependence(s *suite) {
	one, two := topic("one"), topic("two")
	s.create(one, 3)
	s.create(two, 2)
	logs := []shard.Log{s.open(one, 0), s.open(one, 1), s.open(one, 2), s.open(two, 0), s.open(two, 1)}
	want := make([][]shard.Record, len(logs))
	for i := range 50 {
		n := i % (len(logs) - 1) // the last one stays empty
		want[n] = append(want[n], s.append(logs[n], value("log %d record %d", n, i))...)
	}
	if err := logs[1].Trim(s.ctx(), want[1][4].Offset); err != nil {
		s.Fatalf("trim: %v", err)
	}
	want[1] = want[1][4:]
	for n, l := range logs {
		s.equal(s.readAll(l, 0), want[n])
		s.checkBounds(l, want[n])
	}
}

// testGrowingPrefix reads while others write. What any reader has seen must be a prefix of what is there in
// the end, in one read from the start as well as in steps.
func testGrowingPrefix(s *suite) {
	l := s.log()
	const writers, each = 3, 150
	const total = writers * each
	var writing, reading sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for n := range each {
				r := value("%d %d", w, n)
				r.Value = append(r.Value, pattern(n*37%3000, byte(n))...)
				if _, err := l.Append(s.ctx(), []shard.Record{r}).Wait(s.ctx()); err != nil {
					s.Errorf("append: %v", err)
					return
				}
			}
		})
	}
	seen := make([][]shard.Record, 2)
	reading.Go(func() { // in steps
		for from := shard.Offset(0); len(seen[0]) < total; {
			if err := l.Wait(s.ctx(), from); err != nil {
				s.Errorf("wait: %v", err)
				return
			}
			got, err := l.Read(s.ctx(), from, shard.Limit{Records: 10})
			if err != nil || len(got) == 0 {
				s.Errorf("read after wait: %d records, error %v", len(got), err)
				return
			}
			seen[0] = append(seen[0], got...)
			from = got[len(got)-1].Offset + 1
		}
	})
	reading.Go(func() { // from the start, again and again
		for {
			_, next := l.Bounds()
			var got []shard.Record
			for from := shard.Offset(0); ; {
				part, err := l.Read(s.ctx(), from, shard.Limit{})
				if err != nil {
					s.Errorf("read: %v", err)
					return
				}
				if len(part) == 0 {
					break
				}
				got = append(got, part...)
				from = part[len(part)-1].Offset + 1
			}
			if len(got) < len(seen[1]) || len(got) > 0 && got[len(got)-1].Offset+1 < next {
				s.Errorf("%d records up to %d, had seen %d before", len(got), next, len(seen[1]))
				return
			}
			for i := range seen[1] {
				if seen[1][i].Offset != got[i].Offset {
					s.Errorf("record %d is @%d, was @%d before", i, got[i].Offset, seen[1][i].Offset)
					return
				}
			}
			seen[1] = got
			if len(got) == total {
				return
			}
			if err := l.Wait(s.ctx(), next); err != nil {
				s.Errorf("wait: %v", err)
				return
			}
		}
	})
	writing.Wait()
	// A writer that failed leaves the readers waiting for records that never come.
	if s.Failed() {
		s.h.Engine.Close()
	}
	reading.Wait()
	want := s.readAll(l, 0)
	s.equal(seen[0], want)
	s.equal(seen[1], want)
}

func testAt(s *suite) {
	l := s.log()
	at := func(t time.Time) shard.Offset {
		o, err := l.At(s.ctx(), t)
		if err != nil {
			s.Fatalf("at %v: %v", t, err)
		}
		return o
	}
	if first, _ := l.Bounds(); at(time.Time{}) != first || at(time.Now()) != first {
		s.Fatal("At on an empty log is not its next offset")
	}
	// Until the log has seen several milliseconds: the times must differ for the search to be one.
	var want []shard.Record
	for times := 0; times < 8; {
		r := s.append(l, value("record %d", len(want)), value("its twin"))
		if len(want) == 0 || r[0].Time.After(want[len(want)-1].Time) {
			times++
		}
		want = append(want, r...)
	}
	check := func() {
		s.Helper()
		_, next := l.Bounds()
		answers := map[time.Time]shard.Offset{{}: want[0].Offset, want[len(want)-1].Time.Add(time.Millisecond): next}
		for i := len(want) - 1; i >= 0; i-- { // the first record of each time is left
			answers[want[i].Time] = want[i].Offset
			if i == 0 || want[i-1].Time.Before(want[i].Time) {
				answers[want[i].Time.Add(-time.Nanosecond)] = want[i].Offset
			}
		}
		got := map[time.Time]shard.Offset{}
		for t := range answers {
			got[t] = at(t)
		}
		if diff := cmp.Diff(answers, got); diff != "" {
			s.Fatalf("At differs (-want +got):\n%s", diff)
		}
	}
	check()
	keep := len(want) / 2
	if err := l.Trim(s.ctx(), want[keep].Offset); err != nil {
		s.Fatalf("trim: %v", err)
	}
	want = want[keep:]
	check()
	if s.h.Reopen != nil {
		s.replace(s.h.Reopen, &l)
		check()
	}
}

func testBounds(s *suite) {
	l := s.log()
	stop := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		var f, n shard.Offset
		for {
			first, next := l.Bounds()
			if first < f || next < n || first > next {
				s.Errorf("bounds were %d and %d, are %d and %d", f, n, first, next)
				return
			}
			f, n = first, next
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	var want []shard.Record
	for i := range 100 {
		want = append(want, s.append(l, value("record %d", i))...)
		s.checkBounds(l, want) // what was acknowledged is within the bounds at once
		if i%10 == 9 {
			if err := l.Trim(s.ctx(), want[5].Offset); err != nil {
				s.Errorf("trim: %v", err)
			}
			want = want[5:]
			s.checkBounds(l, want)
		}
	}
	close(stop)
	watching.Wait()
}
