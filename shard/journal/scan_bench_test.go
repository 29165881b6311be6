package journal

import (
	"bytes"
	"testing"

	"github.com/seed-462d9463/sluice/shard"
)

// BenchmarkScanOfSmallFrames is what a start does first, with a journal full of records that came alone.
func BenchmarkScanOfSmallFrames(b *testing.B) {
	const size, perBatch = 16 << 20, 64
	file := make([]byte, 0, size)
	value := bytes.Repeat([]byte{7}, 128)
	at, frames := lsn(0), 0
	for {
		start := len(file)
		buf := append(file, make([]byte, batchHeaderBytes)...)
		for range perBatch {
			frame, sum := encodeRecords(make([]byte, 0, 256), []shard.Record{{Key: []byte("key"), Value: value}})
			h := frameHeader{payload: sum, kind: frameRecords, count: 1, dir: 1, log: 1, base: shard.Offset(frames), epoch: 1}
			h.seal(frame)
			buf, frames = append(buf, frame...), frames+1
		}
		h := batchHeader{frames: perBatch, journal: 1, generation: 1, at: at, length: int64(len(buf) - start), epoch: 1}
		if int64(start)+h.padded() > size {
			frames -= perBatch
			break
		}
		file = append(buf, make([]byte, h.padded()-h.length)...)
		h.seal(file[start:])
		at = h.end()
	}
	b.SetBytes(int64(len(file)))
	for b.Loop() {
		batches := 0
		err := scanBatches(bytes.NewReader(file), int64(len(file)), 1, func(*batchHeader, int64, []byte) error {
			batches++
			return nil
		})
		if err != nil || batches != frames/perBatch {
			b.Fatal(batches, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*frames), "ns/frame")
}
