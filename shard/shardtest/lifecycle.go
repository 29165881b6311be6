package shardtest

import (
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-462d9463/sluice/shard"
)

func testCreateGrows(s *suite) {
	name := topic("grow")
	ctx := s.ctx()
	for _, c := range []struct{ ask, have int }{{1, 1}, {1, 1}, {3, 3}, {2, 3}, {1, 3}, {5, 5}} {
		s.create(name, c.ask)
		if diff := cmp.Diff([]shard.Topic{{Name: name, Partitions: c.have}}, s.topics(name)); diff != "" {
			s.Fatalf("after asking for %d (-want +got):\n%s", c.ask, diff)
		}
		_, err := s.h.Engine.Open(ctx, name, c.have)
		s.wantErr("open of the partition behind the last", err, shard.ErrNotFound)
		// Growing leaves alone what is there.
		want := s.readAll(s.open(name, 0), 0)
		want = append(want, s.append(s.open(name, 0), value("after %d", c.ask))...)
		s.equal(s.readAll(s.open(name, 0), 0), want)
		s.append(s.open(name, c.have-1), value("in the last"))
	}
	if got := len(s.readAll(s.open(name, 0), 0)); got != 6+2 { // the first was the last twice
		s.Fatalf("%d records in partition 0, want 8", got)
	}
	var creating sync.WaitGroup
	many := topic("at.once")
	for n := range 8 {
		creating.Go(func() {
			if err := s.h.Engine.Create(ctx, many, n+1); err != nil {
				s.Errorf("create at once with others: %v", err)
			}
		})
	}
	creating.Wait()
	if diff := cmp.Diff([]shard.Topic{{Name: many, Partitions: 8}}, s.topics(many)); diff != "" {
		s.Fatalf("after creating at once (-want +got):\n%s", diff)
	}
}

// topics lists the topics with a prefix, those of this test.
func (s *suite) topics(prefix string) []shard.Topic {
	s.Helper()
	all, err := s.h.Engine.Topics(s.ctx())
	if err != nil {
		s.Fatalf("topics: %v", err)
	}
	var out []shard.Topic
	for _, t := range all {
		if strings.HasPrefix(t.Name, prefix) {
			out = append(out, t)
		}
	}
	return out
}

func testTopicNames(s *suite) {
	for _, name := range []string{"", ".", "..", "a/b", "a b", "ä", "a\x00", "a\n", "../a", "a:b", strings.Repeat("n", 250)} {
		s.wantErr("create "+name, s.h.Engine.Create(s.ctx(), name, 1), shard.ErrInvalidTopic)
	}
	base := topic("A-z_0.9")
	for _, name := range []string{base, base + strings.Repeat("n", 249-len(base)), base + "..", base + "-_."} {
		s.create(name, 1)
		want := s.append(s.open(name, 0), value("in %s", name))
		s.equal(s.readAll(s.open(name, 0), 0), want)
	}
}

func testOpen(s *suite) {
	name := topic("open")
	s.create(name, 2)
	for _, p := range []int{-1, 2, 1 << 30} {
		_, err := s.h.Engine.Open(s.ctx(), name, p)
		s.wantErr("open", err, shard.ErrNotFound)
	}
	_, err := s.h.Engine.Open(s.ctx(), topic("never.created"), 0)
	s.wantErr("open", err, shard.ErrNotFound)
	one, again, other := s.open(name, 0), s.open(name, 0), s.open(name, 1)
	if one != again {
		s.Error("two calls of Open gave two logs for one partition")
	}
	if one == other {
		s.Error("two partitions have the same log")
	}
}

func testTopics(s *suite) {
	base := topic("list")
	var want []shard.Topic
	for i, suffix := range []string{".B", ".a", "-a", "_a", ".aa"} {
		s.create(base+suffix, i+1)
	}
	for _, n := range []int{2, 0, 1, 4, 3} { // '-' '.B' '.a' '.aa' '_', by byte
		want = append(want, shard.Topic{Name: base + []string{".B", ".a", "-a", "_a", ".aa"}[n], Partitions: n + 1})
	}
	if diff := cmp.Diff(want, s.topics(base)); diff != "" {
		s.Fatalf("topics differ (-want +got):\n%s", diff)
	}
	if err := s.h.Engine.Delete(s.ctx(), want[1].Name); err != nil {
		s.Fatalf("delete: %v", err)
	}
	want = append(want[:1], want[2:]...)
	if diff := cmp.Diff(want, s.topics(base)); diff != "" {
		s.Fatalf("topics differ (-want +got):\n%s", diff)
	}
}

// refuses checks that everything about a log fails with one error.
func (s *suite) refuses(l shard.Log, want error) {
	s.Helper()
	ctx := s.ctx()
	_, err := l.Append(ctx, []shard.Record{value("too late")}).Wait(ctx)
	s.wantErr("append", err, want)
	_, err = l.Read(ctx, 0, shard.Limit{})
	s.wantErr("read", err, want)
	s.wantErr("wait for what was there", l.Wait(ctx, 0), want)
	s.wantErr("wait", l.Wait(ctx, 1<<40), want)
	_, err = l.At(ctx, time.Now())
	s.wantErr("at", err, want)
	s.wantErr("trim", l.Trim(ctx, 1), want)
	l.Bounds() // has no error to give, and must not panic
}

