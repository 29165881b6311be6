package s3

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"pgregory.net/rapid"
)

func TestASpooledBodyIsReadBackFromAnyPosition(t *testing.T) {
	spool, err := newSpool(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.OneOf(
			rapid.IntRange(0, 1000),
			rapid.SampledFrom([]int{SpoolMemory - 1, SpoolMemory, SpoolMemory + 1, 2*SpoolMemory - 1, 2 * SpoolMemory, 2*SpoolMemory + 1}),
		).Draw(t, "size")
		want := make([]byte, size)
		for i := range want {
			want[i] = byte(i % 251)
		}
		p, err := spool.fill(t.Context(), bytes.NewReader(want))
		if err != nil {
			t.Fatal(err)
		}
		defer p.close()
		if p.size != int64(size) || (p.file != nil) != (size > SpoolMemory) {
			t.Fatalf("size %d, file %t", p.size, p.file != nil)
		}
		got, err := io.ReadAll(io.NewSectionReader(p, 0, p.size))
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
		from := rapid.IntRange(0, size).Draw(t, "from")
		rest, err := io.ReadAll(io.NewSectionReader(p, int64(from), p.size-int64(from)))
		if err != nil || !bytes.Equal(rest, want[from:]) {
			t.Fatalf("from %d: %d bytes, %v", from, len(rest), err)
		}
	})
}

func TestAReadAfterTheUploadFails(t *testing.T) {
	spool, err := newSpool(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{10, SpoolMemory + 10} {
		p, err := spool.fill(t.Context(), bytes.NewReader(make([]byte, size)))
		if err != nil {
			t.Fatal(err)
		}
		p.close()
		if _, err := p.ReadAt(make([]byte, 1), 0); !errors.Is(err, errPayloadClosed) {
			t.Errorf("read of a closed payload: %v, want %v", err, errPayloadClosed)
		}
	}
}

func TestKeysForAmazonMayHaveEmptyParts(t *testing.T) {
	for key, want := range map[string]bool{"a": true, "/a": true, "a//b": true, "a/": true, ".": false, "a/../b": false, " ": false} {
		if err := checkKey(key, true); (err == nil) != want {
			t.Errorf("key %q: %v", key, err)
		}
	}
}
