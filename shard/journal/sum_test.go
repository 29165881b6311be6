package journal

import (
	"bytes"
	"hash/crc32"
	"math/rand/v2"
	"testing"

	"github.com/seed-462d9463/sluice/shard"
)

func TestTheSumOfBytesBehindOthersIsThatOfAll(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{0, 1, 2, 3, 55, 56, 255, 256, 4095, 4096, 65535, 65536, 1<<20 + 7, 16 << 20} {
		for _, before := range []int{0, 1, 64, 5000} {
			all := make([]byte, before+n)
			for i := range all {
				all[i] = byte(rng.Uint32())
			}
			want := crc32.Checksum(all, castagnoli)
			got := sumBehind(crc32.Checksum(all[:before], castagnoli), crc32.Checksum(all[before:], castagnoli), int64(n))
			if got != want {
				t.Errorf("%d bytes behind %d: %08x, want %08x", n, before, got, want)
			}
		}
	}
}

func TestFramesAreSummedByTheirOwnSumsOrByTheirBytes(t *testing.T) {
	frame := func(n int) []byte {
		records := []shard.Record{{Key: []byte("k"), Value: bytes.Repeat([]byte{7}, n)}}
		buf, sum := encodeRecords(make([]byte, 0, encodedSize(records)), records)
		h := frameHeader{payload: sum, kind: frameRecords, count: 1, log: 3, base: 9}
		h.seal(buf)
		return buf
	}
	for name, frames := range map[string][]byte{
		"short": frame(10), "long": frame(2 * longFrame), "two": append(frame(longFrame), frame(longFrame)...),
		"many": bytes.Repeat(frame(100), 400),
	} {
		if got, want := sumFrames(77, frames), crc32.Update(77, castagnoli, frames); got != want {
			t.Errorf("%s: %08x, want %08x", name, got, want)
		}
	}
}

func BenchmarkSumOfALongFrame(b *testing.B) {
	for b.Loop() {
		sumBehind(1, 2, 1<<20)
	}
}
