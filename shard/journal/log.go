package journal

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/journal/internal/mutant"
	"github.com/seed-462d9463/sluice/shard/journal/internal/prefetch"
)

// logState is one log. There may be ten thousand idle ones: it has no goroutine, no timer and no open file of
// its own, and its slices take next to nothing while they are empty.
//
//	first ≤ durable ≤ next, flushed ≤ durable
//	segments and gaps hold [first, flushed), left and cache together hold at least [flushed, next)
type logState struct {
	e         *Engine
	id        uint64
	mu        sync.Mutex  // guards what follows but for what is atomic; the queue's and the flusher's locks come after it
	essential atomic.Bool // its appends use what is kept back when the disk is full; set under commitQueue.taking
	gone      bool        // the topic was deleted
	inHeap    bool        // heapAt is not 0; changed under both locks, so that to read it one of them is enough

	// With many logs each append finds its log out of the processor's caches, and so do those who publish it. What they need lies
	// together, in four of their lines of 64 bytes, the first of which begins above and ends with open.
	durable    shard.Offset
	next       shard.Offset // given to the next record
	lastMillis int64        // of the newest record ever queued
	open       *share       // the last of cache while appends may join it

	cache     []*share     // ascending: flushed ones, durable ones, queued ones; not flushed where it follows on left
	flushed   shard.Offset // all before it is in segments, or trimmed
	unflushed int64        // bytes of the durable frames that are not flushed
	changed   chan struct{}
	one       [1]*share // memory for cache: a log that lends mostly has none or one, and so in each batch again
	grown     int64     // bytes since its size was looked at

	lends    atomic.Int64  // bytes of the slabs that are lent to its small appends; 0: none are
	room     []byte        // what is left of its last slab that is lent: of length 0
	mean     int64         // bytes that the last shares had, see lend.go
	apart    int64         // of Engine.cacheable, from one share to the next, in the mean of the last ones
	lastAt   int64         // Engine.cacheable with the last share
	followed atomic.Uint64 // LSN up to which all was durable when a reader was last at its end

	left     []place // ascending: what is in the journal alone, neither in segments nor in the cache
	settings shard.Settings
	slab     slab // memory for the next appends; those of a log that lends need the beginning only

	first shard.Offset

	segments  []segment // ascending; the last one is written to unless it is sealed
	gaps      []gap     // ascending, below flushed: what a repair gave up
	index     activeIndex
	hint      readHint
	shrinking bool      // a trim by size is on its way, see retain.go
	dropped   dropCause // of the last trim since the start

	// Guarded by the flusher's lock.
	heapAt  int  // place in its heap of unflushed logs, plus one; 0: in none
	lazy    bool // which of the two
	since   lsn  // of the oldest unflushed records, while in the heap
	trimmed bool

	toCompress bool // in the compressor's queue, whose lock guards it

	allocated int64 // of the active segment, preallocated up to here, 0 if it is not known; of the flusher alone

	topic     string
	partition int
}

var _ shard.Log = (*logState)(nil)

func (l *logState) String() string { return fmt.Sprintf("%s/%d", l.topic, l.partition) }

func (l *logState) errGone() error {
	return fmt.Errorf("%w: %s", shard.ErrNotFound, l)
}

// Append implements shard.Log.
//
// What it calls for a small append takes little room on the stack: of a thousand writers, each of whom waits for its record, each
// has a stack of its own, which has left the processor's near caches by the time that it is woken. To fetch it again is a good part of
// what an append costs.
func (l *logState) Append(ctx context.Context, records []shard.Record) shard.Pending {
	if len(records) == 0 {
		panic("journal: append of no records")
	}
	size := encodedSize(records)
	err := l.e.checkSize(records, size)
	if err == nil {
		err = l.e.usable()
	}
	var p *pending
	if slab := l.lends.Load(); err == nil && slab > 0 && size <= slabFrame {
		p, err = l.queueLent(records, size, slab)
	}
	if err == nil && p == nil {
		p, err = l.queue(ctx, records, size)
	}
	if err != nil {
		return failedPending{err}
	}
	return p
}

// queue queues records whose frame has so many bytes.
func (l *logState) queue(ctx context.Context, records []shard.Record, size int) (*pending, error) {
	e := l.e
	room, err := l.reserve(ctx, size)
	if err != nil {
		return nil, err
	}
	var buf []byte
	var sum uint32
	switch {
	case room.buffer != nil:
		buf, sum = encodeRecords(room.buffer, records)
	case size > slabFrame:
		buf, sum = encodeRecords(make([]byte, 0, size), records)
	}
	now := time.Now().UnixMilli()

	l.mu.Lock()
	var p *pending
	s, err := l.openFor(int64(size))
	if err == nil {
		if buf == nil {
			buf, sum = encodeRecords(l.slab.room(size), records)
		}
		p = l.add(s, buf, len(records), false, sum, room.charge, now)
		if room.buffer != nil {
			s.lent, s.buffered = append(s.lent, buf), true
			if mutant.On(mutant.ReuseUnwritten) {
				e.giveBack(s)
			}
		}
	}
	l.mu.Unlock()
	if err != nil {
		e.budget.release(room.charge)
		if room.buffer != nil {
			e.buffers.give(room.buffer)
		}
		return nil, err
	}
	return p, nil
}

