package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/journal/internal/mutant"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

// flusher does everything behind the acknowledgement, in one goroutine: it moves durable records from the cache and the
// journal to their segments, checkpoints and frees journal files, and removes the files of what was trimmed or deleted.
// It sleeps until there is work.
//
// It alone changes segment files and the lists of segments.
type flusher struct {
	e       *Engine
	kicked  chan struct{}
	stopped chan struct{} // closed by the engine to end run
	begun   time.Time

	telling sync.Mutex // held while all are told that the disk is full, or has room again

	unflushed atomic.Int64 // bytes
	places    atomic.Int64 // in the memory of all logs

	mu        sync.Mutex // guards what follows; no other lock is taken under it
	fresh     logHeap    // logs with unflushed records, by the LSN of the oldest
	lazy      logHeap    // the same, those that flushAhead leaves alone
	trims     []*logState
	doomed    []*logState
	oversized []*logState // may take more than their bound, see retain.go
	stalled   bool        // the committer waits for a journal file
	full      error

	replacements []replacement // to be applied
	recordDue    bool          // a snapshot should say what has been replaced

	looked chan struct{} // closed when a round of work ends, if somebody waits for it
	ended  uint64        // number of the last one of which it was closed, or nobody waited

	started  uint64        // number of the last round of work
	finished atomic.Uint64 // number of the last round of work that has ended
	growFrom atomic.Uint64 // LSN from which another journal file may be made: there was no space for one
	lookedAt atomic.Uint64 // LSN, when the free space was last looked at
	lastTry  atomic.Int64  // when the full disk was last looked at, in time since begun: a clock that is set back changes nothing
	isFull   atomic.Bool   // full != nil
	low      atomic.Bool   // there is little space, see watchSpace

	snapshotBytes atomic.Int64 // of the newest one

	// Of the goroutine alone.
	short     error                 // what the last look at the free space in this round of work has found
	sinceFree int64                 // bytes flushed since the free space was looked at
	warned    time.Time             // when it was last warned of little space
	dirty     map[fileKey]*openFile // written since they were last synced
	dirs      map[uint64]bool       // directories of segments that are there; true: their names are durable
	loose     bool                  // some more are not synced, but not kept open: only tree can do it
	behind    writebacks            // what is on its way to them
	tree      vfs.Tree              // of all segments; nil where there is no such thing
	newFiles  map[uint64]struct{}   // directories with new segments that are not synced
	snapshot  uint64                // number of the newest snapshot
	loaded    []byte                // the snapshot that a start went out from, until its copy has been looked at
	replaced  []fileKey             // plain files that are not needed after the next snapshot
	replays   bool                  // recovery, alone then, applies again what the journal says
	hurry     bool                  // the committer was waiting for a journal file when this work began
	buf       []byte
	chunk     chunk
	together  together
}

func newFlusher(e *Engine) *flusher {
	return &flusher{
		e: e, kicked: make(chan struct{}, 1), stopped: make(chan struct{}), begun: time.Now(),
		dirty: map[fileKey]*openFile{}, dirs: map[uint64]bool{}, newFiles: map[uint64]struct{}{}, sinceFree: freeEvery,
		behind: writebacks{files: e.files, most: min(behindFiles, e.opts.MaxOpenFiles/4)},
	}
}

// journalFull says that the committer waits for a journal file, and returns the number of a round of work that begins
// after this.
func (f *flusher) journalFull() (round uint64) {
	f.mu.Lock()
	f.stalled = true
	round = f.started + 1
	f.mu.Unlock()
	signal(f.kicked)
	return round
}

// run is the flusher's goroutine.
func (f *flusher) run() {
	for {
		work, last := f.work, false
		select {
		case <-f.kicked:
		case <-f.stopped:
			work, last = f.finish, true
		case <-f.e.failed:
		}
		if f.e.Err() != nil {
			return // whatever else is due: nothing is known about the disk any more
		}
		if err := work(); err != nil {
			f.e.fail(err)
		}
		if last {
			return
		}
	}
}

// work does what is due. A full disk is not an error here: it is noted, and the rest waits.
func (f *flusher) work() error {
	f.mu.Lock()
	f.started++
	round := f.started
	f.mu.Unlock()
	defer f.endRound(round)
	if err := f.markDue(); err != nil {
		return err
	}
	f.shrinkOversized()
	if err := f.removeFiles(); err != nil {
		return err
	}
	if err := f.applyReplacements(); err != nil {
		return err
	}
	f.short = f.checkFree()
	err := f.flushAhead(f.pressing)
	if err == nil {
		err = f.flushDue()
	}
	if err == nil {
		err = f.checkpointDue()
	}
	f.finished.Store(round)
	if err == nil {
		f.setFull(f.short)
		if f.oldestDue(false) != nil || f.aheadDue() {
			signal(f.kicked)
		}
		return nil
	}
	if isFullError(err) {
		f.setFull(err)
		return nil
	}
	return err
}

