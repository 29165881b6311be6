package journal

import (
	"cmp"
	"errors"
	"io/fs"
	"maps"
	"path"
	"slices"

	"github.com/seed-462d9463/sluice/shard/vfs"
)

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
	gone := map[uint64]map[uint64]bool{} // by directory
	for _, l := range doomed {
		if f.e.compressor.uses(l.id) { // it wakes us when it is done
			f.mu.Lock()
			f.doomed = append(f.doomed, l)
			f.mu.Unlock()
			continue
		}
		if gone[dirOf(l.id)] == nil {
			gone[dirOf(l.id)] = map[uint64]bool{}
		}
		gone[dirOf(l.id)][l.id] = true
	}
	if err := f.removeLogs(gone); err != nil {
		return err
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
	cause := cmp.Or(l.dropped, byTrim)
	if n > 0 {
		gone = append(gone, l.segments[:n]...)
		if n == len(l.segments) {
			l.index = activeIndex{}
		}
		l.segments = append([]segment(nil), l.segments[n:]...)
	}
	l.mu.Unlock()
	for _, s := range gone {
		if err := f.removeSegment(s.key(l.id)); err != nil {
			return err
		}
		f.e.metrics.removed(cause, s.diskBytes())
	}
	return nil
}

func (f *flusher) removeSegment(key fileKey) error {
	if file := f.dirty[key]; file != nil {
		delete(f.dirty, key)
		f.e.files.release(file)
	}
	f.behind.drop(func(k fileKey) bool { return k == key })
	f.e.files.forget(key)
	return removeIfThere(f.e.opts.FS, path.Join(f.e.opts.Dir, key.name()))
}

// closeLogs gives up deleted logs' files.
func (f *flusher) closeLogs(gone map[uint64]map[uint64]bool) {
	removed := func(key fileKey) bool { return gone[dirOf(key.log)][key.log] }
	for key, file := range f.dirty {
		if removed(key) {
			delete(f.dirty, key)
			f.e.files.release(file)
		}
	}
	f.behind.drop(removed)
	f.e.files.forgetAll(removed)
}

// removeLogs removes the files of deleted logs, which are given by directory, and the directories that no log will use
// any more. Such a one is not needed again after a crash either, since ids are not.
func (f *flusher) removeLogs(gone map[uint64]map[uint64]bool) error {
	if len(gone) == 0 {
		return nil
	}
	f.closeLogs(gone)
	living := f.e.table.livingDirs()
	for _, n := range slices.Sorted(maps.Keys(gone)) {
		dir := f.e.path(dirName(n))
		if !living[n] && !f.e.compressor.usesDir(n) {
			delete(f.dirs, n)
			delete(f.newFiles, n)
			if err := removeDir(f.e.opts.FS, dir); err != nil {
				return err
			}
			continue
		}
		names, err := f.e.opts.FS.List(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, name := range names {
			if key, ok := parseSegmentName(name); ok && gone[n][key.log] {
				if err := removeIfThere(f.e.opts.FS, path.Join(dir, name)); err != nil {
					return err
				}
			}
		}
	}
	return nil
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
