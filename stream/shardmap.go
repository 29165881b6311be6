package stream

import (
	"cmp"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"time"
)

// HashRange is the part of the ring that a shard takes, both ends included.
type HashRange struct {
	Start, End HashKey
}

// Contains reports whether the key lies in the range.
func (r HashRange) Contains(k HashKey) bool {
	return r.Start.Compare(k) <= 0 && k.Compare(r.End) <= 0
}

// width is the range's number of keys, less one.
func (r HashRange) width() HashKey { return r.End.minus(r.Start) }

// middle is the key that begins the second half of a range of more than one key.
func (r HashRange) middle() HashKey { return r.Start.plus(r.width().half()).Next() }

// Shard is one shard of a stream: a part of the ring, and a log. It is a value that never changes; a later
// description of the stream may show the same shard closed.
type Shard struct {
	ID    string // shardId-%012d of Index
	Index int    // the shard's number in its stream, and its partition in the stream's topic
	Range HashRange
	// Created is in whole seconds, later than that of the shards that this one replaced: sequence numbers begin
	// with it. Shards that are replaced within a second have it run ahead of the clock.
	Created time.Time
	Opened  time.Time // since when it takes records, by the clock; zero if that is longer ago than anything is kept
	Closed  time.Time // zero while the shard takes records
	// Parent and AdjacentParent are the shards that this one replaced: none for a shard that the stream was
	// created with, Parent after a split, both after a merge.
	Parent, AdjacentParent string
}

// Open reports whether the shard takes records.
func (s *Shard) Open() bool { return s.Closed.IsZero() }

// Parents lists the shards that this one replaced.
func (s *Shard) Parents() []string {
	var parents []string
	for _, p := range []string{s.Parent, s.AdjacentParent} {
		if p != "" {
			parents = append(parents, p)
		}
	}
	return parents
}

// parentIndexes are the parents' numbers.
func (s *Shard) parentIndexes() []int {
	var indexes []int
	for _, p := range s.Parents() {
		if index, ok := ParseShardID(p); ok {
			indexes = append(indexes, index)
		}
	}
	return indexes
}

// ShardID is the name of a shard by its number.
func ShardID(index int) string { return fmt.Sprintf("shardId-%012d", index) }

// ParseShardID is the number in a shard's name. Like AWS it asks for nothing but a number, after a dash if
// there is one: "shardId-000000000007", "shardId-7" and "7" are all the shard number 7.
func ParseShardID(id string) (index int, ok bool) {
	digits := id
	if _, after, found := strings.Cut(id, "-"); found {
		digits = after
	}
	for i := 0; i < len(digits); i++ {
		if digits[i] < '0' || digits[i] > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n > maxShardIndex {
		return 0, false
	}
	return int(n), true
}

// uniformSplit divides the ring into n equal ranges, as AWS does: each 2^128/n long, rounded down, with what
// is left over in the last.
func uniformSplit(n int) []HashRange {
	size := uint64(n)
	hi, rest := bits.Div64(0, math.MaxUint64, size)
	lo, rest := bits.Div64(rest, math.MaxUint64, size)
	length := HashKey{hi, lo}
	if rest == size-1 { // (2^128−1)/n was just below a whole number, which 2^128/n is
		length = length.Next()
	}
	ranges := make([]HashRange, n)
	for i := range ranges {
		carry, low := bits.Mul64(length.Lo, uint64(i))
		ranges[i].Start = HashKey{length.Hi*uint64(i) + carry, low}
		ranges[i].End = MaxHashKey
		if i > 0 {
			ranges[i-1].End = ranges[i].Start.Previous()
		}
	}
	return ranges
}

// shardMap holds all shards of a stream, by number, and finds the open one for a hash key. Numbers may be missing:
// those of shards that are no more. So a shard is known by its place among those that are there.
//
// Always: the ranges of the open shards cover the whole ring, each key once.
type shardMap struct {
	shards []Shard // ascending by Index
	starts []HashKey
	open   []int   // places of the open shards by where they start; open[i] starts at starts[i]
	kids   [][]int // by place: places of the shards that replaced this one; nil when no shard has a parent
}

// placeOf finds the shard with a number among shards that are ascending by number.
func placeOf(shards []Shard, index int) (place int, ok bool) {
	if index < len(shards) && index >= 0 && shards[index].Index == index {
		return index, true // none before it is missing
	}
	return slices.BinarySearchFunc(shards, index, func(s Shard, n int) int { return cmp.Compare(s.Index, n) })
}

// newShardMap checks what always holds and builds the map.
func newShardMap(shards []Shard) (*shardMap, error) {
	m := &shardMap{shards: shards}
	for i := range shards {
		s := &shards[i]
		if i > 0 && s.Index <= shards[i-1].Index {
			return nil, fmt.Errorf("shard number %d stands behind number %d", s.Index, shards[i-1].Index)
		}
		if s.Open() {
			m.open = append(m.open, i)
		}
		for _, parent := range s.Parents() {
			index, ok := ParseShardID(parent)
			if !ok || index >= s.Index {
				return nil, fmt.Errorf("shard %s has parent %s", s.ID, parent)
			}
			place, there := placeOf(shards, index)
			if !there {
				continue
			}
			if m.kids == nil {
				m.kids = make([][]int, len(shards))
			}
			m.kids[place] = append(m.kids[place], i)
		}
	}
	slices.SortFunc(m.open, func(a, b int) int { return shards[a].Range.Start.Compare(shards[b].Range.Start) })
	m.starts = make([]HashKey, len(m.open))
	var expected HashKey
	for i, index := range m.open {
		r := shards[index].Range
		wrapped := i > 0 && expected == HashKey{} // the one before this one ended where the ring does
		if wrapped || r.Start != expected || r.End.Compare(r.Start) < 0 {
			return nil, fmt.Errorf("shard %s takes %s to %s, expected to start at %s",
				shards[index].ID, r.Start, r.End, expected)
		}
		m.starts[i], expected = r.Start, r.End.Next()
	}
	if expected != (HashKey{}) || len(m.open) == 0 {
		return nil, fmt.Errorf("no open shard takes hash key %s", expected)
	}
	return m, nil
}

// route is the place of the open shard whose range has the key.
func (m *shardMap) route(k HashKey) int {
	// The last start that is not above k; starts[0] is 0.
	low, high := 0, len(m.starts)
	for high-low > 1 {
		middle := int(uint(low+high) >> 1)
		if m.starts[middle].Compare(k) <= 0 {
			low = middle
		} else {
			high = middle
		}
	}
	return m.open[low]
}

// children are the shards that replaced the one in the given place.
func (m *shardMap) children(place int) []Shard {
	if m.kids == nil {
		return nil
	}
	var children []Shard
	for _, i := range m.kids[place] {
		children = append(children, m.shards[i])
	}
	return children
}