// finish flushes everything and checkpoints. What does not fit on a full disk stays in the journal.
func (f *flusher) finish() error {
	defer f.behind.forget()
	err := f.removeFiles()
	if err == nil {
		err = f.applyReplacements()
	}
	if err == nil {
		err = f.flushBefore(^lsn(0))
	}
	if err == nil || isFullError(err) {
		err = f.checkpoint()
	}
	if isFullError(err) {
		f.e.opts.Logger.Warn("closing with a full disk: the journal is read again at the next start", "error", err)
		return nil
	}
	return err
}

// flushLog writes what is durable of a log and lies before an LSN to its segments, and what follows if that is little.
func (f *flusher) flushLog(l *logState, before lsn, p *pacer) error {
	c := &f.chunk
	for {
		active, some := l.nextChunk(before, c)
		if !some {
			return nil
		}
		buf, err := f.gather(l, c)
		if errors.Is(err, errMoved) && !l.holdsPlace(c.places[0]) {
			continue // trimmed, or the log deleted
		}
		if err != nil {
			f.e.advise(err)
			return fmt.Errorf("move records from the journal: %w", err)
		}
		if err := f.flushChunk(l, active, c, buf); err != nil {
			return err
		}
		f.moved(c.bytes, p)
	}
}

// moved does what is due between chunks in a long round.
func (f *flusher) moved(bytes int64, p *pacer) {
	p.step(bytes)
	if f.lookDue() && !f.isFull.Load() && !f.replays {
		if f.short = f.checkFree(); f.short != nil {
			f.setFull(f.short)
		}
	}
}

