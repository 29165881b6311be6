package vfs

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestReadingBringsNothingIntoMemoryButWhatIsAskedFor(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	f, err := OS().Create(name)
	must(t, err)
	defer f.Close()
	const size = 8 << 20
	_, err = f.WriteAt(make([]byte, size), 0)
	must(t, err)
	must(t, f.Sync())
	must(t, f.DropCache(0, 0))
	there, err := inMemory(f)
	if errors.Is(err, unix.ENOSYS) || there > 0 {
		t.Skip("nobody can tell what is in memory here, or all is")
	}
	must(t, err)
	must(t, f.NoReadahead())
	b := make([]byte, 128<<10)
	n := f.ReadCached(b, 1<<20)
	if there, err := inMemory(f); n != 0 || there > 0 || err != nil {
		t.Errorf("ReadCached: %d bytes were in memory, %d are now, %v", n, there, err)
	}
	_, err = f.ReadAt(b, 1<<20)
	must(t, err)
	if there, err := inMemory(f); there > 256<<10 || err != nil {
		t.Errorf("ReadAt of %d bytes: %d are in memory, %v", len(b), there, err)
	}
	if n := f.ReadCached(b, 1<<20); n != len(b) {
		t.Errorf("ReadCached: %d bytes are in memory, want %d", n, len(b))
	}
}

// inMemory returns how much of a file is in memory.
func inMemory(f File) (bytes int64, err error) {
	var there unix.Cachestat_t
	err = f.(osFile).control("cachestat", func(fd int) error {
		return unix.Cachestat(uint(fd), &unix.CachestatRange{}, &there, 0)
	})
	return int64(there.Cache) * systemPage, err
}

func TestThereIsNoTreeWithAnotherFileSystemInIt(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "0"), 0o750); err != nil {
		t.Fatal(err)
	}
	tree, err := OS().OpenTree(dir)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip("no tree can be synced here")
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := tree.Close(); err != nil {
		t.Error(err)
	}
	if err := os.Symlink(t.TempDir(), filepath.Join(dir, "1")); err != nil {
		t.Fatal(err)
	}
	if tree, err := OS().OpenTree(dir); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("with a link to elsewhere: %v, %v; want that it is not supported", tree, err)
	}
}
