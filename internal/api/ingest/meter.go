package ingest

import (
	"sync/atomic"
	"time"
)

// burst is how much of a limit may be used at once after a pause: one second's worth.
const burst = time.Second

// meter is the generic cell rate algorithm (ITU-T I.371) in one word: the time, on the handler's clock, up to which
// what has passed uses up the limit. While that is not after now, a whole burst is free.
type meter struct {
	until atomic.Int64
}

// take lets something through that uses up the limit for so long, and returns 0; or how long to wait before trying
// again. What needs more than a burst passes when a whole burst is free, and holds up what follows for longer.
func (m *meter) take(now, cost time.Duration) (wait time.Duration) {
	if cost == 0 {
		return 0
	}
	for {
		until := m.until.Load()
		start := max(time.Duration(until), now)
		if wait = start - now + min(cost, burst) - burst; wait > 0 {
			return wait
		}
		if m.until.CompareAndSwap(until, int64(start+cost)) {
			return 0
		}
	}
}

// giveBack undoes a take.
func (m *meter) giveBack(cost time.Duration) { m.until.Add(-int64(cost)) }

// limit is what a key may write.
type limit struct {
	recordsPerSecond, bytesPerSecond int64 // 0: any number
	records, bytes                   meter
}

// take counts records and bytes, both or nothing. It returns how long to wait if they are too many.
func (l *limit) take(now time.Duration, records, bytes int) (wait time.Duration) {
	needed := cost(records, l.recordsPerSecond)
	if wait = l.records.take(now, needed); wait > 0 {
		return wait
	}
	if wait = l.bytes.take(now, cost(bytes, l.bytesPerSecond)); wait > 0 {
		l.records.giveBack(needed)
	}
	return wait
}

// ready returns how long to wait until anything can pass.
func (l *limit) ready(now time.Duration) (wait time.Duration) {
	return max(0, time.Duration(l.records.until.Load())-now-burst, time.Duration(l.bytes.until.Load())-now-burst)
}

// cost is the time in which a limit lets n pass; 0 when there is no limit. A body is at most some ten MiB, so that
// nothing overflows.
func cost(n int, perSecond int64) time.Duration {
	if perSecond == 0 {
		return 0
	}
	return time.Duration(int64(n) * int64(time.Second) / perSecond)
}
