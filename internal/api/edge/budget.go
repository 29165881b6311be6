package edge

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// Budget bounds the bytes that all requests together hold in memory.
//
// A request reserves more as it grows, and waits when there is no room. Requests that all hold something and
// all wait for more would wait for ever, so one at a time may overdraw:
//
//  1. used is the sum of what all reservations hold.
//  2. Unless a reservation overdraws, used ≤ limit.
//  3. At most one reservation overdraws. It never waits, so it ends.
//  4. If anybody waits, somebody overdraws, and when he does no longer the next one is the first in the queue if
//     there is room for it, else the one that has waited longest: of those that hold something, and every other time of all.
//
// So memory is bounded by the limit and the largest single request, who holds something gets on, and who wants much gets his
// turn, however many small ones pass him.
//
// Whoever waits for a client that is slow to send or to take holds up everybody else, who may be a few slow
// clients' victim for as long as a request may last. So, while somebody waits, those that have been slow for
// longer than patience are cut off, the one that holds most first: one at a time, or as many as it takes to make room
// for all those who come first. That are those who hold nothing yet, and then those who are small, or some thousands of
// slow requests would keep all others waiting for minutes. Who holds nothing and wants much comes last: before more is
// read, what has been read should be encoded, which takes less.
//
// Of those who take an answer it is known when they have last taken some: when the connection had room for more, which with
// the system's buffers is told in lumps of a megabyte, and where the system tells it, when the client has got more. Who has
// taken nothing that the connection did not have room for anyway is given less time, and who takes some is cut off only when
// no one who waits has been served for as long as patience, the slowest first. So a client on a bad line gets its answer
// beside many that do not want theirs.
type Budget struct {
	limit int64

	mu       sync.Mutex // guards all below, and the reservations
	used     int64
	overdraw *Reservation
	turn     bool         // the next to overdraw may be one that holds nothing
	queue    []*waiter    // by rank; else first come, first served
	served   time.Time    // when one who waited was last granted something, or the first of the queue began to wait
	slow     *Reservation // the first of those that have waited for their clients, and are not done
}

// Reservation is what one request holds of a budget. It belongs to one goroutine.
type Reservation struct {
	budget *Budget
	held   int64
	since  time.Time    // when it began to be slow, or was cut off
	took   time.Time    // when its client last took some of its answer; zero if that is not told
	taken  int64        // how much of it, when that was last told or looked at
	got    func() int64 // tells how much of it has come to the client; nil if nobody knows
	seen   bool         // that has been looked at while others waited
	waited bool         // its client has once been waited for, and then took some
	cut    func()       // ends the wait for the client; not nil while it is in the list of budget.slow
	gone   bool         // it has been cut off
	waits  *waiter      // while it is in budget.queue

	next, previous *Reservation // in the list of budget.slow
}

type waiter struct {
	reservation *Reservation
	bytes       int64
	rank        int // who comes first
	since       time.Time
	granted     chan struct{} // closed when the bytes are held, or the reservation was cut off
}

// Ranks of those who wait.
const (
	newcomer = iota // holds nothing, and wants no more than smallRequest
	small           // will hold no more than that
	large
	largeNewcomer
)

// smallRequest is what one of a record or a few takes, its answer included.
const smallRequest = 256 << 10

const (
	patience      = 2 * time.Second        // with a slow client, while others wait
	shortPatience = time.Second            // with one that has taken nothing yet but what needed no waiting
	noticeable    = 20 * time.Millisecond  // is waiting
	pressInterval = 100 * time.Millisecond // between two cuts
)

// errCut means that a request was slow while others waited for the memory that it held.
var errCut = errors.New("the client was slow while memory was short")

// NewBudget returns a budget of so many bytes.
func NewBudget(limit int64) *Budget {
	return &Budget{limit: limit}
}

// Open returns a reservation that holds nothing yet.
func (b *Budget) Open() Reservation { return Reservation{budget: b} }

// Used is how many bytes are reserved now.
func (b *Budget) Used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

// Slow says that the request waits for its client from now on, if it has not been said before. While others wait
// for room, cut may be called, once; it must end the wait, and not block.
func (r *Reservation) Slow(cut func()) {
	b := r.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	if r.cut == nil {
		r.since, r.cut = time.Now(), cut
		if r.next = b.slow; r.next != nil {
			r.next.previous = r
		}
		b.slow = r
	}
}

