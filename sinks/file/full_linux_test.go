package file_test

import (
	"errors"
	"io"
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
	refused := func(body io.WriterTo) {
		t.Helper()
		err := sink.Put(t.Context(), sinks.Object{Key: "too-large", Body: body})
		if !errors.Is(err, syscall.ENOSPC) || sinks.IsPermanent(err) || !strings.Contains(err.Error(), "full") {
			t.Fatalf("put: %v, want one that says that the disk is full and is not permanent", err)
		}
		if left := outside(t, filepath.Join(dir, "buckets"), "bucket"); len(left) != 0 {
			t.Fatalf("left: %q", left)
		}
	}
	refused(strings.NewReader(strings.Repeat("x", 900<<10)))
	refused(lazy{size: 900 << 10})
	// There is room again for what fits.
	for _, key := range []string{"fits-too", "fits-as-well"} {
		if err := sink.Put(t.Context(), object(key, strings.Repeat("x", 300<<10))); err != nil {
			t.Fatal(err)
		}
	}
	// Small enough for all buffers on the way, so that it is found out at the very end.
	refused(lazy{size: 200 << 10})
	if _, err := sink.Stat(t.Context(), "too-large"); !errors.Is(err, sinks.ErrNotFound) {
		t.Fatalf("stat: %v", err)
	}
}
