package stream

import (
	"slices"
	"time"
)

// plan is a change of a stream's shards, made up of splits and merges as AWS knows them: a shard is replaced by two,
// or two neighbors by one. A shard that a plan makes may be replaced by the same plan again; then it has never taken
// a record, and is there for the sake of the lineage, in which every shard has one parent or two.
type plan struct {
	shards  []Shard // the stream's, by number, and then the new ones
	old     int     // how many of them there were
	parents [][]int // of the new ones: places in shards
	closing []int   // places of the shards that are replaced
}

func newPlan(shards []Shard) *plan {
	return &plan{shards: slices.Clone(shards), old: len(shards)}
}

// open are the places of the open shards in the order of their ranges.
func (p *plan) open() []int {
	var open []int
	replaced := make(map[int]bool, len(p.closing))
	for _, i := range p.closing {
		replaced[i] = true
	}
	for i := range p.shards {
		if p.shards[i].Open() && !replaced[i] {
			open = append(open, i)
		}
	}
	slices.SortFunc(open, func(a, b int) int { return p.shards[a].Range.Start.Compare(p.shards[b].Range.Start) })
	return open
}

// add appends a shard that replaces others.
func (p *plan) add(r HashRange, parents ...int) (place int) {
	index := p.shards[len(p.shards)-1].Index + 1
	s := Shard{ID: ShardID(index), Index: index, Range: r, Parent: p.shards[parents[0]].ID}
	if len(parents) > 1 {
		s.AdjacentParent = p.shards[parents[1]].ID
	}
	p.shards = append(p.shards, s)
	p.parents = append(p.parents, parents)
	return len(p.shards) - 1
}

// split replaces a shard by two, of which the second one begins at the given key: above the shard's first key, and
// not above its last.
func (p *plan) split(place int, at HashKey) (left, right int) {
	p.closing = append(p.closing, place)
	r := p.shards[place].Range
	left = p.add(HashRange{r.Start, at.Previous()}, place)
	right = p.add(HashRange{at, r.End}, place)
	return left, right
}

// merge replaces two neighbors by one.
func (p *plan) merge(left, right int) (place int) {
	p.closing = append(p.closing, left, right)
	return p.add(HashRange{p.shards[left].Range.Start, p.shards[right].Range.End}, left, right)
}

// splitAt replaces a shard by one more than there are keys, each of which begins one. Halves are made of halves, so
// that the lineage is not deeper than need be.
func (p *plan) splitAt(place int, keys []HashKey) (pieces []int) {
	if len(keys) == 0 {
		return []int{place}
	}
	middle := len(keys) / 2
	left, right := p.split(place, keys[middle])
	return append(p.splitAt(left, keys[:middle]), p.splitAt(right, keys[middle+1:])...)
}

// mergeAll replaces neighbors by one shard.
func (p *plan) mergeAll(pieces []int) (place int) {
	if len(pieces) == 1 {
		return pieces[0]
	}
	middle := len(pieces) / 2
	left := p.mergeAll(pieces[:middle])
	return p.merge(left, p.mergeAll(pieces[middle:]))
}

// cover makes the open shards have the given ranges, which divide the ring. Shards that have one of them stay.
func (p *plan) cover(ranges []HashRange) {
	var pieces []int
	next := 0 // the first range that starts behind the pieces so far
	for _, place := range p.open() {
		r := p.shards[place].Range
		var inside []HashKey
		for ; next < len(ranges) && ranges[next].Start.Compare(r.End) <= 0; next++ {
			if ranges[next].Start.Compare(r.Start) > 0 {
				inside = append(inside, ranges[next].Start)
			}
		}
		pieces = append(pieces, p.splitAt(place, inside)...)
	}
	for _, r := range ranges {
		n := 1
		for p.shards[pieces[n-1]].Range.End != r.End {
			n++
		}
		p.mergeAll(pieces[:n])
		pieces = pieces[n:]
	}
}

// widen splits the widest shards in the middle until there are so many.
func (p *plan) widen(count int) {
	open := p.open()
	for missing := count - len(open); missing > 0; missing-- {
		widest := 0
		for i, place := range open {
			if p.shards[open[widest]].Range.width().Compare(p.shards[place].Range.width()) < 0 {
				widest = i
			}
		}
		left, right := p.split(open[widest], p.shards[open[widest]].Range.middle())
		open = slices.Replace(open, widest, widest+1, left, right)
	}
}

// stamp says when the change takes place, which must not be before anything is written to the new shards.
func (p *plan) stamp(now time.Time) {
	now = now.UTC().Truncate(time.Millisecond)
	for _, place := range p.closing {
		if s := &p.shards[place]; s.Opened.After(now) {
			now = s.Opened // the clock was set back
		}
	}
	for _, place := range p.closing {
		p.shards[place].Closed = now
	}
	for i, parents := range p.parents {
		s := &p.shards[p.old+i]
		s.Opened, s.Created = now, now.Truncate(time.Second)
		for _, parent := range parents {
			if later := p.shards[parent].Created.Add(time.Second); later.After(s.Created) {
				s.Created = later
			}
		}
	}
}