// add adds the frame of so many records to a share that it has joined. A raw one is left for the committer to be summed. The
// lock is held.
func (l *logState) add(s *share, buf []byte, records int, raw bool, sum uint32, charge, now int64) *pending {
	// Field by field: a literal would be made elsewhere and copied here, in pieces other than those it has just been written in, for
	// which the processor has to wait.
	var h frameHeader
	h.payload, h.kind, h.count = sum, frameRecords, int64(records)
	h.dir, h.log, h.epoch = l.e.journal.dir(), l.id, l.e.journal.epoch
	h.base, h.millis = l.next, max(now, l.lastMillis)
	if raw {
		h.put(buf)
	} else {
		h.seal(buf)
	}
	s.add(&h, buf, raw, charge)
	l.next, l.lastMillis = h.end(), h.millis
	p := l.slab.carve(s, now)
	*p = pending{share: s, first: h.base, millis: h.millis}
	return p
}

// room is what an append has reserved.
type room struct {
	charge int64  // in the budget
	buffer []byte // for its frame, if it passes through one
}

// reserve waits for memory for a frame of so many bytes, or returns why there is none.
func (l *logState) reserve(ctx context.Context, size int) (r room, err error) {
	e := l.e
	r.charge = int64(size) + appendOverhead
	if l.essential.Load() {
		e.budget.force(r.charge) // they are few and small, and must not wait for others
		return r, nil
	}
	if err := e.flusher.refuse(ctx); err != nil {
		return r, err
	}
	if l.buffered(size) {
		if r.buffer, err = e.buffers.get(ctx, size); err != nil {
			return r, err
		}
		r.charge = appendOverhead
	}
	if err = e.budget.reserve(ctx, r.charge); err != nil && r.buffer != nil {
		e.buffers.give(r.buffer)
	}
	return r, err
}

// openFor returns the share that a frame of so many bytes joins, which the caller has to add. The lock is held.
func (l *logState) openFor(size int64) (*share, error) {
	s, err := l.join(size)
	if s == nil && err == nil {
		s, err = l.begin(size)
	}
	return s, err
}

// join returns the open share if a frame of so many bytes can join it, else nil. The lock is held.
func (l *logState) join(size int64) (*share, error) {
	if l.gone {
		return nil, l.errGone()
	}
	s := l.open
	if s == nil {
		return nil, nil
	}
	if err := l.e.queue.refuses(s.ordinary()); err != nil {
		return nil, err
	}
	if s.batch.Load().take(size) {
		return s, nil
	}
	l.shut()
	return nil, nil
}

// shut lets no more appends join the open share. The lock is held.
func (l *logState) shut() { l.open, l.room = nil, nil }

// begin opens a share for a frame of so many bytes. The lock is held.
func (l *logState) begin(size int64) (*share, error) {
	s := &share{log: l, base: l.next, end: l.next}
	if err := l.e.queue.join(s, size); err != nil {
		return nil, err
	}
	l.open = s
	switch {
	case l.cache == nil:
		l.cache = l.one[:0]
	case len(l.cache) == cap(l.cache): // it moves on at both ends
		l.cache = slices.Grow(l.cache, len(l.cache)+1)
		l.one[0] = nil
	}
	l.cache = append(l.cache, s)
	return s, nil
}

// lockSoon locks the log for the committer. Many may append to it, each of whom holds the lock for less than a
// microsecond; to be put to sleep by one of them, and woken behind others who are ready to run, takes much longer, and all
// wait for the committer.
func (l *logState) lockSoon() {
	for range 256 {
		if l.mu.TryLock() {
			return
		}
	}
	l.mu.Lock()
}

// close lets no more appends join a share.
func (l *logState) close(s *share) {
	l.lockSoon()
	defer l.mu.Unlock()
	if l.open == s {
		l.shut()
	}
	// A share that lends gets a place when it is published. With many logs, the memory for it was last used long ago, and to wait for it
	// then, once for each log, would take longer than all else there.
	if n := len(l.left); s.lent != nil && n < cap(l.left) {
		next := unsafe.Pointer(&l.left[:n+1][n])
		prefetch.Line(next)
		prefetch.Line(unsafe.Add(next, unsafe.Sizeof(place{})-1)) // it may be in two lines
	}
}

// publish makes a share durable, and returns what is needed less of the cache bound from now on, and how many more places there are.
// Not ok: the log is gone.
func (l *logState) publish(s *share) (freed int64, places int, ok bool) {
	l.lockSoon()
	defer l.mu.Unlock()
	if l.gone {
		return 0, 0, false
	}
	l.durable = s.end
	l.unflushed += s.bytes
	l.e.flusher.note(l, s.at)
	l.grow(s.bytes)
	l.notify()
	freed = s.settle()
	if s.lent != nil {
		var gone int64
		gone, places, _ = l.leave(s.end)
		freed += gone
	}
	l.lendAfter(s)
	return freed, places, true
}

