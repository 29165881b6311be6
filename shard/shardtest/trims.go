package shardtest

import (
	"sync"

	"github.com/seed-462d9463/sluice/shard"
)

func (s *suite) trim(l shard.Log, before shard.Offset) {
	s.Helper()
	if err := l.Trim(s.ctx(), before); err != nil {
		s.Fatalf("trim before %d: %v", before, err)
	}
}

func testTrim(s *suite) {
	l := s.log()
	var want []shard.Record
	for i := range 10 {
		want = append(want, s.append(l, value("a %d", i), value("b %d", i), value("c %d", i))...)
	}
	if trimmed := shard.Trimmed(l); trimmed > want[0].Offset {
		s.Fatalf("a log is trimmed up to %d from the start, and has a record at %d", trimmed, want[0].Offset)
	}
	// Between appends and within one: a trim is exact, whatever the units are in which space is freed.
	for _, n := range []int{1, 1, 3, 5, 2, 10} {
		s.trim(l, want[n].Offset)
		dropped := want[n-1].Offset
		want = want[n:]
		if trimmed := shard.Trimmed(l); trimmed <= dropped || trimmed > want[0].Offset {
			s.Fatalf("trimmed up to %d, with the last record dropped at %d and the first left at %d", trimmed, dropped, want[0].Offset)
		}
		s.equal(s.readAll(l, 0), want)
		s.equal(s.read(l, want[0].Offset-1, shard.Limit{Records: 1}), want[:1])
		s.checkBounds(l, want)
	}
	want = append(want, s.append(l, value("later"))...)
	s.equal(s.readAll(l, 0), want)
}

func testTrimIdempotent(s *suite) {
	l := s.log()
	var want []shard.Record
	for i := range 10 {
		want = append(want, s.append(l, value("record %d", i))...)
	}
	old := want[2].Offset
	s.trim(l, want[6].Offset)
	want = want[6:]
	for _, before := range []shard.Offset{want[0].Offset, old, 0, -1, want[0].Offset} {
		s.trim(l, before)
		s.equal(s.readAll(l, 0), want)
		s.checkBounds(l, want)
	}
}

func testTrimAll(s *suite) {
	l := s.log()
	s.trim(l, 1<<40) // of an empty log: nothing to trim, and later records are none of its business
	last := s.append(l, value("a"), value("b"), value("c"))[2]
	for _, beyond := range []shard.Offset{last.Offset + 1, last.Offset + 2, 1 << 40} {
		s.trim(l, beyond)
		s.equal(s.readAll(l, 0), nil)
		s.checkBounds(l, nil)
		if first, _ := l.Bounds(); first <= last.Offset {
			s.Fatalf("bounds of a log trimmed behind %d begin at %d", last.Offset, first)
		}
		// Offsets go on; they do not begin again.
		next := s.append(l, value("later"))
		if next[0].Offset <= last.Offset {
			s.Fatalf("offset %d after %d", next[0].Offset, last.Offset)
		}
		s.equal(s.readAll(l, 0), next)
		s.checkBounds(l, next)
		last = next[0]
	}
}

// testTrimConcurrently trims behind a reader while a writer goes on.
func testTrimConcurrently(s *suite) {
	l := s.log()
	const total = 300
	var working sync.WaitGroup
	var wrote, got []shard.Record
	working.Go(func() {
		for i := range total {
			r := value("record %d", i)
			at, err := l.Append(s.ctx(), []shard.Record{r}).Wait(s.ctx())
			if err != nil {
				s.Errorf("append: %v", err)
				s.h.Engine.Close() // so that the reader ends
				return
			}
			wrote = append(wrote, expected(at, []shard.Record{r})...)
		}
	})
	working.Go(func() {
		for from := shard.Offset(0); len(got) < total; {
			if err := l.Wait(s.ctx(), from); err != nil {
				s.Errorf("wait: %v", err)
				return
			}
			records, err := l.Read(s.ctx(), from, shard.Limit{Records: 7})
			if err != nil || len(records) == 0 {
				s.Errorf("read after wait: %d records, error %v", len(records), err)
				return
			}
			got = append(got, records...)
			from = records[len(records)-1].Offset + 1
			if err := l.Trim(s.ctx(), from); err != nil {
				s.Errorf("trim: %v", err)
				return
			}
		}
	})
	working.Wait()
	s.equal(got, wrote)
	s.equal(s.readAll(l, 0), nil)
}
