package stream

import (
	"sync/atomic"
	"time"
)

// burst is how much of a limit may be used at once after a pause: one second's worth.
const burst = int64(time.Second)

// Limits are what one shard takes and gives per second. A field that is zero does not limit.
type Limits struct {
	WriteBytes   int // data and partition keys written
	WriteRecords int // records written
	ReadBytes    int // data and partition keys read
	ReadCalls    int // reads
	// ConsumerBytes are data and partition keys that one consumer with enhanced fan-out is given.
	ConsumerBytes int
}

// AWSLimits are AWS's: 1 MiB and 1,000 records in, 2 MiB and 5 calls out, and 2 MiB more for each consumer (Amazon Kinesis Data Streams
// Developer Guide, "Quotas and limits").
func AWSLimits() Limits {
	return Limits{WriteBytes: 1 << 20, WriteRecords: 1000, ReadBytes: 2 << 20, ReadCalls: 5, ConsumerBytes: 2 << 20}
}

// shardLimiter is what a shard's limits remember: four words.
type shardLimiter struct {
	writeBytes, writeRecords, readBytes, readCalls meter
}

// takeWrite counts a record of the given size, or nothing at all when there is no room for it. now is
// monotonic, in nanoseconds.
func (l *shardLimiter) takeWrite(limits *Limits, now int64, size int) bool {
	record := cost(1, limits.WriteRecords)
	if !l.writeRecords.take(now, record) {
		return false
	}
	if !l.writeBytes.take(now, cost(size, limits.WriteBytes)) {
		l.writeRecords.giveBack(record)
		return false
	}
	return true
}

// takeRead counts a read, unless there were too many or what earlier ones returned has not been worked off.
func (l *shardLimiter) takeRead(limits *Limits, now int64) bool {
	return l.readBytes.ready(now) && l.readCalls.take(now, cost(1, limits.ReadCalls))
}

// chargeRead counts the bytes that a read returned.
func (l *shardLimiter) chargeRead(limits *Limits, now int64, size int) {
	l.readBytes.charge(now, cost(size, limits.ReadBytes))
}

// cost is the time in which a limit of perSecond lets n pass; 0 when there is no limit. It is rounded down, so
// that records which fill the limit exactly do pass.
func cost(n, perSecond int) int64 {
	if perSecond <= 0 {
		return 0
	}
	return int64(n) * int64(time.Second) / int64(perSecond)
}

// meter is the generic cell rate algorithm (ITU-T I.371) in one word: the theoretical arrival time, up to
// which what has passed uses up the limit. While it is not after now, a whole burst is free; when it is a
// burst ahead of now, nothing is.
type meter struct {
	tat atomic.Int64
}

// take lets something through that needs the given time, if that much of the burst is free. What needs more
// than a whole burst passes when a whole burst is free, and then holds up what follows for longer: otherwise a
// record of 10 MiB would never pass a limit of 1 MiB/s.
func (m *meter) take(now, cost int64) bool {
	if cost == 0 {
		return true
	}
	for {
		tat := m.tat.Load()
		start := max(tat, now)
		if start-now > burst-min(cost, burst) {
			return false
		}
		if m.tat.CompareAndSwap(tat, start+cost) {
			return true
		}
	}
}

// giveBack undoes a take.
func (m *meter) giveBack(cost int64) {
	if cost != 0 {
		m.tat.Add(-cost)
	}
}

// ready reports whether something is free of the burst.
func (m *meter) ready(now int64) bool { return m.tat.Load()-now < burst }

// charge counts what has passed already. What is more than a whole burst leaves none of it: after a read of
// 10 MiB at 2 MiB/s the next one has to wait for 5 s (AWS's documentation of GetRecords), not for 4.
func (m *meter) charge(now, cost int64) {
	if cost == 0 {
		return
	}
	for {
		tat := m.tat.Load()
		after := max(tat, now) + cost
		if cost > burst {
			after = max(after, now+cost+burst)
		}
		if m.tat.CompareAndSwap(tat, after) {
			return
		}
	}
}
