package journal

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"sync"

	"github.com/seed-462d9463/sluice/shard/journal/internal/mutant"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

const journalDir = "journal"

// maxJournalFiles bounds how many journal files there may be.
const maxJournalFiles = 9999

// journalFile is one of the files that are written in turn. Its bytes are in use while end > the checkpoint.
type journalFile struct {
	name       string // within the data directory
	f          vfs.File
	size       int64
	generation uint64
	start      lsn  // of the first batch of this generation
	end        lsn  // after the last one
	free       bool // it is in journal.free
}

// journal is the set of journal files. The committer alone writes; the flusher makes files, and frees them.
type journal struct {
	id      uint64
	epoch   uint64
	reserve int64 // room that records leave for changes of the table when there is no other file

	freed chan struct{} // tells the committer that room was made

	writeOver func(f vfs.File, vec [][]byte, pos int64) error

	// Of the committer alone.
	pos  int64
	next lsn

	mu         sync.Mutex // guards what follows
	files      []*journalFile
	free       []*journalFile // to be written next, in this order
	current    *journalFile   // nil before the first batch
	generation uint64         // the newest one given
	checkpoint lsn            // what is before it is not needed
}

// dir is what frames carry of the directory's id: no payload can pass for a frame, nor can another directory's
// segment for one of this directory.
func (j *journal) dir() uint32 { return uint32(j.id ^ j.id>>32) }

// journalReserve is what records leave free in the last file. Trims and deletes, which make room again, must
// find a place for their frames when records do not.
func journalReserve(fileBytes int64) int64 {
	return min(256<<10, fileBytes/8) &^ (blockBytes - 1)
}

func journalFileName(i int) string { return path.Join(journalDir, fmt.Sprintf("%04d.j", i)) }

// place makes sure that n bytes can be written at the current position, and moves on to the next file for it. It
// returns false if a file must be freed first.
func (j *journal) place(n int64, records bool) (bool, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.current != nil {
		room := j.current.size - j.pos
		if n <= room && (!records || len(j.free) > 0 || n+j.reserve <= room) {
			return true, nil
		}
		if j.checkpoint >= j.next && len(j.free) == 0 {
			j.release(j.current) // nothing in it is needed
		}
	}
	if len(j.free) == 0 {
		return false, nil
	}
	f := j.free[0]
	j.free, f.free = j.free[1:], false
	if n > f.size {
		return false, fmt.Errorf("batch of %d bytes does not fit into %s of %d", n, f.name, f.size)
	}
	j.generation++
	f.generation, f.start, f.end = j.generation, j.next, j.next
	j.current, j.pos = f, 0
	return true, nil
}

// append writes a batch to where place made room, and makes it durable. It is in pieces, of which the first is the header
// and the last the zeros behind it.
func (j *journal) append(h *batchHeader, vec [][]byte) error {
	f := j.current // only the committer, which is here, changes it
	h.journal, h.generation, h.epoch = j.id, f.generation, j.epoch
	h.at, h.durable = j.next, j.next
	h.seal(vec[0], vec[1:len(vec)-1]...)
	if mutant.On(mutant.AcknowledgeUnsynced) {
		if err := f.f.Datasync(); err != nil { // of the batch before
			return err
		}
	}
	if err := j.writeOver(f.f, vec, j.pos); err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	if mutant.On(mutant.AcknowledgeUnsynced) {
		// The next one syncs this one, too.
	} else if err := f.f.Datasync(); err != nil {
		return fmt.Errorf("sync journal: %w", err)
	}
	j.pos += h.padded()
	j.next = h.end()
	j.mu.Lock()
	f.end = j.next
	j.mu.Unlock()
	return nil
}

// needed returns the position from which on batches in the current file are needed.
func (j *journal) needed() lsn {
	j.mu.Lock()
	defer j.mu.Unlock()
	return max(j.current.start, j.checkpoint)
}

// recycle frees the files whose bytes are all before the checkpoint, which is durable.
func (j *journal) recycle(checkpoint lsn) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.checkpoint = checkpoint
	for _, f := range j.files {
		if j.old(f) && (f.end <= checkpoint || mutant.On(mutant.RecycleNeeded) && f.start < checkpoint) {
			j.release(f)
		}
	}
	signal(j.freed)
}

// release makes a file one that is free. The lock is held.
func (j *journal) release(f *journalFile) {
	f.free = true
	j.free = append(j.free, f)
}

// old tells whether a file is neither free nor current. The lock is held.
func (j *journal) old(f *journalFile) bool { return f != j.current && !f.free }

