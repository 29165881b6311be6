package file_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/seed-462d9463/sluice/sinks"
)

// BenchmarkPut stores objects as Firehose does, six directories deep. Most of its time is spent syncing.
func BenchmarkPut(b *testing.B) {
	for _, size := range []int{1 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			sink := open(b, b.TempDir(), "bucket")
			content := bytes.Repeat([]byte("x"), size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				key := fmt.Sprintf("2026/11/21/05/clicks-%d", i)
				if err := sink.Put(b.Context(), sinks.Object{Key: key, Body: bytes.NewReader(content)}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
