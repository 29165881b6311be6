package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"time"
)

// scaler gives on-demand streams the shards that they need, with one goroutine for all of them. It looks at a stream
// when somebody who writes to it finds a shard's load high, and now and then while the stream has more shards than
// it must have: a stream that nobody uses is brought to its fewest shards, and then costs nothing.
type scaler struct {
	s    *Service
	wake chan struct{} // holds a token when there may be something to do

	mu   sync.Mutex         // guards what follows
	hot  map[Name]bool      // streams with a shard whose load is high
	cold map[Name]time.Time // when streams with more shards than they must have are to be looked at
	told map[Name]told
}

// told is what has been said about a stream, so that it is not said again all the time.
type told struct {
	key     HashKey
	keyAt   time.Time
	limitAt time.Time
}

const (
	// scalerPause is the least time between two looks.
	scalerPause = loadWindow
	// tellAgain is how long it takes until the same is said again.
	tellAgain = time.Hour
	// maxPieces is in how many a shard is split at once.
	maxPieces = 16
	// maxMergeLineage is how long a stream's definition may be for its shards to be merged: merging and splitting
	// again makes it longer, and a stream that is too large is better than one that cannot grow any more.
	maxMergeLineage = maxLineageBytes / 4 * 3
)

func newScaler(s *Service) *scaler {
	return &scaler{s: s, wake: make(chan struct{}, 1), hot: map[Name]bool{}, cold: map[Name]time.Time{}, told: map[Name]told{}}
}

// overloaded has a stream looked at.
func (c *scaler) overloaded(name Name) {
	c.mu.Lock()
	c.hot[name] = true
	c.mu.Unlock()
	c.nudge()
}

func (c *scaler) nudge() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// prepare makes the shards of a stream measure their load, or not, and has the stream watched while it may have
// shards to merge. It is called for each revision.
func (c *scaler) prepare(st *stream) {
	st.metrics.onDemand.Store(st.definition.OnDemand)
	for i, p := range st.partitions {
		if !st.definition.OnDemand || !st.definition.Shards[i].Open() {
			p.load.Store(nil)
		} else if p.load.Load() == nil {
			p.load.CompareAndSwap(nil, newLoad(c.s.clock(), 0))
		}
	}
	if !st.definition.OnDemand || len(st.shards.open) <= c.floor(st.definition) {
		c.forget(st.name)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, watched := c.cold[st.name]; !watched {
		c.cold[st.name] = time.Now().Add(c.s.config.OnDemand.MergeAfter)
		c.nudge()
	}
}

// forget is for a stream that has no shards to merge.
func (c *scaler) forget(name Name) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.cold, name)
}

// drop is for a stream that was deleted.
func (c *scaler) drop(name Name) {
	c.forget(name)
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.told, name)
}

// floor is the number of shards that a stream must have.
func (c *scaler) floor(d *definition) int { return max(c.s.config.OnDemand.MinShards, d.WarmMiBps) }

// take returns the streams to look at now, or when there will be one.
func (c *scaler) take(now time.Time) (hot, cold []Name, next time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	hot = slices.Collect(maps.Keys(c.hot))
	clear(c.hot)
	for name, due := range c.cold {
		if !due.After(now) {
			cold = append(cold, name)
			c.cold[name] = now.Add(c.s.config.OnDemand.MergeAfter / 4)
		} else if next.IsZero() || due.Before(next) {
			next = due
		}
	}
	return hot, cold, next
}

// run scales until ctx ends.
func (c *scaler) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		hot, cold, next := c.take(time.Now())
		for _, name := range hot {
			c.grow(ctx, name)
		}
		for _, name := range cold {
			c.shrink(ctx, name)
		}
		var elapsed <-chan time.Time
		wake := c.wake
		switch {
		case len(hot)+len(cold) > 0:
			timer.Reset(scalerPause)
			elapsed, wake = timer.C, nil
		case !next.IsZero():
			timer.Reset(time.Until(next))
			elapsed = timer.C
		}
		select {
		case <-ctx.Done():
		case <-wake:
		case <-elapsed:
		}
	}
}

// division is how a shard is to be split.
type division struct {
	index int // the shard's number
	keys  []HashKey
	rates []float64 // what the pieces are expected to have
}

// grow splits the shards of a stream whose load is high.
func (c *scaler) grow(ctx context.Context, name Name) {
	st, err := c.s.lookup(name)
	if err != nil || !st.definition.OnDemand {
		return
	}
	divisions := c.divide(st)
	if len(divisions) == 0 {
		return
	}
	expected := map[HashKey]float64{} // by where the new shards start
	err = c.s.reshape(ctx, name, func(d *definition, p *plan) error {
		if !d.OnDemand || d.ID != st.definition.ID {
			return errUnchanged
		}
		clear(expected)
		room := c.s.config.OnDemand.MaxShards - len(p.open())
		for _, v := range divisions {
			place, ok := placeOf(d.Shards, v.index)
			if !ok || !d.Shards[place].Open() || len(v.keys) > room {
				continue
			}
			room -= len(v.keys)
			for i, piece := range p.splitAt(place, v.keys) {
				expected[p.shards[piece].Range.Start] = v.rates[i]
			}
		}
		if len(p.closing) == 0 {
			return errUnchanged
		}
		return nil
	})
	if err != nil {
		c.tellOfLimit(ctx, st, err)
		return
	}
	st.metrics.onDemandSplits.Add(int64(len(divisions)))
	c.expect(name, expected)
}

