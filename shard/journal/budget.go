package journal

import (
	"container/list"
	"context"
	"sync"
	"sync/atomic"

	"github.com/seed-462d9463/sluice/shard"
)

// budget bounds the memory of all records, from before they are queued until they leave the cache, and of the places of
// those that are left in the journal. What is durable stays until room is needed, oldest first.
//
// While there is room nothing is locked. Who begins to wait says so in busy first and looks for room after that, and
// who gives back looks at busy last: one of the two sees the other.
//
// Its lock comes before the locks of logs, which evicting takes.
type budget struct {
	limit  int64
	eager  bool   // evict at once; see Options
	wanted func() // called when somebody begins to wait

	used atomic.Int64  // grows beyond the limit only by force
	gone atomic.Uint64 // LSN of the last share that was evicted
	busy atomic.Bool   // somebody waits, or all are refused: reserve must look closer

	mu        sync.Mutex  // guards what follows, and changes of busy
	evictable []evictable // durable shares, oldest first; [head:] are left
	head      int
	waiters   list.List // of *budgetWaiter, first come first served
	err       error     // refuses everything: closed, failed
	full      error     // refuses records: the disk is full
}

// sparePart is the part of the bound that is kept free for what comes next: appends of a batch, which come all at once, would
// otherwise evict what they need one after the other.
const sparePart = 64

// evictable says that the shares of a log before an offset may go.
type evictable struct {
	log  *logState
	upTo shard.Offset
}

type budgetWaiter struct {
	n     int64
	ready chan error // gets the one answer
}

// reserve waits until n more bytes are within the bound.
func (b *budget) reserve(ctx context.Context, n int64) error {
	if !b.busy.Load() && b.take(n) {
		return nil
	}
	b.mu.Lock()
	if err := b.refused(); err != nil {
		b.mu.Unlock()
		return err
	}
	first := b.waiters.Len() == 0
	b.busy.Store(true)
	if first && b.fits(n) {
		b.busy.Store(false)
		b.mu.Unlock()
		return nil
	}
	w := &budgetWaiter{n: n, ready: make(chan error, 1)}
	place := b.waiters.PushBack(w)
	b.mu.Unlock()
	b.wanted()
	select {
	case err := <-w.ready:
		return err
	case <-ctx.Done():
	}
	b.mu.Lock()
	select {
	case err := <-w.ready: // answered in this very moment
		b.mu.Unlock()
		if err == nil {
			b.release(n)
		}
	default:
		b.waiters.Remove(place)
		b.mu.Unlock()
		b.pump() // a smaller one may be next
	}
	return ctx.Err()
}

func (b *budget) refused() error {
	if b.err != nil {
		return b.err
	}
	return b.full
}

// take takes n bytes if they are there.
func (b *budget) take(n int64) bool {
	for {
		used := b.used.Load()
		if used+n > b.limit {
			return false
		}
		if b.used.CompareAndSwap(used, used+n) {
			return true
		}
	}
}

// fits takes n bytes, and evicts for them what it must. The lock is held.
func (b *budget) fits(n int64) bool {
	for !b.take(n) {
		if b.head == len(b.evictable) {
			return false
		}
		b.evictOne()
	}
	return true
}

// shrink evicts until the bound holds with n bytes more, or nothing is left to evict. The lock is held.
func (b *budget) shrink(n int64) {
	for b.used.Load()+n > b.limit && b.head < len(b.evictable) {
		b.evictOne()
	}
}

func (b *budget) evictOne() {
	ev := b.evictable[b.head]
	b.evictable[b.head] = evictable{}
	b.head++
	freed, at := ev.log.evict(ev.upTo)
	b.used.Add(-freed)
	if at > 0 {
		b.gone.Store(uint64(at))
	}
}

// pump answers those who wait for as long as there is room.
func (b *budget) pump() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answer()
}

// answer answers those who wait for as long as there is room. The lock is held.
func (b *budget) answer() {
	for first := b.waiters.Front(); first != nil; first = b.waiters.Front() {
		w := first.Value.(*budgetWaiter)
		if !b.fits(w.n) {
			return
		}
		b.waiters.Remove(first)
		w.ready <- nil
	}
	b.busy.Store(b.refused() != nil)
}

// release gives bytes back.
func (b *budget) release(n int64) {
	if n == 0 {
		return
	}
	b.used.Add(-n)
	if b.busy.Load() {
		b.pump()
	}
}

// force charges bytes even beyond the bound, after evicting what it can: recovery must hold what the journal holds, and
// essential records make room.
func (b *budget) force(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.shrink(n)
	b.used.Add(n)
}

// published says that shares are durable and may be evicted, and that so much less is needed for them.
func (b *budget) published(shares []*share, freed int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used.Add(-freed)
	for _, r := range shares {
		if len(b.evictable) == cap(b.evictable) {
			b.compact()
		}
		b.evictable = append(b.evictable, evictable{log: r.log, upTo: r.end})
	}
	if b.eager {
		b.shrink(b.limit + 1)
	}
	b.shrink(b.limit / sparePart)
	b.answer()
}

// compact drops what was evicted, and if that is little, what is stale because a trim or delete has emptied the cache: else
// the list would grow for ever where that always comes first. The lock is held.
func (b *budget) compact() {
	live := b.evictable[b.head:]
	left := make([]evictable, 0, 2*len(live)+64)
	for _, ev := range live {
		if b.head > len(live) || ev.log.hasCached(ev.upTo) {
			left = append(left, ev)
		}
	}
	b.evictable, b.head = left, 0
}

// stop refuses all who wait and who come.
func (b *budget) stop(err error) { b.refuse(func() { b.err = err }, err) }

// setFull refuses those who wait and who come until it is called with nil.
func (b *budget) setFull(err error) { b.refuse(func() { b.full = err }, err) }

func (b *budget) refuse(set func(), err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	set()
	b.busy.Store(b.waiters.Len() > 0 || b.refused() != nil)
	if err == nil {
		return
	}
	for el := b.waiters.Front(); el != nil; el = b.waiters.Front() {
		b.waiters.Remove(el)
		el.Value.(*budgetWaiter).ready <- err
	}
}

// state returns the bytes in use, and whether somebody waits.
func (b *budget) state() (used int64, waiting bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used.Load(), b.waiters.Len() > 0
}
