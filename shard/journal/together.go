package journal

import (
	"fmt"
	"math"
	"slices"
	"sort"

	"github.com/seed-462d9463/sluice/internal/yield"
)

// With many logs each has a record here and another there in the journal. To read one by one costs as much as all else that
// moving them takes, and where the journal is not in memory the disk is asked for each, which takes a hundred times as long. So logs
// whose ids follow one another are moved together: the shares of a batch lie in the order of their logs' ids (committer.sort), and
// what these logs have in a batch is read at once.
const (
	// togetherBytes bounds the memory for what is read together, and togetherPart is the part of the cache bound that it may
	// take, beside the cache. It is there only in rounds in which records are moved so.
	togetherBytes = 16 << 20
	togetherPart  = 8
	// togetherPlaces bounds what is to be remembered of it, and how often the disk is asked before the first log is written.
	togetherPlaces = 1 << extentBits
	extentBits     = 14
	// togetherLooks is how many logs in a row are passed over in search of the next one that goes with others.
	togetherLooks = 64
	// fewPlaces is how many places a log must have in the journal alone to be moved together with others, and shortPlaces how
	// long these may be in the mean: to read long ones each by itself costs no more than copying.
	fewPlaces   = 8
	shortPlaces = 8 << 10
	// littleBytes is how much a log that goes with others may have to move. Few logs with much each would be read and then written
	// one behind the other, and commits would have to wait for all of these writes; by themselves they are read in between.
	littleBytes = 256 << 10
	// runBytes bounds what is read at once before it is taken apart, so that it stays near the processor.
	runBytes = 128 << 10
)

// moving says how logs are moved to their segments.
type moving struct {
	upTo    lsn                  // as flushLog has it
	due     lsn                  // who has nothing before this does not go with another log
	like    func(*logState) bool // nor who is not like it; called with the log's lock held
	between func() (bool, error) // does what is more urgent than the next log, and tells whether to go on with that
	pacer   *pacer
}

// move flushes a log as flushLog does, and others with it if its records are scattered over the journal.
func (f *flusher) move(l *logState, m moving) error {
	t := &f.together
	t.collect(f, l, m)
	if len(t.members) < 2 {
		return f.moveAlone(l, m)
	}
	if err := t.read(f); err != nil {
		return err
	}
	for i := range t.members {
		if i > 0 {
			if goOn, err := m.between(); err != nil || !goOn {
				return err
			}
		}
		if err := f.moveMember(&t.members[i], m); err != nil {
			return err
		}
	}
	return nil
}

// moveAlone flushes a log as flushLog does.
func (f *flusher) moveAlone(l *logState, m moving) error { return f.flushLog(l, m.upTo, m.pacer) }

// moveMember flushes one of the logs that have been read together: what was read, if it is still what comes first, and in any
// case what there is beside it.
func (f *flusher) moveMember(b *member, m moving) error {
	t, l := &f.together, b.log
	places, buf := t.places[b.first:b.behind], t.buf[b.at:b.at+segmentHeaderBytes+int(b.chunk.bytes)]
	if active, ok := l.beginsWith(places[0]); ok && l.hasAll(places, buf[segmentHeaderBytes:]) {
		if err := f.flushChunk(l, active, &b.chunk, buf); err != nil {
			return err
		}
		f.moved(b.chunk.bytes, m.pacer)
	}
	return f.moveAlone(l, m)
}

// together is what is moved together.
type together struct {
	members []member
	places  []place  // of all members
	extents []extent // the same, and where they go
	sorted  []extent // memory for sort
	order   []uint64 // likewise
	copies  []copied
	bytes   int // that buf needs
	buf     []byte
	run     []byte
}

// drop gives the memory back.
func (t *together) drop() { *t = together{} }

// member is a log that is moved together with others, with the chunk of it that comes first.
type member struct {
	log           *logState
	chunk         chunk // without places and parts
	at            int   // in buf: room for a segment's header, and then the chunk's frames
	first, behind int   // its places
}

// extent is where frames are in the journal, and where they go in buf.
type extent struct {
	at    lsn
	bytes uint32
	to    uint32
}

// copied are frames in memory, and where they go in buf.
type copied struct {
	frames []byte
	to     int
}

// collect takes in a log and those that go with it, if it is scattered.
func (t *together) collect(f *flusher, l *logState, m moving) {
	clear(t.copies)
	t.members, t.places, t.extents, t.copies, t.bytes = t.members[:0], t.places[:0], t.extents[:0], t.copies[:0], 0
	if f.isFull.Load() || !l.scattered(m) || !t.take(f, l, m.upTo) {
		return
	}
	logs := f.e.table.all()
	i := sort.Search(len(logs), func(i int) bool { return logs[i].id > l.id })
	for passed := 0; i < len(logs) && passed < togetherLooks; i++ {
		passed++
		if !logs[i].scattered(m) {
			continue
		}
		if !t.take(f, logs[i], m.upTo) {
			return
		}
		passed = 0
	}
}

