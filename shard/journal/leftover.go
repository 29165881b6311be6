package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"sort"

	"github.com/seed-462d9463/sluice/shard"
)

// A start may find more in the journal than the memory for records holds. What is too much stays where it is: an entry
// that is left in the journal stands for frames of one log that follow each other, and knows their places instead of
// their bytes, in about eight bytes each. So a start writes nothing, takes no longer when the journal is full, and needs
// little memory however small the records are. Should even the places be more than the memory for records, which takes
// a journal many times as big, what was found until then is moved to segments before the start goes on (makeRoom).
//
// The flusher fetches the frames when it moves them to segments, by putting new entries in the place of those that are
// left. Readers that meet one read the journal. It cannot be written over while the log holds the entry, since it is
// not flushed; a reader that has it from before sees by the sums that it has been, and looks again.

const (
	// leftCharge is what an entry that is left in the journal takes of memory, beside the places.
	leftCharge = 128
	// leftBytes is how long the frames are that one such entry stands for, unless it is one that is longer. Who looks for
	// one of them passes over the places of all.
	leftBytes = 64 << 10
)

// maxReplayed is the share of the memory for records that a start fills: what is left is for those who append.
func (o *Options) maxReplayed() int64 { return o.CacheBytes / 2 }

// makeRoom moves to segments what was replayed, if more than the memory for records is needed for it. On a full disk it
// stays as it is: trims and deletes must still be possible.
func (e *Engine) makeRoom() error {
	f, most := e.flusher, e.opts.startBytes
	if e.budget.used.Load() <= most || f.waiting() <= most/2 || f.isFull.Load() {
		return nil
	}
	err := f.removeFiles() // the segment that a log would go on with may be trimmed, and gone
	if err == nil {
		err = f.flushBefore(^lsn(0))
	}
	if isFullError(err) {
		f.setFull(err)
		return nil
	}
	return err
}

// stillThere returns the active segment, or none to go on with a new one if its file is missing. While the journal is
// read again that may be right: a trim or delete further on may have removed it before the crash. If none did,
// checkSegments finds it missing.
func (f *flusher) stillThere(l *logState, active segment) (segment, error) {
	_, err := f.e.opts.FS.Stat(f.e.path(segmentName(l.id, active.base)))
	if !errors.Is(err, fs.ErrNotExist) {
		return active, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.segments[len(l.segments)-1].sealed = true
	return segment{}, nil
}

// leftFrame is a frame that is left in the journal.
type leftFrame struct {
	file      uint32 // its number
	pos       int64
	length    int64
	base, end shard.Offset
	millis    int64
}

// What buf is of an entry that is left: file, bytes of all frames, position and time of the last one; then for each
// frame uvarints: by how much its position and time are higher than those of the one before, its length, and the number
// of its records.
const leftHeaderBytes = 24

// newLeft returns an entry that stands for one frame.
func newLeft(l *logState, p leftFrame, at lsn) *entry {
	en := &entry{log: l, base: p.base, end: p.base, millis: p.millis, at: at, left: true}
	en.buf = make([]byte, leftHeaderBytes, 48)
	binary.LittleEndian.PutUint32(en.buf, p.file)
	binary.LittleEndian.PutUint64(en.buf[16:], uint64(p.millis))
	en.addLeft(p)
	return en
}

// leave leaves a frame in the journal, as a start does, and returns what it costs.
func (l *logState) leave(p leftFrame, at lsn) (charge int64) {
	if n := len(l.cache); n > 0 && l.cache[n-1].left {
		last := l.cache[n-1]
		before := last.charge()
		if last.leave(p, min(l.e.opts.leftBytes, l.e.opts.SegmentBytes)) {
			return last.charge() - before
		}
	}
	en := newLeft(l, p, at)
	l.cache = append(l.cache, en)
	return en.charge()
}

// leave lets an entry stand for one more frame, if it can. Only a start does that.
func (en *entry) leave(p leftFrame, most int64) bool {
	le := binary.LittleEndian
	if !en.left || en.end != p.base || le.Uint32(en.buf) != p.file || en.size()+p.length > most ||
		p.pos < int64(le.Uint64(en.buf[8:])) || p.millis < en.newest() {
		return false
	}
	en.addLeft(p)
	return true
}

func (en *entry) addLeft(p leftFrame) {
	le := binary.LittleEndian
	b := binary.AppendUvarint(en.buf, uint64(p.pos)-le.Uint64(en.buf[8:]))
	b = binary.AppendUvarint(b, uint64(p.millis)-le.Uint64(b[16:]))
	b = binary.AppendUvarint(b, uint64(p.length))
	b = binary.AppendUvarint(b, uint64(p.end-p.base))
	le.PutUint32(b[4:], le.Uint32(b[4:])+uint32(p.length))
	le.PutUint64(b[8:], uint64(p.pos))
	le.PutUint64(b[16:], uint64(p.millis))
	en.buf, en.end = b, p.end
}

// leftFrames calls f for the frames that an entry stands for, until it returns false.
func (en *entry) leftFrames(f func(leftFrame) bool) {
	r := payloadReader{b: en.buf[leftHeaderBytes:]}
	p := leftFrame{file: binary.LittleEndian.Uint32(en.buf), end: en.base, millis: en.millis}
	for len(r.b) > 0 {
		p.pos += int64(r.uvarint())
		p.millis += int64(r.uvarint())
		p.length = int64(r.uvarint())
		p.base, p.end = p.end, p.end+shard.Offset(r.uvarint())
		if !f(p) {
			return
		}
	}
}

// size is the length of the entry's frames.
func (en *entry) size() int64 {
	if en.left {
		return int64(binary.LittleEndian.Uint32(en.buf[4:]))
	}
	return int64(len(en.buf))
}

// newest is the time of the entry's last record.
func (en *entry) newest() int64 {
	if en.left {
		return int64(binary.LittleEndian.Uint64(en.buf[16:]))
	}
	return en.millis
}

// since returns the offset of the entry's first record that is not older, which there must be.
func (en *entry) since(millis int64) shard.Offset {
	at := en.base
	if en.left {
		en.leftFrames(func(p leftFrame) bool {
			at = p.base
			return p.millis < millis
		})
	}
	return at
}

// errMoved says that a frame is not where it was left.
var errMoved = errors.New("the frame has left the journal")

// frames calls f for the frames of an entry that is left that hold an offset from the one given on, until it returns
// false or an error. errMoved comes with a *shard.CorruptError; which of them is right, the log knows.
func (en *entry) frames(from shard.Offset, f func(leftFrame, []byte) (bool, error)) (err error) {
	en.leftFrames(func(p leftFrame) bool {
		if p.end <= from {
			return true
		}
		var frame []byte
		if frame, err = en.fetch(p); err != nil {
			return false
		}
		more, stop := f(p, frame)
		err = stop
		return more && err == nil
	})
	return err
}

// fetch reads one of the frames that the entry stands for.
func (en *entry) fetch(p leftFrame) ([]byte, error) {
	f := en.log.e.journal.file(int(p.file))
	b := make([]byte, p.length)
	if n, err := f.f.ReadAt(b, p.pos); n < len(b) {
		return nil, fmt.Errorf("read %s: %w", f.name, err)
	}
	h, err := checkFrame(b)
	if err == nil && (h.length != p.length || h.kind != frameRecords || h.log != en.log.id || h.base != p.base || h.end() != p.end) {
		err = errors.New("another frame is here")
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errMoved, en.log.e.corrupt(f.name, p.pos, "%v", err))
	}
	return b, nil
}

