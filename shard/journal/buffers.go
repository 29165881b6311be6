package journal

import (
	"context"
	"math/bits"
	"slices"
	"sync"
)

// Memory for a long append is dear: page faults, zeroing and the garbage collector cost several times what encoding, summing
// and writing it costs, and what has left the processor's cache before it is written must come back. So a long frame of a
// log that nobody follows passes through a buffer, which is used again as soon as the frame is durable; the frame is read
// from the journal from then on (place.go). No reader ever sees a buffer.
//
// A log is followed while somebody who reads it has been at its end lately. Its long frames stay in the cache like short
// ones, in memory of their own, which is shared with all who read them.

const (
	// bufferedFrame is the shortest frame that is worth a buffer: for shorter ones the allocator has memory ready.
	bufferedFrame = 32 << 10
	// bufferShare is the part of the cache bound that all buffers together may take. More would not be faster: one
	// batch is on its way to the disk, the next is queued, and the one after that is encoded.
	bufferShare = 8
	// popLooks bounds how many buffers are looked at for one of the right size.
	popLooks = 64
	// slabSizes is how many sizes of slabs there are.
	slabSizes = 16
)

// buffers lends memory to long appends. What there is of it counts in the engine's budget.
type buffers struct {
	most   int64 // bytes of all buffers
	memory *budget
	lent   budget // of most; who finds nothing left waits here

	mu    sync.Mutex        // guards what follows; no other lock is taken under it
	spare spares            // long ones
	slabs [slabSizes]spares // those of a power of two up to mostSlab: there may be thousands
	bytes int64             // of all these
}

func newBuffers(memory *budget) *buffers {
	most := memory.limit / bufferShare
	return &buffers{most: most, memory: memory, lent: budget{limit: most, wanted: func() {}}}
}

// bufferBytes returns the size of a buffer for n bytes: up to an eighth more, so that there are few different ones.
func bufferBytes(n int) int64 {
	step := int64(1) << max(bits.Len(uint(n-1))-4, 0)
	return (int64(n) + step - 1) &^ (step - 1)
}

// fits tells whether there can be a buffer of n bytes beside others.
func (b *buffers) fits(n int) bool { return bufferBytes(n) <= b.most/4 }

// get returns an empty buffer for n bytes, to be given back. It waits until there is room for one.
func (b *buffers) get(ctx context.Context, n int) ([]byte, error) {
	size := bufferBytes(n)
	if err := b.lent.reserve(ctx, size); err != nil {
		return nil, err
	}
	b.mu.Lock()
	buf := b.pop(size)
	freed := int64(0)
	if buf == nil {
		freed = b.shed(b.most - b.lent.used.Load())
	}
	b.mu.Unlock()
	if buf != nil {
		return buf, nil
	}
	b.memory.release(freed)
	if err := b.memory.reserve(ctx, size); err != nil {
		b.lent.release(size)
		return nil, err
	}
	return make([]byte, 0, size), nil
}

// spares are empty buffers; the one used last is the last, since the processor's cache may still hold it.
type spares struct {
	list  [][]byte
	least int // how many there were at least since the last trim
}

// take takes one out.
func (s *spares) take(i int) []byte {
	buf := s.list[i]
	s.list = slices.Delete(s.list, i, i+1)
	s.least = min(s.least, len(s.list))
	return buf
}

// drop drops those that were used longest ago, n at most, until so many bytes are freed.
func (s *spares) drop(n int, bytes int64) (freed int64) {
	k := 0
	for ; k < n && freed < bytes; k++ {
		freed += int64(cap(s.list[k]))
	}
	if s.list = slices.Delete(s.list, 0, k); len(s.list) == 0 {
		s.list = nil
	}
	s.least = max(s.least-k, 0)
	return freed
}

// listOf returns where spare buffers of a size are.
func (b *buffers) listOf(size int64) (list *spares, slabs bool) {
	if size > mostSlab || size&(size-1) != 0 {
		return &b.spare, false
	}
	return &b.slabs[bits.Len64(uint64(size-1))], true
}