// scattered tells whether the log's records are due, and in so many short places that to read each by itself is dear.
func (l *logState) scattered(m moving) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	few := l.e.opts.fewPlaces
	if l.gone || len(l.left) < few || l.left[0].at >= m.due || l.unflushed > littleBytes {
		return false
	}
	bytes := int64(0)
	for i := range l.left[:few] {
		bytes += int64(l.left[i].bytes)
	}
	return bytes <= int64(few)*shortPlaces && m.like(l)
}

// take takes in what is to be flushed of a log first, if there is room for it.
func (t *together) take(f *flusher, l *logState, upTo lsn) bool {
	c := &f.chunk
	_, some := l.nextChunk(upTo, c)
	defer clear(c.parts)
	if !some || len(c.places) == 0 {
		return true // not any more
	}
	b := member{log: l, chunk: chunk{base: c.base, end: c.end, millis: c.millis, bytes: c.bytes}, at: t.bytes, first: len(t.places)}
	need := segmentHeaderBytes + int(c.bytes)
	if int64(t.bytes+need) > f.e.mostTogether() || len(t.places)+len(c.places)+len(t.copies)+len(c.parts) > togetherPlaces {
		return false
	}
	t.bytes += need
	t.places = append(t.places, c.places...)
	to := b.at + segmentHeaderBytes
	for i := range c.places {
		p := &c.places[i]
		t.extents = append(t.extents, extent{at: p.at + lsn(p.skip), bytes: p.bytes, to: uint32(to)})
		to += int(p.bytes)
	}
	for i := range c.parts {
		t.copies = append(t.copies, copied{c.parts[i].frames, to})
		to += len(c.parts[i].frames)
	}
	b.behind = len(t.places)
	t.members = append(t.members, b)
	return true
}

// mostTogether bounds the memory for what is moved together.
func (e *Engine) mostTogether() int64 { return min(togetherBytes, e.opts.CacheBytes/togetherPart) }

// read reads all that has been taken in. What is in the journal no more it leaves as zeros.
func (t *together) read(f *flusher) error {
	if cap(t.buf) < t.bytes {
		t.buf = nil // before there is another one
		t.buf = make([]byte, min(2*int64(t.bytes), f.e.mostTogether()))
	}
	t.buf = t.buf[:cap(t.buf)]
	for _, c := range t.copies {
		copy(t.buf[c.to:], c.frames)
	}
	clear(t.copies)
	t.sort()
	since := 0
	for left := t.extents; len(left) > 0; {
		n, bytes := 1, int(left[0].bytes)
		for n < len(left) && left[n].at == left[0].at+lsn(bytes) && bytes+int(left[n].bytes) <= runBytes {
			bytes += int(left[n].bytes)
			n++
		}
		if err := t.readRun(f.e.journal, left[:n], bytes); err != nil {
			return fmt.Errorf("move records from the journal: %w", err)
		}
		left = left[n:]
		if since += max(bytes, blockBytes); since >= yield.Each { // a disk that is asked for few bytes takes its time, too
			since = 0
			yield.Core()
			if err := f.markDue(); err != nil {
				return err
			}
		}
	}
	return nil
}

// sort puts the extents in the order in which they are in the journal. Numbers are sorted much faster than they: how far behind the
// first one each is, and then which one it is.
func (t *together) sort() {
	first := lsn(math.MaxUint64)
	for _, x := range t.extents {
		first = min(first, x.at)
	}
	t.order, t.sorted = t.order[:0], t.sorted[:0]
	for i, x := range t.extents {
		t.order = append(t.order, uint64(x.at-first)<<extentBits|uint64(i))
	}
	slices.Sort(t.order)
	for _, key := range t.order {
		t.sorted = append(t.sorted, t.extents[key&(1<<extentBits-1)])
	}
	t.extents, t.sorted = t.sorted, t.extents
}

// readRun reads extents that lie back to back in the journal.
func (t *together) readRun(j *journal, extents []extent, bytes int) error {
	single := len(extents) == 1
	if !single && t.run == nil {
		t.run = make([]byte, runBytes)
	}
	run := t.run
	if single {
		run = t.buf[extents[0].to:]
	}
	run = run[:bytes]
	if file, pos := j.locate(extents[0].at); file == nil {
		clear(run)
	} else if n, err := file.f.ReadAt(run, pos); n < bytes {
		return fmt.Errorf("read %s: %w", file.name, err)
	}
	if single {
		return nil
	}
	for _, x := range extents {
		run = run[copy(t.buf[x.to:], run[:x.bytes]):]
	}
	return nil
}

// beginsWith tells whether a place is still the first of what is to be flushed, and returns the segment that the log writes to.
func (l *logState) beginsWith(p place) (active segment, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone || len(l.left) == 0 || l.left[0] != p {
		return segment{}, false
	}
	return l.active(), true
}

// hasAll tells whether the frames of places are what they should be.
func (l *logState) hasAll(places []place, frames []byte) bool {
	for len(places) > 0 {
		n, bytes := adjoining(places)
		if _, _, err := l.check(places[:n], frames[:bytes]); err != nil {
			return false
		}
		places, frames = places[n:], frames[bytes:]
	}
	return true
}
