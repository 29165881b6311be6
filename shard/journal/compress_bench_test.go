package journal

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

var compressInput = flag.String("compress.input", "", "file of lines for the benchmarks of compression; none: made-up ones")

// benchLines returns lines to be kept as records, over and over.
func benchLines(b *testing.B) [][]byte {
	b.Helper()
	if *compressInput == "" {
		var lines [][]byte
		for i := range 10_000 {
			lines = append(lines, fmt.Appendf(nil, `10.%d.%d.%d - - [17/May/2015:10:%02d:%02d +0000] "GET /page/%d HTTP/1.1" 200 %d "-" "Mozilla/5.0"`,
				i%7, i*31%251, i*17%253, i/60%60, i%60, i*7919%1000, i*104729%90000))
		}
		return lines
	}
	text, err := readFile(vfs.OS(), *compressInput, 1<<30)
	if err != nil {
		b.Fatal(err)
	}
	return bytes.Split(bytes.TrimSpace(text), []byte("\n"))
}

func benchNoise() [][]byte {
	noise := rand.NewChaCha8([32]byte{7})
	var lines [][]byte
	for range 10_000 {
		line := make([]byte, 1024)
		noise.Read(line)
		lines = append(lines, line)
	}
	return lines
}

// benchBlocks returns frames of so many lines each in blocks, as a compressed segment has them.
func benchBlocks(lines [][]byte, each int) (blocks [][]byte, total int64) {
	var block []byte
	for i := 0; i+each <= len(lines); i += each {
		var records []shard.Record
		for j, line := range lines[i : i+each] {
			records = append(records, shard.Record{Key: fmt.Appendf(nil, "%032x", (i+j)*2654435761), Value: line})
		}
		buf, sum := encodeRecords(make([]byte, 0, encodedSize(records)), records)
		h := frameHeader{payload: sum, kind: frameRecords, count: int64(each), log: 7, base: shard.Offset(i), millis: 1700000000000 + int64(i), epoch: 2}
		h.seal(buf)
		if len(block) > 0 && len(block)+len(buf) > targetBlockBytes {
			blocks, block = append(blocks, block), nil
		}
		block = append(block, buf...)
		total += int64(len(buf))
	}
	return append(blocks, block), total
}

// BenchmarkCodecs is the choice of a codec: how small, and how fast both ways.
func BenchmarkCodecs(b *testing.B) {
	type codec struct {
		name   string
		pack   func(b []byte) []byte
		unpack func(b []byte, size int) ([]byte, error)
	}
	codecs := []codec{
		{"s2", func(b []byte) []byte { return s2.Encode(nil, b) }, func(b []byte, _ int) ([]byte, error) { return s2.Decode(nil, b) }},
		{"s2-better", func(b []byte) []byte { return s2.EncodeBetter(nil, b) }, func(b []byte, _ int) ([]byte, error) { return s2.Decode(nil, b) }},
	}
	for _, level := range []zstd.EncoderLevel{zstd.SpeedFastest, zstd.SpeedDefault, zstd.SpeedBetterCompression} {
		enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(level), zstd.WithEncoderCRC(false),
			zstd.WithWindowSize(1<<20), zstd.WithLowerEncoderMem(true))
		if err != nil {
			b.Fatal(err)
		}
		codecs = append(codecs, codec{"zstd-" + level.String(), func(b []byte) []byte { return enc.EncodeAll(b, nil) },
			func(b []byte, size int) ([]byte, error) { return decoder.DecodeAll(b, make([]byte, 0, size)) }})
	}
	for _, data := range []struct {
		name  string
		lines [][]byte
		each  int
	}{{"lines", benchLines(b), 10}, {"noise", benchNoise(), 10}} {
		blocks, total := benchBlocks(data.lines, data.each)
		for _, c := range codecs {
			var packed [][]byte
			small := int64(0)
			for _, block := range blocks {
				packed = append(packed, c.pack(block))
				small += int64(len(packed[len(packed)-1]))
			}
			b.Run(data.name+"/"+c.name+"/pack", func(b *testing.B) {
				b.SetBytes(total)
				start := cpuSeconds(b)
				for b.Loop() {
					for _, block := range blocks {
						c.pack(block)
					}
				}
				b.ReportMetric((cpuSeconds(b)-start)/(float64(total)*float64(b.N)/1e9), "CPU-s/GB")
				b.ReportMetric(float64(total)/float64(small), "ratio")
			})
			b.Run(data.name+"/"+c.name+"/unpack", func(b *testing.B) {
				b.SetBytes(total)
				start := cpuSeconds(b)
				for b.Loop() {
					for i, p := range packed {
						if _, err := c.unpack(p, len(blocks[i])); err != nil {
							b.Fatal(err)
						}
					}
				}
				b.ReportMetric((cpuSeconds(b)-start)/(float64(total)*float64(b.N)/1e9), "CPU-s/GB")
			})
		}
	}
}