// flushChunk writes a chunk behind a log's active segment, or to a new one. The frames in buf have room for a header before
// them.
func (f *flusher) flushChunk(l *logState, active segment, c *chunk, buf []byte) error {
	if active.bytes > 0 && f.replays {
		var err error
		if active, err = f.stillThere(l, active); err != nil {
			return err
		}
	}
	if active.bytes > 0 && f.sealDue(active, c) {
		if err := f.seal(l, active); err != nil {
			return err
		}
		f.shrink(l)
		active = segment{}
	}
	fresh := active.bytes == 0
	file, err := f.openActive(l, &active, c)
	if err != nil {
		return err
	}
	pos := active.bytes
	err = f.write(l, file, fresh, pos, c, buf)
	f.e.files.release(file)
	if err != nil && fresh { // what there is of it must not be in the way of the next attempt
		return errors.Join(err, f.removeSegment(active.key(l.id)))
	}
	if err != nil {
		return err
	}
	frames := buf[segmentHeaderBytes:]
	active.end, active.bytes = c.end, pos+int64(len(frames))
	f.flushed(l, active, frames, pos)
	f.sinceFree += c.bytes
	f.e.metrics.flushed(c.bytes)
	if err := f.markDue(); err != nil {
		return err
	}
	return f.manyDirty()
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

// sealDue tells whether the active segment should be sealed before the chunk.
func (f *flusher) sealDue(active segment, c *chunk) bool {
	return active.bytes+c.bytes > f.e.opts.SegmentBytes ||
		c.millis-active.firstMillis >= f.e.opts.SegmentAge.Milliseconds()
}

// openActive opens the active segment, or makes a new one that begins with the chunk.
func (f *flusher) openActive(l *logState, active *segment, c *chunk) (*openFile, error) {
	if active.bytes > 0 {
		file, err := f.acquire(active.key(l.id), false)
		if err != nil {
			return nil, fmt.Errorf("open segment: %w", missing(err, f.e.path(segmentName(l.id, active.base))))
		}
		f.markDirty(file)
		if l.allocated == 0 {
			if err := cutTail(file, active.bytes); err != nil {
				return nil, f.release(file, err)
			}
			l.allocated = active.bytes
		}
		return file, nil
	}
	*active = segment{base: c.base, end: c.base, firstMillis: c.millis, lastMillis: c.millis}
	if _, ok := f.newFiles[dirOf(l.id)]; !ok {
		if err := f.makeDir(dirOf(l.id)); err != nil {
			return nil, err
		}
		f.newFiles[dirOf(l.id)] = struct{}{}
	}
	file, err := f.acquire(active.key(l.id), true)
	if errors.Is(err, fs.ErrExist) { // of a process that was killed, while the journal is read again
		if err := f.removeSegment(active.key(l.id)); err != nil {
			return nil, err
		}
		file, err = f.acquire(active.key(l.id), true)
	}
	if err != nil {
		return nil, fmt.Errorf("make segment: %w", fullIfNoSpace(err))
	}
	l.allocated = 0
	active.bytes = segmentHeaderBytes
	f.markDirty(file)
	return file, nil
}

// makeDir makes a directory of segments. One that is there may be of a process that was killed, or failed, before its
// name was durable: if no segment is known in it, it is made again.
func (f *flusher) makeDir(n uint64) error {
	dir := f.e.path(dirName(n))
	if _, known := f.dirs[n]; known {
		_, err := f.e.opts.FS.Stat(dir)
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		// A delete further on in the journal has removed it already.
	}
	if mutant.On(mutant.TrustNewDirs) {
		if _, err := f.e.opts.FS.Stat(dir); err == nil {
			f.dirs[n] = true
			return nil
		}
	}
	if err := removeDir(f.e.opts.FS, dir); err != nil {
		return err
	}
	if err := f.e.opts.FS.MkdirAll(dir); err != nil {
		return fullIfNoSpace(err)
	}
	f.dirs[n] = false
	return nil
}

// cutTail removes what a crash left behind the bytes that count: it must not look like a part of the segment to
// anybody.
func cutTail(file *openFile, bytes int64) error {
	size, err := file.Size()
	if err == nil && size > bytes {
		err = file.Truncate(bytes)
	}
	if err != nil {
		return fmt.Errorf("cut segment: %w", fullIfNoSpace(err))
	}
	return nil
}

// release gives a file back after an error.
func (f *flusher) release(file *openFile, err error) error {
	f.e.files.release(file)
	return err
}

// write puts the chunk's frames at a position, behind the header if the file is fresh, after making sure that there is
// room for them.
func (f *flusher) write(l *logState, file *openFile, fresh bool, pos int64, c *chunk, buf []byte) error {
	// Ahead of a growing segment, so that it lies together on disk; but never much for a small one.
	ahead := max(c.bytes, min(pos, 4<<20))
	if pos+c.bytes > l.allocated {
		to := alignUp(pos + ahead)
		if err := file.Preallocate(pos, to-pos); err != nil {
			return fmt.Errorf("grow segment: %w", fullIfNoSpace(err))
		}
		l.allocated = to
	}
	if fresh {
		copy(buf, segmentHeader(l.id, c.base))
		pos = 0
	} else {
		buf = buf[segmentHeaderBytes:]
	}
	if _, err := file.WriteAt(buf, pos); err != nil {
		return fmt.Errorf("write segment: %w", fullIfNoSpace(err))
	}
	if err := f.behind.start(file, pos, int64(len(buf))); err != nil {
		return fmt.Errorf("write segment: %w", err)
	}
	return nil
}

// flushed takes note that frames are in the active segment from a position on.
func (f *flusher) flushed(l *logState, active segment, frames []byte, pos int64) {
	l.mu.Lock()
	if l.gone {
		l.mu.Unlock()
		return
	}
	if !l.isActive(active.base) {
		l.segments = append(l.segments, active)
		l.index = activeIndex{}
	}
	for len(frames) > 0 {
		h := frameAt(frames)
		l.index.entries = addIndex(l.index.entries, &h, pos)
		pos, frames, active.lastMillis = pos+h.length, frames[h.length:], h.millis
	}
	l.segments[len(l.segments)-1] = active
	unflushed, freed := l.unleave(active.end)
	for i := l.unflushedAt(); i < len(l.cache) && l.cache[i].end <= active.end; i++ {
		unflushed += l.cache[i].bytes
	}
	l.flushed = max(l.flushed, active.end)
	l.unflushed -= unflushed
	f.unflushed.Add(-unflushed)
	f.mu.Lock()
	f.requeue(l)
	f.mu.Unlock()
	l.mu.Unlock()
	f.e.budget.release(freed)
}

// acquire is openFiles.acquire with patience.
func (f *flusher) acquire(key fileKey, create bool) (file *openFile, err error) {
	err = f.e.patiently(tooManyFiles, func() error {
		file, err = f.e.files.acquire(key, create)
		return err
	})
	return file, err
}

// seal completes the active segment with its index.
func (f *flusher) seal(l *logState, active segment) error {
	file, err := f.acquire(active.key(l.id), false)
	if err != nil {
		return fmt.Errorf("seal segment: %w", missing(err, f.e.path(segmentName(l.id, active.base))))
	}
	defer f.e.files.release(file)
	index, err := l.indexOf(file, file, active) // without turns, in which it might wait for many readers
	var damaged *shard.CorruptError
	if err != nil && !errors.As(err, &damaged) {
		return err
	}
	f.markDirty(file)
	// A damaged segment keeps what can be read of it; reads find out, as they would without a footer.
	if err == nil {
		if _, err := file.WriteAt(encodeFooter(index), active.bytes); err != nil {
			return fmt.Errorf("seal segment: %w", fullIfNoSpace(err))
		}
	}
	size := active.bytes
	if err == nil {
		size += footerHeaderBytes + int64(len(index))*indexEntryBytes
	}
	if err := file.Truncate(size); err != nil { // gives back what was preallocated
		return fmt.Errorf("seal segment: %w", fullIfNoSpace(err))
	}
	l.mu.Lock()
	if l.isActive(active.base) {
		l.segments[len(l.segments)-1].sealed = true
		l.index = activeIndex{}
	}
	l.mu.Unlock()
	f.e.compressor.note(l)
	return nil
}