// pop takes the last spare buffer of a size, nil if there is none among the last ones. The lock is held.
func (b *buffers) pop(size int64) []byte {
	s, slabs := b.listOf(size)
	for i, buf := range slices.Backward(s.list) {
		if !slabs && len(s.list)-i > popLooks {
			break
		}
		if int64(cap(buf)) == size {
			b.bytes -= size
			return s.take(i)
		}
	}
	return nil
}

// atHand returns an empty buffer of so many bytes, to be given back, and charges the engine's budget with more bytes beside it. It
// waits for nothing, and so may be called under a log's lock: without room, or if others wait, it returns nil.
func (b *buffers) atHand(size, beside int64) []byte {
	if b.memory.busy.Load() || b.lent.busy.Load() || !b.lent.take(size) {
		return nil
	}
	b.mu.Lock()
	buf := b.pop(size)
	room := b.bytes+b.lent.used.Load() <= b.most
	b.mu.Unlock()
	switch {
	case buf != nil && b.memory.take(beside):
		return buf
	case buf != nil:
		b.give(buf)
	case room && b.memory.take(size+beside):
		return make([]byte, 0, size)
	default:
		b.lent.release(size)
	}
	return nil
}

// give takes buffers back.
func (b *buffers) give(bufs ...[]byte) {
	size := int64(0)
	b.mu.Lock()
	for _, buf := range bufs {
		size += int64(cap(buf))
		spare, _ := b.listOf(int64(cap(buf)))
		spare.list = append(spare.list, buf[:0])
	}
	b.bytes += size
	b.mu.Unlock()
	b.lent.release(size)
}

// shed drops spare buffers until no more than so many bytes are left, first those that nobody has used since the last trim, and
// returns what they had. The lock is held.
func (b *buffers) shed(left int64) (freed int64) {
	want := b.bytes - left
	for s := range b.lists {
		freed += s.drop(s.least, want-freed)
	}
	for s := range b.lists {
		freed += s.drop(len(s.list), want-freed)
	}
	b.bytes -= freed
	return freed
}

// lists calls f for each list of spare buffers.
func (b *buffers) lists(f func(*spares) bool) {
	if !f(&b.spare) {
		return
	}
	for i := range b.slabs {
		if !f(&b.slabs[i]) {
			return
		}
	}
}

// trim drops what has been spare since the last trim.
func (b *buffers) trim() {
	b.mu.Lock()
	freed := int64(0)
	for s := range b.lists {
		freed += s.drop(s.least, b.bytes)
		s.least = len(s.list)
	}
	b.bytes -= freed
	b.mu.Unlock()
	b.memory.release(freed)
}

// drop drops all that is spare.
func (b *buffers) drop() {
	b.mu.Lock()
	freed := b.shed(0)
	b.mu.Unlock()
	b.memory.release(freed)
}

// giver gives buffers back, many at a time: those who append use the lists, too, on other processors.
type giver struct {
	to   *buffers
	some [64][]byte
	n    int
}

// take takes the buffers of a share whose batch is decided: nobody reads them any more.
func (g *giver) take(s *share) {
	for _, buf := range s.lent {
		if g.n == len(g.some) {
			g.give()
		}
		g.some[g.n] = buf
		g.n++
	}
	s.lent = nil
}

// give gives back what was taken.
func (g *giver) give() {
	if g.n > 0 {
		g.to.give(g.some[:g.n]...)
		g.n = 0
	}
}

// giveBack takes back the buffers of a share whose batch is decided.
func (e *Engine) giveBack(s *share) {
	if s.lent != nil {
		e.buffers.give(s.lent...)
		s.lent = nil
	}
}

// follow takes note that a reader is at the end of the log.
func (l *logState) follow() { l.followed.Store(l.e.durable.Load()) }

// followedNow tells whether the log is followed: until as much has become durable, since a reader was at its end, as the
// cache can hold. Then he would not find it there any more.
func (l *logState) followedNow() bool {
	return int64(l.e.durable.Load()-l.followed.Load()) < l.e.opts.CacheBytes
}

// buffered tells whether an ordinary frame of so many bytes passes through a buffer.
func (l *logState) buffered(size int) bool {
	return size >= l.e.opts.bufferedFrame && l.e.buffers.fits(size) && !l.followedNow()
}
