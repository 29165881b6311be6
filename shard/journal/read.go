package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sort"

	"github.com/seed-462d9463/sluice/shard"
)

// readHint remembers where a read from disk ended, for the one who goes on from there.
type readHint struct {
	segment shard.Offset
	next    shard.Offset
	pos     int64
}

// Read implements shard.Log.
func (l *logState) Read(ctx context.Context, from shard.Offset, max shard.Limit) ([]shard.Record, error) {
	return l.collect(ctx, from, newCollector(max))
}

// ReadInto does what shard.ReadInto asks for. Records that are in the cache stay where they are, and those of compressed
// segments get memory of their own.
func (l *logState) ReadInto(ctx context.Context, from shard.Offset, max shard.Limit, scratch *shard.Scratch) ([]shard.Record, error) {
	c := newCollector(max)
	c.scratch = scratch
	c.out = scratch.Begin()
	records, err := l.collect(ctx, from, c)
	scratch.End(c.out)
	return records, err
}

// collect reads from an offset on until the collector is full or nothing more is there.
func (l *logState) collect(ctx context.Context, from shard.Offset, c *collector) ([]shard.Record, error) {
	for {
		if err := l.e.usable(); err != nil {
			return nil, err
		}
		var parts []part
		var places []place
		var seg segment
		var next shard.Offset
		l.mu.Lock()
		if l.gone {
			l.mu.Unlock()
			return nil, l.errGone()
		}
		if len(c.out) > 0 && c.out[0].Offset < l.first {
			l.mu.Unlock()
			return c.out, nil // trimmed meanwhile: with these there never were any that came after
		}
		if from < l.first {
			from = l.first
		}
		from = l.passGap(from)
		if from >= l.durable || c.full {
			l.mu.Unlock()
			if !c.full {
				l.follow()
			}
			return c.out, nil
		}
		c.there = int64(l.durable - from)
		switch {
		case len(l.cache) > 0 && l.cache[0].base <= from:
			parts, next = l.cached(from, c)
		case len(l.left) > 0 && l.left[0].base <= from:
			places = l.placesFrom(from, c)
		default:
			seg = l.segmentOf(from)
		}
		l.mu.Unlock()

		var err error
		switch {
		case parts != nil:
			err = l.readCached(ctx, parts, from, c)
		case places != nil:
			next, err = l.readPlaces(ctx, places, from, c)
			if errors.Is(err, errMoved) && !l.holdsPlace(places[0]) {
				from = next
				continue
			}
		default:
			next, err = l.readSegment(ctx, seg, from, c)
			if err != nil && l.movedOn(err, seg, from) {
				continue
			}
		}
		if err != nil && ctx.Err() == nil && len(c.out) > 0 {
			return c.out, nil // whoever goes on behind them meets the error
		}
		if closed := l.e.usable(); err != nil && closed != nil {
			return nil, closed // and its files, too
		}
		if err != nil {
			l.e.advise(err)
			return nil, err
		}
		from = next
		if err := ctx.Err(); err != nil && !c.full {
			return nil, err
		}
	}
}

// readCached collects the records of frames in memory from an offset on. The first part of a read waits for no turn.
func (l *logState) readCached(ctx context.Context, parts []part, from shard.Offset, c *collector) error {
	l.e.metrics.fromCache.Inc()
	if len(c.out) > 0 {
		if err := l.e.turns.take(ctx); err != nil {
			return err
		}
		defer l.e.turns.give()
	}
	for i := range parts {
		if err := c.addFrames(parts[i].frames, from); err != nil {
			return fmt.Errorf("record in memory: %w", err)
		}
		if c.full {
			break
		}
	}
	return nil
}

// cached returns the parts of durable shares from the one that holds an offset on, those of one turn that the collector may
// have room for, and the offset behind them. The offset is in the cache. The lock is held.
func (l *logState) cached(from shard.Offset, c *collector) (parts []part, next shard.Offset) {
	i := sort.Search(len(l.cache), func(i int) bool { return l.cache[i].end > from })
	most := min(turnBytes, 2*int64(c.bytes)) // encoded and counted sizes differ a little
	for bytes := int64(0); i < len(l.cache) && l.cache[i].end <= l.durable; i++ {
		r := l.cache[i]
		k := 0
		if r.base < from {
			k = sort.Search(len(r.parts), func(k int) bool { return r.parts[k].base > from }) - 1
		}
		for ; k < len(r.parts); k++ {
			p := &r.parts[k]
			if len(parts) > 0 && (bytes+int64(len(p.frames)) > most || int64(p.base-from) >= int64(c.left) || len(parts) == turnParts) {
				return parts, p.base
			}
			bytes += int64(len(p.frames))
			parts = append(parts, *p)
		}
		next = r.end
	}
	return parts, next
}

