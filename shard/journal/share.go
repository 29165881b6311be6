package journal

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/seed-462d9463/sluice/shard"
)

const (
	// shareOverhead is what a share counts for in the cache bound beside its frames.
	shareOverhead = 256
	// appendOverhead is what an append counts for, beside its frame, until it is durable.
	appendOverhead = 96
)

// share is what one log has in one batch: the frames of appends that follow one another. It is there from when the first
// of them is queued until it leaves the cache.
type share struct {
	log   *logState
	batch atomic.Pointer[batch] // another one when its own is broken up; set before that one's done is closed
	err   error                 // set before the batch's done is closed

	// What follows is guarded by log.mu, and changes but for parts no more when the batch has been closed.
	base   shard.Offset
	end    shard.Offset
	bytes  int64    // of the frames
	charge int64    // what it counts for in the cache bound
	lent   [][]byte // that some of the frames are in, until the batch is decided: it does not stay in the cache then
	parts  []part   // nil when it has left the cache
	frames uint32

	buffered bool // a long frame is in lent

	skip uint32 // from the beginning of its batch to its first frame; set when that is written
	at   lsn    // of the batch; likewise

	// With many logs most shares have a single frame. Memory for its part and its outcome is here: parts begins with the
	// one, and the first append gets the other.
	part  [1]part
	first pending
}

// part is a part of a share: frames back to back in one piece of memory.
type part struct {
	base   shard.Offset
	millis int64 // of the first frame
	frames []byte
	raw    bool // the committer has to sum them
}

// add adds a frame behind the others, for which so much has been charged. buf may lie right behind the last one in the same
// memory.
func (s *share) add(h *frameHeader, buf []byte, raw bool, charge int64) {
	s.end = h.end()
	s.frames++
	s.bytes += int64(len(buf))
	s.charge += charge
	if n := len(s.parts); n > 0 {
		last := &s.parts[n-1]
		if k := len(last.frames); last.raw == raw && cap(last.frames)-k >= len(buf) && &last.frames[:k+1][k] == &buf[0] {
			last.frames = last.frames[:k+len(buf)]
			return
		}
	}
	if s.parts == nil {
		s.parts = s.part[:0]
	}
	s.parts = append(s.parts, part{h.base, h.millis, buf, raw})
}

// letGo lets go of the frames: whoever has not asked for the outcome yet must not keep them.
func (s *share) letGo() { s.parts, s.part = nil, [1]part{} }

// settle lets a durable share count for what it takes in the cache, and returns what that is less than before.
func (s *share) settle() (freed int64) {
	freed = s.charge - s.bytes - shareOverhead
	s.charge -= freed
	return freed
}

// ordinary tells whether the share is refused when the disk is full.
func (s *share) ordinary() bool { return !s.log.essential.Load() }

// places returns where the share is in the journal.
func (s *share) places(to []place) []place {
	if to == nil {
		to = make([]place, 0, firstPlaces)
	}
	pos := int64(s.skip)
	for i := 0; i < len(s.parts); {
		first := s.parts[i]
		p := place{base: first.base, end: s.end, millis: first.millis, at: s.at, skip: uint32(pos)}
		for i < len(s.parts) && (p.bytes == 0 || int64(p.bytes)+int64(len(s.parts[i].frames)) <= s.log.e.opts.placeBytes) {
			p.bytes += uint32(len(s.parts[i].frames))
			i++
		}
		if i < len(s.parts) {
			p.end = s.parts[i].base
		}
		pos += int64(p.bytes)
		to = append(to, p)
	}
	return to
}

// pending is the outcome of an append.
type pending struct {
	share  *share
	first  shard.Offset
	millis int64
}

// Wait implements shard.Pending.
func (p *pending) Wait(ctx context.Context) (shard.Appended, error) {
	// Who is woken, maybe on another processor, must not have to fetch more than its stack and what all who are woken look at.
	s, first, millis := p.share, p.first, p.millis
	for b := s.batch.Load(); ; {
		if err := b.wait(ctx); err != nil {
			return shard.Appended{}, err
		}
		if b.whole {
			break
		}
		now := s.batch.Load()
		if now == b {
			if s.err != nil {
				return shard.Appended{}, s.err
			}
			break
		}
		b = now
	}
	return shard.Appended{First: first, Time: time.UnixMilli(millis).UTC()}, nil
}

// failedPending is an Append that never got into the queue.
type failedPending struct{ err error }

func (p failedPending) Wait(context.Context) (shard.Appended, error) {
	return shard.Appended{}, p.err
}

// queuedChange is a change of the table on its way to the journal.
type queuedChange struct {
	frame []byte
	apply func(error) // called once, when it is durable or has failed
}