// holdsLeft tells whether an entry that is left in the journal is still in the cache: then its frames must be there.
func (l *logState) holdsLeft(en *entry) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cacheIndex(en) >= 0
}

// cacheIndex returns where an entry is in the cache, −1 if it is not. The lock is held.
func (l *logState) cacheIndex(en *entry) int {
	i := sort.Search(len(l.cache), func(i int) bool { return l.cache[i].end >= en.end })
	if i == len(l.cache) || l.cache[i] != en {
		return -1
	}
	return i
}

// fetch puts entries with their frames in the place of those in the chunk that are left in the journal, and returns the
// chunk with them. Not ok: the log does not hold some of them any more.
func (f *flusher) fetch(l *logState, chunk []*entry) (with []*entry, ok bool, err error) {
	if !slices.ContainsFunc(chunk, func(en *entry) bool { return en.left }) {
		return chunk, true, nil
	}
	fetched := make([][]*entry, len(chunk))
	more := int64(0)
	for i, en := range chunk {
		if !en.left {
			continue
		}
		err := en.frames(math.MinInt64, func(p leftFrame, frame []byte) (bool, error) {
			fetched[i] = append(fetched[i], &entry{log: l, buf: frame, base: p.base, end: p.end, millis: p.millis, at: en.at})
			return true, nil
		})
		if err != nil && !l.holdsLeft(en) {
			return nil, false, nil // trimmed, or the log deleted
		}
		if err != nil {
			return nil, false, fmt.Errorf("move records from the journal: %w", err)
		}
		more += charges(fetched[i]) - en.charge()
	}
	f.e.budget.force(more)
	with, unused := f.exchange(l, chunk, fetched)
	f.e.budget.release(unused)
	return with, true, nil
}

// charges is what entries count for in the cache bound.
func charges(entries []*entry) (n int64) {
	for _, en := range entries {
		n += en.charge()
	}
	return n
}

// exchange is the part of fetch under the log's lock. It returns the new chunk, and what was charged for entries that
// are not needed.
func (f *flusher) exchange(l *logState, chunk []*entry, fetched [][]*entry) (with []*entry, unused int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	grown := int64(0)
	for i, frames := range fetched {
		if frames == nil {
			with = append(with, chunk[i])
			continue
		}
		with = append(with, frames...)
		more := charges(frames) - chunk[i].charge()
		if k := l.cacheIndex(chunk[i]); k >= 0 && !chunk[i].flushed {
			l.cache = slices.Replace(l.cache, k, k+1, frames...)
			grown += more
			continue
		}
		unused += more
		for _, en := range frames {
			en.flushed = true
		}
	}
	l.unflushed += grown
	f.mu.Lock()
	f.unflushed += grown
	f.mu.Unlock()
	return with, unused
}
