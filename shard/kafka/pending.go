package kafka

import (
	"context"
	"sync"
)

// pending counts the appends that are not settled, so that the end can wait for them.
type pending struct {
	mu     sync.Mutex // guards what follows
	n      int
	closed bool
	none   chan struct{} // closed when there are none and none will come
}

func newPending() *pending { return &pending{none: make(chan struct{})} }

// add counts one more, unless none are accepted any more.
func (p *pending) add() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.n++
	return true
}

func (p *pending) done(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.n -= n
	if p.closed && p.n == 0 && n > 0 {
		close(p.none)
	}
}

// close accepts no more.
func (p *pending) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.closed = true
		if p.n == 0 {
			close(p.none)
		}
	}
}

func (p *pending) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.n
}

// reserve takes room for an append. It blocks while there is none.
func (e *Engine) reserve(ctx context.Context, bytes int64) error {
	if !e.room.TryAcquire(bytes) {
		waiting, cancel := context.WithCancel(ctx)
		stop := context.AfterFunc(e.accepting, cancel)
		err := e.room.Acquire(waiting, bytes)
		stop()
		cancel()
		if why := e.usable(); why != nil {
			if err == nil {
				e.room.Release(bytes)
			}
			return why
		}
		if err != nil {
			return err
		}
	}
	e.inFlight.Add(bytes)
	return nil
}

func (e *Engine) release(bytes int64) {
	if bytes > 0 {
		e.inFlight.Add(-bytes)
		e.room.Release(bytes)
	}
}