// notify wakes those who wait for records. The lock is held.
func (l *logState) notify() {
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// takeBack drops what is queued, as if it had never been appended. The queue has been emptied, and lets nothing
// in.
func (l *logState) takeBack() {
	l.mu.Lock()
	freed := int64(0)
	n := len(l.cache)
	for n > 0 && l.cache[n-1].end > l.durable {
		n--
		freed += l.cache[n].charge
		l.cache[n] = nil
	}
	if l.cache = l.cache[:n]; n == 0 {
		l.cache = l.one[:0]
	}
	l.shut()
	if !l.gone && !mutant.On(mutant.KeepPlaces) {
		l.next = l.durable
	}
	l.mu.Unlock()
	l.e.budget.release(freed)
}

// cut drops the first n shares of the cache and returns what they were charged. The lock is held.
func (l *logState) cut(n int) (freed int64) {
	for i, s := range l.cache[:n] {
		freed += s.charge
		if s.end <= l.durable { // else the committer still has to write it
			s.letGo()
		}
		l.cache[i] = nil
	}
	if n < len(l.cache) {
		l.cache = l.cache[n:]
		return freed
	}
	l.cache = l.one[:0]
	l.shut()
	return freed
}

// evict drops durable shares that end at or before an offset from the cache, and returns the LSN of the last one. Those that are
// not flushed are left in the journal.
func (l *logState) evict(upTo shard.Offset) (freed int64, at lsn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	freed, places, at := l.leave(upTo)
	l.e.flusher.leave(places)
	return freed, at
}

// leave is evict, but that the places are still to be counted. The lock is held.
func (l *logState) leave(upTo shard.Offset) (freed int64, places int, at lsn) {
	n := 0
	was := len(l.left)
	for n < len(l.cache) && l.cache[n].end <= upTo {
		s := l.cache[n]
		if at = s.at; s.end > l.flushed {
			l.left = s.places(l.left)
		}
		n++
	}
	places = len(l.left) - was
	return l.cut(n) - int64(places)*placeCharge, places, at
}

// hasCached tells whether the cache holds anything before an offset.
func (l *logState) hasCached(before shard.Offset) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.cache) > 0 && l.cache[0].base < before
}

// Wait implements shard.Log.
func (l *logState) Wait(ctx context.Context, from shard.Offset) error {
	for {
		if err := l.e.usable(); err != nil {
			return err
		}
		l.mu.Lock()
		gone, there := l.gone, l.durable > l.past(max(from, l.first))
		if !gone && !there && l.changed == nil {
			l.changed = make(chan struct{})
		}
		changed := l.changed
		l.mu.Unlock()
		if gone {
			return l.errGone()
		}
		if there {
			return nil
		}
		l.follow()
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-l.e.failed:
		case <-l.e.closed:
			return shard.ErrClosed
		}
	}
}

// Bounds implements shard.Log.
func (l *logState) Bounds() (first, next shard.Offset) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.first, l.durable
}

// Trim implements shard.Log.
func (l *logState) Trim(ctx context.Context, before shard.Offset) error {
	if err := l.e.usable(); err != nil {
		return err
	}
	l.mu.Lock()
	gone, first, durable := l.gone, l.first, l.durable
	l.mu.Unlock()
	if gone {
		return l.errGone()
	}
	before = min(before, durable)
	if before <= first {
		return nil
	}
	return l.e.change(ctx, trimChange{log: l, before: before})
}

// trim applies a durable trim.
func (l *logState) trim(before shard.Offset, cause dropCause) {
	l.mu.Lock()
	if l.gone || before <= l.first {
		l.mu.Unlock()
		return
	}
	if !l.e.flusher.replays { // it was counted before the restart
		l.e.metrics.drop(cause, int64(before-l.first))
	}
	l.first, l.dropped = before, cause
	l.dropGaps()
	unflushed, freed := l.unleave(before)
	n := 0
	for n < len(l.cache) && l.cache[n].end <= before {
		if s := l.cache[n]; s.end > l.flushed {
			unflushed += s.bytes
			l.flushed = s.end
		}
		n++
	}
	freed += l.cut(n)
	l.unflushed -= unflushed
	l.e.flusher.trimmed(l, unflushed)
	l.mu.Unlock()
	l.e.budget.release(freed)
}

// drop applies a durable Delete.
func (l *logState) drop() {
	l.mu.Lock()
	l.gone = true
	if !l.e.flusher.replays {
		l.e.metrics.deleted(int64(l.durable-l.first), l.segments)
	}
	_, freed := l.unleave(l.durable)
	freed += l.cut(len(l.cache))
	unflushed := l.unflushed
	l.unflushed = 0
	l.index, l.segments, l.gaps = activeIndex{}, nil, nil
	l.notify()
	l.e.flusher.dropped(l, unflushed)
	l.mu.Unlock()
	l.e.budget.release(freed)
}
