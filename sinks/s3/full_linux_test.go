package s3_test

import (
	"errors"
	"syscall"
	"testing"

	"github.com/seed-462d9463/sluice/sinks"
)

func TestAFullSpoolDirectoryIsTold(t *testing.T) {
	config := storeConfig(t, "http://127.0.0.1:1") // not reached
	if err := syscall.Mount("tmpfs", config.SpoolDir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("cannot mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(config.SpoolDir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	err := open(t, config, "bucket").Put(t.Context(), sinks.Object{Key: "key", Body: zeros(8 << 20)})
	expectError(t, err, false, "spool", config.SpoolDir, "no space left")
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("error %v, want %v", err, syscall.ENOSPC)
	}
	expectEmpty(t, config.SpoolDir)
}
