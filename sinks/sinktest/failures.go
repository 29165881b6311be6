package sinktest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/seed-462d9463/sluice/sinks"
)

var errBody = errors.New("the log cannot be read")

func checkBodyError(t *testing.T, h Harness) {
	for _, at := range []int64{0, 1 << 10, 6 << 20} {
		key := fmt.Sprintf("fails/at/%d", at)
		err := h.Sink.Put(t.Context(), sinks.Object{Key: key, Body: content{size: 8 << 20, at: at, fail: errBody}})
		if !errors.Is(err, errBody) {
			t.Fatalf("body fails at byte %d: %v, want %v", at, err, errBody)
		}
		h.expectNothing(t, key)
	}
}

func checkBodyErrorOnReplacement(t *testing.T, h Harness) {
	old := content{seed: 1, size: 100_000}
	h.put(t, "stays", old)
	err := h.Sink.Put(t.Context(), sinks.Object{Key: "stays", Body: content{seed: 2, size: 200_000, at: 100_000, fail: errBody}})
	if !errors.Is(err, errBody) {
		t.Fatalf("put: %v, want %v", err, errBody)
	}
	h.expect(t, "stays", old)
	h.expectNoLeftovers(t)
}

func checkCancel(t *testing.T, h Harness) {
	for _, at := range []int64{0, 100_000, 7 << 20, 8 << 20} {
		ctx, cancel := context.WithCancel(t.Context())
		key := fmt.Sprintf("canceled/at/%d", at)
		// The body itself takes no notice, and ends without an error if the sink lets it.
		err := h.Sink.Put(ctx, sinks.Object{Key: key, Body: content{size: 8 << 20, at: at, hook: cancel}})
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("canceled at byte %d: %v, want %v", at, err, context.Canceled)
		}
		if sinks.IsPermanent(err) {
			t.Fatalf("canceled at byte %d: %v is marked as permanent", at, err)
		}
		h.expectNothing(t, key)
		cancel()
	}
}

func checkEndedContext(t *testing.T, h Harness) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, size := range []int64{0, 10} {
		err := h.Sink.Put(ctx, sinks.Object{Key: "too-late", Body: content{size: size}})
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("put: %v, want %v", err, context.Canceled)
		}
		h.expectNothing(t, "too-late")
	}
}

func checkConcurrentSameKey(t *testing.T, h Harness) {
	const writers, rounds = 6, 4
	body := func(w int) content { return content{seed: uint64(w), size: int64(100_000 * (w + 1))} }
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for range rounds {
				if err := h.Sink.Put(t.Context(), sinks.Object{Key: "contended/key", Body: body(w)}); err != nil {
					t.Errorf("put: %v", err)
				}
			}
		})
	}
	wg.Wait()
	info, err := h.Sink.Stat(t.Context(), "contended/key")
	if err != nil {
		t.Fatalf("stat: %v", err)
	}
	h.expect(t, "contended/key", body(int(info.Size/100_000)-1))
	h.expectNoLeftovers(t)
}

func checkConcurrentManyKeys(t *testing.T, h Harness) {
	const writers, each = 8, 6
	key := func(w, i int) string { return fmt.Sprintf("many/%d/shared-%d/%d", i, w%2, w) }
	body := func(w, i int) content { return content{seed: uint64(w*each + i), size: int64(30_000*i + w)} }
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				if err := h.Sink.Put(t.Context(), sinks.Object{Key: key(w, i), Body: body(w, i)}); err != nil {
					t.Errorf("put: %v", err)
				}
			}
		})
	}
	wg.Wait()
	for w := range writers {
		for i := range each {
			h.expect(t, key(w, i), body(w, i))
		}
	}
	h.expectNoLeftovers(t)
}

func checkMemory(t *testing.T, h Harness) {
	// A first object, so that pools and connections are there, and then one that would show.
	h.put(t, "warm-up", content{seed: 1, size: 8 << 20})
	const size, allowed = 64 << 20, 24 << 20
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	large := content{seed: 2, size: size}
	h.put(t, "large", large)
	runtime.ReadMemStats(&after)
	// All that was allocated on the way is an upper bound of what was in use at once.
	if grown := after.TotalAlloc - before.TotalAlloc; grown > allowed {
		t.Errorf("%d MiB were allocated for an object of %d MiB, at most %d MiB are expected", grown>>20, size>>20, allowed>>20)
	}
	h.expect(t, "large", large)
}
