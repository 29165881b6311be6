package firehose

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/seed-462d9463/sluice/shard"
)

// pausingWriter says that something came to it, and takes it when it may.
type pausingWriter struct {
	came *atomic.Int64
	may  chan struct{}
}

func (w pausingWriter) Write(p []byte) (int, error) {
	w.came.Add(1)
	<-w.may
	return len(p), nil
}

func TestNoMoreObjectsAreEncodedAtOnceThanThereAreEncoders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const records, uploads, places = 10, 5, 2
		l := &preparedLog{}
		for i := range records {
			l.records = append(l.records, shard.Record{Offset: shard.Offset(i), Value: jsonRecord(i)})
		}
		pool := newEncoders(places)
		body := func(ctx context.Context, compression Compression) *content {
			return &content{
				ctx: ctx, compression: compression, encoders: pool,
				parts: []part{{input: &input{log: l}, of: sourceRange{To: records, Records: records}, whole: true}},
			}
		}
		w := pausingWriter{came: new(atomic.Int64), may: make(chan struct{})}
		done := make(chan error)
		for i := range uploads {
			go func() {
				_, err := body(t.Context(), []Compression{GZIP, Uncompressed}[i%2]).WriteTo(w)
				done <- err
			}()
		}
		synctest.Wait()
		if n := w.came.Load(); n != places {
			t.Errorf("%d objects are being written, want %d", n, places)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := body(ctx, GZIP).WriteTo(io.Discard); !errors.Is(err, context.Canceled) {
			t.Errorf("an upload that is given up while it waits for an encoder: %v", err)
		}
		close(w.may)
		for range uploads {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
}
