package vfs

import (
	"bytes"
	"path"
	"testing"
)

func TestPiecesAreWrittenBehindEachOther(t *testing.T) {
	for name, fs := range map[string]FS{"the system's": OS(), "in memory": NewMem()} {
		t.Run(name, func(t *testing.T) {
			dir := "/"
			if name == "the system's" {
				dir = t.TempDir()
			}
			f, err := fs.Create(path.Join(dir, "f"))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			want := bytes.Repeat([]byte{'-'}, 7)
			if _, err := f.WriteAt(want, 0); err != nil {
				t.Fatal(err)
			}
			for _, n := range []int{1, 2, 1024, 1025, 1026, 2049, 3000} {
				var pieces [][]byte
				from := int64(len(want))
				for i := range n {
					piece := bytes.Repeat([]byte{byte(i)}, (n-1-i)%5*100) // some are empty, the last one too
					pieces, want = append(pieces, piece), append(want, piece...)
				}
				if err := WriteVec(f, pieces, from); err != nil {
					t.Fatalf("%d pieces: %v", n, err)
				}
			}
			got := make([]byte, len(want))
			if n, err := f.ReadAt(got, 0); n < len(got) || !bytes.Equal(got, want) {
				t.Errorf("%d bytes, %v, or others than were written", n, err)
			}
			if size, err := f.Size(); size != int64(len(want)) {
				t.Errorf("%d bytes, want %d: %v", size, len(want), err)
			}
		})
	}
}

func TestWritingPiecesToAFileThatIsClosedFails(t *testing.T) {
	f, err := OS().Create(path.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := WriteVec(f, [][]byte{{1}, {2}}, 0); err == nil {
		t.Error("no error")
	}
}
