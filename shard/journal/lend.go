package journal

import (
	"math/bits"
	"time"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/journal/internal/mutant"
)

// Small appends pass through buffers, too, where that is worth it: the frames of a share lie one behind the other in slabs that
// are lent to the share until its batch is decided. They are taken only if they are at hand: under the log's lock nobody
// waits, and the cache is as good. Their sums are left to the committer, which makes one after the other with all that it takes
// near the processor; but not those of frames that are not so short, in shares of few: all wait for the committer, and appends to
// other logs can be summed meanwhile.
//
// The share leaves the cache then, and is read from the journal from then on. So a log lends if
//
//   - nobody follows it, and
//   - its shares are not so short that the places of them, and reading each by itself, cost more than is gained, and its records
//     are not moved while they are in the cache (ahead.go), nor would be if they were there; or
//   - so few of its shares would be in the cache at one time that they are not moved from there, and are read from the journal, one
//     by one, in any case. That goes by what would be in the cache if no such log lent, see Engine.cacheable.

const (
	// lentShare is how long the shares of a log are, in the mean, that lends. By their sizes, below some 1.3 KiB it is the bound of the
	// places, and not the journal, that says when its records are moved: up to a fifth sooner than if they passed through the cache.
	lentShare = 512
	// mostSlab is the longest slab that is lent, and leastSlab the shortest. Logs with shorter shares take shorter ones.
	mostSlab  = 32 << 10
	leastSlab = 512
	// summedFrame is how long a frame is that is summed by who appends it, in a log whose shares are shorter than summedShare in the
	// mean. All others are summed by the committer.
	summedFrame = 512
	summedShare = 2 << 10
	// meanOf is of how many of a log's last shares the mean is taken, about.
	meanOf = 8
)

// lendAfter decides from a share that has become durable whether the next ones lie in slabs, and how long these are. The lock
// is held.
func (l *logState) lendAfter(s *share) {
	l.mean += (s.bytes - l.mean) / meanOf
	e := l.e
	long := l.mean >= e.opts.lentShare && !l.aheadIfCached()
	if s.lent == nil || !long && !s.buffered {
		e.cacheable += s.bytes + shareOverhead
	}
	if l.lastAt > 0 {
		l.apart += (min(e.cacheable-l.lastAt, e.opts.CacheBytes) - l.apart) / meanOf
	}
	l.lastAt = e.cacheable
	slab := int64(0)
	if (long || l.rare()) && !l.followedNow() {
		slab = slabFor(l.mean)
		if !e.buffers.fits(int(slab)) {
			slab = 0
		}
	}
	if slab != l.lends.Load() {
		l.lends.Store(slab)
	}
}

// slabFor returns how long slabs are for shares of so many bytes in the mean: most shares take one.
func slabFor(mean int64) int64 {
	return min(int64(1)<<bits.Len64(uint64(max(mean+mean/4, leastSlab)-1)), mostSlab)
}

// aheadIfCached tells whether records of the log may be worth moving ahead: it goes by what is in the journal instead of
// what is in the cache, and is in doubt for shares that may be longer at other times. The lock is held.
func (l *logState) aheadIfCached() bool {
	return l.mean < 2*aheadBytes && l.retains(max(l.unflushed, 1))
}

// rare tells whether fewer shares of the log than are worth moving ahead would be in the cache at one time. The lock is held.
func (l *logState) rare() bool {
	return l.apart*int64(l.e.opts.aheadShares) > l.e.opts.CacheBytes
}

// queueLent queues a small append in a slab of so many bytes. It returns nil if there is none at hand, or something else
// is in the way that the ordinary way knows how to deal with.
func (l *logState) queueLent(records []shard.Record, size int, slab int64) (p *pending, err error) {
	if l.essential.Load() || int64(size) > slab || l.e.flusher.isFull.Load() {
		return nil, nil
	}
	now := time.Now().UnixMilli()
	l.mu.Lock()
	s, charge, err := l.lentShare(int64(size), slab)
	if s != nil {
		raw := size < summedFrame || l.mean >= l.e.opts.summedShare
		var buf []byte
		var sum uint32
		if raw {
			buf = encodeRaw(l.room, records)
		} else {
			buf, sum = encodeRecords(l.room, records)
		}
		l.room = l.room[size:size]
		p = l.add(s, buf, len(records), raw, sum, charge, now)
		if charge > 0 && mutant.On(mutant.ReuseSlab) {
			l.e.giveBack(s)
		}
	}
	l.mu.Unlock()
	return p, err
}

// lentShare returns the share that a small frame joins and that has a slab with room for it, nil if there is none, and what the
// append is charged: the first one in a slab pays for all. The lock is held.
func (l *logState) lentShare(size, slab int64) (s *share, charge int64, err error) {
	if l.open != nil && int64(cap(l.room)) >= size {
		if s, err = l.join(size); s != nil || err != nil {
			return s, 0, err
		}
	}
	if l.followedNow() {
		l.lends.Store(0)
		return nil, 0, nil
	}
	e := l.e
	charge = slab / 2
	fresh := e.buffers.atHand(slab, charge)
	if fresh == nil {
		return nil, 0, nil
	}
	if s, err = l.openFor(size); err != nil {
		e.buffers.give(fresh)
		e.budget.release(charge)
		return nil, 0, err
	}
	s.lent, l.room = append(s.lent, fresh), fresh
	return s, charge, nil
}
