package journal

import (
	"errors"
	"syscall"
	"time"

	"github.com/seed-462d9463/sluice/shard/vfs"
)

// Some errors of the disk are nobody's loss and pass: there are too many open files, or no space for what a file system
// that copies on write needs to write over or remove something. The calls below are then made again until they succeed,
// as on a slow disk. None of them is a sync: a sync that has failed is never repeated.

const (
	patienceFirst = 10 * time.Millisecond
	patienceMost  = time.Second
	// patienceAtEnd bounds the time that an engine which is being closed has patience.
	patienceAtEnd = 10 * time.Second
)

// tooManyFiles tells whether an error says that the process, or the machine, has too many files open.
func tooManyFiles(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// patiently makes a call, again while its error passes. Before the engine is open there is no patience.
func (e *Engine) patiently(passes func(error) bool, call func() error) error {
	err := call()
	if err == nil || !passes(err) || !e.open.Load() {
		return err
	}
	e.opts.Logger.Warn("the disk refuses something for now; it is tried again", "dir", e.opts.Dir, "error", err)
	spent := time.Duration(0)
	for wait := patienceFirst; ; wait = min(2*wait, patienceMost) {
		if e.closing.Load() {
			if spent += wait; spent > patienceAtEnd {
				return err
			}
		}
		e.files.closeIdle()
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-e.failed:
			timer.Stop()
			return err
		}
		if err = call(); err == nil || !passes(err) {
			return err
		}
	}
}

// patientFS is the file system as what runs in the background sees it.
type patientFS struct {
	vfs.FS
	e *Engine
}

// Create implements vfs.FS.
func (p patientFS) Create(name string) (f vfs.File, err error) {
	err = p.e.patiently(tooManyFiles, func() error {
		f, err = p.FS.Create(name)
		return err
	})
	return f, err
}

// Open implements vfs.FS.
func (p patientFS) Open(name string, write bool) (f vfs.File, err error) {
	err = p.e.patiently(tooManyFiles, func() error {
		f, err = p.FS.Open(name, write)
		return err
	})
	return f, err
}

// List implements vfs.FS.
func (p patientFS) List(dir string) (names []string, err error) {
	err = p.e.patiently(tooManyFiles, func() error {
		names, err = p.FS.List(dir)
		return err
	})
	return names, err
}

// SyncDir implements vfs.FS. Too many open files keep it from opening the directory: nothing has been synced then.
func (p patientFS) SyncDir(dir string) error {
	return p.e.patiently(tooManyFiles, func() error { return p.FS.SyncDir(dir) })
}

// Remove implements vfs.FS.
func (p patientFS) Remove(name string) error {
	return p.e.patiently(vfs.IsNoSpace, func() error { return p.FS.Remove(name) })
}

// writeOver writes where there are bytes already, which needs space only where a file system copies on write. The same
// bytes are written again to the same place until there is some.
func (e *Engine) writeOver(f vfs.File, vec [][]byte, pos int64) error {
	return e.patiently(vfs.IsNoSpace, func() error {
		err := vfs.WriteVec(f, vec, pos)
		if err != nil && vfs.IsNoSpace(err) && e.open.Load() {
			e.disk.commit(false)            // so that nobody who reads waits for space
			e.flusher.setFull(errFull{err}) // nor what comes behind, which is refused
		}
		return err
	})
}
