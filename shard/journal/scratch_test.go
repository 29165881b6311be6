package journal

import (
	"bytes"
	"context"
	"io"
	"testing"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

// countingReader counts the bytes that are asked for.
type countingReader struct {
	io.ReaderAt
	n int64
}

func (r *countingReader) ReadAt(p []byte, off int64) (int, error) {
	r.n += int64(len(p))
	return r.ReaderAt.ReadAt(p, off)
}

func TestFramesLongerThanAChunkAreReadOnce(t *testing.T) {
	var file []byte
	var want [][]byte
	for i, size := range []int{10, 5000, 90, 3000, 3000, 20, 7000, 1} {
		records := []shard.Record{{Value: bytes.Repeat([]byte{byte(i)}, size)}}
		buf, sum := encodeRecords(make([]byte, 0, encodedSize(records)), records)
		h := frameHeader{payload: sum, kind: frameRecords, count: 1, base: shard.Offset(i)}
		h.seal(buf)
		file, want = append(file, buf...), append(want, buf)
	}
	for name, s := range map[string]frameScan{
		"kept": {}, "reused": {reuse: true}, "into scratch": {scratch: &shard.Scratch{}},
	} {
		t.Run(name, func(t *testing.T) {
			r := &countingReader{ReaderAt: bytes.NewReader(file)}
			told := int64(0)
			s.r, s.name, s.chunk = r, "segment", 1000
			s.after = func(pos, bytes int64) {
				if pos != told {
					t.Errorf("read at %d, want %d", pos, told)
				}
				told += bytes
			}
			var kept [][]byte
			err := s.run(0, int64(len(file)), func(_ *frameHeader, frame []byte, _ int64) (bool, error) {
				if i := len(kept); i < len(want) && !bytes.Equal(frame, want[i]) {
					t.Errorf("frame %d differs", i)
				}
				kept = append(kept, frame)
				return true, nil
			})
			if err != nil || len(kept) != len(want) {
				t.Fatalf("%d frames, want %d: %v", len(kept), len(want), err)
			}
			if r.n != int64(len(file)) || told != r.n {
				t.Errorf("%d bytes were read and %d told of, the file has %d", r.n, told, len(file))
			}
			for i, frame := range kept {
				if !s.reuse && !bytes.Equal(frame, want[i]) {
					t.Errorf("frame %d has changed since it was handed out", i)
				}
			}
		})
	}
}

// The scratch of a reader that has been through a log once holds all that the next time needs.
func TestReadsIntoScratchMakeNoMemoryForSegments(t *testing.T) {
	opts := Options{FS: vfs.NewMem(), Dir: "/data", Logger: quiet(), eager: true, Config: Config{Compression: compressionOff}}
	e := mustOpen(t, opts)
	defer func() { e.Close() }()
	ctx := context.Background()
	l := mustLog(t, e, "a")
	for i := range 40 {
		records := make([]shard.Record, 1+i%5*20)
		for j := range records {
			records[j].Value = bytes.Repeat([]byte{byte(i)}, 9000)
		}
		if _, err := l.Append(ctx, records).Wait(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = mustOpen(t, opts) // with nothing in the cache
	l = mustLog(t, e, "a")
	_, next := l.Bounds()
	var scratch shard.Scratch
	pass := func() {
		for from := shard.Offset(0); from < next; {
			got, err := shard.ReadInto(ctx, l, from, shard.Limit{Bytes: 256 << 10}, &scratch)
			if err != nil || len(got) == 0 {
				t.Fatalf("%d records: %v", len(got), err)
			}
			from = got[len(got)-1].Offset + 1
		}
	}
	pass()
	memory := scratch.Size()
	if memory == 0 {
		t.Fatal("nothing was read from segments")
	}
	pass()
	if scratch.Size() != memory {
		t.Errorf("the first pass took %d bytes, and the second one %d more", memory, scratch.Size()-memory)
	}
}
