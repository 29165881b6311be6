package worker

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// forgetBytes is how much is forgotten by one call: the kernel may let nobody else run meanwhile, 20 ms for a file of 64 MiB. What
// lies in one piece in the page cache, of 2 MiB at most, must not be cut: it would stay.
const forgetBytes = 2 << 20

// forget empties the page cache of the files in a directory, but for what has not been written out yet
// (posix_fadvise(2)).
func forget(dir string) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // the engine has removed it
		}
		if err != nil {
			return err
		}
		return errors.Join(forgetFile(f), f.Close())
	})
}

func forgetFile(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	for at := int64(0); at < info.Size(); at += forgetBytes {
		if err := unix.Fadvise(int(f.Fd()), at, forgetBytes, unix.FADV_DONTNEED); err != nil {
			return err
		}
	}
	return nil
}
