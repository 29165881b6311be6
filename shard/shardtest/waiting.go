package shardtest

import (
	"context"
	"sync"

	"github.com/seed-462d9463/sluice/shard"
)

// waiting calls Wait in a goroutine of its own, and returns when that is about to block, or has returned. The
// channel yields its outcome.
func (s *suite) waiting(ctx context.Context, l shard.Log, from shard.Offset) <-chan error {
	asked := &askedContext{Context: ctx, asked: make(chan struct{})}
	out, returned := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(returned)
		out <- l.Wait(asked, from)
	}()
	select {
	case <-asked.asked:
	case <-returned:
	}
	return out
}

// askedContext tells when it is first asked for its Done channel, which nobody can do without who waits.
type askedContext struct {
	context.Context
	once  sync.Once
	asked chan struct{}
}

func (c *askedContext) Done() <-chan struct{} {
	c.once.Do(func() { close(c.asked) })
	return c.Context.Done()
}

func (s *suite) end(l shard.Log) shard.Offset {
	_, next := l.Bounds()
	return next
}

func testWaitWakes(s *suite) {
	l := s.log()
	for i := range 50 {
		// Several wait, some from before and some from within what comes.
		from := s.end(l)
		waits := []<-chan error{s.waiting(s.ctx(), l, from), s.waiting(s.ctx(), l, from), s.waiting(s.ctx(), l, from+1)}
		want := s.append(l, value("a %d", i), value("b %d", i))
		for _, w := range waits {
			if err := <-w; err != nil {
				s.Fatalf("wait: %v", err)
			}
		}
		s.equal(s.read(l, from, shard.Limit{}), want)
		for _, there := range []shard.Offset{-1, 0, from, want[1].Offset} {
			if err := l.Wait(s.ctx(), there); err != nil {
				s.Fatalf("wait for what is there: %v", err)
			}
		}
	}
}

func testWaitContext(s *suite) {
	l := s.log()
	s.append(l, value("record"))
	ctx, cancel := context.WithCancel(s.ctx())
	wait := s.waiting(ctx, l, s.end(l))
	cancel()
	s.wantErr("wait whose context ended", <-wait, context.Canceled)
	s.wantErr("wait whose context had ended", l.Wait(ctx, s.end(l)), context.Canceled)
}

func testWaitNotEarly(s *suite) {
	l := s.log()
	ctx, cancel := context.WithCancel(s.ctx())
	// Far enough ahead for an engine that leaves gaps.
	far := s.waiting(ctx, l, s.end(l)+1_000_000)
	for i := range 20 {
		near := s.waiting(s.ctx(), l, s.end(l))
		s.append(l, value("record %d", i))
		if err := <-near; err != nil {
			s.Fatalf("wait: %v", err)
		}
	}
	cancel()
	s.wantErr("wait for a record that did not come", <-far, context.Canceled)
}

// testWaitTrimmed guards against readers that spin: one that waits, finds nothing and waits again.
func testWaitTrimmed(s *suite) {
	l := s.log()
	last := s.append(l, value("a"), value("b"))[1]
	s.trim(l, last.Offset+1)
	for _, from := range []shard.Offset{0, last.Offset} {
		ctx, cancel := context.WithCancel(s.ctx())
		cancel()
		s.wantErr("wait for records that were trimmed", l.Wait(ctx, from), context.Canceled)
	}
	wait := s.waiting(s.ctx(), l, 0)
	want := s.append(l, value("later"))
	if err := <-wait; err != nil {
		s.Fatalf("wait: %v", err)
	}
	s.equal(s.read(l, 0, shard.Limit{}), want)
}

func testWaitDelete(s *suite) {
	name := topic("delete")
	s.create(name, 2)
	var waits []<-chan error
	for p := range 2 {
		l := s.open(name, p)
		s.append(l, value("record"))
		waits = append(waits, s.waiting(s.ctx(), l, s.end(l)), s.waiting(s.ctx(), l, 1<<40))
	}
	if err := s.h.Engine.Delete(s.ctx(), name); err != nil {
		s.Fatalf("delete: %v", err)
	}
	for _, w := range waits {
		s.wantErr("wait on a log that was deleted", <-w, shard.ErrNotFound)
	}
}

func testWaitClose(s *suite) {
	used, idle := s.log(), s.log()
	s.append(used, value("record"))
	waits := []<-chan error{s.waiting(s.ctx(), used, s.end(used)), s.waiting(s.ctx(), idle, 0)}
	if err := s.h.Engine.Close(); err != nil {
		s.Fatalf("close: %v", err)
	}
	for _, w := range waits {
		s.wantErr("wait on an engine that was closed", <-w, shard.ErrClosed)
	}
}
