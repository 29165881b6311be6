// Package sinktest checks what package sinks promises, for any sink.
package sinktest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/seed-462d9463/sluice/sinks"
)

// Harness is a sink with an empty bucket, and a way round the sink to see what is in the bucket.
type Harness struct {
	Sink sinks.Sink

	// Open reads an object as any user of the store would. The error wraps fs.ErrNotExist if it is not there.
	Open func(ctx context.Context, key string) (io.ReadCloser, error)

	// Leftovers lists what is in the store and is not an object: temporary files, uploads in parts that were
	// not completed. May be nil.
	Leftovers func(t *testing.T) []string
}

// Run checks the sinks that start gives. It is called for each check, and ends what it starts by t.Cleanup.
func Run(t *testing.T, start func(t *testing.T) Harness) {
	checks := []struct {
		name  string
		check func(t *testing.T, h Harness)
	}{
		{"ContentIsKeptByteForByte", checkContent},
		{"ContentThatIsWrittenInSmallPiecesIsKept", checkPieces},
		{"AnObjectIsReplacedAsAWhole", checkReplacement},
		{"ReadersSeeTheOldOrTheNewObject", checkReaders},
		{"StatTellsSizeAndAbsence", checkStat},
		{"InvalidKeysAreRefusedForGood", checkInvalidKeys},
		{"KeysThatArePathsOfOthersAreKeptOrRefused", checkNestedKeys},
		{"AnErrorOfTheBodyLeavesNothing", checkBodyError},
		{"AnErrorOfTheBodyLeavesTheOldObject", checkBodyErrorOnReplacement},
		{"CancellationLeavesNothing", checkCancel},
		{"AnEndedContextStoresNothing", checkEndedContext},
		{"ConcurrentPutsOfOneKeyStoreOneOfThem", checkConcurrentSameKey},
		{"ConcurrentPutsOfManyKeysStoreAllOfThem", checkConcurrentManyKeys},
		{"ABodyThatIsWrittenTwiceIsTheSame", checkSecondWrite},
		{"MemoryDoesNotGrowWithTheObject", checkMemory},
	}
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) { c.check(t, start(t)) })
	}
	for i, keys := range oddKeys {
		t.Run(fmt.Sprintf("KeysAreKeptOrRefused%d", i), func(t *testing.T) { checkKeys(t, start(t), keys) })
	}
}

// put stores an object and fails the test if that fails.
func (h Harness) put(t *testing.T, key string, body io.WriterTo) {
	t.Helper()
	if err := h.Sink.Put(t.Context(), sinks.Object{Key: key, Body: body}); err != nil {
		t.Fatalf("put %q: %v", key, err)
	}
}

// expect fails the test unless the object is there with this content.
func (h Harness) expect(t *testing.T, key string, want content) {
	t.Helper()
	reader, err := h.Open(t.Context(), key)
	if err != nil {
		t.Fatalf("open %q: %v", key, err)
	}
	defer func() { _ = reader.Close() }()
	if err := want.compare(reader); err != nil {
		t.Fatalf("object %q: %v", key, err)
	}
	info, err := h.Sink.Stat(t.Context(), key)
	if err != nil {
		t.Fatalf("stat %q: %v", key, err)
	}
	if info.Size != want.size {
		t.Fatalf("stat %q: size %d, want %d", key, info.Size, want.size)
	}
	if info.Modified.IsZero() {
		t.Fatalf("stat %q: no time of modification", key)
	}
}

// expectNothing fails the test unless there is neither an object under the key nor any leftover.
func (h Harness) expectNothing(t *testing.T, key string) {
	t.Helper()
	if reader, err := h.Open(t.Context(), key); err == nil {
		_ = reader.Close()
		t.Fatalf("object %q is there", key)
	}
	if _, err := h.Sink.Stat(t.Context(), key); !errors.Is(err, sinks.ErrNotFound) {
		t.Fatalf("stat %q: %v, want %v", key, err, sinks.ErrNotFound)
	}
	h.expectNoLeftovers(t)
}

func (h Harness) expectNoLeftovers(t *testing.T) {
	t.Helper()
	if h.Leftovers == nil {
		return
	}
	if left := h.Leftovers(t); len(left) != 0 {
		t.Fatalf("left behind: %q", left)
	}
}

// isRefused reports whether the key was not taken, as a sink should say it.
func isRefused(err error) bool {
	return errors.Is(err, sinks.ErrInvalidKey) && sinks.IsPermanent(err)
}