func testDelete(s *suite) {
	name, other := topic("delete"), s.log()
	s.create(name, 2)
	used, idle := s.open(name, 0), s.open(name, 1)
	s.append(used, value("record"))
	want := s.append(other, value("beside it"))
	for range 2 { // deleting what is not there is no error
		if err := s.h.Engine.Delete(s.ctx(), name); err != nil {
			s.Fatalf("delete: %v", err)
		}
	}
	if err := s.h.Engine.Delete(s.ctx(), topic("never.created")); err != nil {
		s.Fatalf("delete of what never was: %v", err)
	}
	s.refuses(used, shard.ErrNotFound)
	s.refuses(idle, shard.ErrNotFound)
	_, err := s.h.Engine.Open(s.ctx(), name, 0)
	s.wantErr("open", err, shard.ErrNotFound)
	if got := s.topics(name); len(got) != 0 {
		s.Errorf("topics has it still: %v", got)
	}
	s.equal(s.readAll(other, 0), want)
}

func testDeleteThenCreate(s *suite) {
	name := topic("again")
	for round := range 5 {
		s.create(name, 2-round%2)
		l := s.open(name, 0)
		s.equal(s.readAll(l, 0), nil)
		s.checkBounds(l, nil)
		want := s.append(l, value("round %d", round))
		s.equal(s.readAll(l, 0), want)
		if err := s.h.Engine.Delete(s.ctx(), name); err != nil {
			s.Fatalf("delete: %v", err)
		}
		s.create(name, 1)
		s.refuses(l, shard.ErrNotFound) // the old log stays gone, although the name is there again
		s.equal(s.readAll(s.open(name, 0), 0), nil)
		if got := s.topics(name); len(got) != 1 || got[0].Partitions != 1 {
			s.Fatalf("created again with 1 partition: %v", got)
		}
		if round%2 == 0 { // else the next round finds it there, and empty
			if err := s.h.Engine.Delete(s.ctx(), name); err != nil {
				s.Fatalf("delete: %v", err)
			}
		}
	}
}

func testClosed(s *suite) {
	used, idle := s.log(), s.log()
	s.append(used, value("record"))
	for range 2 {
		if err := s.h.Engine.Close(); err != nil {
			s.Fatalf("close: %v", err)
		}
	}
	s.refuses(used, shard.ErrClosed)
	s.refuses(idle, shard.ErrClosed)
	name := topic("closed")
	s.wantErr("create", s.h.Engine.Create(s.ctx(), name, 1), shard.ErrClosed)
	_, err := s.h.Engine.Open(s.ctx(), name, 0)
	s.wantErr("open", err, shard.ErrClosed)
	s.wantErr("delete", s.h.Engine.Delete(s.ctx(), name), shard.ErrClosed)
	_, err = s.h.Engine.Topics(s.ctx())
	s.wantErr("topics", err, shard.ErrClosed)
	if err := s.h.Engine.Err(); err != nil {
		s.Errorf("closing is no failure, but Err is %v", err)
	}
	select {
	case <-s.h.Engine.Failed():
		s.Error("closing is no failure, but Failed is closed")
	default:
	}
}

func testCloseWaits(s *suite) {
	name := topic("close")
	s.create(name, 3)
	logs := []shard.Log{s.open(name, 0), s.open(name, 1), s.open(name, 2)}
	pending := make([][]shard.Pending, len(logs))
	records := make([][]shard.Record, len(logs))
	for i := range 300 {
		n := i % len(logs)
		r := value("record %d", i)
		r.Value = append(r.Value, pattern(5000, byte(i))...)
		records[n] = append(records[n], r)
		pending[n] = append(pending[n], logs[n].Append(s.ctx(), []shard.Record{r}))
	}
	if err := s.h.Engine.Close(); err != nil {
		s.Fatalf("close: %v", err)
	}
	want := make([][]shard.Record, len(logs))
	for n := range logs {
		for i, p := range pending[n] {
			at, err := p.Wait(s.ctx())
			if err != nil {
				s.Fatalf("an append that was queued before Close: %v", err)
			}
			want[n] = append(want[n], expected(at, records[n][i:i+1])...)
		}
	}
	if s.h.Reopen == nil {
		return
	}
	s.replace(s.h.Reopen, &logs[0], &logs[1], &logs[2])
	for n := range logs {
		s.equal(s.readAll(logs[n], 0), want[n])
	}
}

func testFailed(s *suite) {
	if s.h.Fail == nil {
		s.Skip("the harness cannot make the engine fail")
	}
	l := s.log()
	s.append(l, value("record"))
	if err := s.h.Engine.Err(); err != nil {
		s.Fatalf("Err of a working engine is %v", err)
	}
	wait := s.waiting(s.ctx(), l, s.end(l))
	cause := errors.New("the disk is on fire")
	s.h.Fail(cause)
	_, err := l.Append(s.ctx(), []shard.Record{value("too late")}).Wait(s.ctx())
	s.wantErr("append", err, cause)
	select {
	case <-s.h.Engine.Failed():
	case <-s.ctx().Done():
		s.Fatal("Failed was not closed")
	}
	s.wantErr("Err", s.h.Engine.Err(), cause)
	s.wantErr("wait", <-wait, cause)
	s.wantErr("later wait", l.Wait(s.ctx(), 1<<40), cause)
	_, err = l.Append(s.ctx(), []shard.Record{value("too late")}).Wait(s.ctx())
	s.wantErr("later append", err, cause)
	s.wantErr("later trim", l.Trim(s.ctx(), 1), cause)
	s.wantErr("later create", s.h.Engine.Create(s.ctx(), topic("late"), 1), cause)
}