// expect gives new shards the load that they will have.
func (c *scaler) expect(name Name, rates map[HashKey]float64) {
	st, err := c.s.lookup(name)
	if err != nil {
		return
	}
	now := c.s.clock()
	for _, place := range st.shards.open {
		if rate, ok := rates[st.definition.Shards[place].Range.Start]; ok {
			if l := st.partitions[place].load.Load(); l != nil {
				l.mu.Lock()
				l.rate, l.busy = max(l.rate, rate), now
				l.mu.Unlock()
			}
		}
	}
}

// divide decides which shards of a stream are split, and how: the hottest first, while there may be more.
func (c *scaler) divide(st *stream) (divisions []division) {
	type shardLoad struct {
		place      int
		load       *load
		rate, most float64
	}
	var loads []shardLoad
	now := c.s.clock()
	for _, place := range st.shards.open {
		if l := st.partitions[place].load.Load(); l != nil {
			l.measure(now)
			if rate, most := l.get(); rate > hotLoad {
				loads = append(loads, shardLoad{place, l, rate, most})
			}
		}
	}
	slices.SortFunc(loads, func(a, b shardLoad) int { return cmp.Compare(b.most, a.most) })
	room := c.s.config.OnDemand.MaxShards - len(st.shards.open)
	for _, sl := range loads {
		sh := &st.definition.Shards[sl.place]
		weights := sl.load.weights(sh.Range)
		if first := dominant(weights); first.part*sl.rate > hotLoad {
			c.tellOfKey(st, sh, first, sl.rate)
		}
		pieces := min(maxPieces, max(2, int(math.Ceil(sl.most/splitLoad))), room+1)
		if pieces < 2 {
			c.tellOfLimit(context.Background(), st, ErrLimitExceeded)
			break
		}
		keys, parts := cuts(weights, sh.Range, pieces)
		if len(keys) > room {
			keys, parts = cuts(weights, sh.Range, 2)
		}
		if len(keys) == 0 || len(keys) > room {
			continue
		}
		for i := range parts {
			parts[i] *= sl.rate
		}
		room -= len(keys)
		divisions = append(divisions, division{sh.Index, keys, parts})
	}
	return divisions
}

// shrink merges neighbors of a stream that have had little to do for long.
func (c *scaler) shrink(ctx context.Context, name Name) {
	st, err := c.s.lookup(name)
	if err != nil || !st.definition.OnDemand {
		c.forget(name)
		return
	}
	if entry, ok := c.s.catalog.Get(name.key()); ok && len(entry.Value) > maxMergeLineage {
		c.tellOfLimit(ctx, st, fmt.Errorf("%w: its shards are not merged while it has so many that were closed", ErrLimitExceeded))
		return
	}
	now, wall := c.s.clock(), time.Now()
	after := c.s.config.OnDemand.MergeAfter
	cold := map[int]bool{} // by number
	for _, place := range st.shards.open {
		l := st.partitions[place].load.Load()
		if l == nil {
			continue
		}
		l.measure(now)
		sh := &st.definition.Shards[place]
		cold[sh.Index] = now-l.coldSince() >= int64(after) && wall.Sub(sh.Opened) >= after
	}
	merged := 0
	err = c.s.reshape(ctx, name, func(d *definition, p *plan) error {
		merged = 0
		if !d.OnDemand || d.ID != st.definition.ID {
			return errUnchanged
		}
		open := p.open()
		for i := 0; i+1 < len(open) && len(open)-merged > c.floor(d); i++ {
			if cold[d.Shards[open[i]].Index] && cold[d.Shards[open[i+1]].Index] {
				p.merge(open[i], open[i+1])
				merged++
				i++
			}
		}
		if merged == 0 {
			return errUnchanged
		}
		return nil
	})
	if err != nil {
		c.tellOfLimit(ctx, st, err)
		return
	}
	st.metrics.onDemandMerges.Add(int64(merged))
}

// tellOfKey warns of a partition key that alone asks for much of what a shard may take: no split can help.
func (c *scaler) tellOfKey(st *stream, sh *Shard, key weight, rate float64) {
	if !c.tell(st.name, func(t *told) bool {
		news := t.key != key.key || time.Since(t.keyAt) >= tellAgain
		if news {
			t.key, t.keyAt = key.key, time.Now()
		}
		return news
	}) {
		return
	}
	st.metrics.onDemandHotKeys.Add(1)
	c.s.logger.Warn("one partition key asks for much of what a shard may take; splitting the shard cannot help, only more partition keys can",
		"stream", st.name.String(), "shard", sh.ID, "hash_key", key.key.String(),
		"percent_of_shard", math.Round(100*key.part), "percent_of_limit", math.Round(100*key.part*rate))
}

// tellOfLimit warns that a stream cannot be scaled.
func (c *scaler) tellOfLimit(ctx context.Context, st *stream, err error) {
	if ctx.Err() != nil || errors.Is(err, ErrNotFound) || errors.Is(err, ErrClosed) {
		return
	}
	if !c.tell(st.name, func(t *told) bool {
		news := time.Since(t.limitAt) >= tellAgain
		if news {
			t.limitAt = time.Now()
		}
		return news
	}) {
		return
	}
	c.s.logger.Warn("an on-demand stream cannot be scaled as its load asks for",
		"stream", st.name.String(), "shards", len(st.shards.open), "max_shards", c.s.config.OnDemand.MaxShards, "error", err)
}

// tell reports whether something is news, and notes that it will be told.
func (c *scaler) tell(name Name, news func(*told) bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.told[name]
	is := news(&t)
	c.told[name] = t
	return is
}
