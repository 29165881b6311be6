package stream

import (
	"bytes"
	"context"
	"testing"

	"github.com/seed-462d9463/sluice/shard"
)

// What encryption adds to a record of 1 KiB: to a put, and to a read.
func BenchmarkEncryption(b *testing.B) {
	w := newEncrypting(b, nil, newKeys(b, ordersKey))
	name := w.create("s", CreateOptions{Shards: 1})
	w.startEncryption(name, ordersKey)
	st, err := w.lookup(name)
	if err != nil {
		b.Fatal(err)
	}
	key, data := []byte("partition key"), bytes.Repeat([]byte{7}, 1024)
	records := make([]shard.Record, 100)
	b.Run("seal", func(b *testing.B) {
		b.SetBytes(int64(len(records) * len(data)))
		b.ReportAllocs()
		for b.Loop() {
			for i := range records {
				records[i] = shard.Record{Key: key, Value: data}
			}
			if err := st.sealer.seal(0, records); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("open", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		b.ReportAllocs()
		l := &sealedLog{oneRecord{records[0]}, st.vault, 0}
		for b.Loop() {
			if _, err := l.Read(context.Background(), 0, shard.Limit{}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
