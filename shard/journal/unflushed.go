package journal

import (
	"container/heap"
	"sort"
	"time"

	"github.com/seed-462d9463/sluice/shard/journal/internal/mutant"
)

// logHeap is a container/heap of logs by since.
type logHeap []*logState

func (h logHeap) Len() int           { return len(h) }
func (h logHeap) Less(i, j int) bool { return h[i].since < h[j].since }
func (h logHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].heapAt, h[j].heapAt = i+1, j+1
}
func (h *logHeap) Push(x any) {
	l := x.(*logState)
	*h = append(*h, l)
	l.heapAt = len(*h)
}
func (h *logHeap) Pop() any {
	old := *h
	l := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	l.heapAt = 0
	return l
}

// before estimates how many have records before an LSN, by some thousands of them, the first among them: a commit may have to
// wait for the lock that is held.
func (h logHeap) before(at lsn) int {
	const looks = 4 << 10
	step, n := 1+len(h)/looks, 0
	for i := 0; i < len(h); i += step {
		if h[i].since < at {
			n++
		}
	}
	return n * step
}

// heapOf returns the heap that the log is in. The lock is held.
func (f *flusher) heapOf(l *logState) *logHeap {
	if l.lazy {
		return &f.lazy
	}
	return &f.fresh
}

// push takes in a log that has unflushed records now. Both locks are held.
func (f *flusher) push(l *logState) {
	l.lazy, l.inHeap = false, true
	heap.Push(&f.fresh, l)
}

// oldest returns the log with the oldest unflushed records, nil if all are flushed. The lock is held.
func (f *flusher) oldest() *logState {
	switch {
	case len(f.fresh)+len(f.lazy) == 0:
		return nil
	case len(f.lazy) == 0 || len(f.fresh) > 0 && f.fresh[0].since < f.lazy[0].since:
		return f.fresh[0]
	default:
		return f.lazy[0]
	}
}

// Moving records to segments is put off until something needs it: for each byte that it writes the disk has written one
// already, and what is trimmed or deleted before need never be written again. What needs it: the journal, when two thirds
// of its files are in use, and the memory that the places of records in it take. flushAhead does not wait for that where
// nothing is gained by it.

// note takes in that there are newly durable bytes of a log, whose lock is held. They have been counted already, before anybody
// could move them.
func (f *flusher) note(l *logState, at lsn) {
	if l.inHeap {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	l.since = at
	f.push(l)
}

// leave takes in that so many more places are in memory.
func (f *flusher) leave(places int) {
	if places != 0 {
		f.places.Add(int64(places))
	}
}

// noteBatch wakes the flusher if it has something to do.
func (f *flusher) noteBatch(now time.Time) {
	if f.e.marks.old(now) || f.e.opts.eager || f.aheadDue() || f.pressing() {
		signal(f.kicked)
	}
}

// pressing tells whether there is something to do that should not wait until all that is due ahead has been moved, since more
// may come as fast.
func (f *flusher) pressing() bool {
	return f.dropsDue() || f.crowded() || f.lookDue() || f.journalLow()
}

// dropsDue tells whether records or logs have been dropped, or should be, and their files have not been removed.
func (f *flusher) dropsDue() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.trims)+len(f.doomed)+len(f.oversized) > 0
}

// crowded tells whether the places take too much memory.
func (f *flusher) crowded() bool { return f.places.Load()*placeCharge > f.e.opts.placesBytes }

// trimmed takes note that a log, whose lock is held, may have segments to remove, and that some of its records
// need no flush any more.
func (f *flusher) trimmed(l *logState, unflushed int64) {
	f.unflushed.Add(-unflushed)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requeue(l)
	if !l.trimmed {
		l.trimmed = true
		f.trims = append(f.trims, l)
	}
}

// dropped takes note that a log, whose lock is held, was deleted.
func (f *flusher) dropped(l *logState, unflushed int64) {
	f.unflushed.Add(-unflushed)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requeue(l)
	f.doomed = append(f.doomed, l)
}

// requeue puts the log, whose lock is held, where it belongs in the heap. Both locks are held.
func (f *flusher) requeue(l *logState) {
	since, some := l.oldestUnflushed()
	if mutant.On(mutant.ForgetPlaces) {
		some = some && len(l.left) == 0
	}
	switch {
	case !some && l.heapAt > 0:
		heap.Remove(f.heapOf(l), l.heapAt-1)
		l.inHeap = false
	case some && l.heapAt > 0:
		l.since = since
		heap.Fix(f.heapOf(l), l.heapAt-1)
	case some:
		l.since = since
		f.push(l)
	}
}

