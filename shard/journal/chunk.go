package journal

import "github.com/seed-462d9463/sluice/shard"

const (
	// maxChunk is what is flushed with one write, unless a single share or place is longer, and minChunk what is worth one
	// if there is as much.
	maxChunk = 1 << 20
	minChunk = 256 << 10
	// maxParts bounds what a chunk is made of: the log's lock, for which a commit may have to wait, is held while it is
	// gathered.
	maxParts = 4096
)

// chunk is what is flushed with one write.
type chunk struct {
	places []place
	parts  []part // behind them
	base   shard.Offset
	end    shard.Offset
	millis int64 // of the first frame
	bytes  int64
}

// nextChunk sets c, whose memory it uses again, to what is to be flushed next, and returns the segment that the log writes to.
func (l *logState) nextChunk(before lsn, c *chunk) (active segment, some bool) {
	*c = chunk{places: c.places[:0], parts: c.parts[:0]}
	limit, age := min(maxChunk, l.e.opts.SegmentBytes), l.e.opts.SegmentAge.Milliseconds()
	l.mu.Lock()
	defer l.mu.Unlock()
	if at, some := l.oldestUnflushed(); l.gone || !some || at >= before {
		return active, false
	}
	takes := func(base, end shard.Offset, millis, bytes int64, at lsn, parts int) bool {
		switch {
		case c.bytes == 0:
			c.base, c.millis = base, millis
		case c.bytes+bytes > limit, millis-c.millis >= age, at >= before && c.bytes >= minChunk, len(c.places)+len(c.parts)+parts > maxParts:
			return false
		}
		c.end, c.bytes = end, c.bytes+bytes
		return true
	}
	whole := true
	for i := range l.left {
		p := &l.left[i]
		if whole = takes(p.base, p.end, p.millis, int64(p.bytes), p.at, 1); !whole {
			break
		}
		c.places = append(c.places, *p)
	}
	for i := l.unflushedAt(); whole && i < len(l.cache) && l.cache[i].end <= l.durable; i++ {
		r := l.cache[i]
		if whole = takes(r.base, r.end, r.parts[0].millis, r.bytes, r.at, len(r.parts)); whole {
			c.parts = append(c.parts, r.parts...)
		}
	}
	return l.active(), true
}

// active returns the segment that the log writes to, the zero one if there is none. The lock is held.
func (l *logState) active() (active segment) {
	if k := len(l.segments); k > 0 && !l.segments[k-1].sealed {
		active = l.segments[k-1]
	}
	return active
}

// gather returns the chunk's frames, behind room for the header of a segment. It lets go of the cache's memory.
func (f *flusher) gather(l *logState, c *chunk) ([]byte, error) {
	defer clear(c.parts)
	n := segmentHeaderBytes + int(c.bytes)
	if cap(f.buf) < n {
		f.buf = make([]byte, n, max(n, min(2*n, segmentHeaderBytes+maxChunk)))
	}
	buf := f.buf[:segmentHeaderBytes]
	if cap(f.buf) > 2*maxChunk {
		f.buf = nil // a rare huge one is not worth keeping
	}
	for places := c.places; len(places) > 0; {
		k, bytes := adjoining(places)
		at := len(buf)
		buf = buf[:at+int(bytes)]
		if _, _, err := l.fetch(places[:k], buf[at:], readDirect); err != nil {
			return nil, err
		}
		places = places[k:]
	}
	for i := range c.parts {
		buf = append(buf, c.parts[i].frames...)
	}
	return buf, nil
}
