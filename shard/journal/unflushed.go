package journal

import (
	"container/heap"
	"time"
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

// note takes in newly durable bytes of a log, whose lock is held.
func (f *flusher) note(l *logState, at lsn, bytes int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.unflushed += bytes
	if l.heapAt == 0 {
		l.since = at
		heap.Push(&f.heap, l)
	}
	if l.unflushed >= flushBytes && !l.ready {
		l.ready = true
		f.ready = append(f.ready, l)
	}
}

// noteBatch wakes the flusher if the last batch brought enough, or a mark is due.
func (f *flusher) noteBatch(now time.Time) {
	f.mu.Lock()
	due := f.e.marks.old(now) || f.e.opts.eager || len(f.ready) > 0 || f.unflushed > f.e.opts.CacheBytes/8*5 || len(f.trims)+len(f.doomed) > 0
	f.mu.Unlock()
	if due {
		signal(f.kicked)
		return
	}
	if _, waiting := f.e.budget.state(); waiting || f.journalLow() {
		signal(f.kicked)
	}
}

// trimmed takes note that a log, whose lock is held, may have segments to remove, and that some of its entries
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
	var oldest *entry
	if i := l.unflushedAt(); i < len(l.cache) && l.cache[i].end <= l.durable {
		oldest = l.cache[i]
	}
	switch {
	case oldest == nil && l.heapAt > 0:
		heap.Remove(&f.heap, l.heapAt-1)
	case oldest != nil && l.heapAt > 0:
		l.since = oldest.at
		heap.Fix(&f.heap, l.heapAt-1)
	case oldest != nil:
		l.since = oldest.at
		heap.Push(&f.heap, l)
	}
}

// waiting returns the charge of all unflushed entries.
func (f *flusher) waiting() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.unflushed
}

// unflushedAt returns the index of the first entry that is not flushed. The log's lock is held.
func (l *logState) unflushedAt() int {
	n := len(l.cache)
	for lo := 0; lo < n; {
		mid := (lo + n) / 2
		if l.cache[mid].flushed {
			lo = mid + 1
		} else {
			n = mid
		}
	}
	return n
}

// flushDue flushes the logs that have enough, and as many old ones as the cache needs, but no longer than until the journal
// should be emptied: under a load that does not end the next checkpoint would come when the journal is full, and commits
// would have to wait for all of it.
func (f *flusher) flushDue() error {
	for l := f.nextReady(); l != nil; l = f.nextReady() {
		if err := f.flushLog(l); err != nil {
			return f.again(l, err)
		}
		if f.journalLow() {
			return nil
		}
	}
	// Whether a disk that was full has room again, a write must show.
	for l := f.oldestDue(f.isFull.Load()); l != nil; l = f.oldestDue(false) {
		if err := f.flushLog(l); err != nil {
			return err
		}
		if f.journalLow() {
			return nil
		}
	}
	return nil
}

// nextReady takes a log that has enough; nil if there is none.
func (f *flusher) nextReady() *logState {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.ready) == 0 {
		f.ready = nil
		return nil
	}
	l := f.ready[0]
	f.ready = f.ready[1:]
	l.ready = false
	return l
}

// oldestDue returns the log with the oldest unflushed entry, if the cache needs it flushed, or if any is wanted.
func (f *flusher) oldestDue(anyway bool) *logState {
	_, waiting := f.e.budget.state()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.heap) > 0 && (anyway || waiting || f.e.opts.eager || f.unflushed > f.e.opts.CacheBytes/2) {
		return f.heap[0]
	}
	return nil
}

// moreDue tells whether flushDue has left something.
func (f *flusher) moreDue() bool {
	f.mu.Lock()
	ready := len(f.ready) > 0
	f.mu.Unlock()
	return ready || f.oldestDue(false) != nil
}

// again puts a log back that could not be flushed.
func (f *flusher) again(l *logState, err error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !l.ready {
		l.ready = true
		f.ready = append(f.ready, l)
	}
	return err
}

// flushBefore flushes all logs that have entries before an LSN.
func (f *flusher) flushBefore(at lsn) error {
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
		if err := f.flushLog(l); err != nil {
			return err
		}
	}
}
