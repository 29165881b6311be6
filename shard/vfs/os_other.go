//go:build unix && !linux

package vfs

// Preallocate does nothing: a full disk then shows at the write.
func (f osFile) Preallocate(off, n int64) error { return nil }

// StartWriteback does nothing: the system writes out when it likes.
func (f osFile) StartWriteback(off, n int64) error { return nil }

// DropCache does nothing: the system forgets what it likes.
func (f osFile) DropCache(off, n int64) error { return nil }

// Datasync is a full sync (on macOS F_FULLFSYNC, without which the drive's cache may still lose the bytes).
func (f osFile) Datasync() error { return f.Sync() }