// oldestUnflushed returns the LSN of the first durable batch with records that are not flushed. The lock is held.
func (l *logState) oldestUnflushed() (at lsn, some bool) {
	if len(l.left) > 0 {
		return l.left[0].at, true
	}
	if i := l.unflushedAt(); i < len(l.cache) && l.cache[i].end <= l.durable {
		return l.cache[i].at, true
	}
	return 0, false
}

// unflushedAt returns the index of the first share in the cache that is not flushed. The lock is held.
func (l *logState) unflushedAt() int {
	return sort.Search(len(l.cache), func(i int) bool { return l.cache[i].end > l.flushed })
}

// waiting returns the bytes of all that is not flushed.
func (f *flusher) waiting() int64 { return f.unflushed.Load() }

// waitingBefore estimates the bytes of all that is to be flushed before an LSN, and of what is flushed with it: as if all that
// waits lay evenly in the journal, and each log that has some of it before that LSN had as much behind it as logs have in
// the mean, if that is worth another write.
func (f *flusher) waitingBefore(at lsn) int64 {
	all, from, durable := f.waiting(), f.needed(), lsn(f.e.durable.Load())
	switch {
	case at >= durable:
		return all
	case at <= from:
		return 0
	}
	f.mu.Lock()
	logs := int64(max(1, len(f.fresh)+len(f.lazy)))
	due := int64(f.fresh.before(at) + f.lazy.before(at))
	f.mu.Unlock()
	return min(all, int64(float64(at-from)/float64(durable-from)*float64(all))+due*min(all/logs, minChunk))
}

// flushDue flushes the oldest records for as long as memory needs it, but no longer than until the journal should be
// emptied: under a load that does not end the next checkpoint would come when the journal is full, and commits would have
// to wait for all of it.
func (f *flusher) flushDue() error {
	defer f.together.drop()
	p := f.pace(f.waiting())
	// Whether a disk that was full has room again, a write must show.
	for l := f.oldestDue(f.isFull.Load()); l != nil; l = f.oldestDue(false) {
		m, move := f.olderHalf(l, p), f.move
		if f.journalLow() { // what others have would be read in vain
			move = f.moveAlone
		}
		if err := move(l, m); err != nil {
			return err
		}
		if f.journalLow() {
			return nil
		}
	}
	return nil
}

// olderHalf is how a log is moved when memory needs it: whole, and with it others that begin no later than at half of what there is
// from its own beginning on. Once these have been read they are moved, though less would do, unless the journal gets low: they would
// be read again soon.
func (f *flusher) olderHalf(l *logState, p *pacer) moving {
	f.mu.Lock()
	since := l.since // never beyond what is durable after this
	f.mu.Unlock()
	durable := lsn(f.e.durable.Load())
	return moving{
		upTo: durable, due: since + (durable-since+1)/2, pacer: p,
		like:    func(*logState) bool { return true },
		between: func() (bool, error) { return !f.journalLow(), nil },
	}
}

// oldestDue returns the log with the oldest unflushed records, if memory needs them flushed, or if any is wanted.
func (f *flusher) oldestDue(anyway bool) *logState {
	f.mu.Lock()
	defer f.mu.Unlock()
	if anyway || f.e.opts.eager || f.crowded() {
		return f.oldest()
	}
	return nil
}

// flushBefore flushes all records that lie before an LSN.
func (f *flusher) flushBefore(at lsn) error {
	defer f.together.drop()
	p, all := f.pace(f.waitingBefore(at)), f.pace(f.waiting())
	p.waits = paceWaits
	between := func() (bool, error) {
		if f.journalShort() {
			return true, nil
		}
		return true, f.flushAhead(f.journalShort)
	}
	for {
		if _, err := between(); err != nil {
			return err
		}
		f.mu.Lock()
		l := f.oldest()
		done := l == nil || l.since >= at
		f.mu.Unlock()
		if done {
			return nil
		}
		ahead := l.ahead()
		m := moving{upTo: at, due: at, pacer: p, between: between, like: func(l *logState) bool { return l.worthMoving() == ahead }}
		if ahead { // with nothing left in the journal alone, flushAhead can take over
			m.upTo, m.pacer = lsn(f.e.durable.Load()), all
		}
		if err := f.move(l, m); err != nil {
			return err
		}
	}
}
