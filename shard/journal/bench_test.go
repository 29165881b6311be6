package journal

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

// BenchmarkAppend is group commit: writers that each wait for their record of
// 1 KiB before they append the next one.
func BenchmarkAppend(b *testing.B) {
	for _, c := range []struct{ writers, logs, records int }{
		{1, 1, 1}, {256, 16, 1}, {1024, 1000, 1}, {64, 1000, 100},
	} {
		b.Run(fmt.Sprintf("writers=%d/logs=%d/records=%d", c.writers, c.logs, c.records), func(b *testing.B) {
			benchmarkAppend(b, c.writers, c.logs, c.records)
		})
	}
}

func benchmarkAppend(b *testing.B, writers, logs, perAppend int) {
	ctx := context.Background()
	e := mustOpen(b, Options{FS: vfs.OS(), Dir: b.TempDir(), Logger: quiet()})
	defer e.Close()
	if err := e.Create(ctx, "bench", logs); err != nil {
		b.Fatal(err)
	}
	all := make([]shard.Log, logs)
	for i := range all {
		all[i], _ = e.Open(ctx, "bench", i)
	}
	records := make([]shard.Record, perAppend)
	for i := range records {
		records[i] = shard.Record{Key: []byte("a key of some length"), Value: make([]byte, 1024)}
	}
	b.SetBytes(1024)
	b.ReportAllocs()
	var mu sync.Mutex
	var waits []time.Duration
	var wg sync.WaitGroup
	b.ResetTimer()
	for w := range writers {
		n := b.N / perAppend / writers
		if w < b.N/perAppend%writers {
			n++
		}
		wg.Go(func() {
			mine := make([]time.Duration, 0, n)
			for i := range n {
				start := time.Now()
				if _, err := all[(w+i*7)%logs].Append(ctx, records).Wait(ctx); err != nil {
					b.Error(err)
					return
				}
				mine = append(mine, time.Since(start))
			}
			mu.Lock()
			defer mu.Unlock()
			waits = append(waits, mine...)
		})
	}
	wg.Wait()
	b.StopTimer()
	slices.Sort(waits)
	if len(waits) > 0 {
		b.ReportMetric(float64(waits[len(waits)/2].Microseconds()), "p50-µs")
		b.ReportMetric(float64(waits[len(waits)*99/100].Microseconds()), "p99-µs")
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

// BenchmarkRead reads 1 KiB records in the shape of GetRecords: from the cache, and from segments.
func BenchmarkRead(b *testing.B) {
	for _, eager := range []bool{false, true} {
		b.Run(map[bool]string{false: "cache", true: "disk"}[eager], func(b *testing.B) {
			ctx := context.Background()
			e := mustOpen(b, Options{FS: vfs.OS(), Dir: b.TempDir(), Logger: quiet(), eager: eager})
			defer e.Close()
			if err := e.Create(ctx, "bench", 1); err != nil {
				b.Fatal(err)
			}
			l, _ := e.Open(ctx, "bench", 0)
			records := make([]shard.Record, 100)
			for i := range records {
				records[i] = shard.Record{Key: []byte("a key of some length"), Value: make([]byte, 1024)}
			}
			for range 400 {
				if _, err := l.Append(ctx, records).Wait(ctx); err != nil {
					b.Fatal(err)
				}
			}
			_, next := l.Bounds()
			b.SetBytes(1024)
			b.ReportAllocs()
			b.ResetTimer()
			from := shard.Offset(0)
			for n := 0; n < b.N; {
				got, err := l.Read(ctx, from, shard.Limit{Records: 500, Bytes: 1 << 20})
				if err != nil || len(got) == 0 {
					b.Fatalf("%d records: %v", len(got), err)
				}
				n += len(got)
				if from = got[len(got)-1].Offset + 1; from >= next {
					from = 0
				}
			}
		})
	}
}
