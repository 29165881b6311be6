//go:build unix

package vfs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// OS returns the machine's own file system.
func OS() FS { return osFS{} }

// OSWithoutLinks is OS, but a file that is a symbolic link is not opened. It is for those who work, maybe as root, in a
// directory of somebody else, who could have put links there to what is not theirs.
func OSWithoutLinks() FS { return osFS{noLinks: unix.O_NOFOLLOW} }

// ErrLink says that a file is a symbolic link that is not followed.
var ErrLink = errors.New("it is a symbolic link, which is not followed here")

type osFS struct{ noLinks int }

// FileLimit returns how many files the process may have open: RLIMIT_NOFILE, which Go raises as far as it may.
func FileLimit() int {
	const most = 1 << 30
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || uint64(limit.Cur) > most {
		return most
	}
	return int(limit.Cur)
}

func (osFS) Create(name string) (File, error) {
	return open(name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
}

func (fs osFS) Open(name string, write bool) (File, error) {
	flag := os.O_RDONLY
	if write {
		flag = os.O_RDWR
	}
	f, err := open(name, flag|fs.noLinks)
	if fs.noLinks != 0 && errors.Is(err, unix.ELOOP) {
		return nil, fmt.Errorf("%s: %w", name, ErrLink)
	}
	return f, err
}

func open(name string, flag int) (File, error) {
	f, err := os.OpenFile(name, flag, 0o640)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (osFS) List(dir string) ([]string, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	slices.Sort(names)
	return names, err
}

func (osFS) Stat(name string) (Info, error) {
	fi, err := os.Stat(name)
	if err != nil {
		return Info{}, err
	}
	return Info{Size: fi.Size(), Dir: fi.IsDir()}, nil
}

func (osFS) Rename(oldName, newName string) error { return os.Rename(oldName, newName) }
func (osFS) Remove(name string) error             { return os.Remove(name) }
func (osFS) MkdirAll(dir string) error            { return os.MkdirAll(dir, 0o750) }

func (osFS) SyncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = f.Sync()
	return errors.Join(err, f.Close())
}

func (fs osFS) Lock(name string) (io.Closer, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|fs.noLinks, 0o640)
	if err != nil {
		return nil, err
	}
	// flock belongs to the open file, so a second Lock in this process fails as one in another does.
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s: %w", name, ErrLocked)
		}
		return nil, &os.PathError{Op: "flock", Path: name, Err: err}
	}
	return f, nil
}

func (osFS) Free(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}

type osFile struct{ *os.File }

func (f osFile) Size() (int64, error) {
	fi, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return fi.Size(), nil
}

// control runs op on the descriptor, again for as long as a signal interrupts it.
func (f osFile) control(name string, op func(fd int) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var opErr error
	err = conn.Control(func(fd uintptr) {
		for {
			if opErr = op(int(fd)); !errors.Is(opErr, unix.EINTR) {
				return
			}
		}
	})
	if err == nil && opErr != nil {
		err = &os.PathError{Op: name, Path: f.Name(), Err: opErr}
	}
	return err
}