// addFrames adds the records of frames in memory from an offset on, until the collector is full.
func (c *collector) addFrames(frames []byte, from shard.Offset) error {
	for len(frames) > 0 && !c.full {
		h, err := parseFrameHeader(frames)
		if err == nil && h.end() > from {
			err = c.add(&h, frames, from)
		}
		if err != nil {
			return err
		}
		frames = frames[h.length:]
	}
	return nil
}

// readPlaces collects the records of frames in the journal from an offset on, and returns the offset to go on at, with an
// error too.
func (l *logState) readPlaces(ctx context.Context, places []place, from shard.Offset, c *collector) (shard.Offset, error) {
	l.e.metrics.fromJournal.Inc()
	if err := l.e.turns.take(ctx); err != nil {
		return from, err
	}
	defer l.e.turns.give()
	next := from
	for len(places) > 0 && !c.full {
		n, bytes := adjoining(places)
		frames, end, err := l.fetch(places[:n], c.room(int(bytes)), func(f *journalFile, b []byte, pos int64) (int, error) {
			return turnReader{diskReader{ctx, l.e, f.f}}.ReadAt(b, pos)
		})
		if bad := c.addFrames(frames, from); bad != nil {
			return next, bad
		}
		if next = max(next, end); err != nil {
			return next, err
		}
		places = places[n:]
	}
	return next, nil
}

// segmentOf returns the segment that holds an offset below flushed. The lock is held.
func (l *logState) segmentOf(from shard.Offset) segment {
	i := sort.Search(len(l.segments), func(i int) bool { return l.segments[i].end > from })
	if i == len(l.segments) || l.segments[i].base > from {
		return segment{base: -1}
	}
	return l.segments[i]
}

// movedOn tells whether an error came from a file that was trimmed, deleted or replaced by a compressed one while it
// was read.
func (l *logState) movedOn(err error, seg segment, from shard.Offset) bool {
	if !errors.Is(err, fs.ErrNotExist) {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.segmentOf(seg.base)
	return l.gone || l.first > from || now.base == seg.base && now.compressed() != seg.compressed()
}

// missing makes an error of a file that must be there.
func missing(err error, name string) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w (%w)", &shard.CorruptError{File: name, Reason: "it is missing"}, err)
	}
	return err
}

// readSegment collects records from an offset in the segment on, one chunk, and returns the offset to go on at.
func (l *logState) readSegment(ctx context.Context, seg segment, from shard.Offset, c *collector) (shard.Offset, error) {
	l.e.metrics.fromFile.Inc()
	if seg.base < 0 {
		return 0, &shard.CorruptError{File: l.e.path(logDir(l.id)), Reason: fmt.Sprintf("no segment holds offset %d", from)}
	}
	f, err := l.acquire(seg)
	if err != nil {
		return 0, err
	}
	defer l.e.files.release(f)
	pos, err := l.seek(ctx, f, seg, from)
	if err != nil {
		return 0, err
	}
	// Not before: what it takes to come here waits for the disk, and for others who need the same index.
	if err := l.e.turns.take(ctx); err != nil {
		return 0, err
	}
	defer l.e.turns.give()
	chunk := c.chunk(seg)
	next := from
	stop := pos + chunk
	end := int64(0)
	err = l.scan(turnReader{diskReader{ctx, l.e, f}}, f, seg, pos, chunk, c.scratch, func(h *frameHeader, frame []byte, pos int64) (bool, error) {
		if err := l.owns(h, seg); err != nil {
			return false, err
		}
		if h.base > next {
			return false, badFrame(fmt.Sprintf("offset %d where offset %d was expected", h.base, next))
		}
		end = pos + h.length
		if h.end() <= next {
			return true, nil
		}
		if err := c.add(h, frame, next); err != nil {
			return false, err
		}
		if next = c.out[len(c.out)-1].Offset + 1; next < h.end() {
			end = pos // whoever goes on must come back to this frame
		}
		return !c.full && end < stop, nil
	})
	if err != nil {
		return 0, err
	}
	if next == from && !c.full {
		return 0, &shard.CorruptError{File: f.name, Offset: seg.diskBytes(), Reason: fmt.Sprintf("offset %d is not there", from)}
	}
	l.mu.Lock()
	l.hint = readHint{segment: seg.base, next: next, pos: end}
	l.mu.Unlock()
	return next, nil
}

