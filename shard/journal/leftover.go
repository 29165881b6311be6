package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sort"
)

// A start may find more in the journal than the memory for records holds. What is too much stays where it is: such an
// entry is left in the journal, and knows the place of its frame instead of the frame. So a start writes nothing, and
// takes no longer, or more memory, when the journal is full.
//
// The flusher fetches the frames when it moves them to segments, by putting new entries in the place of those that are
// left. Readers that meet one read the journal. It cannot be written over while the log holds the entry, since it is
// not flushed; a reader that has it from before sees by the sums that it has been, and looks again.

// leftCharge is what an entry that is left in the journal takes of memory.
const leftCharge = 160

// maxReplayed is the share of the memory for records that a start fills: what is left is for those who append.
func (o *Options) maxReplayed() int64 { return o.CacheBytes / 2 }

// place is where a frame is in the journal.
type place struct {
	file   uint32 // its number
	pos    int64
	length int64
}

func (p place) encode() []byte {
	b := make([]byte, 0, 24)
	b = binary.LittleEndian.AppendUint32(b, p.file)
	b = binary.LittleEndian.AppendUint64(b, uint64(p.pos))
	return binary.LittleEndian.AppendUint64(b, uint64(p.length))
}

func decodePlace(b []byte) place {
	return place{
		file: binary.LittleEndian.Uint32(b), pos: int64(binary.LittleEndian.Uint64(b[4:])), length: int64(binary.LittleEndian.Uint64(b[12:])),
	}
}

// size is the length of the entry's frame.
func (en *entry) size() int64 {
	if en.left {
		return decodePlace(en.buf).length
	}
	return int64(len(en.buf))
}

// errMoved says that a frame is not where it was left.
var errMoved = errors.New("the frame has left the journal")

// frame returns the entry's frame. errMoved comes with a *shard.CorruptError; which of them is right, the log knows.
func (en *entry) frame() ([]byte, error) {
	if !en.left {
		return en.buf, nil
	}
	p := decodePlace(en.buf)
	f := en.log.e.journal.file(int(p.file))
	b := make([]byte, p.length)
	if n, err := f.f.ReadAt(b, p.pos); n < len(b) {
		return nil, fmt.Errorf("read %s: %w", f.name, err)
	}
	h, err := checkFrame(b)
	if err == nil && (h.length != p.length || h.kind != frameRecords || h.log != en.log.id || h.base != en.base || h.end() != en.end) {
		err = errors.New("another frame is here")
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errMoved, en.log.e.corrupt(f.name, p.pos, "%v", err))
	}
	return b, nil
}

// holdsLeft tells whether an entry that is left in the journal is still in the cache: then its frame must be there.
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

// fetch puts entries with their frames in the place of those in the chunk that are left in the journal. Not ok: the
// log does not hold some of them any more.
func (f *flusher) fetch(l *logState, chunk []*entry) (ok bool, err error) {
	if !slices.ContainsFunc(chunk, func(en *entry) bool { return en.left }) {
		return true, nil
	}
	fetched := make([]*entry, len(chunk))
	more := int64(0)
	for i, en := range chunk {
		if !en.left {
			continue
		}
		frame, err := en.frame()
		if err != nil && !l.holdsLeft(en) {
			return false, nil // trimmed, or the log deleted
		}
		if err != nil {
			return false, fmt.Errorf("move records from the journal: %w", err)
		}
		fetched[i] = &entry{log: l, buf: frame, base: en.base, end: en.end, millis: en.millis, at: en.at}
		more += fetched[i].charge() - en.charge()
	}
	f.e.budget.force(more)
	unused := f.exchange(l, chunk, fetched)
	f.e.budget.release(unused)
	return true, nil
}

// exchange is the part of fetch under the log's lock. It returns what was charged for entries that are not needed.
func (f *flusher) exchange(l *logState, chunk, fetched []*entry) (unused int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	grown := int64(0)
	for i, en := range fetched {
		if en == nil {
			continue
		}
		more := en.charge() - chunk[i].charge()
		if k := l.cacheIndex(chunk[i]); k >= 0 && !chunk[i].flushed {
			l.cache[k] = en
			grown += more
		} else {
			en.flushed = true
			unused += more
		}
		chunk[i] = en
	}
	l.unflushed += grown
	f.mu.Lock()
	f.unflushed += grown
	f.mu.Unlock()
	return unused
}
