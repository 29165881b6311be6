package journal

import "container/heap"

// To put off moving records has a price where they are not trimmed in the meantime: they are no longer in the cache then, and
// must be read from the journal, each share by itself. So the records of a log are moved just before they would have to
// leave the cache, if
//
//   - there are so many and so small shares of it that reading them would cost more than to write to its segment more often,
//     and
//   - it retains so much in segments that these records, too, would get there in the end.
const (
	// aheadShares is from how many shares of a log in the cache on reading them costs more than another write to a segment.
	aheadShares = 24
	// aheadBytes is how long shares are, in the mean, of which reading costs no more than copying.
	aheadBytes = 8 << 10
	// aheadPart is the part of the cache in which records are about to leave it.
	aheadPart = 4
	// aheadLooks bounds how many of the shares of a log are looked at: a commit may have to wait for the log's lock.
	aheadLooks = 1 << 10
)

// leaving returns the LSN before which records are about to leave the cache.
func (f *flusher) leaving() lsn {
	gone, durable := f.e.budget.gone.Load(), f.e.durable.Load()
	if gone == 0 || durable < gone {
		return 0
	}
	return lsn(gone + (durable-gone)/aheadPart)
}

// aheadDue tells whether records of a log that may be worth moving are about to leave the cache.
func (f *flusher) aheadDue() bool {
	at := f.leaving()
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.fresh) > 0 && f.fresh[0].since < at
}

// flushAhead flushes logs whose records are about to leave the cache, as fast as others come, one at least if there is one, until
// something else is more urgent: others may come all the time.
func (f *flusher) flushAhead(urgent func() bool) error {
	if f.isFull.Load() {
		return nil
	}
	durable := lsn(f.e.durable.Load())
	p := &pacer{f: f, begun: durable, room: paceEven, work: paceEven, waits: 1}
	for l := f.nextAhead(); l != nil; l = f.nextAhead() {
		if err := f.flushLog(l, lsn(f.e.durable.Load()), p); err != nil {
			return err
		}
		if urgent() {
			return nil
		}
	}
	return nil
}

// nextAhead returns the next log to be flushed ahead, and sets aside those that are not worth it.
func (f *flusher) nextAhead() *logState {
	for at := f.leaving(); ; {
		f.mu.Lock()
		var l *logState
		if len(f.fresh) > 0 && f.fresh[0].since < at {
			l = f.fresh[0]
		}
		f.mu.Unlock()
		if l == nil {
			return nil
		}
		l.mu.Lock()
		if l.worthMoving() {
			l.mu.Unlock()
			return l
		}
		f.mu.Lock()
		if l.heapAt > 0 && !l.lazy {
			heap.Remove(&f.fresh, l.heapAt-1)
			l.lazy = true
			heap.Push(&f.lazy, l)
		}
		f.mu.Unlock()
		l.mu.Unlock()
	}
}

// ahead tells whether the log's records should be moved while they are in the cache.
func (l *logState) ahead() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.worthMoving()
}

// worthMoving is ahead. The lock is held.
func (l *logState) worthMoving() bool {
	waiting := l.cache[l.unflushedAt():]
	if len(waiting) < l.e.opts.aheadShares*(aheadPart-1)/aheadPart { // then the first of them are about to leave the cache
		return false
	}
	var bytes int64
	step := 1 + len(waiting)/aheadLooks
	for i := 0; i < len(waiting); i += step {
		bytes += waiting[i].bytes * int64(min(step, len(waiting)-i))
	}
	return bytes < int64(len(waiting))*aheadBytes && l.retains(bytes*l.e.aheadTimes())
}

// retains tells whether the log retains at least so many bytes in segments. The lock is held.
func (l *logState) retains(bytes int64) bool {
	left := float64(bytes)
	for i := len(l.segments) - 1; i >= 0 && left > 0; i-- {
		s := &l.segments[i]
		if s.end <= l.first {
			break
		}
		left -= float64(s.bytes) * float64(s.end-max(s.base, l.first)) / float64(s.end-s.base)
	}
	return left <= 0
}

// aheadTimes returns how many times as much of a log as there is in the cache would be in the journal before it was moved, if
// nothing were moved ahead.
func (e *Engine) aheadTimes() int64 {
	files, _ := e.journal.count()
	return max(1, int64(files-lowFiles(files))*e.opts.JournalFileBytes/e.opts.CacheBytes)
}