// owns makes sure that a frame in a segment of the log belongs there.
func (l *logState) owns(h *frameHeader, seg segment) error {
	var reason string
	switch {
	case h.dir != l.e.journal.dir():
		reason = "what is here belongs to another data directory"
	case h.log != l.id:
		reason = fmt.Sprintf("what is here belongs to log %d, not %d", h.log, l.id)
	case h.kind != frameRecords:
		reason = "there are no records here"
	case h.base < seg.base || h.end() > seg.end:
		reason = fmt.Sprintf("offsets %d to %d in a segment that holds %d to %d", h.base, h.end(), seg.base, seg.end)
	default:
		return nil
	}
	return badFrame(reason)
}

// goesOn makes sure that a frame follows the one that ended at an offset. What was trimmed before it came to the segment
// is not there.
func (l *logState) goesOn(h *frameHeader, next shard.Offset) error {
	if h.base == next {
		return nil
	}
	l.mu.Lock()
	first := l.first
	l.mu.Unlock()
	if h.base > next && h.base <= first {
		return nil
	}
	return badFrame(fmt.Sprintf("offset %d where offset %d was expected", h.base, next))
}

// acquire opens a segment's file, to be released.
func (l *logState) acquire(seg segment) (*openFile, error) {
	key := seg.key(l.id)
	f, err := l.e.files.acquire(key, false)
	return f, missing(err, l.e.path(key.name()))
}

// scan calls f for a segment's frames from a position on, until it returns false. r reads the file, into scratch if there is
// one.
func (l *logState) scan(r io.ReaderAt, file *openFile, seg segment, pos, chunk int64, scratch *shard.Scratch, f func(h *frameHeader, frame []byte, pos int64) (bool, error)) error {
	if !seg.compressed() {
		s := frameScan{r: r, name: file.name, chunk: chunk, scratch: scratch}
		return s.run(pos, seg.bytes, f)
	}
	index, err := file.sealedIndex(seg)
	if err != nil {
		return err
	}
	return l.e.blocks.scan(r, file, seg, index, pos, f)
}

// chunk returns how much to read at one time for what the collector still takes, going by the size that the
// segment's records have in the mean.
func (c *collector) chunk(seg segment) int64 {
	n := int64(c.bytes)
	if each := seg.bytes/int64(seg.end-seg.base) + 1; int64(c.left) < n/each {
		n = int64(c.left) * each
	}
	return min(max(n+n/8+4096, 16<<10), chunkBytes)
}

// seek returns the position in the file at or before the frame that holds an offset.
func (l *logState) seek(ctx context.Context, f *openFile, seg segment, from shard.Offset) (int64, error) {
	l.mu.Lock()
	hint := l.hint
	l.mu.Unlock()
	if hint.segment == seg.base && hint.next == from && hint.pos > 0 && hint.pos < seg.bytes {
		return hint.pos, nil
	}
	index, err := l.indexOf(diskReader{ctx, l.e, f}, f, seg)
	var damaged *shard.CorruptError
	if errors.As(err, &damaged) && !seg.compressed() {
		return segmentHeaderBytes, nil // what is before the damage can be read
	}
	return seekOffset(index, from), err
}

// indexOf returns a segment's index. Where it must be made, r reads the file.
func (l *logState) indexOf(r io.ReaderAt, f *openFile, seg segment) ([]indexEntry, error) {
	if seg.sealed {
		return f.sealedIndex(seg)
	}
	l.mu.Lock()
	index, active := l.index, l.isActive(seg.base)
	if !active { // sealed in the meantime, maybe with more in it
		if now := l.segmentOf(seg.base); now.base == seg.base {
			seg = now // of which f is the plain file, whatever has taken its place
		}
	}
	l.mu.Unlock()
	if !active {
		return f.sealedIndex(seg)
	}
	if index.start <= segmentHeaderBytes {
		return index.entries, nil
	}
	before, err := buildIndex(r, f.name, segmentHeaderBytes, index.start)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isActive(seg.base) && l.index.start == index.start {
		l.index.entries = append(before, l.index.entries...)
		l.index.start = segmentHeaderBytes
		return l.index.entries, nil
	}
	return append(before, index.entries...), nil
}

// isActive tells whether the log still writes to the segment with this base. The lock is held.
func (l *logState) isActive(base shard.Offset) bool {
	n := len(l.segments)
	return n > 0 && l.segments[n-1].base == base && !l.segments[n-1].sealed
}
