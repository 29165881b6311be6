package journal

import (
	"container/list"
	"errors"
	"path"
	"sync"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

// fileKey names a segment file.
type fileKey struct {
	log        uint64
	base       shard.Offset
	compressed bool
}

func (k fileKey) name() string {
	if k.compressed {
		return compressedName(k.log, k.base)
	}
	return segmentName(k.log, k.base)
}

// openFile is an open segment file. The flusher keeps one in use until it has synced it, so that no written
// file is closed unsynced: an error of its write-back would be lost with the descriptor.
type openFile struct {
	vfs.File
	key  fileKey
	name string

	// Guarded by openFiles.mu.
	refs   int
	doomed bool          // close it when refs is 0
	idle   *list.List    // that it is in, while nobody uses it
	place  *list.Element // there

	indexMu sync.Mutex // guards index, and is held while it is read
	index   []indexEntry
}

// sealedIndex returns the index of a sealed segment.
func (f *openFile) sealedIndex(seg segment) ([]indexEntry, error) {
	f.indexMu.Lock()
	defer f.indexMu.Unlock()
	if f.index == nil {
		var index []indexEntry
		var err error
		if f.key.compressed {
			index, err = readBlockIndex(f, f.name, seg.bytes, seg.stored)
		} else {
			index, err = readFooter(f, f.name, seg.bytes)
		}
		if err != nil {
			return nil, err
		}
		f.index = index
	}
	return f.index, nil
}

// openFiles keeps segment files open, the most recently used ones.
type openFiles struct {
	fs  vfs.FS
	dir string
	max int

	mu     sync.Mutex // guards what follows
	closed bool
	files  map[fileKey]*openFile
	// Of *openFile with no refs, least recently used first. An index takes much more memory than an open file.
	indexed, plain list.List
	most           int // of indexed
}

// mostIndexed is how many segments keep their index, of up to 32 KiB, while nobody reads them.
const mostIndexed = 512

func newOpenFiles(fs vfs.FS, dir string, limit int) *openFiles {
	return &openFiles{fs: fs, dir: dir, max: limit, most: mostIndexed, files: map[fileKey]*openFile{}}
}

// acquire returns an open file, to be released. create says that it must not exist yet.
func (o *openFiles) acquire(key fileKey, create bool) (*openFile, error) {
	o.mu.Lock()
	if f := o.use(key); f != nil {
		o.mu.Unlock()
		return f, nil
	}
	o.mu.Unlock()
	name := path.Join(o.dir, key.name())
	f, err := o.openFile(name, create)
	if tooManyFiles(err) {
		o.closeIdle()
		f, err = o.openFile(name, create)
	}
	if err != nil {
		return nil, err
	}
	o.mu.Lock()
	if o.closed {
		o.mu.Unlock()
		return nil, errors.Join(shard.ErrClosed, f.Close())
	}
	if other := o.use(key); other != nil { // opened by another in the meantime
		o.mu.Unlock()
		return other, f.Close()
	}
	of := &openFile{File: f, key: key, name: name, refs: 1}
	o.files[key] = of
	old := o.shrink()
	o.mu.Unlock()
	closeAll(old)
	return of, nil
}

func (o *openFiles) openFile(name string, create bool) (f vfs.File, err error) {
	if create {
		f, err = o.fs.Create(name)
	} else {
		f, err = o.fs.Open(name, true)
	}
	if err == nil {
		_ = f.NoReadahead() // see readturns.go
	}
	return f, err
}

// closeIdle closes what nobody uses, when there are too many open files.
func (o *openFiles) closeIdle() {
	o.mu.Lock()
	var old []*openFile
	for _, idle := range []*list.List{&o.plain, &o.indexed} {
		for idle.Len() > 0 {
			old = append(old, o.takeOut(idle))
		}
	}
	o.mu.Unlock()
	closeAll(old)
}

// takeOut takes the least recently used file of a list out, to be closed. The lock is held.
func (o *openFiles) takeOut(idle *list.List) *openFile {
	f := idle.Front().Value.(*openFile)
	f.busy()
	delete(o.files, f.key)
	return f
}

// busy takes the file off the list of those that nobody uses. The lock is held.
func (f *openFile) busy() {
	if f.idle != nil {
		f.idle.Remove(f.place)
		f.idle, f.place = nil, nil
	}
}

// use returns a file that is open, nil if it is not. The lock is held.
func (o *openFiles) use(key fileKey) *openFile {
	f := o.files[key]
	if f == nil {
		return nil
	}
	f.refs++
	f.busy()
	return f
}

// shrink takes idle files out while there are too many. The lock is held; the caller closes them.
func (o *openFiles) shrink() (old []*openFile) {
	for o.indexed.Len() > o.most {
		old = append(old, o.takeOut(&o.indexed))
	}
	for _, idle := range []*list.List{&o.plain, &o.indexed} {
		for len(o.files) > o.max && idle.Len() > 0 {
			old = append(old, o.takeOut(idle))
		}
	}
	return old
}

func closeAll(files []*openFile) {
	for _, f := range files {
		f.Close() // nothing unsynced is in it
	}
}

func (o *openFiles) release(f *openFile) {
	o.mu.Lock()
	f.refs--
	var old []*openFile
	if f.refs == 0 {
		if f.doomed {
			old = []*openFile{f}
		} else {
			f.idle = &o.plain
			if f.index != nil { // who has set it has given the file back
				f.idle = &o.indexed
			}
			f.place = f.idle.PushBack(f)
			old = o.shrink()
		}
	}
	o.mu.Unlock()
	closeAll(old)
}

// forget closes a file as soon as nobody uses it.
func (o *openFiles) forget(key fileKey) {
	o.mu.Lock()
	f := o.files[key]
	if f == nil {
		o.mu.Unlock()
		return
	}
	delete(o.files, key)
	var old []*openFile
	if f.refs > 0 {
		f.doomed = true
	} else {
		f.busy()
		old = []*openFile{f}
	}
	o.mu.Unlock()
	closeAll(old)
}

// forgetAll forgets all files that have been removed.
func (o *openFiles) forgetAll(removed func(fileKey) bool) {
	o.mu.Lock()
	var keys []fileKey
	for key := range o.files {
		if removed(key) {
			keys = append(keys, key)
		}
	}
	o.mu.Unlock()
	for _, key := range keys {
		o.forget(key)
	}
}

// retain adds a use to a file that is in use.
func (o *openFiles) retain(f *openFile) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f.refs++
}

func (o *openFiles) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.files)
}

// close closes what is idle, and the rest when it is released.
func (o *openFiles) close() error {
	o.mu.Lock()
	o.closed = true
	var errs []error
	for key, f := range o.files {
		delete(o.files, key)
		if f.refs > 0 {
			f.doomed = true
		} else {
			errs = append(errs, f.Close())
		}
	}
	o.plain.Init()
	o.indexed.Init()
	o.mu.Unlock()
	return errors.Join(errs...)
}
