package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"time"

	"github.com/seed-462d9463/sluice/shard/journal/internal/mutant"
)

// A checkpoint moves the place from which the journal is needed. In this order:
//
//  1. S := the LSN of the oldest batch with unflushed records, or the durable position if there is none.
//  2. fdatasync all segments written since the last time, then the directories with new ones; or, if they are many,
//     sync the file system that they are on.
//  3. Write a snapshot of the table and all segments' lengths, with S: temporary name, fsync, rename, fsync
//     of the directory. It may hold changes from after S: to apply them again changes nothing.
//  4. Mark that there is this snapshot, so that no older one can pass for the newest.
//  5. Remove older snapshots; free the journal files that end at or before S.
//
// After a crash before the rename is durable, the old snapshot and all of the journal that it needs are still
// there, since nothing was freed. The segments may be longer than the snapshot says; the surplus does not
// count and is written again.

// journalLow tells whether the journal should get more free files now, so that the committer will not have to wait.
func (f *flusher) journalLow() bool {
	s := f.e.journal.fill()
	return f.isLow(s) || f.freeable(s)
}

// freeable tells whether a checkpoint alone is worth it: half of the files are in use, and some of them for nothing.
func (f *flusher) freeable(s journalFill) bool { return s.free <= (s.files-1)/2 && f.unneeded(s) }

// unneeded tells whether a checkpoint would free files.
func (f *flusher) unneeded(s journalFill) bool { return s.old && f.needed() >= s.oldest }

func (f *flusher) isLow(s journalFill) bool {
	return s.free <= lowFiles(s.files) && (s.old || f.mayGrow(s))
}

// lowFiles is how many free files of so many are few. The later records are moved, the more of their log are moved with one
// write; but a round begins while two are free, where there are that many, so that commits do not wait for its end.
func lowFiles(files int) int { return min((files-1)/2, max(2, (files-1)/3)) }

// shortFiles is how many are too few: less than what there is at the end of a round of moves that begins with few, since it is to
// be done when half of those are used.
func shortFiles(files int) int { return min(lowFiles(files)/2, max(1, files/8)) }

// roundFiles is how many files a round of moves frees: little at a time, so that moving goes on about as evenly as commits.
func roundFiles(files int) int { return 1 + files/16 }

// journalShort tells whether nothing but more free files should be worked for: the committer waits for one, or will soon.
func (f *flusher) journalShort() bool {
	s := f.e.journal.fill()
	return f.hurried() || s.free <= shortFiles(s.files)
}

// mayGrow tells whether there may be another journal file.
func (f *flusher) mayGrow(s journalFill) bool {
	return s.files < f.e.opts.JournalFiles && f.e.durable.Load() >= f.growFrom.Load()
}

// needed returns the position before which nothing in the journal is needed, going by what is flushed.
func (f *flusher) needed() lsn {
	// In this order: what lies before the durable position is in the heap already.
	at := lsn(f.e.durable.Load())
	f.mu.Lock()
	defer f.mu.Unlock()
	if l := f.oldest(); l != nil && !mutant.On(mutant.CheckpointAtEnd) {
		at = min(at, l.since)
	}
	return at
}

// checkpointDue makes room in the journal if there is little: by a checkpoint alone if enough has been trimmed or deleted,
// else by another file, and by moving records to segments when there are as many files as there may be.
func (f *flusher) checkpointDue() error {
	f.mu.Lock()
	stalled, record := f.stalled, f.recordDue && len(f.replaced) > 0
	f.stalled, f.hurry = false, stalled
	f.mu.Unlock()
	s := f.e.journal.fill()
	stalled = stalled && s.free == 0 // else it has been helped
	switch low := f.isLow(s); {
	case f.freeable(s), f.e.opts.eager && f.unneeded(s):
		return f.checkpoint()
	case !stalled && !low && !f.e.opts.eager:
		if !record {
			return nil
		}
		return f.checkpoint()
	case low && f.mayGrow(s):
		err := f.addJournalFile(s.files)
		if err == nil || !isFullError(err) {
			return err
		}
		// Go on with what there is, and look again when all of that has been written once more.
		if f.growFrom.Swap(f.e.durable.Load()+uint64(s.files)*uint64(f.e.opts.JournalFileBytes)) == 0 {
			f.e.opts.Logger.Info("no space for another journal file", "files", s.files, "error", err)
		}
		if !s.old && !stalled {
			return nil
		}
	}
	target := f.e.journal.oldest(roundFiles(s.files))
	if stalled && !s.old {
		target = ^lsn(0)
	}
	if err := f.flushBefore(target); err != nil {
		// What was flushed until now may be enough to free a file.
		if isFullError(err) {
			if err := f.checkpoint(); err != nil {
				return err
			}
		}
		return err
	}
	return f.checkpoint()
}

