package journal

import (
	"fmt"
	"slices"
	"sort"

	"github.com/seed-462d9463/sluice/shard"
)

// gap is a stretch of offsets of a log whose records were damaged and given up by a repair. It is written down, so that
// whatever else is missing between two segments is known to be damage. Readers pass over it.
type gap struct {
	from, to shard.Offset
	told     bool // that it was passed over has been logged
}

// Lost tells shard.Lost whether there are gaps.
func (l *logState) Lost() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.gaps) > 0
}

// gapAt returns the gap that holds an offset, nil if there is none. The lock is held.
func (l *logState) gapAt(from shard.Offset) *gap {
	i := sort.Search(len(l.gaps), func(i int) bool { return l.gaps[i].to > from })
	if i == len(l.gaps) || l.gaps[i].from > from {
		return nil
	}
	return &l.gaps[i]
}

// past returns the first offset at or after another one that no gap holds. The lock is held.
func (l *logState) past(from shard.Offset) shard.Offset {
	if g := l.gapAt(from); g != nil {
		return g.to
	}
	return from
}

// passGap is past for a reader: that it misses records is counted, and logged once. The lock is held.
func (l *logState) passGap(from shard.Offset) shard.Offset {
	g := l.gapAt(from)
	if g == nil {
		return from
	}
	l.e.metrics.gaps.Inc()
	if !g.told {
		g.told = true
		l.e.opts.Logger.Warn("a reader passes over records that were lost and given up by a repair",
			"topic", l.topic, "partition", l.partition, "from", g.from, "to", g.to)
	}
	return g.to
}

// dropGaps forgets the gaps before the first offset. The lock is held.
func (l *logState) dropGaps() {
	n := sort.Search(len(l.gaps), func(i int) bool { return l.gaps[i].to > l.first })
	if n > 0 {
		l.gaps = slices.Clone(l.gaps[n:])
	}
}

// covered makes sure that segments and gaps together hold all from the first offset to where the cache begins.
func (sl *snapshotLog) covered() error {
	at, gaps := sl.first, sl.gaps
	for i := 0; i <= len(sl.segments); i++ {
		next := segment{base: sl.flushed, end: sl.flushed}
		if i < len(sl.segments) {
			next = sl.segments[i]
		}
		for len(gaps) > 0 && gaps[0].to <= next.base {
			if gaps[0].from <= at {
				at = max(at, gaps[0].to)
			}
			gaps = gaps[1:]
		}
		if next.base > at {
			return fmt.Errorf("no segment of log %d holds offset %d", sl.id, at)
		}
		at = max(at, next.end)
	}
	return nil
}
