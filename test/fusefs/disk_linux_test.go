package fusefs_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed-462d9463/sluice/shard/vfs"
	"github.com/seed-462d9463/sluice/test/fusefs"
)

func TestAPowerLossTakesWhatAProcessHasNotSynced(t *testing.T) {
	mem := vfs.NewMem()
	dir := t.TempDir()
	disk := mount(t, dir, mem)
	write := func(name, text string) *os.File {
		f, err := os.Create(filepath.Join(dir, name))
		if err == nil {
			_, err = f.WriteString(text)
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	must(t, os.MkdirAll(filepath.Join(dir, "a/b"), 0o750))
	synced := write("a/b/synced", "all of it")
	must(t, unix.Fdatasync(int(synced.Fd())))
	for _, d := range []string{"", "a", "a/b"} {
		f, err := os.Open(filepath.Join(dir, d))
		must(t, err)
		must(t, f.Sync())
		must(t, f.Close())
	}
	_, err := synced.WriteString(", and more")
	must(t, err)
	unnamed := write("a/b/unnamed", "synced in a directory that was not")
	must(t, unnamed.Sync())
	must(t, os.Rename(filepath.Join(dir, "a/b/synced"), filepath.Join(dir, "a/b/renamed")))
	got, err := os.ReadFile(filepath.Join(dir, "a/b/renamed"))
	if err != nil || string(got) != "all of it, and more" {
		t.Fatalf("before the loss: %q, %v", got, err)
	}
	must(t, synced.Close())
	must(t, unnamed.Close())
	disk.Freeze()
	left := mem.Crash(0)
	must(t, disk.Unmount())

	mount(t, dir, left)
	got, err = os.ReadFile(filepath.Join(dir, "a/b/synced"))
	if err != nil || !bytes.Equal(got, []byte("all of it")) {
		t.Errorf("after the loss: %q, %v", got, err)
	}
	entries, err := os.ReadDir(filepath.Join(dir, "a/b"))
	if err != nil || len(entries) != 1 {
		t.Errorf("after the loss: %v, %v", entries, err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// mount mounts for the time of the test. Where that is not allowed the test is skipped.
func mount(t *testing.T, dir string, files vfs.FS) *fusefs.Disk {
	t.Helper()
	disk, err := fusefs.Mount(dir, files)
	if err != nil {
		t.Skipf("SKIPPED, NOT TESTED: %v", err)
	}
	t.Cleanup(func() { must(t, disk.Unmount()) })
	return disk
}
