// Package file is the sink that keeps buckets as directories: the object "2026/01/a.gz" of the bucket "clicks"
// is the file <dir>/clicks/2026/01/a.gz. See Path for keys that are no good file names.
//
// One process at a time uses a directory; the lock on Sluice's data directory sees to that. (Were there two,
// the worst would be that a Put fails and is repeated when the other starts and removes its temporary file.)
//
// On a file system that ignores case, keys that differ only in case are one object.
package file

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/seed-462d9463/sluice/sinks"
)

// tempDir holds objects that are being written. It is beside the buckets, so that they are on one file system
// and no listing of a bucket shows it; and it cannot be mistaken for a bucket, whose name never starts with a
// dot.
const tempDir = ".tmp"

const (
	dirMode  = 0o755
	fileMode = 0o644
)

// Opener opens buckets as directories below one directory.
type Opener struct{ dir string }

var _ sinks.Opener = (*Opener)(nil)

// New returns the opener for buckets below dir. It creates dir if it is missing, durably, and removes what Puts
// left unfinished when the process died. Later on dir has to stay: if it goes away (a disk that is not mounted)
// Puts fail until it is back.
func New(dir string) (*Opener, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("directory of buckets: %w", err)
	}
	if err := makeDirs(dir); err != nil {
		return nil, fmt.Errorf("create directory of buckets %s: %w", dir, err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open directory of buckets: %w", err)
	}
	defer func() { _ = root.Close() }()
	if err := root.RemoveAll(tempDir); err != nil {
		return nil, fmt.Errorf("remove unfinished objects in %s: %w", filepath.Join(dir, tempDir), err)
	}
	// Made here so that a directory that cannot be written is found at the start.
	if err := root.Mkdir(tempDir, dirMode); err != nil {
		return nil, fmt.Errorf("write to directory of buckets %s: %w", dir, err)
	}
	return &Opener{dir: dir}, nil
}

// Open returns the sink of a bucket. Its directory is made when the first object is put.
func (o *Opener) Open(bucket string) (sinks.Sink, error) {
	if err := sinks.CheckBucket(bucket); err != nil {
		return nil, err
	}
	return &sink{dir: o.dir, bucket: bucket}, nil
}

// makeDirs is os.MkdirAll, made durable: each directory that has got a new entry is synced.
func makeDirs(dir string) error {
	switch info, err := os.Stat(dir); {
	case err == nil && !info.IsDir():
		return errors.New("it is not a directory")
	case err == nil:
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	parent := filepath.Dir(dir)
	if err := makeDirs(parent); err != nil {
		return err
	}
	if err := os.Mkdir(dir, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	f, err := os.Open(parent)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	return f.Sync()
}