// Took says that the client of a request that is slow has taken so many bytes of its answer, or is about to begin.
func (r *Reservation) Took(bytes int) {
	b := r.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if !r.took.IsZero() && now.Sub(r.took) > noticeable {
		r.waited = true
	}
	r.took = now
	if r.got != nil {
		r.taken = r.got()
	} else {
		r.taken += int64(bytes)
	}
}

// Watch has got asked how much of the answer has come to the client, until Prompt. It must not block.
func (r *Reservation) Watch(got func() int64) {
	b := r.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	r.got, r.taken = got, got()
}

// look finds out whether the client has got more since the last look.
func (r *Reservation) look(now time.Time) {
	if r.got == nil {
		return
	}
	taken := r.got()
	if taken > r.taken {
		r.took = now
		r.waited = r.waited || r.seen // the first time it may have been what needed no waiting
	}
	r.taken, r.seen = taken, true
}

// prompt takes a reservation out of the list of slow ones, if it is there.
func (b *Budget) prompt(r *Reservation) {
	if r.cut == nil {
		return
	}
	if r.next != nil {
		r.next.previous = r.previous
	}
	if r.previous != nil {
		r.previous.next = r.next
	} else {
		b.slow = r.next
	}
	r.cut, r.next, r.previous = nil, nil, nil
	r.took, r.waited, r.taken, r.got, r.seen = time.Time{}, false, 0, nil, false
}

// Prompt says that the request waits for its client no longer: cut is not called once it has returned. It
// reports whether the request has been cut off.
func (r *Reservation) Prompt() (gone bool) {
	if r.cut == nil { // only its own goroutine changes that
		return false
	}
	b := r.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	b.prompt(r)
	return r.gone
}

// Grow reserves more bytes, and waits until there is room, ctx ends, or the reservation is cut off: errCut.
func (r *Reservation) Grow(ctx context.Context, bytes int64) error {
	b := r.budget
	b.mu.Lock()
	if r.gone {
		b.mu.Unlock()
		return errCut
	}
	if len(b.queue) == 0 || b.overdraw == r {
		if b.grant(r, bytes) {
			b.mu.Unlock()
			return nil
		}
	}
	w := &waiter{reservation: r, bytes: bytes, granted: make(chan struct{})}
	b.enqueue(w)
	b.serve() // it may be the first now, and fit
	b.mu.Unlock()
	press := time.NewTicker(pressInterval)
	defer press.Stop()
	for {
		select {
		case <-w.granted:
			b.mu.Lock()
			defer b.mu.Unlock()
			if r.gone {
				return errCut
			}
			return nil
		case now := <-press.C:
			b.press(w, now)
			continue
		case <-ctx.Done():
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.leave(w) {
			return ctx.Err()
		}
		if r.gone {
			return errCut
		}
		return nil // granted just now
	}
}

// enqueue puts a waiter where it belongs.
func (b *Budget) enqueue(w *waiter) {
	w.reservation.waits, w.since = w, time.Now()
	switch held := w.reservation.held; {
	case held == 0 && w.bytes <= smallRequest:
		w.rank = newcomer
	case held == 0:
		w.rank = largeNewcomer
	case held+w.bytes <= smallRequest:
		w.rank = small
	default:
		w.rank = large
	}
	if len(b.queue) == 0 {
		b.served = w.since
	}
	at := len(b.queue)
	if behind := slices.IndexFunc(b.queue, func(other *waiter) bool { return other.rank > w.rank }); behind >= 0 {
		at = behind
	}
	b.queue = slices.Insert(b.queue, at, w)
}

// leave takes a waiter out of the queue; false if it is not there any more.
func (b *Budget) leave(w *waiter) bool {
	i := slices.Index(b.queue, w)
	if i < 0 {
		return false
	}
	b.queue = slices.Delete(b.queue, i, i+1)
	w.reservation.waits = nil
	b.serve() // whoever was behind may fit
	return true
}

// press is called now and then by those who wait. For the first of them it cuts off the slow ones that hold most.
func (b *Budget) press(w *waiter, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.queue) == 0 || b.queue[0] != w {
		return
	}
	var slow, taking []*Reservation
	for r := b.slow; r != nil; r = r.next {
		r.look(now)
		switch {
		case r.gone, r == w.reservation:
		case r.stands(now):
			slow = append(slow, r)
		case r.slowFor(now) > patience && now.Sub(b.served) > patience:
			taking = append(taking, r)
		}
	}
	needed, first := b.needed(now)
	if first <= 0 {
		return // those that have been cut off are about to give back enough
	}
	most := func(a, b *Reservation) int { return cmp.Compare(b.held, a.held) }
	slices.SortFunc(slow, most)
	for i, r := range slow {
		if i > 0 && needed <= 0 {
			return
		}
		needed -= r.held
		b.cutOff(r)
	}
	if len(slow) == 0 && len(taking) > 0 { // one, and then it is seen whether that has helped
		b.cutOff(slices.MinFunc(taking, func(a, b *Reservation) int { return cmp.Or(cmp.Compare(a.rate(now), b.rate(now)), most(a, b)) }))
	}
}

