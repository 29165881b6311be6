package shardtest

import (
	"github.com/google/go-cmp/cmp"

	"github.com/seed-462d9463/sluice/shard"
)

func (s *suite) needReopen() {
	s.Helper()
	if s.h.Reopen == nil {
		s.Skip("the engine keeps nothing")
	}
}

func testReopenKeeps(s *suite) {
	s.needReopen()
	name := topic("keep")
	s.create(name, 3)
	var logs [3]shard.Log
	var want [3][]shard.Record
	for n := range logs {
		logs[n] = s.open(name, n)
	}
	for round := range 4 {
		for i := range 40 {
			n := i % 2 // the third stays empty
			r := value("round %d record %d", round, i)
			r.Headers = []shard.Header{{Name: "round", Value: []byte{byte(round)}}}
			r.Value = append(r.Value, pattern(i*i*20, byte(i))...)
			want[n] = append(want[n], s.append(logs[n], r, value("its twin"))...)
		}
		s.replace(s.h.Reopen, &logs[0], &logs[1], &logs[2])
		for n := range logs {
			s.equal(s.readAll(logs[n], 0), want[n])
			s.checkBounds(logs[n], want[n])
		}
	}
	for _, r := range want[0][:20] {
		s.equal(s.read(logs[0], r.Offset, shard.Limit{Records: 1}), []shard.Record{r})
	}
}

func testReopenTrims(s *suite) {
	s.needReopen()
	some, all := s.log(), s.log()
	var want []shard.Record
	for i := range 20 {
		want = append(want, s.append(some, value("record %d", i))...)
	}
	gone := s.append(all, value("a"), value("b"))
	s.trim(some, want[7].Offset)
	s.trim(all, gone[1].Offset+1)
	want = want[7:]
	for range 2 {
		s.replace(s.h.Reopen, &some, &all)
		s.equal(s.readAll(some, 0), want)
		s.checkBounds(some, want)
		s.equal(s.readAll(all, 0), nil)
		s.checkBounds(all, nil)
	}
	if first, _ := all.Bounds(); first <= gone[1].Offset {
		s.Fatalf("bounds begin at %d again", first)
	}
	later := s.append(all, value("later"))
	if later[0].Offset <= gone[1].Offset || later[0].Time.Before(gone[1].Time) {
		s.Fatalf("record @%d at %v after one @%d at %v", later[0].Offset, later[0].Time, gone[1].Offset, gone[1].Time)
	}
	s.replace(s.h.Reopen, &some, &all)
	s.equal(s.readAll(all, 0), later)
}

func testReopenTopics(s *suite) {
	s.needReopen()
	base := topic("topics")
	s.create(base+".grown", 1)
	s.create(base+".grown", 3)
	s.create(base+".deleted", 2)
	s.create(base+".again", 2)
	s.append(s.open(base+".again", 0), value("from before"))
	s.append(s.open(base+".deleted", 1), value("record"))
	for _, name := range []string{base + ".deleted", base + ".again"} {
		if err := s.h.Engine.Delete(s.ctx(), name); err != nil {
			s.Fatalf("delete: %v", err)
		}
	}
	s.create(base+".again", 1)
	want := []shard.Topic{{Name: base + ".again", Partitions: 1}, {Name: base + ".grown", Partitions: 3}}
	for range 2 {
		s.replace(s.h.Reopen)
		if diff := cmp.Diff(want, s.topics(base)); diff != "" {
			s.Fatalf("topics differ (-want +got):\n%s", diff)
		}
		s.equal(s.readAll(s.open(base+".again", 0), 0), nil)
		_, err := s.h.Engine.Open(s.ctx(), base+".deleted", 1)
		s.wantErr("open of what was deleted", err, shard.ErrNotFound)
	}
	s.create(base+".deleted", 2)
	s.equal(s.readAll(s.open(base+".deleted", 1), 0), nil)
}

// testCrashKeeps crashes with appends, trims and topics acknowledged and more appends under way. Those may be
// there or not, but wholly, in order, and behind what was acknowledged.
func testCrashKeeps(s *suite) {
	if s.h.Crash == nil {
		s.Skip("the harness cannot crash the engine")
	}
	l, trimmed := s.log(), s.log()
	var want []shard.Record
	for round := range 5 {
		old := s.append(trimmed, value("round %d", round), value("stays, until the next round"))
		s.trim(trimmed, old[1].Offset)
		for i := range 30 {
			want = append(want, s.append(l, value("round %d record %d", round, i), value("its twin"))...)
		}
		var doubtful [][]shard.Record
		for i := range 10 {
			records := []shard.Record{value("doubtful %d/%d", round, i), value("its twin %d/%d", round, i)}
			doubtful = append(doubtful, records)
			l.Append(s.ctx(), records)
		}
		s.replace(s.h.Crash, &l, &trimmed)
		got := s.readAll(l, 0)
		if len(got) < len(want) {
			s.Fatalf("%d records after the crash, %d were acknowledged", len(got), len(want))
		}
		rest := got[len(want):]
		if len(rest)%2 != 0 || len(rest) > 20 {
			s.Fatalf("%d records that nobody acknowledged, they were appended by twos", len(rest))
		}
		for i := 0; i < len(rest); i += 2 {
			want = append(want, expected(shard.Appended{First: rest[i].Offset, Time: rest[i].Time}, doubtful[i/2])...)
		}
		s.equal(got, want)
		s.checkBounds(l, want)
		s.equal(s.readAll(trimmed, 0), old[1:])
	}
}
