package firehose

import (
	"slices"
	"time"

	"github.com/seed-462d9463/sluice/shard"
)

// batch is what will become the next object: where its records are, how many, how large. It holds no record.
type batch struct {
	ranges  map[source]*sourceRange
	records int64
	bytes   int64 // with delimiters, before compression
	skipped int64 // records lost to retention since the last batch
	oldest  time.Time
	begun   time.Time // when the first record was added, with the clock that is never set
}

func newBatch() *batch { return &batch{ranges: map[source]*sourceRange{}} }

// add takes the next record of a source.
func (b *batch) add(src source, at shard.Offset, arrival time.Time, size int64) {
	r := b.ranges[src]
	if r == nil {
		r = &sourceRange{source: src, From: at}
		b.ranges[src] = r
	}
	r.To = at + 1
	r.Records++
	if b.records == 0 {
		b.begun = time.Now()
	}
	if b.records == 0 || arrival.Before(b.oldest) {
		b.oldest = arrival
	}
	b.records++
	b.bytes += size
}

// sorted returns the ranges in the order in which they are in the object.
func (b *batch) sorted() []sourceRange {
	out := make([]sourceRange, 0, len(b.ranges))
	for _, r := range b.ranges {
		out = append(out, *r)
	}
	slices.SortFunc(out, func(x, y sourceRange) int { return compareSources(x.source, y.source) })
	return out
}
