package edge

import (
	"context"
	"sync"
)

// Budget bounds the bytes that all requests together hold in memory.
//
// A request reserves more as it grows, and waits when there is no room. Requests that all hold something and
// all wait for more would wait for ever, so one at a time may overdraw:
//
//  1. used is the sum of what all reservations hold.
//  2. Unless a reservation overdraws, used ≤ limit.
//  3. At most one reservation overdraws. It never waits, so it ends.
//  4. If anybody waits, somebody overdraws, and when he does no longer the first in the queue is next.
//
// So a request waits only for requests that were there before, and memory is bounded by the limit and the
// largest single request.
type Budget struct {
	limit int64

	mu       sync.Mutex // guards all below, and held of the reservations
	used     int64
	overdraw *Reservation
	queue    []*waiter // first come, first served
}

// Reservation is what one request holds of a budget. It belongs to one goroutine.
type Reservation struct {
	budget *Budget
	held   int64
}

type waiter struct {
	reservation *Reservation
	bytes       int64
	granted     chan struct{} // closed when the bytes are held
}

// NewBudget returns a budget of so many bytes.
func NewBudget(limit int64) *Budget { return &Budget{limit: limit} }

// Open returns a reservation that holds nothing yet.
func (b *Budget) Open() Reservation { return Reservation{budget: b} }

// Used is how many bytes are reserved now.
func (b *Budget) Used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

// Grow reserves more bytes, and waits until there is room or ctx ends.
func (r *Reservation) Grow(ctx context.Context, bytes int64) error {
	b := r.budget
	b.mu.Lock()
	if len(b.queue) == 0 || b.overdraw == r {
		if b.grant(r, bytes) {
			b.mu.Unlock()
			return nil
		}
	}
	w := &waiter{reservation: r, bytes: bytes, granted: make(chan struct{})}
	b.queue = append(b.queue, w)
	b.mu.Unlock()
	select {
	case <-w.granted:
		return nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.queue {
		if b.queue[i] == w {
			b.queue = append(b.queue[:i], b.queue[i+1:]...)
			b.serve() // whoever was behind may fit
			return ctx.Err()
		}
	}
	return nil // granted just now
}

// Shrink gives back some of what is held.
func (r *Reservation) Shrink(bytes int64) {
	b := r.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= bytes
	r.held -= bytes
	if b.overdraw == r && b.used <= b.limit {
		b.overdraw = nil
	}
	b.serve()
}

// Release gives back all that is held. The reservation may be used again.
func (r *Reservation) Release() {
	b := r.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= r.held
	r.held = 0
	if b.overdraw == r {
		b.overdraw = nil
	}
	b.serve()
}

// grant reserves the bytes if r need not wait for them.
func (b *Budget) grant(r *Reservation, bytes int64) bool {
	switch {
	case b.overdraw == r, b.used+bytes <= b.limit:
	case b.overdraw == nil:
		b.overdraw = r
	default:
		return false
	}
	b.used += bytes
	r.held += bytes
	return true
}

// serve grants from the head of the queue on what can be granted.
func (b *Budget) serve() {
	for len(b.queue) > 0 && b.grant(b.queue[0].reservation, b.queue[0].bytes) {
		close(b.queue[0].granted)
		b.queue = b.queue[1:]
	}
	if len(b.queue) == 0 {
		b.queue = nil
	}
}
