package worker

import (
	"context"
	"errors"
	"os"
	"runtime"
	"testing"
)

func TestThePageCacheIsFilledUntilNoMemoryIsFree(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("Linux only")
	}
	dir := t.TempDir()
	cache, err := OpenPageCache(dir)
	if err != nil {
		t.Fatal(err)
	}
	const total = 1 << 30
	used := int64(0) // by others
	cache.memory = func() (int64, int64, error) { return total - used - cache.next, total, nil }
	for _, used = range []int64{total - 50<<20, total - 60<<20} {
		if err := cache.Fill(t.Context()); err != nil {
			t.Fatal(err)
		}
		if want := total - used - total/spareMemory + 1<<20; cache.next != want {
			t.Errorf("%d bytes were read, want %d", cache.next, want)
		}
	}

	cache.memory = func() (int64, int64, error) { return 1 << 20, 4 << 20, nil }
	if err := cache.Fill(t.Context()); err == nil {
		t.Error("memory that stays free whatever is read is no error")
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if err := cache.Fill(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end it fills on: %v", err)
	}
	if err := cache.Close(); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("it leaves %v behind: %v", left, err)
	}
}
