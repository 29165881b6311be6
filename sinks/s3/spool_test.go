package s3

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
)

func TestASpooledBodyIsReadBackFromAnyPosition(t *testing.T) {
	spool, err := newSpool(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for _, size := range []int{0, 1, 1000, SpoolMemory - 1, SpoolMemory, SpoolMemory + 1, 2*SpoolMemory - 1, 2 * SpoolMemory, 2*SpoolMemory + 1} {
		want := make([]byte, size)
		for i := range want {
			want[i] = byte(i % 251)
		}
		p, err := spool.fill(t.Context(), bytes.NewReader(want))
		if err != nil {
			t.Fatal(err)
		}
		if p.size != int64(size) || (p.file != nil) != (size > SpoolMemory) {
			t.Fatalf("size %d, file %t", p.size, p.file != nil)
		}
		for _, from := range []int{0, size, random.IntN(size + 1), random.IntN(size + 1)} {
			got, err := io.ReadAll(io.NewSectionReader(p, int64(from), p.size-int64(from)))
			if err != nil || !bytes.Equal(got, want[from:]) {
				t.Fatalf("%d bytes from %d: %d bytes, %v", size, from, len(got), err)
			}
		}
		p.close()
	}
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
