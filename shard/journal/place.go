package journal

import (
	"errors"
	"fmt"
	"sort"

	"github.com/seed-462d9463/sluice/shard"
)

// What is durable need not be in memory, nor in segments: it is in the journal. A place says where frames of one log
// that follow each other lie there. So the cache can give back the memory of what nobody has moved to segments yet, and
// a start takes in a full journal without writing anything.
//
// A place cannot be written over while its log holds it, for then it is not flushed, and no checkpoint passes it. A
// reader that has it from before sees by the sums that it has been, and looks again.

const (
	// placeBytes is how long the frames of one place are, unless it is a single one that is longer: who looks for one of
	// them passes over those before it.
	placeBytes = 64 << 10
	// placeCharge is what a place counts for in the cache bound: half as much again as its size, since lists grow ahead.
	placeCharge = 64
	// firstPlaces is for how many a list is made.
	firstPlaces = 8
)

// place is where frames of a log are in the journal.
type place struct {
	base, end shard.Offset
	millis    int64 // of the first frame
	at        lsn   // of the batch
	skip      uint32
	bytes     uint32 // of the frames, which begin skip bytes behind the batch's beginning
}

// follows tells whether the place lies right behind another one.
func (p *place) follows(before *place) bool {
	return p.at == before.at && p.skip == before.skip+before.bytes && p.base == before.end
}

// replayed takes note of a frame that a start has found in the journal.
func (l *logState) replayed(h *frameHeader, at lsn, skip int64) (charge int64) {
	p := place{base: h.base, end: h.end(), millis: h.millis, at: at, skip: uint32(skip), bytes: uint32(h.length)}
	if n := len(l.left); n > 0 {
		if last := &l.left[n-1]; p.follows(last) && int64(last.bytes+p.bytes) <= l.e.opts.placeBytes {
			last.end, last.bytes = p.end, last.bytes+p.bytes
			return 0
		}
	}
	l.left = append(l.left, p)
	l.e.flusher.leave(1)
	return placeCharge
}

// unleave drops the places that end at or before an offset, and returns the bytes that need no flush any more and what
// the places were charged. The lock is held.
func (l *logState) unleave(before shard.Offset) (unflushed, freed int64) {
	n := 0
	for n < len(l.left) && l.left[n].end <= before {
		unflushed += int64(l.left[n].bytes)
		l.flushed = max(l.flushed, l.left[n].end)
		n++
	}
	if n == len(l.left) {
		l.left = nil
	} else {
		l.left = l.left[n:]
	}
	l.e.flusher.leave(-n)
	return unflushed, int64(n) * placeCharge
}

// placesFrom returns places from the one that holds an offset on, those of one turn that the collector may have room for. The
// lock is held.
func (l *logState) placesFrom(from shard.Offset, c *collector) []place {
	most := min(turnBytes, 2*int64(c.bytes))
	i := sort.Search(len(l.left), func(i int) bool { return l.left[i].end > from })
	n, bytes := i, int64(0)
	for n < len(l.left) && (n == i || bytes+int64(l.left[n].bytes) <= most && int64(l.left[n].base-from) < int64(c.left)) {
		bytes += int64(l.left[n].bytes)
		n++
	}
	return append([]place(nil), l.left[i:n]...)
}

// holdsPlace tells whether a place is still the log's: then its frames must be there.
func (l *logState) holdsPlace(p place) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := sort.Search(len(l.left), func(i int) bool { return l.left[i].end >= p.end })
	return i < len(l.left) && l.left[i] == p
}

// errMoved is of all movedErrors.
var errMoved = errors.New("the frames have left the journal")

// movedError says that frames are not where they were left: they are damaged, or have been moved. Which of the two is
// right, the log knows. The text is that of damage, and has what is advised later.
type movedError struct{ error } // a *shard.CorruptError

func (e movedError) Unwrap() error { return e.error }

func (e movedError) Is(target error) bool { return target == errMoved }

// adjoining returns how many of the places, at least one, lie back to back, and the bytes of them.
func adjoining(places []place) (n int, bytes int64) {
	for n = 1; n < len(places) && places[n].follows(&places[n-1]); n++ {
	}
	for _, p := range places[:n] {
		bytes += int64(p.bytes)
	}
	return n, bytes
}

// fetch reads the frames of places that lie back to back into a buffer of that length, with read to read a journal file. With
// an error it returns those before what is damaged.
func (l *logState) fetch(places []place, buf []byte, read func(*journalFile, []byte, int64) (int, error)) (frames []byte, next shard.Offset, err error) {
	first := &places[0]
	next = first.base
	file, pos := l.e.journal.locate(first.at)
	if file == nil {
		return nil, next, movedError{l.e.corrupt(journalDir, 0, "no file holds LSN %d", first.at)}
	}
	pos += int64(first.skip)
	if n, err := read(file, buf, pos); n < len(buf) {
		return nil, next, fmt.Errorf("read %s: %w", file.name, err)
	}
	good, next, err := l.check(places, buf)
	if err != nil {
		return buf[:good], next, movedError{l.e.corrupt(file.name, pos+int64(good), "%v", err)}
	}
	return buf, next, nil
}

// check returns how many bytes are the frames of places that lie back to back, the offset behind these, and what is wrong behind
// them.
func (l *logState) check(places []place, frames []byte) (good int, next shard.Offset, err error) {
	next, end := places[0].base, places[len(places)-1].end
	for good < len(frames) {
		h, err := checkFrame(frames[good:])
		if err == nil && (h.kind != frameRecords || h.dir != l.e.journal.dir() || h.log != l.id || h.base != next || h.end() > end) {
			err = errors.New("another frame is here")
		}
		if err != nil {
			return good, next, err
		}
		good, next = good+int(h.length), h.end()
	}
	if next != end {
		return good, next, fmt.Errorf("offset %d is not there", next)
	}
	return good, next, nil
}

// readDirect reads a journal file.
func readDirect(f *journalFile, b []byte, pos int64) (int, error) { return f.f.ReadAt(b, pos) }
