package vfs

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

func (f osFile) Preallocate(off, n int64) error {
	err := f.control("fallocate", func(fd int) error {
		return unix.Fallocate(fd, unix.FALLOC_FL_KEEP_SIZE, off, n)
	})
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return nil
	}
	return err
}

func (f osFile) StartWriteback(off, n int64) error {
	err := f.control("sync_file_range", func(fd int) error {
		return unix.SyncFileRange(fd, off, n, unix.SYNC_FILE_RANGE_WRITE)
	})
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return nil
	}
	return err
}

func (f osFile) DropCache(off, n int64) error {
	err := f.control("fadvise", func(fd int) error {
		return unix.Fadvise(fd, off, n, unix.FADV_DONTNEED)
	})
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return nil
	}
	return err
}

func (f osFile) AwaitWriteback(off, n int64) error {
	err := f.control("sync_file_range", func(fd int) error {
		return unix.SyncFileRange(fd, off, n, unix.SYNC_FILE_RANGE_WAIT_BEFORE)
	})
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return nil
	}
	return err
}

// OpenTree is syncfs, on the file systems that are known to do what it says, and from Linux 5.8 on: only since then does
// it report write-backs that failed.
func (osFS) OpenTree(dir string) (Tree, error) {
	if !syncfsReports() {
		return nil, errors.ErrUnsupported
	}
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil {
		return nil, errors.Join(&os.PathError{Op: "statfs", Path: dir, Err: err}, f.Close())
	}
	switch int64(st.Type) {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC:
		return osTree{osFile{f}}, nil
	}
	return nil, errors.Join(errors.ErrUnsupported, f.Close())
}

type osTree struct{ dir osFile }

// Sync ends with a sync of the directory: ext4 without a journal writes its metadata after syncfs has emptied the disk's
// cache, and a sync of any file empties it once more.
func (t osTree) Sync() error {
	if err := t.dir.control("syncfs", unix.Syncfs); err != nil {
		return err
	}
	return t.dir.Sync()
}

func (t osTree) Close() error { return t.dir.Close() }

func syncfsReports() bool {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return false
	}
	var major, minor int
	if n, _ := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor); n < 2 {
		return false
	}
	return major > 5 || major == 5 && minor >= 8
}

func (f osFile) Datasync() error { return f.control("fdatasync", unix.Fdatasync) }