// fewJournalFiles is how many journal files there may be wherever they fit. For another one a disk must have as much as
// spareFiles of them free: a journal that is a burden to it is not worth its gain.
const (
	fewJournalFiles = 4
	spareFiles      = 16
)

// addJournalFile makes one more journal file. Before it is used, a snapshot says that it exists, so that its loss
// would be noticed.
func (f *flusher) addJournalFile(i int) error {
	free, err := f.e.opts.FS.Free(f.e.opts.Dir)
	need := f.keep() + f.e.opts.JournalFileBytes
	if i >= fewJournalFiles {
		need += (spareFiles - 1) * f.e.opts.JournalFileBytes
	}
	if err == nil && free < need {
		return errFull{fmt.Errorf("%d bytes are free, %d needed", free, need)}
	}
	file, err := createJournalFile(f.e.opts.FS, f.e.opts.Dir, i, f.e.opts.JournalFileBytes, f.pace(f.e.opts.JournalFileBytes).step)
	if err != nil {
		return fullIfNoSpace(err)
	}
	if err := f.checkpointWith(i + 1); err != nil {
		return errors.Join(err, file.f.Close())
	}
	f.e.journal.add(file)
	return nil
}

func (f *flusher) checkpoint() error {
	files, _ := f.e.journal.count()
	return f.checkpointWith(files)
}

func (f *flusher) checkpointWith(journalFiles int) error {
	start := time.Now()
	durable := lsn(f.e.durable.Load())
	at := min(durable, f.needed())
	if mutant.Any() {
		if err := f.mutateCheckpoint(at, durable, journalFiles); err != nil {
			return err
		}
	}
	if err := f.syncSegments(); err != nil {
		return err
	}
	_, generation := f.e.journal.count()
	s := f.e.table.snapshot()
	if mutant.Any() {
		s.mutate()
	}
	s.journal, s.epoch, s.generation = f.e.journal.id, f.e.journal.epoch, generation
	s.checkpoint, s.durable, s.journalFiles = at, durable, uint64(journalFiles)
	size, err := writeSnapshot(f.e.opts.FS, f.e.opts.Dir, f.snapshot+1, s)
	if err != nil {
		return fmt.Errorf("write snapshot: %w", fullIfNoSpace(err))
	}
	f.snapshot++
	f.snapshotBytes.Store(int64(size))
	if err := f.e.marks.write(lsn(f.e.durable.Load()), f.snapshot); err != nil {
		return err
	}
	if err := removeSnapshotsBefore(f.e.opts.FS, f.e.opts.Dir, f.snapshot); err != nil {
		return fmt.Errorf("remove old snapshots: %w", err)
	}
	if err := f.removeReplaced(); err != nil {
		return fmt.Errorf("remove segments that were compressed: %w", err)
	}
	f.e.journal.recycle(at)
	f.e.metrics.checkpointed(time.Since(start))
	return nil
}

// syncDirs makes the names of new segments durable.
func (f *flusher) syncDirs() error {
	fresh := false
	for _, n := range slices.Sorted(maps.Keys(f.newFiles)) {
		err := f.e.opts.FS.SyncDir(f.e.path(dirName(n)))
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // deleted in the meantime
			return err
		}
		fresh = fresh || !f.dirs[n]
	}
	if fresh {
		if err := f.e.opts.FS.SyncDir(f.e.path(shardsDir)); err != nil {
			return err
		}
	}
	f.namesDurable()
	return nil
}

// namesDurable takes note that the names of new segments are.
func (f *flusher) namesDurable() {
	for n := range f.newFiles {
		f.dirs[n] = true
	}
	clear(f.newFiles)
}