// benchLog returns an engine with a log whose records are all in sealed segments but for the last ones.
func benchLog(b *testing.B, lines [][]byte, bytes int64) (*Engine, *logState) {
	b.Helper()
	ctx := context.Background()
	opts := Options{FS: vfs.OS(), Dir: b.TempDir(), Logger: quiet(), MaxAppendBytes: 1 << 20,
		Config: Config{SegmentBytes: 16 << 20, CacheBytes: 8 << 20}}
	e := mustOpen(b, opts)
	b.Cleanup(func() { e.Close() })
	l := mustLog(b, e, "bench").(*logState)
	n := 0
	for size := int64(0); size < bytes; {
		var records []shard.Record
		for range 100 {
			r := shard.Record{Key: fmt.Appendf(nil, "%032x", n*2654435761), Value: lines[n%len(lines)]}
			records = append(records, r)
			size += int64(r.Size())
			n++
		}
		if _, err := l.Append(ctx, records).Wait(ctx); err != nil {
			b.Fatal(err)
		}
	}
	return e, l
}

func cpuSeconds(b *testing.B) float64 {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

// compressAll does what a pass of the compressor does, without pauses, and returns the bytes before and after.
func compressAll(b *testing.B, e *Engine, l *logState) (before, after int64) {
	b.Helper()
	c := e.compressor
	c.encoder = newEncoder()
	c.pace = pace{share: 1}
	for _, seg := range l.compressible() {
		c.begun, c.done = time.Now(), 0
		stored, err := c.compress(l, seg)
		if err != nil {
			b.Fatal(err)
		}
		e.flusher.replace(replacement{log: l, base: seg.base, stored: stored})
		before, after = before+seg.bytes, after+stored
	}
	e.flusher.recordReplaced()
	return before, after
}

// BenchmarkCompressSegments is what compressing costs, reading, verifying and writing included, and what it saves.
func BenchmarkCompressSegments(b *testing.B) {
	lines := benchLines(b)
	var before, after int64
	cpu := 0.0
	for b.Loop() {
		b.StopTimer()
		e, l := benchLog(b, lines, 128<<20)
		start := cpuSeconds(b)
		b.StartTimer()
		x, y := compressAll(b, e, l)
		b.StopTimer()
		before, after, cpu = before+x, after+y, cpu+cpuSeconds(b)-start
		b.StartTimer()
	}
	b.SetBytes(before / int64(b.N))
	b.ReportMetric(float64(before)/float64(after), "ratio")
	b.ReportMetric(cpu/(float64(before)/1e9), "CPU-s/GB")
}

// BenchmarkReadSegments reads from segments in the page cache: all of them in the shape of GetRecords, and single records
// anywhere.
func BenchmarkReadSegments(b *testing.B) {
	lines := benchLines(b)
	for _, form := range []string{"plain", "compressed"} {
		e, l := benchLog(b, lines, 128<<20)
		if form == "compressed" {
			compressAll(b, e, l)
		}
		e.flusher.recordReplaced()
		end := shard.Offset(0)
		eventually(b, "the segments as they should be", func() bool {
			l.mu.Lock()
			defer l.mu.Unlock()
			for _, s := range l.segments {
				if s.sealed && s.compressed() != (form == "compressed") {
					return false
				}
				if s.sealed {
					end = s.end
				}
			}
			return true
		})
		ctx := context.Background()
		for _, shape := range []struct {
			name string
			max  shard.Limit
			next func(from shard.Offset) shard.Offset
		}{
			{"sequential", shard.Limit{Records: 10_000, Bytes: 1 << 20}, func(from shard.Offset) shard.Offset {
				if from >= end {
					return 0
				}
				return from
			}},
			{"one-anywhere", shard.Limit{Records: 1}, func(shard.Offset) shard.Offset { return shard.Offset(rand.Int64N(int64(end))) }},
		} {
			b.Run(form+"/"+shape.name, func(b *testing.B) {
				start, from, bytes := cpuSeconds(b), shard.Offset(0), int64(0)
				for b.Loop() {
					from = shape.next(from)
					got, err := l.Read(ctx, from, shape.max)
					if err != nil || len(got) == 0 {
						b.Fatalf("%d records, %v", len(got), err)
					}
					for i := range got {
						bytes += int64(got[i].Size())
					}
					from = got[len(got)-1].Offset + 1
				}
				b.SetBytes(bytes / int64(b.N))
				b.ReportMetric((cpuSeconds(b)-start)/(float64(bytes)/1e9), "CPU-s/GB")
			})
		}
	}
}
