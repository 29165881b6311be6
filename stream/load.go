package stream

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// loadWindow is what a shard's load is measured over, at least.
	loadWindow = 250 * time.Millisecond
	// loadMemory is the time constant of the moving average of these measurements.
	loadMemory = time.Second
	// sampleSize is how many of the last records' hash keys are remembered.
	sampleSize = 128

	// hotLoad is the part of a shard's limit above which the shard is split.
	hotLoad = 0.5
	// splitLoad is what each of the new shards is to have.
	splitLoad = 0.35
	// coldLoad is what each of two neighbors must stay below to be merged.
	coldLoad = hotLoad / 4
)

// load is what a shard of an on-demand stream is asked to take, refused records included, as a part of its limits: 1
// is all that it may take, by bytes or by records, whichever is more. It is measured by those who write, now and
// then; nothing runs for a shard that nobody writes to.
type load struct {
	bytes, records atomic.Int64 // what was asked for since the last measurement, in nanoseconds of the limits
	since          atomic.Int64 // when that was, by the limits' clock
	next           atomic.Uint32
	sample         [sampleSize]sampled

	mu      sync.Mutex // guards what follows
	rate    float64    // moving average
	current float64    // the last measurement
	busy    int64      // when the average was last not cold, by the limits' clock
}

// sampled is a record that was seen lately. Two who write at the same time may mix its words, which does no harm.
type sampled struct {
	hi, lo, cost atomic.Uint64
}

// newLoad expects a load, so that new shards do not look idle at first.
func newLoad(now int64, rate float64) *load {
	l := &load{rate: rate, current: rate, busy: now}
	l.since.Store(now)
	return l
}

// add counts a record, and tells whether the load was measured and is high.
func (l *load) add(limits *Limits, now int64, at HashKey, size int) (hot bool) {
	bytes, records := cost(size, limits.WriteBytes), cost(1, limits.WriteRecords)
	l.bytes.Add(bytes)
	l.records.Add(records)
	s := &l.sample[l.next.Add(1)%sampleSize]
	s.hi.Store(at.Hi)
	s.lo.Store(at.Lo)
	s.cost.Store(uint64(max(bytes, records, 1)))
	if now-l.since.Load() < int64(loadWindow) {
		return false
	}
	return l.measure(now) > hotLoad
}

// measure brings the average up to date and returns it.
func (l *load) measure(now int64) float64 {
	since := l.since.Load()
	elapsed := now - since
	if elapsed < int64(loadWindow) || !l.since.CompareAndSwap(since, now) { // somebody else does it
		rate, _ := l.get()
		return rate
	}
	asked := max(l.bytes.Swap(0), l.records.Swap(0))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.current = float64(asked) / float64(elapsed)
	l.rate += (l.current - l.rate) * (1 - math.Exp(-float64(elapsed)/float64(loadMemory)))
	if l.rate >= coldLoad {
		l.busy = now
	}
	return l.rate
}

// get returns the average, and the last measurement if that is more.
func (l *load) get() (rate, most float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rate, max(l.rate, l.current)
}

// coldSince is since when the shard has had little to do.
func (l *load) coldSince() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.busy
}

// weight is a hash key's part of a sample.
type weight struct {
	key  HashKey
	part float64
}

// weights are the hash keys of the sample that lie in a range, ascending, with their parts of the whole.
func (l *load) weights(r HashRange) []weight {
	all := make([]weight, 0, sampleSize)
	total := 0.0
	for i := range l.sample {
		s := &l.sample[i]
		w := weight{HashKey{s.hi.Load(), s.lo.Load()}, float64(s.cost.Load())}
		if w.part > 0 && r.Contains(w.key) {
			all = append(all, w)
			total += w.part
		}
	}
	slices.SortFunc(all, func(a, b weight) int { return a.key.Compare(b.key) })
	var merged []weight
	for _, w := range all {
		w.part /= total
		if n := len(merged); n > 0 && merged[n-1].key == w.key {
			merged[n-1].part += w.part
			continue
		}
		merged = append(merged, w)
	}
	return merged
}

// cuts are the hash keys at which a range is to be split so that the pieces get about equal parts of a sample, and
// the pieces' parts. There are none if no split would help.
func cuts(weights []weight, r HashRange, pieces int) (keys []HashKey, parts []float64) {
	each := 1 / float64(pieces)
	part, most := 0.0, 0.0
	var before weight
	for _, w := range weights {
		if part > 0 && part+w.part/2 > each {
			at := w.key
			if before.part >= each { // a key that fills a shard is to have one of its own
				at = before.key.Next()
			}
			if at.Compare(r.Start) > 0 {
				keys, parts = append(keys, at), append(parts, part)
				most, part = max(most, part), 0
			}
		}
		part += w.part
		before = w
	}
	parts, most = append(parts, part), max(most, part)
	const useless = 0.9 // of the load would stay together
	if most > useless {
		return nil, nil
	}
	return keys, parts
}

// dominant is the key with the greatest part.
func dominant(weights []weight) weight {
	var first weight
	for _, w := range weights {
		if w.part > first.part {
			first = w
		}
	}
	return first
}
