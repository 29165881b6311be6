package vfs

import (
	"bytes"
	"io"
	"io/fs"
	"syscall"
)

const pageBytes = 4096

// memData is a file's bytes, and what of them a crash may take back. Guarded by Mem.mu.
type memData struct {
	pages []memPage // clones share them until they are written to
	size  int64
	alloc int64 // preallocated up to here

	syncedSize int64
	old        map[int64][]byte // unsynced sectors, with what they hold on disk
	lost       map[int64][]byte // sectors whose sync failed, likewise; no sync brings them to the disk
}

// memPage is a part of a file.
type memPage struct {
	bytes *[pageBytes]byte // nil for zeros, so that zero-filled files cost nothing
	own   bool             // nobody else has it; else it must not be written to
}

// zeros are a page's. Nobody writes to them.
var zeros [pageBytes]byte

func newMemData() *memData { return &memData{old: map[int64][]byte{}, lost: map[int64][]byte{}} }

func (d *memData) space() int64 { return max(d.size, d.alloc) }

func (d *memData) readAt(p []byte, off int64) {
	for len(p) > 0 {
		n := min(len(p), int(pageBytes-off%pageBytes))
		if i := off / pageBytes; i < int64(len(d.pages)) && d.pages[i].bytes != nil {
			copy(p[:n], d.pages[i].bytes[off%pageBytes:])
		} else {
			clear(p[:n])
		}
		p, off = p[n:], off+int64(n)
	}
}

// store changes bytes without noting it for a crash.
func (d *memData) store(p []byte, off int64) {
	for len(p) > 0 {
		n := min(len(p), int(pageBytes-off%pageBytes))
		i := off / pageBytes
		if i >= int64(len(d.pages)) {
			d.pages = append(d.pages, make([]memPage, i+1-int64(len(d.pages)))...)
		}
		page := &d.pages[i]
		switch {
		case page.bytes == nil && !bytes.Equal(p[:n], zeros[:n]):
			*page = memPage{bytes: new([pageBytes]byte), own: true}
		case page.bytes != nil && !page.own:
			b := *page.bytes
			*page = memPage{bytes: &b, own: true}
		}
		if page.bytes != nil {
			copy(page.bytes[off%pageBytes:], p[:n])
		}
		p, off = p[n:], off+int64(n)
	}
}

func (d *memData) writeAt(p []byte, off int64) {
	if len(p) == 0 {
		return
	}
	for s := off / sectorBytes; s <= (off+int64(len(p))-1)/sectorBytes; s++ {
		d.remember(s)
	}
	d.store(p, off)
	d.size = max(d.size, off+int64(len(p)))
}

// remember keeps what is on disk of a sector that is about to change.
func (d *memData) remember(sector int64) {
	if _, ok := d.old[sector]; ok {
		return
	}
	if before, ok := d.lost[sector]; ok {
		d.old[sector] = before
		delete(d.lost, sector)
		return
	}
	before := zeros[:sectorBytes:sectorBytes]
	if i := sector * sectorBytes / pageBytes; i < int64(len(d.pages)) && d.pages[i].bytes != nil {
		before = make([]byte, sectorBytes)
		d.readAt(before, sector*sectorBytes)
	}
	d.old[sector] = before
}

func (d *memData) truncate(size int64) {
	if size < d.size {
		for s := size / sectorBytes; s <= (d.size-1)/sectorBytes; s++ {
			d.remember(s)
		}
		d.store(make([]byte, d.size-size), size)
	}
	d.size, d.alloc = size, size
}

func (d *memData) sync() {
	d.syncedSize = d.size
	clear(d.old)
}

type memFile struct {
	m      *Mem
	n      *memNode
	name   string
	write  bool
	closed bool // guarded by m.mu
}

var _ File = (*memFile)(nil)

// use locks the file system for one call; the caller unlocks when there is no error.
func (f *memFile) use(op Op, write bool) error {
	f.m.mu.Lock()
	var err error
	switch {
	case f.m.crashed:
		err = ErrCrashed
	case f.closed:
		err = fs.ErrClosed
	case write && !f.write:
		err = syscall.EBADF
	default:
		return nil
	}
	f.m.mu.Unlock()
	return pathError(op, f.name, err)
}

// grow makes room for a change of the space that a file takes.
func (f *memFile) grow(op Op, space int64) error {
	need := space - f.n.data.space()
	if need > 0 && f.m.capacity > 0 && f.m.used+need > f.m.capacity {
		return pathError(op, f.name, syscall.ENOSPC)
	}
	f.m.used += max(0, need)
	return nil
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.use(OpRead, false); err != nil {
		return 0, err
	}
	defer f.m.mu.Unlock()
	n := min(int64(len(p)), max(0, f.n.data.size-off))
	f.n.data.readAt(p[:n], off)
	if n < int64(len(p)) {
		return int(n), io.EOF
	}
	return int(n), nil
}

func (f *memFile) ReadCached(p []byte, off int64) int {
	n, err := f.ReadAt(p, off)
	if err != nil {
		return 0
	}
	return n
}

func (f *memFile) NoReadahead() error { return nil }

func (f *memFile) Prefetch(off, n int64) error { return nil }

func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	if err := f.use(OpWrite, true); err != nil {
		return 0, err
	}
	defer f.m.mu.Unlock()
	if err := f.grow(OpWrite, off+int64(len(p))); err != nil {
		return 0, err
	}
	f.n.data.writeAt(p, off)
	return len(p), nil
}

func (f *memFile) Size() (int64, error) {
	if err := f.use(OpSize, false); err != nil {
		return 0, err
	}
	defer f.m.mu.Unlock()
	return f.n.data.size, nil
}

func (f *memFile) Truncate(size int64) error {
	if err := f.use(OpTruncate, true); err != nil {
		return err
	}
	defer f.m.mu.Unlock()
	if err := f.grow(OpTruncate, size); err != nil {
		return err
	}
	before := max(f.n.data.space(), size)
	f.n.data.truncate(size)
	f.m.used -= before - f.n.data.space()
	return nil
}

func (f *memFile) Preallocate(off, n int64) error {
	if err := f.use(OpPreallocate, true); err != nil {
		return err
	}
	defer f.m.mu.Unlock()
	if err := f.grow(OpPreallocate, off+n); err != nil {
		return err
	}
	f.n.data.alloc = max(f.n.data.alloc, off+n)
	return nil
}

func (f *memFile) StartWriteback(off, n int64) error {
	if err := f.use(OpWriteback, false); err != nil {
		return err
	}
	f.m.mu.Unlock()
	return nil
}

func (f *memFile) DropCache(off, n int64) error {
	if err := f.use(OpDropCache, false); err != nil {
		return err
	}
	f.m.mu.Unlock()
	return nil
}

func (f *memFile) AwaitWriteback(off, n int64) error {
	if err := f.use(OpAwait, false); err != nil {
		return err
	}
	f.m.mu.Unlock()
	return nil
}

func (f *memFile) Datasync() error { return f.sync(OpDatasync) }

func (f *memFile) Sync() error { return f.sync(OpSync) }

func (f *memFile) sync(op Op) error {
	if err := f.use(op, false); err != nil {
		return err
	}
	defer f.m.mu.Unlock()
	f.n.data.sync()
	return nil
}

func (f *memFile) Close() error {
	if err := f.use(OpClose, false); err != nil {
		return err
	}
	defer f.m.mu.Unlock()
	f.closed = true
	f.m.unref(f.n)
	return nil
}
