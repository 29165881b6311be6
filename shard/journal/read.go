package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sort"
	"time"

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
	scratch.Memory = scratch.Memory[:0]
	c.out = scratch.Records[:0]
	records, err := l.collect(ctx, from, c)
	scratch.Records = c.out
	return records, err
}

// collect reads from an offset on until the collector is full or nothing more is there.
func (l *logState) collect(ctx context.Context, from shard.Offset, c *collector) ([]shard.Record, error) {
	for {
		if err := l.e.usable(); err != nil {
			return nil, err
		}
		var entries []*entry
		var seg segment
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
			return c.out, nil
		}
		c.there = int64(l.durable - from)
		entries = l.cached(from, c)
		if entries == nil {
			seg = l.segmentOf(from)
		}
		l.mu.Unlock()

		var next shard.Offset
		var err error
		if entries != nil {
			next, err = l.readCached(ctx, entries, from, c)
		} else {
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

// readCached collects the records of entries from an offset on, and returns the offset to go on at. The first piece of a read
// waits for no turn.
func (l *logState) readCached(ctx context.Context, entries []*entry, from shard.Offset, c *collector) (shard.Offset, error) {
	l.e.metrics.fromCache.Inc()
	if len(c.out) > 0 {
		if err := l.e.turns.take(ctx); err != nil {
			return 0, err
		}
		defer l.e.turns.give()
	}
	en, err := c.addEntries(entries, from)
	if errors.Is(err, errMoved) && !l.holdsLeft(en) {
		if len(c.out) > 0 {
			from = c.out[len(c.out)-1].Offset + 1
		}
		return from, nil
	}
	return entries[len(entries)-1].end, err
}

// cached returns durable entries from an offset on, those of one turn that the collector may have room for; nil if the
// offset is not in the cache. The lock is held.
func (l *logState) cached(from shard.Offset, c *collector) []*entry {
	if len(l.cache) == 0 || l.cache[0].base > from {
		return nil
	}
	i := sort.Search(len(l.cache), func(i int) bool { return l.cache[i].end > from })
	n, records, bytes := i, int64(0), int64(0)
	for n < len(l.cache) && n < i+turnEntries && bytes < turnBytes && l.cache[n].end <= l.durable {
		en := l.cache[n]
		n++
		if en.base >= from {
			// Encoded and counted sizes differ a little, so take what surely fills the limit.
			records += int64(en.end - en.base)
			bytes += en.size() - frameHeaderBytes - 3*int64(en.end-en.base)
		}
		if records > int64(c.left) || bytes > 2*int64(c.bytes) {
			break
		}
	}
	return append([]*entry(nil), l.cache[i:n]...)
}

// addEntries adds the records of entries until it is full. With an error it returns the entry that it could not take.
func (c *collector) addEntries(entries []*entry, from shard.Offset) (*entry, error) {
	for _, en := range entries {
		var err error
		if en.left {
			err = en.frames(from, func(_ leftFrame, frame []byte) (bool, error) {
				err := c.addFrame(frame, from)
				return !c.full, err
			})
		} else {
			err = c.addFrame(en.buf, from)
		}
		if err != nil {
			return en, err
		}
		if c.full {
			break
		}
	}
	return nil, nil
}

// addFrame adds the records of a frame in memory from an offset on.
func (c *collector) addFrame(frame []byte, from shard.Offset) error {
	h, err := parseFrameHeader(frame)
	if err == nil {
		err = c.add(&h, frame, from)
	}
	if err != nil {
		return fmt.Errorf("record in memory: %w", err)
	}
	return nil
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
	pos, err := l.seek(f, seg, from)
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
	err = l.scan(turnReader{f, l.e.turns}, f, seg, pos, chunk, c.scratch, func(h *frameHeader, frame []byte, pos int64) (bool, error) {
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
func (l *logState) seek(f *openFile, seg segment, from shard.Offset) (int64, error) {
	l.mu.Lock()
	hint := l.hint
	l.mu.Unlock()
	if hint.segment == seg.base && hint.next == from && hint.pos > 0 && hint.pos < seg.bytes {
		return hint.pos, nil
	}
	index, err := l.indexOf(f, seg)
	var damaged *shard.CorruptError
	if errors.As(err, &damaged) && !seg.compressed() {
		return segmentHeaderBytes, nil // what is before the damage can be read
	}
	return seekOffset(index, from), err
}

// indexOf returns a segment's index.
func (l *logState) indexOf(f *openFile, seg segment) ([]indexEntry, error) {
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
	before, err := buildIndex(f, f.name, segmentHeaderBytes, index.start)
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
		at, seg, onDisk := l.find(millis)
		l.mu.Unlock()
		if !onDisk {
			return at, nil
		}
		at, err := l.searchSegment(seg, millis)
		if err != nil {
			if l.movedOn(err, seg, seg.end-1) {
				continue
			}
			l.e.advise(err)
			return 0, err
		}
		return max(at, first), nil
	}
}

// find returns the offset of the first durable record whose time is not before millis, or the segment that holds
// it. The lock is held.
func (l *logState) find(millis int64) (at shard.Offset, seg segment, onDisk bool) {
	if len(l.cache) == 0 || l.cache[0].base > l.first && l.cache[0].millis >= millis {
		i := sort.Search(len(l.segments), func(i int) bool {
			return l.segments[i].end > l.first && l.segments[i].lastMillis >= millis
		})
		if i < len(l.segments) {
			return 0, l.segments[i], true
		}
	}
	i := sort.Search(len(l.cache), func(i int) bool {
		return l.cache[i].end > l.durable || l.cache[i].newest() >= millis
	})
	if i == len(l.cache) || l.cache[i].end > l.durable {
		return l.durable, segment{}, false
	}
	return max(l.cache[i].since(millis), l.first), segment{}, false
}

// searchSegment finds the first record of a segment whose time is not before millis.
func (l *logState) searchSegment(seg segment, millis int64) (shard.Offset, error) {
	f, err := l.acquire(seg)
	if err != nil {
		return 0, err
	}
	defer l.e.files.release(f)
	index, err := l.indexOf(f, seg)
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
