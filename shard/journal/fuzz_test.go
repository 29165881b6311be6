package journal

import (
	"bytes"
	"hash/crc32"
	"io"
	"testing"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

func sampleRecords() []shard.Record {
	return []shard.Record{
		{Key: []byte("k"), Value: []byte("v")},
		{Value: []byte{}},
		{Key: []byte{}, Headers: []shard.Header{{Name: "h", Value: []byte("x")}, {}}},
	}
}

func sampleFrame() []byte {
	records := sampleRecords()
	buf, sum := encodeRecords(make([]byte, 0, encodedSize(records)), records)
	h := frameHeader{payload: sum, kind: frameRecords, count: 3, log: 7, base: 5, millis: 1700000000000, epoch: 2}
	h.seal(buf)
	return buf
}

func sampleBatch() []byte {
	frames := append(sampleFrame(), controlFrame(createChange{topic: 1, count: 2, firstLog: 1, name: "a"}, &journal{epoch: 1})...)
	buf := make([]byte, blockBytes)
	copy(buf[batchHeaderBytes:], frames)
	h := batchHeader{frames: 2, journal: 3, generation: 4, at: 8192, durable: 8192, length: int64(batchHeaderBytes + len(frames)), epoch: 1}
	h.seal(buf)
	return buf
}

func sampleSegment() []byte {
	b := append(segmentHeader(7, 5), sampleFrame()...)
	return append(b, encodeFooter([]indexEntry{{base: 5, millis: 1700000000000, pos: segmentHeaderBytes}})...)
}

func sampleSnapshot() []byte {
	s := &snapshot{journal: 3, checkpoint: 4096, durable: 8192, journalFiles: 1, nextTopic: 2, nextLog: 2, topics: []snapshotTopic{
		{id: 1, name: "a", logs: []snapshotLog{{id: 1, first: 1, flushed: 9, segments: []segment{{base: 0, end: 9, bytes: 500, sealed: true}}}}},
	}}
	return s.encode()
}

// resum makes the sums of a damaged frame right again, so that the fuzzer gets behind them.
func resum(b []byte) []byte {
	b = bytes.Clone(b)
	if len(b) < frameHeaderBytes {
		return b
	}
	h := frameHeader{payload: crc32.Checksum(b[frameHeaderBytes:], castagnoli), kind: b[13]%2 + 1, count: int64(b[16]) + 1, log: 7, base: 5}
	h.seal(b)
	return b
}

func FuzzFrame(f *testing.F) {
	f.Add(sampleFrame(), false)
	f.Add(sampleFrame()[:60], true)
	f.Add(controlFrame(trimChange{log: &logState{id: 1}, before: 9}, &journal{epoch: 1}), true)
	f.Fuzz(func(t *testing.T, b []byte, sound bool) {
		if sound {
			b = resum(b)
		}
		h, err := checkFrame(b)
		if err != nil {
			return
		}
		if h.kind == frameControl {
			decodeChange(&h, b[frameHeaderBytes:h.length], func(uint64) *logState { return nil })
			return
		}
		for _, from := range []shard.Offset{0, h.base, h.base + 1, h.end()} {
			c := newCollector(shard.Limit{Records: 100})
			if err := c.add(&h, b, from); err != nil {
				continue
			}
			for i, r := range c.out {
				if r.Offset != max(from, h.base)+shard.Offset(i) || r.Offset >= h.end() {
					t.Fatalf("record %d from %d on has offset %d", i, from, r.Offset)
				}
			}
		}
	})
}

func FuzzJournalFile(f *testing.F) {
	f.Add(sampleBatch())
	f.Add(append(make([]byte, blockBytes), sampleBatch()...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := scanBatches(bytes.NewReader(b), int64(len(b)), 0, func(h *batchHeader, _ int64, b []byte) error {
			eachFrame(h, b, func(frameHeader, []byte) error { return nil })
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzSegment(f *testing.F) {
	f.Add(sampleSegment())
	f.Add(sampleSegment()[:80])
	f.Fuzz(func(t *testing.T, b []byte) {
		parseSegmentHeader(b)
		scanFrames(bytes.NewReader(b), "x", 0, int64(len(b)), 128, func(*frameHeader, []byte, int64) (bool, error) { return true, nil })
		for _, at := range []int64{0, segmentHeaderBytes, int64(len(b)) / 2} {
			if at <= int64(len(b)) {
				decodeFooter(b[at:], at)
			}
		}
	})
}

func FuzzSnapshot(f *testing.F) {
	f.Add(sampleSnapshot())
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := decodeSnapshot(b); err == nil {
			if again, err := decodeSnapshot(s.encode()); err != nil {
				t.Fatalf("a snapshot that decodes does not after it was encoded again: %v, %+v", err, again)
			}
		}
		if len(b) >= snapshotHeaderBytes {
			p := payloadReader{b: b[snapshotHeaderBytes:]}
			for range 10 {
				decodeSnapshotLog(&p)
			}
		}
	})
}

func FuzzMark(f *testing.F) {
	f.Add(mark{journal: 7, sequence: 3, durable: 4096, snapshot: 2}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeMark(b)
		if err != nil {
			return
		}
		if again, err := decodeMark(m.encode()); err != nil || again != m {
			t.Fatalf("%+v, and %+v after it was encoded again: %v", m, again, err)
		}
	})
}

func FuzzDumpNeverPanics(f *testing.F) {
	for _, b := range [][]byte{sampleBatch(), sampleSegment(), sampleSnapshot(), mark{}.encode(), []byte("sluice-journal 2\n"), nil} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		fs := vfs.NewMem()
		file, err := fs.Create("/x.j")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteAt(b, 0); err != nil {
			t.Fatal(err)
		}
		file.Close()
		if err := Dump(fs, "/x.j", io.Discard); err != nil {
			t.Fatal(err)
		}
	})
}
