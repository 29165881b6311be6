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

// Moving records to segments is put off until something needs it: for each byte that it writes the disk has written one
// already, and what is trimmed or deleted before need never be written again. What needs it: the journal, when half
// of its files are in use, and the memory that the places of records in it take.

// note takes in newly durable bytes of a log, whose lock is held.
func (f *flusher) note(l *logState, at lsn, bytes int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.unflushed += bytes
	if l.heapAt == 0 {
		l.since = at
		heap.Push(&f.heap, l)
	}
}

// leave takes in that so many more places are in memory.
func (f *flusher) leave(places int) {
	f.mu.Lock()
	f.places += places
	f.mu.Unlock()
}

// noteBatch wakes the flusher if it has something to do.
func (f *flusher) noteBatch(now time.Time) {
	f.mu.Lock()
	due := f.e.marks.old(now) || f.e.opts.eager || f.crowded() || len(f.trims)+len(f.doomed)+len(f.oversized) > 0
	f.mu.Unlock()
	if due || f.lookDue() || f.journalLow() {
		signal(f.kicked)
	}
}

// crowded tells whether the places take too much memory. The lock is held.
func (f *flusher) crowded() bool { return int64(f.places)*placeCharge > f.e.opts.placesBytes }

// trimmed takes note that a log, whose lock is held, may have segments to remove, and that some of its records
// need no flush any more.
func (f *flusher) trimmed(l *logState, unflushed int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.unflushed -= unflushed
	f.requeue(l)
	if !l.trimmed {
		l.trimmed = true
		f.trims = append(f.trims, l)
	}
}

// dropped takes note that a log, whose lock is held, was deleted.
func (f *flusher) dropped(l *logState, unflushed int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.unflushed -= unflushed
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
		heap.Remove(&f.heap, l.heapAt-1)
	case some && l.heapAt > 0:
		l.since = since
		heap.Fix(&f.heap, l.heapAt-1)
	case some:
		l.since = since
		heap.Push(&f.heap, l)
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
func (f *flusher) waiting() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.unflushed
}

// flushDue flushes the oldest records for as long as memory needs it, but no longer than until the journal should be
// emptied: under a load that does not end the next checkpoint would come when the journal is full, and commits would have
// to wait for all of it.
func (f *flusher) flushDue() error {
	p := f.pace(f.waiting())
	// Whether a disk that was full has room again, a write must show.
	for l := f.oldestDue(f.isFull.Load()); l != nil; l = f.oldestDue(false) {
		if err := f.flushLog(l, lsn(f.e.durable.Load()), p); err != nil {
			return err
		}
		if f.journalLow() {
			return nil
		}
	}
	return nil
}

// oldestDue returns the log with the oldest unflushed records, if memory needs them flushed, or if any is wanted.
func (f *flusher) oldestDue(anyway bool) *logState {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.heap) > 0 && (anyway || f.e.opts.eager || f.crowded()) {
		return f.heap[0]
	}
	return nil
}

// flushBefore flushes all records that lie before an LSN.
func (f *flusher) flushBefore(at lsn) error {
	p := f.pace(f.waiting())
	for {
		f.mu.Lock()
		var l *logState
		if len(f.heap) > 0 && f.heap[0].since < at {
			l = f.heap[0]
		}
		f.mu.Unlock()
		if l == nil {
			return nil
		}
		if err := f.flushLog(l, at, p); err != nil {
			return err
		}
	}
}