// needed is how many bytes must be given back, beyond what those that have been cut off just now are about to, for all who
// wait but large ones, and what it takes to serve the first of the queue as well. Somebody waits.
func (b *Budget) needed(now time.Time) (all, first int64) {
	all = b.used - b.limit
	for _, waits := range b.queue {
		if waits.rank != large {
			all += waits.bytes
		}
	}
	for r := b.slow; r != nil; r = r.next {
		if r.gone && now.Sub(r.since) < shortPatience {
			all -= r.held
		}
	}
	if w := b.queue[0]; w.rank == large {
		return all, all + w.bytes
	}
	return all, all
}

func (b *Budget) cutOff(r *Reservation) {
	r.gone, r.since = true, time.Now()
	r.cut()
	if waits := r.waits; waits != nil {
		b.leave(waits)
		close(waits.granted)
	}
}

// stands tells whether the client lets the request wait for too long, and not because its line is slow.
func (r *Reservation) stands(now time.Time) bool {
	switch {
	case r.took.IsZero():
		return r.slowFor(now) > patience
	case r.waited:
		return now.Sub(r.took) > patience
	default:
		return now.Sub(r.took) > shortPatience
	}
}

// rate is how many bytes a second the client takes, or the system's buffers for it; 0 if that is not told.
func (r *Reservation) rate(now time.Time) float64 {
	return float64(r.taken) / max(r.slowFor(now), pressInterval).Seconds()
}

// slowFor is how long the request has waited for its client, what it has waited for memory not counted.
func (r *Reservation) slowFor(now time.Time) time.Duration {
	if r.waits != nil {
		now = r.waits.since
	}
	return now.Sub(r.since)
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
	if r.held == 0 && r.cut == nil { // the budget does not know it
		r.gone = false
		return
	}
	b := r.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= r.held
	r.held = 0
	b.prompt(r)
	r.gone = false
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

// longest is the place in the queue of the one that has waited longest: of those that hold something if there are any, and
// when it is the turn of the others, of all.
func (b *Budget) longest() (at int) {
	holding, of := -1, &b.queue[0].since
	for i, w := range b.queue {
		if w.since.Before(*of) {
			at, of = i, &w.since
		}
		if w.reservation.held > 0 && (holding < 0 || w.since.Before(b.queue[holding].since)) {
			holding = i
		}
	}
	if !b.turn && holding >= 0 {
		return holding
	}
	return at
}

// serve grants what can be granted, in the order of the invariants.
func (b *Budget) serve() {
	for len(b.queue) > 0 {
		at := 0
		if b.overdraw == nil && b.used+b.queue[0].bytes > b.limit {
			at = b.longest()
			b.turn = !b.turn
		}
		w := b.queue[at]
		r := w.reservation
		if !b.grant(r, w.bytes) {
			break
		}
		if r.waits = nil; r.cut != nil {
			r.since = r.since.Add(time.Since(w.since)) // that was not its client's fault
		}
		b.queue = slices.Delete(b.queue, at, at+1)
		b.served = time.Now()
		close(w.granted)
	}
	if len(b.queue) == 0 {
		b.queue = nil
	}
}
