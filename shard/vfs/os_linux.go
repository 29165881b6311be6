package vfs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ReadCached looks first whether all is there: what is not, preadv2 would ask the disk for.
func (f osFile) ReadCached(p []byte, off int64) int {
	n := 0
	err := f.control("preadv2", func(fd int) (err error) {
		if !cached(fd, off, int64(len(p))) {
			return nil
		}
		n, err = unix.Preadv2(fd, [][]byte{p}, off, unix.RWF_NOWAIT)
		return err
	})
	if err != nil {
		return 0
	}
	return n
}

// cached tells whether the pages of a file that hold n bytes are in memory, or may be: before Linux 6.5 nobody can tell.
func cached(fd int, off, n int64) bool {
	var there unix.Cachestat_t
	if err := unix.Cachestat(uint(fd), &unix.CachestatRange{Off: uint64(off), Len: uint64(n)}, &there, 0); err != nil {
		return true
	}
	first, last := off/systemPage, (off+n-1)/systemPage
	return there.Cache > uint64(last-first)
}

var systemPage = int64(os.Getpagesize())

// maxVec is how many pieces Linux takes in one call (IOV_MAX).
const maxVec = 1024

func (f osFile) writeVec(pieces [][]byte, off int64) error {
	vec := make([][]byte, 0, min(len(pieces), maxVec))
	for len(pieces) > 0 {
		vec = append(vec[:0], pieces[:min(len(pieces), maxVec)]...)
		pieces = pieces[len(vec):]
		for rest := vec; len(rest) > 0; {
			if len(rest[0]) == 0 {
				rest = rest[1:]
				continue
			}
			n := 0
			err := f.control("pwritev", func(fd int) (err error) {
				n, err = unix.Pwritev(fd, rest, off)
				return err
			})
			if err != nil {
				return err
			}
			if n == 0 {
				return &os.PathError{Op: "pwritev", Path: f.Name(), Err: io.ErrShortWrite}
			}
			off += int64(n)
			for n > 0 && n >= len(rest[0]) {
				n -= len(rest[0])
				rest = rest[1:]
			}
			if n > 0 {
				rest[0] = rest[0][n:]
			}
		}
	}
	return nil
}

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

func (f osFile) DropCache(off, n int64) error { return f.advise(off, n, unix.FADV_DONTNEED) }

func (f osFile) advise(off, n int64, advice int) error {
	err := f.control("fadvise", func(fd int) error { return unix.Fadvise(fd, off, n, advice) })
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return nil
	}
	return err
}

func (f osFile) NoReadahead() error { return f.advise(0, 0, unix.FADV_RANDOM) }

func (f osFile) Prefetch(off, n int64) error { return f.advise(off, n, unix.FADV_WILLNEED) }

func (f osFile) AwaitWriteback(off, n int64) error {
	err := f.control("sync_file_range", func(fd int) error {
		return unix.SyncFileRange(fd, off, n, unix.SYNC_FILE_RANGE_WAIT_BEFORE)
	})
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return nil
	}
	return err
}

// OpenTree is syncfs, on the file systems that are known to do what it says, and where the kernel passes all errors on. A
// directory in dir that is a mount of its own, or a link to elsewhere, would be left out: then there is no tree.
func (osFS) OpenTree(dir string) (Tree, error) {
	if !syncfsReports() {
		return nil, errors.ErrUnsupported
	}
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := oneFileSystem(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return osTree{osFile{f}}, nil
}

// oneFileSystem makes sure that a directory, with those that are in it, is on one file system that can be trusted.
func oneFileSystem(dir *os.File) error {
	fd := int(dir.Fd())
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil {
		return &os.PathError{Op: "statfs", Path: dir.Name(), Err: err}
	}
	switch int64(fs.Type) {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC:
	default:
		return errors.ErrUnsupported
	}
	var top, st unix.Stat_t
	if err := unix.Fstat(fd, &top); err != nil {
		return &os.PathError{Op: "stat", Path: dir.Name(), Err: err}
	}
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return &os.PathError{Op: "stat", Path: filepath.Join(dir.Name(), name), Err: err}
		}
		if st.Dev != top.Dev || st.Mode&unix.S_IFMT == unix.S_IFLNK {
			return errors.ErrUnsupported
		}
	}
	return nil
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

// syncfsReports tells whether the kernel is 5.17 or newer. Since 5.8 syncfs reports the write-backs that failed, but only
// since 5.17 also what the file system itself says, for example that it could not write its log, and with it the names
// and lengths of files.
func syncfsReports() bool {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return false
	}
	var major, minor int
	if n, _ := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor); n < 2 {
		return false
	}
	return major > 5 || major == 5 && minor >= 17
}

func (f osFile) Datasync() error { return f.control("fdatasync", unix.Fdatasync) }
