package file_test

import (
	"errors"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/seed-462d9463/sluice/sinks"
)

func TestAFullDiskIsToldAndLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("cannot mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	sink := open(t, filepath.Join(dir, "buckets"), "bucket")
	if err := sink.Put(t.Context(), object("fits", strings.Repeat("x", 300<<10))); err != nil {
		t.Fatal(err)
	}
	for _, body := range []sinks.Object{
		object("too-large", strings.Repeat("x", 900<<10)),
		{Key: "too-large", Body: lazy{size: 900 << 10}},
	} {
		err := sink.Put(t.Context(), body)
		if !errors.Is(err, syscall.ENOSPC) || sinks.IsPermanent(err) || !strings.Contains(err.Error(), "full") {
			t.Fatalf("put: %v, want one that says that the disk is full and is not permanent", err)
		}
		if left := outside(t, filepath.Join(dir, "buckets"), "bucket"); len(left) != 0 {
			t.Fatalf("left: %q", left)
		}
	}
	// There is room again for what fits.
	if err := sink.Put(t.Context(), object("fits-too", strings.Repeat("x", 300<<10))); err != nil {
		t.Fatal(err)
	}
	if _, err := sink.Stat(t.Context(), "too-large"); !errors.Is(err, sinks.ErrNotFound) {
		t.Fatalf("stat: %v", err)
	}
}
