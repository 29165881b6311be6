package journal

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

// What is written behind the acknowledgement shares the disk with the journal, which somebody waits for. The disk
// serves what it has been given in some order of its own: so it is given little at a time. Then a commit waits for no
// more than that, and the two share the disk evenly, which is what they need, since every byte is written by both.
// Where moving records is ahead of commits, even less is given.
const (
	behindBytes = 4 << 20 // as much as a batch
	gentleBytes = 1 << 20
	behindFiles = 64
)

// writebacks is what is on its way to segment files, oldest first, and kept open until it is awaited.
type writebacks struct {
	files *openFiles
	most  int // of them
	queue []writeback
	bytes int64

	gentle bool // no more than gentleBytes, unless a single write is longer
}

type writeback struct {
	file   *openFile
	off, n int64
}

// start begins to write a range out, after waiting until no more than the bounds say is under way.
func (w *writebacks) start(file *openFile, off, n int64) error {
	bound := int64(behindBytes)
	if w.gentle {
		bound = gentleBytes
	}
	for len(w.queue) > 0 && (w.bytes+n > bound || len(w.queue) >= w.most) {
		if err := w.await(); err != nil {
			return err
		}
	}
	if err := file.StartWriteback(off, n); err != nil {
		return err
	}
	w.files.retain(file)
	w.queue = append(w.queue, writeback{file, off, n})
	w.bytes += n
	return nil
}

// await waits for the oldest.
func (w *writebacks) await() error {
	oldest := w.queue[0]
	w.queue = w.queue[1:]
	w.bytes -= oldest.n
	defer w.files.release(oldest.file)
	return oldest.file.AwaitWriteback(oldest.off, oldest.n)
}

// drop forgets files that are removed: kept open, they would keep their space on the disk.
func (w *writebacks) drop(removed func(fileKey) bool) {
	left := w.queue[:0]
	for _, b := range w.queue {
		if !removed(b.file.key) {
			left = append(left, b)
			continue
		}
		w.bytes -= b.n
		w.files.release(b.file)
	}
	clear(w.queue[len(left):])
	w.queue = left
}

// forget waits for nothing any more: somebody has synced it all, or nobody needs it.
func (w *writebacks) forget() {
	for _, b := range w.queue {
		w.files.release(b.file)
	}
	w.queue, w.bytes = nil, 0
}

// markDirty keeps the file open until it is synced.
func (f *flusher) markDirty(file *openFile) {
	if f.dirty[file.key] == nil {
		f.dirty[file.key] = file
		f.e.files.retain(file)
	}
}

// manyDirty bounds the files that are kept open because they are not synced.
func (f *flusher) manyDirty() error {
	if len(f.dirty) <= f.e.opts.MaxOpenFiles/2 {
		return nil
	}
	if f.tree == nil {
		return f.syncFiles()
	}
	// The tree's sync reaches them without their being open, and reports what went wrong with them.
	f.releaseDirty()
	f.loose = true
	return nil
}

func (f *flusher) releaseDirty() {
	for key, file := range f.dirty {
		delete(f.dirty, key)
		f.e.files.release(file)
	}
	f.behind.forget()
}

// syncSegments makes durable all that was written to segments, and the names of new ones.
func (f *flusher) syncSegments() error {
	f.e.naming <- struct{}{}
	defer func() { <-f.e.naming }()
	if err := f.e.Err(); err != nil {
		return err
	}
	if f.loose || f.tree != nil && len(f.dirty)+len(f.newFiles) >= f.e.opts.treeFrom {
		if err := f.tree.Sync(); err != nil {
			return fmt.Errorf("sync all segments: %w", err)
		}
		f.loose = false
		f.releaseDirty()
		f.namesDurable()
		return nil
	}
	if err := f.syncFiles(); err != nil {
		return err
	}
	return f.syncDirs()
}

// syncFiles makes all that was written to segments durable.
func (f *flusher) syncFiles() error {
	var g errgroup.Group
	g.SetLimit(4)
	// In order, which disks like, and tests that repeat what happened.
	for _, file := range slices.SortedFunc(maps.Values(f.dirty), func(a, b *openFile) int { return strings.Compare(a.name, b.name) }) {
		g.Go(func() error {
			if err := file.Datasync(); err != nil {
				return fmt.Errorf("sync %s: %w", file.name, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	f.releaseDirty()
	return nil
}

// openTree looks for a way to sync all segments at once.
func (f *flusher) openTree() error {
	tree, err := f.e.opts.FS.OpenTree(f.e.path(shardsDir))
	if errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	f.tree = tree
	return err
}
