package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"time"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

// A checkpoint moves the place from which the journal is needed. In this order:
//
//  1. S := the oldest unflushed entry's LSN, or the durable position if there is none.
//  2. fdatasync all segments written since the last time, then the directories with new ones.
//  3. Write a snapshot of the table and all segments' lengths, with S: temporary name, fsync, rename, fsync
//     of the directory. It may hold changes from after S: to apply them again changes nothing.
//  4. Remove older snapshots; free the journal files that end at or before S.
//
// After a crash before the rename is durable, the old snapshot and all of the journal that it needs are still
// there, since nothing was freed. The segments may be longer than the snapshot says; the surplus does not
// count and is written again.

// journalLow tells whether journal files should be freed now, so that the committer will not have to wait.
func (f *flusher) journalLow() bool {
	s := f.e.journal.fill()
	return s.old && s.free <= (s.files-1)/3 || f.wantsFile(s)
}

// wantsFile tells whether it is time for another journal file.
func (f *flusher) wantsFile(s journalFill) bool {
	return s.free == 0 && s.files < f.e.opts.JournalFiles && !f.fewFiles.Load()
}

// checkpointDue makes room in the journal if there is little.
func (f *flusher) checkpointDue() error {
	f.mu.Lock()
	stalled := f.stalled
	f.stalled = false
	f.mu.Unlock()
	s := f.e.journal.fill()
	if f.wantsFile(s) {
		err := f.addJournalFile(s.files)
		if err == nil || !isFullError(err) {
			return err
		}
		f.fewFiles.Store(true) // go on with what there is until the next start
		f.e.opts.Logger.Warn("no space for another journal file", "files", s.files, "error", err)
	}
	if !stalled && !f.e.opts.eager && !(s.old && s.free <= (s.files-1)/3) {
		return nil
	}
	target := s.start
	if stalled {
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

// addJournalFile makes one more journal file. Before it is used, a snapshot says that it exists, so that its loss
// would be noticed.
func (f *flusher) addJournalFile(i int) error {
	free, err := f.e.opts.FS.Free(f.e.opts.Dir)
	if err == nil && free < f.e.opts.MinFreeBytes+f.e.opts.JournalFileBytes {
		return errFull{fmt.Errorf("%d bytes are free", free)}
	}
	file, err := createJournalFile(f.e.opts.FS, f.e.opts.Dir, i, f.e.opts.JournalFileBytes)
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
	// In this order: entries before the durable position are in the heap already.
	durable := lsn(f.e.durable.Load())
	at := durable
	f.mu.Lock()
	if len(f.heap) > 0 {
		at = min(at, f.heap[0].since)
	}
	f.mu.Unlock()
	if err := f.syncFiles(); err != nil {
		return err
	}
	if err := f.syncDirs(); err != nil {
		return err
	}
	_, generation := f.e.journal.count()
	s := f.e.table.snapshot()
	s.journal, s.epoch, s.generation = f.e.journal.id, f.e.journal.epoch, generation
	s.checkpoint, s.durable, s.journalFiles = at, durable, uint64(journalFiles)
	if err := writeSnapshot(f.e.opts.FS, f.e.opts.Dir, f.snapshot+1, s); err != nil {
		return fmt.Errorf("write snapshot: %w", fullIfNoSpace(err))
	}
	f.snapshot++
	if err := removeSnapshotsBefore(f.e.opts.FS, f.e.opts.Dir, f.snapshot); err != nil {
		return fmt.Errorf("remove old snapshots: %w", err)
	}
	f.e.journal.recycle(at)
	f.e.metrics.checkpointed(time.Since(start))
	return nil
}

// syncDirs makes the names of new segments durable.
func (f *flusher) syncDirs() error {
	fresh := false
	for id, newDir := range f.newFiles {
		err := f.e.opts.FS.SyncDir(path.Join(f.e.opts.Dir, logDir(id)))
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // deleted in the meantime
			return err
		}
		fresh = fresh || newDir
	}
	if fresh {
		if err := f.e.opts.FS.SyncDir(path.Join(f.e.opts.Dir, shardsDir)); err != nil {
			return err
		}
	}
	clear(f.newFiles)
	return nil
}

// removeFiles frees the disk of what was trimmed and deleted. The trims and deletes are durable, so a crash
// in between only leaves the rest to the next start.
func (f *flusher) removeFiles() error {
	f.mu.Lock()
	trims, doomed := f.trims, f.doomed
	f.trims, f.doomed = nil, nil
	for _, l := range trims {
		l.trimmed = false
	}
	f.mu.Unlock()
	for _, l := range trims {
		if err := f.removeTrimmed(l); err != nil {
			return err
		}
	}
	for _, l := range doomed {
		if err := f.removeLog(l.id); err != nil {
			return err
		}
	}
	if len(trims)+len(doomed) > 0 {
		f.sinceFree = freeEvery // there may be room again
	}
	return nil
}

func (f *flusher) removeTrimmed(l *logState) error {
	l.mu.Lock()
	n := 0
	for n < len(l.segments) && l.segments[n].end <= l.first {
		n++
	}
	var gone []segment
	if n > 0 {
		gone = append(gone, l.segments[:n]...)
		if n == len(l.segments) {
			l.index = activeIndex{}
		}
		l.segments = append([]segment(nil), l.segments[n:]...)
	}
	l.mu.Unlock()
	for _, s := range gone {
		if err := f.removeSegment(l.id, s.base); err != nil {
			return err
		}
	}
	return nil
}

func (f *flusher) removeSegment(id uint64, base shard.Offset) error {
	key := fileKey{id, base}
	for file := range f.dirty {
		if file.key == key {
			delete(f.dirty, file)
			f.e.files.release(file)
		}
	}
	f.e.files.forget(key)
	return removeIfThere(f.e.opts.FS, path.Join(f.e.opts.Dir, segmentName(id, base)))
}

// removeLog removes a deleted log's directory.
func (f *flusher) removeLog(id uint64) error {
	for file := range f.dirty {
		if file.key.log == id {
			delete(f.dirty, file)
			f.e.files.release(file)
		}
	}
	f.e.files.forgetLog(id)
	delete(f.newFiles, id)
	return removeDir(f.e.opts.FS, path.Join(f.e.opts.Dir, logDir(id)))
}

// removeDir removes a directory of files, if it is there.
func removeDir(fsys vfs.FS, dir string) error {
	names, err := fsys.List(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := removeIfThere(fsys, path.Join(dir, name)); err != nil {
			return err
		}
	}
	return removeIfThere(fsys, dir)
}

func removeIfThere(fsys vfs.FS, name string) error {
	if err := fsys.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
