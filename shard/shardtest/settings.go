package shardtest

import (
	"fmt"
	"math/rand/v2"

	"github.com/seed-462d9463/sluice/shard"
)

func (s *suite) configure(name string, settings shard.Settings) {
	s.Helper()
	if err := s.h.Engine.Configure(s.ctx(), name, settings); err != nil {
		s.Fatalf("configure %s: %v", name, err)
	}
}

func testConfigure(s *suite) {
	name := topic("configure")
	s.wantErr("configure what was never made", s.h.Engine.Configure(s.ctx(), name, shard.Settings{}), shard.ErrNotFound)
	s.create(name, 2)
	for _, settings := range []shard.Settings{{}, {Plain: true}, {RetentionBytes: 1 << 30, Plain: true}, {RetentionBytes: -1}, {}} {
		s.configure(name, settings)
	}
	if err := s.h.Engine.Delete(s.ctx(), name); err != nil {
		s.Fatalf("delete: %v", err)
	}
	s.wantErr("configure what was deleted", s.h.Engine.Configure(s.ctx(), name, shard.Settings{}), shard.ErrNotFound)
}

// testConfiguredLog changes the settings again and again while the log is used: records below the bound stay.
func testConfiguredLog(s *suite) {
	name := topic("configured")
	s.create(name, 1)
	l := s.open(name, 0)
	var want []shard.Record
	for i, settings := range []shard.Settings{{Plain: true}, {RetentionBytes: 1 << 30}, {RetentionBytes: 1 << 40, Plain: true}, {}} {
		s.configure(name, settings)
		for n := range 10 {
			r := value("record %d/%d", i, n)
			r.Value = append(r.Value, pattern(3000*n, byte(i))...)
			want = append(want, s.append(l, r)...)
		}
		s.create(name, i+1) // those that are added have the settings too
		s.equal(s.readAll(l, 0), want)
		last := s.open(name, i)
		if i == 0 {
			continue
		}
		own := s.append(last, value("in partition %d", i))
		s.equal(s.readAll(last, 0), own)
	}
	if s.h.Reopen == nil {
		return
	}
	s.configure(name, shard.Settings{RetentionBytes: 1 << 30})
	s.replace(s.h.Reopen, &l)
	s.equal(s.readAll(l, 0), want)
	s.configure(name, shard.Settings{RetentionBytes: 1 << 30})
	want = append(want, s.append(l, value("later"))...)
	s.equal(s.readAll(l, 0), want)
}

// testRetentionBytes appends more than the bound, in one log of a topic and a little in another. Values are random, so
// that what an engine compresses is not smaller than what was appended.
func testRetentionBytes(s *suite) {
	const bound = 512 << 10
	name := topic("retention")
	s.create(name, 1)
	s.configure(name, shard.Settings{RetentionBytes: bound})
	s.create(name, 2)
	l, small := s.open(name, 1), s.open(name, 0)
	few := s.append(small, value("one"), value("two"))
	random := rand.New(rand.NewPCG(1, 2))
	var want []shard.Record
	size := int64(0)
	// Beyond the surplus the records may take their time to go, but go they must.
	for ctx := s.ctx(); size < bound+s.h.Surplus || s.h.Surplus > 0 && first(l) == want[0].Offset; {
		if ctx.Err() != nil {
			s.Fatalf("%d bytes are there with a bound of %d", size, bound)
		}
		r := shard.Record{Key: fmt.Appendf(nil, "record %d", len(want)), Value: make([]byte, 16<<10)}
		for i := range r.Value {
			r.Value[i] = byte(random.Uint32())
		}
		size += int64(r.Size())
		want = append(want, s.append(l, r)...)
	}
	oldest := first(l)
	got := s.readAll(l, 0)
	for first(l) != oldest { // some were dropped in the middle of it, which leaves a gap
		oldest = first(l)
		got = s.readAll(l, 0)
	}
	s.equal(got, want[len(want)-len(got):])
	left := int64(0)
	for i := range got {
		left += int64(got[i].Size())
	}
	// The engine counts its own overhead, which is small for records of this size.
	if left < bound-bound/32 {
		s.Fatalf("%d bytes are left, %d were to stay", left, bound)
	}
	s.equal(s.readAll(small, 0), few)
	if s.h.Reopen == nil {
		return
	}
	s.replace(s.h.Reopen, &l)
	if again := s.readAll(l, 0); len(again) == 0 || again[0].Offset < oldest {
		s.Fatalf("%d records after opening again, those before %d had been dropped", len(again), oldest)
	}
}

func first(l shard.Log) shard.Offset {
	first, _ := l.Bounds()
	return first
}
