package stream

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// checkLineage checks what must hold for shards that a plan has made: every one has one or two parents, which were
// closed when it was opened, whose ranges it divides or unites, and below whose sequence numbers its own begin.
func checkLineage(t *rapid.T, shards []Shard) {
	m, err := newShardMap(shards)
	if err != nil {
		t.Fatal(err)
	}
	for i := range shards {
		s := &shards[i]
		children := m.children(i)
		if s.Open() != (len(children) == 0) {
			t.Fatalf("%s: open %v, children %v", s.ID, s.Open(), children)
		}
		for _, child := range children {
			end, _ := s.Ending()
			if child.Starting().Compare(end) <= 0 || !child.Opened.Equal(s.Closed) {
				t.Fatalf("%s follows %s: %+v, %+v", child.ID, s.ID, child, s)
			}
		}
		switch {
		case len(children) == 2: // a split
			if r := (HashRange{children[0].Range.Start, children[1].Range.End}); r != s.Range || children[0].Range.End.Next() != children[1].Range.Start ||
				children[0].AdjacentParent != "" || children[1].AdjacentParent != "" {
				t.Fatalf("%s was split into %v", s.ID, children)
			}
		case len(children) == 1: // a merge
			c := children[0]
			left, _ := ParseShardID(c.Parent)
			right, ok := ParseShardID(c.AdjacentParent)
			if !ok || shards[left].Range.End.Next() != shards[right].Range.Start || c.Range != (HashRange{shards[left].Range.Start, shards[right].Range.End}) {
				t.Fatalf("%s was merged into %+v", s.ID, c)
			}
		case len(children) > 2:
			t.Fatalf("%s has children %v", s.ID, children)
		}
	}
}

func ranges(p *plan) (all []HashRange) {
	for _, place := range p.open() {
		all = append(all, p.shards[place].Range)
	}
	return all
}

func TestUniformScalingGivesUniformRangesThroughSplitsAndMerges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := newDefinition(named("s"), CreateOptions{Shards: rapid.IntRange(1, 40).Draw(t, "shards")}, time.Unix(1_700_000_000, 0))
		shards := d.Shards
		for range rapid.IntRange(1, 4).Draw(t, "updates") {
			target := rapid.IntRange(1, 60).Draw(t, "target")
			p := newPlan(shards)
			p.cover(uniformSplit(target))
			p.stamp(time.Unix(1_700_000_000, 0)) // the clock stands still
			if got := ranges(p); !slices.Equal(got, uniformSplit(target)) {
				t.Fatalf("to %d: %v", target, got)
			}
			checkLineage(t, p.shards)
			shards = p.shards
		}
	})
}

func TestDoublingAndHalvingTakeNoShortLivedShards(t *testing.T) {
	d := newDefinition(named("s"), CreateOptions{Shards: 8}, time.Unix(1_700_000_000, 0))
	p := newPlan(d.Shards)
	p.cover(uniformSplit(16))
	p.stamp(time.Unix(1_700_000_100, 0))
	if len(p.shards) != 8+16 {
		t.Errorf("8 shards became 16 by way of %d", len(p.shards)-8)
	}
	back := newPlan(p.shards)
	back.cover(uniformSplit(8))
	if len(back.shards) != 8+16+8 {
		t.Errorf("16 shards became 8 by way of %d", len(back.shards)-24)
	}
	same := newPlan(p.shards)
	same.cover(uniformSplit(16))
	if len(same.closing) != 0 {
		t.Errorf("a uniform stream is changed: %v", same.closing)
	}
}

func TestTheWidestShardsAreSplitInTheMiddle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := newDefinition(named("s"), CreateOptions{Shards: rapid.IntRange(1, 9).Draw(t, "shards")}, time.Unix(1_700_000_000, 0))
		p := newPlan(d.Shards)
		count := rapid.IntRange(0, 30).Draw(t, "count")
		p.widen(count)
		p.stamp(time.Unix(1_700_000_000, 0))
		checkLineage(t, p.shards)
		all := ranges(p)
		if len(all) != max(count, len(d.Shards)) {
			t.Fatalf("%d shards, wanted %d", len(all), count)
		}
		least, most := all[0].width(), all[0].width()
		for _, r := range all {
			if r.width().Compare(least) < 0 {
				least = r.width()
			}
			if r.width().Compare(most) > 0 {
				most = r.width()
			}
		}
		if len(all) > 1 && most.half().Compare(least.Next()) > 0 {
			t.Fatalf("the widest range is %s, the narrowest %s", most, least)
		}
	})
}
