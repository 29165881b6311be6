// Package vfs is the file system as the storage engine sees it: just the calls that storage needs, with what
// each of them promises about durability. OS is the real one; Mem is its twin for tests, which can lose what
// was not synced; Inject makes any of them fail at will.
package vfs

import (
	"errors"
	"io"
	"slices"
	"syscall"
)

// FS is a file system. Names are slash-separated paths. All methods may be called concurrently.
//
// A change of a directory (Create, Rename, Remove, MkdirAll) survives a power loss only after SyncDir of that
// directory, and a file's bytes only after Datasync or Sync of the file; the one does not imply the other.
type FS interface {
	// Create makes a file that must not exist yet (fs.ErrExist) and opens it for reading and writing.
	Create(name string) (File, error)
	// Open opens an existing file for reading, and for writing too if write is set.
	Open(name string, write bool) (File, error)
	// List returns the sorted names of a directory's entries.
	List(dir string) ([]string, error)
	// Stat tells a file from a directory, and its size. fs.ErrNotExist if there is none.
	Stat(name string) (Info, error)
	// Rename replaces newName, atomically. Both are in the same directory.
	Rename(oldName, newName string) error
	// Remove removes a file or an empty directory.
	Remove(name string) error
	// MkdirAll makes a directory and the missing ones above it.
	MkdirAll(dir string) error
	// SyncDir makes the entries of a directory durable.
	SyncDir(dir string) error
	// Lock takes the exclusive lock of a file, which it makes if need be, until Close of what it returns or
	// the end of the process. ErrLocked if it is taken.
	Lock(name string) (io.Closer, error)
	// OpenTree returns a way to sync all that is in dir with one call. errors.ErrUnsupported where there is none
	// that can be trusted.
	OpenTree(dir string) (Tree, error)
	// Free returns the bytes that can still be written to the file system that holds dir.
	Free(dir string) (int64, error)
}

// Tree is a directory with everything under it, on one file system.
type Tree interface {
	// Sync makes all files and directories of the tree durable, as Sync of each file and SyncDir of each directory
	// would. It reports every write-back that failed since OpenTree, those of closed files included; after an error
	// nothing is known about what is on disk.
	Sync() error
	io.Closer
}

// Info describes a file.
type Info struct {
	Size int64
	Dir  bool
}

// File is an open file. All methods but Close may be called concurrently.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer

	// ReadCached reads, as ReadAt does, what is in memory: it does not wait for the disk, nor ask it for anything where the
	// system can tell before, but returns less, or 0. So it does after any error: ReadAt says what the matter is.
	ReadCached(p []byte, off int64) int
	// NoReadahead asks that reads bring nothing into memory but what they ask for. It promises nothing.
	NoReadahead() error
	// Prefetch asks that the bytes [off, off+n) be brought into memory, without waiting and without any promise.
	Prefetch(off, n int64) error
	// Size returns the file's length.
	Size() (int64, error)
	// Truncate sets the length, and gives back what was preallocated beyond it.
	Truncate(size int64) error
	// Preallocate reserves space for the bytes [off, off+n), so that writing them cannot fail for lack of it.
	// The length stays. Where the file system cannot do it, it does nothing.
	Preallocate(off, n int64) error
	// StartWriteback asks that the bytes [off, off+n) be written out soon, without waiting and without any
	// promise. It keeps the disk evenly busy.
	StartWriteback(off, n int64) error
	// DropCache asks that the system forget its copy in memory of the bytes [off, off+n) as far as they are on disk, so
	// that reading them leaves no trace, or is sure to ask the disk. n may be 0: to the end. It promises nothing.
	DropCache(off, n int64) error
	// AwaitWriteback waits for what StartWriteback has begun of the bytes [off, off+n), likewise without any promise
	// that they are durable. An error is to be taken for one of Datasync, which may not report it again.
	AwaitWriteback(off, n int64) error
	// Datasync makes the bytes, and the length, durable. After an error nothing is known about what is on
	// disk, and another call may wrongly report success.
	Datasync() error
	// Sync is Datasync and all other metadata.
	Sync() error
}

// WriteVec writes pieces that follow one another from an offset on. It is one call of the file system, or as many as it
// takes.
func WriteVec(f File, pieces [][]byte, off int64) error {
	if v, ok := f.(vecWriter); ok && len(pieces) > 1 {
		return v.writeVec(pieces, off)
	}
	whole := pieces[0]
	if len(pieces) > 1 {
		whole = slices.Concat(pieces...)
	}
	_, err := f.WriteAt(whole, off)
	return err
}

// vecWriter is a file to which pieces can be written with one call.
type vecWriter interface {
	writeVec(pieces [][]byte, off int64) error
}

// ErrLocked says that somebody else holds the lock.
var ErrLocked = errors.New("locked by another process")

// IsNoSpace tells whether an error means that the disk, or the quota, is full.
func IsNoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