// fill describes how full the journal is.
type journalFill struct {
	files     int
	free      int
	old       bool  // some are neither free nor current
	oldest    lsn   // end of the oldest of those
	needBytes int64 // in files that are not free
}

func (j *journal) fill() journalFill {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := journalFill{files: len(j.files), free: len(j.free)}
	for _, f := range j.files {
		s.needBytes += int64(f.end - max(f.start, min(j.checkpoint, f.end)))
		if j.old(f) && (!s.old || f.end < s.oldest) {
			s.old, s.oldest = true, f.end
		}
	}
	return s
}

// oldest returns the end of the n oldest files that are neither free nor current, of all if they are fewer: 0 if there are none.
func (j *journal) oldest(n int) lsn {
	j.mu.Lock()
	defer j.mu.Unlock()
	var ends []lsn
	for _, f := range j.files {
		if j.old(f) {
			ends = append(ends, f.end)
		}
	}
	slices.Sort(ends)
	if len(ends) == 0 {
		return 0
	}
	return ends[min(n, len(ends))-1]
}

// add takes a new file into use.
func (j *journal) add(f *journalFile) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.files = append(j.files, f)
	j.release(f)
	signal(j.freed)
}

// bytes returns the size of all files.
func (j *journal) bytes() (n int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, f := range j.files {
		n += f.size
	}
	return n
}

// count returns the number of files, and the newest generation.
func (j *journal) count() (files int, generation uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.files), j.generation
}

func (j *journal) close() error {
	var errs []error
	for _, f := range j.files {
		errs = append(errs, f.f.Close())
	}
	return errors.Join(errs...)
}

// createJournalFile makes a file full of zeros under its final name, durably: writing over what is there needs
// no metadata at fdatasync, which makes it two or three times as fast as appending. A crash leaves the file
// whole or leaves none, or one under a temporary name. step is called for each part that has been written.
func createJournalFile(fs vfs.FS, dir string, i int, size int64, step func(int64)) (*journalFile, error) {
	name := journalFileName(i)
	tmp := path.Join(dir, name+tmpSuffix)
	if err := removeIfThere(fs, tmp); err != nil {
		return nil, err
	}
	f, err := fs.Create(tmp)
	if err != nil {
		return nil, err
	}
	_ = f.NoReadahead()
	err = zeroFill(f, 0, size, step)
	if err == nil {
		err = fs.Rename(tmp, path.Join(dir, name))
	}
	if err == nil {
		err = fs.SyncDir(path.Join(dir, journalDir))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make %s: %w", name, err), f.Close(), removeIfThere(fs, tmp))
	}
	return &journalFile{name: name, f: f, size: size}, nil
}

const (
	// zeroAhead is how many zeros are on their way to the disk at one time.
	zeroAhead = 2 << 20
	// zeroPiece is how many are written with one call. Linux keeps them in memory in such pieces, and for as long as they stay there,
	// each write over a part of one passes over the whole of it: the larger, the more a small batch costs, the smaller, the more a
	// large one does.
	zeroPiece = 256 << 10
)

func zeroFill(f vfs.File, from, to int64, step func(int64)) error {
	if err := f.Preallocate(from, max(0, to-from)); err != nil && to > from {
		return err
	}
	zeros := make([]byte, min(zeroPiece, max(0, to-from)))
	for pos := from; pos < to; pos += int64(len(zeros)) {
		n := min(int64(len(zeros)), to-pos)
		if _, err := f.WriteAt(zeros[:n], pos); err != nil {
			return err
		}
		// In small steps, or commits would have to wait for all of it.
		if err := f.StartWriteback(pos, n); err != nil {
			return err
		}
		if pos >= from+zeroAhead {
			if err := f.AwaitWriteback(pos-zeroAhead, n); err != nil {
				return err
			}
		}
		step(n)
	}
	return f.Sync()
}

// resize gives a free file another size.
func (f *journalFile) resize(size int64) error {
	var err error
	if size < f.size {
		if err = f.f.Truncate(size); err == nil {
			err = f.f.Sync()
		}
	} else if err = fullIfNoSpace(zeroFill(f.f, f.size, size, unpaced)); err != nil {
		err = errors.Join(err, f.f.Truncate(f.size))
	}
	if err != nil {
		return fmt.Errorf("resize %s: %w", f.name, err)
	}
	f.size = size
	return nil
}

// locate returns the file that a batch is in, and where; nil if none holds it any more.
func (j *journal) locate(at lsn) (*journalFile, int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, f := range j.files {
		if f.start <= at && at < f.end {
			return f, int64(at - f.start)
		}
	}
	return nil, 0
}
