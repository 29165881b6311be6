package sinktest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/seed-462d9463/sluice/sinks"
)

// Sizes around the limits that sinks are likely to have inside: buffers, pages, spools.
var sizes = []int64{0, 1, 4095, 4096, 64<<10 - 1, 64 << 10, 256<<10 + 1, 1 << 20, 4<<20 - 1, 4 << 20, 4<<20 + 1, 20 << 20}

func checkContent(t *testing.T, h Harness) {
	for i, size := range sizes {
		c := content{seed: uint64(i), size: size}
		key := fmt.Sprintf("content/%d", size)
		h.put(t, key, c)
		h.expect(t, key, c)
	}
	h.expectNoLeftovers(t)
}

func checkPieces(t *testing.T, h Harness) {
	for _, piece := range []int{1, 7, 1000, 5 << 20} {
		c := content{seed: uint64(piece), size: 100_000, piece: piece}
		key := fmt.Sprintf("pieces-of-%d", piece)
		h.put(t, key, c)
		h.expect(t, key, c)
	}
}

func checkReplacement(t *testing.T, h Harness) {
	// Longer by shorter, shorter by longer, anything by nothing and back.
	for i, size := range []int64{5 << 20, 10, 300_000, 0, 1} {
		c := content{seed: uint64(i), size: size}
		h.put(t, "dir/replaced", c)
		h.expect(t, "dir/replaced", c)
	}
	h.expectNoLeftovers(t)
}

func checkReaders(t *testing.T, h Harness) {
	const versions = 12
	version := func(i int) content { return content{seed: uint64(i), size: int64(200_000 + 150_000*(i%3))} }
	h.put(t, "watched", version(0))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for ctx.Err() == nil {
				if err := readOneOf(ctx, h, version, versions); err != nil && ctx.Err() == nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := 1; i < versions; i++ {
		h.put(t, "watched", version(i))
	}
	stop()
	readers.Wait()
	h.expect(t, "watched", version(versions-1))
}

// readOneOf reads the watched object and returns an error unless it is one of the versions.
func readOneOf(ctx context.Context, h Harness, version func(int) content, versions int) error {
	reader, err := h.Open(ctx, "watched")
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer func() { _ = reader.Close() }()
	got, err := io.ReadAll(reader)
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	for i := range versions {
		if version(i).compare(strings.NewReader(string(got))) == nil {
			return nil
		}
	}
	return fmt.Errorf("%d bytes that nobody put", len(got))
}

func checkStat(t *testing.T, h Harness) {
	for _, key := range []string{"missing", "missing/below", "parent/child/missing"} {
		h.expectNothing(t, key)
	}
	c := content{size: 12_345}
	h.put(t, "parent/child", c)
	h.expect(t, "parent/child", c)
	for _, key := range []string{"parent", "parent/child/below", "parent/chil", "parent/child2"} {
		if _, err := h.Sink.Stat(t.Context(), key); !errors.Is(err, sinks.ErrNotFound) {
			t.Errorf("stat %q beside \"parent/child\": %v, want %v", key, err, sinks.ErrNotFound)
		}
	}
}

func checkSecondWrite(t *testing.T, h Harness) {
	// The same body for two Puts, which may be two attempts of one.
	c := content{seed: 1, size: 5 << 20}
	h.put(t, "once", c)
	h.put(t, "twice", c)
	h.put(t, "once", c)
	h.expect(t, "once", c)
	h.expect(t, "twice", c)
}
