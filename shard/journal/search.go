package journal

import (
	"context"
	"errors"
	"math"
	"sort"
	"time"

	"github.com/seed-462d9463/sluice/shard"
)

// At implements shard.Log.
func (l *logState) At(ctx context.Context, t time.Time) (shard.Offset, error) {
	millis := t.UnixMilli()
	if t.After(time.UnixMilli(millis)) {
		millis++
	}
	for {
		if err := l.e.usable(); err != nil {
			return 0, err
		}
		l.mu.Lock()
		if l.gone {
			l.mu.Unlock()
			return 0, l.errGone()
		}
		first := l.past(l.first)
		f := l.find(millis)
		l.mu.Unlock()
		var err error
		switch {
		case f.seg.end > 0:
			if f.at, err = l.searchSegment(ctx, f.seg, millis); err != nil && l.movedOn(err, f.seg, f.seg.end-1) {
				continue
			}
		case f.place.end > 0:
			if f.at, err = l.searchPlace(f.place, millis); errors.Is(err, errMoved) && !l.holdsPlace(f.place) {
				continue
			}
		case f.frames != nil:
			f.at = searchFrames(f.frames, millis, f.at)
		}
		if closed := l.e.usable(); err != nil && closed != nil {
			return 0, closed // and its files, too
		}
		if err != nil {
			l.e.advise(err)
			return 0, err
		}
		return max(f.at, first), nil
	}
}

// finding says where the first durable record is whose time is not before what was looked for: in the segment, the place or
// the frames in memory, if one of them is there, else, or if it is not in the latter two, at an offset.
type finding struct {
	seg    segment
	place  place
	frames []byte
	at     shard.Offset
}

// find looks for the first durable record whose time is not before millis. The lock is held.
func (l *logState) find(millis int64) finding {
	held, heldMillis := l.durable, int64(math.MaxInt64)
	switch {
	case len(l.left) > 0:
		held, heldMillis = l.left[0].base, l.left[0].millis
	case len(l.cache) > 0 && l.cache[0].end <= l.durable:
		held, heldMillis = l.cache[0].base, l.cache[0].parts[0].millis
	}
	if held > l.first && heldMillis >= millis {
		i := sort.Search(len(l.segments), func(i int) bool {
			return l.segments[i].end > l.first && l.segments[i].lastMillis >= millis
		})
		if i < len(l.segments) {
			return finding{seg: l.segments[i]}
		}
		return finding{at: held}
	}
	// The last place or part that begins before holds it, or else the next one begins with it.
	i := sort.Search(len(l.left), func(i int) bool { return l.left[i].millis >= millis })
	if i < len(l.left) {
		if i == 0 {
			return finding{at: l.left[0].base}
		}
		return finding{place: l.left[i-1], at: l.left[i].base}
	}
	durable := sort.Search(len(l.cache), func(i int) bool { return l.cache[i].end > l.durable })
	k := sort.Search(durable, func(i int) bool { return l.cache[i].parts[0].millis >= millis })
	after := l.durable
	if k < durable {
		after = l.cache[k].base
	}
	if k == 0 {
		if n := len(l.left); n > 0 {
			return finding{place: l.left[n-1], at: after}
		}
		return finding{at: after}
	}
	r := l.cache[k-1]
	n := sort.Search(len(r.parts), func(i int) bool { return r.parts[i].millis >= millis })
	if n < len(r.parts) {
		after = r.parts[n].base
	}
	return finding{frames: r.parts[n-1].frames, at: after}
}

// searchFrames returns the offset of the first frame whose time is not before millis, or else.
func searchFrames(frames []byte, millis int64, or shard.Offset) shard.Offset {
	for len(frames) > 0 {
		h := frameAt(frames)
		if h.millis >= millis {
			return h.base
		}
		frames = frames[h.length:]
	}
	return or
}

// searchPlace finds the first record of a place whose time is not before millis, or the place's end.
func (l *logState) searchPlace(p place, millis int64) (shard.Offset, error) {
	buf := make([]byte, p.bytes)
	if _, _, err := l.fetch([]place{p}, buf, readDirect); err != nil {
		return 0, err
	}
	return searchFrames(buf, millis, p.end), nil
}

// searchSegment finds the first record of a segment whose time is not before millis.
func (l *logState) searchSegment(ctx context.Context, seg segment, millis int64) (shard.Offset, error) {
	f, err := l.acquire(seg)
	if err != nil {
		return 0, err
	}
	defer l.e.files.release(f)
	index, err := l.indexOf(diskReader{ctx, l.e, f}, f, seg)
	if err != nil {
		return 0, err
	}
	at := seg.end
	err = l.scan(f, f, seg, seekTime(index, millis), chunkBytes, nil, func(h *frameHeader, _ []byte, _ int64) (bool, error) {
		if err := l.owns(h, seg); err != nil || h.millis < millis {
			return true, err
		}
		at = h.base
		return false, nil
	})
	return at, err
}
