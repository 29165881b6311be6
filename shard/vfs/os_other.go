//go:build unix && !linux

package vfs

import "errors"

// ReadCached reads nothing: the system does not tell what is in memory.
func (f osFile) ReadCached(p []byte, off int64) int { return 0 }

// Preallocate does nothing: a full disk then shows at the write.
func (f osFile) Preallocate(off, n int64) error { return nil }

// StartWriteback does nothing: the system writes out when it likes.
func (f osFile) StartWriteback(off, n int64) error { return nil }

// DropCache does nothing: the system forgets what it likes.
func (f osFile) DropCache(off, n int64) error { return nil }

// NoReadahead does nothing: the system reads ahead as it likes.
func (f osFile) NoReadahead() error { return nil }

// Prefetch does nothing, either.
func (f osFile) Prefetch(off, n int64) error { return nil }

// AwaitWriteback does nothing, either.
func (f osFile) AwaitWriteback(off, n int64) error { return nil }

// OpenTree is not supported: files are synced one by one.
func (osFS) OpenTree(dir string) (Tree, error) { return nil, errors.ErrUnsupported }

// Datasync is a full sync (on macOS F_FULLFSYNC, without which the drive's cache may still lose the bytes).
func (f osFile) Datasync() error { return f.Sync() }
