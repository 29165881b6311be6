package baseline

import (
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/gzip"
)

// Encoded is what the bare encoder has done.
type Encoded struct {
	Elapsed time.Duration
	In, Out int64
}

// Encode compresses the parts at a gzip level, one after the other, into one stream that goes nowhere; does so as
// often as streams says, in as many goroutines as workers says. This is what delivering so many objects would cost if it
// were nothing but compression.
func Encode(parts [][]byte, level, streams, workers int) (Encoded, error) {
	var (
		wg      sync.WaitGroup
		todo    atomic.Int64
		counts  = make([]countingWriter, workers)
		errs    = make([]error, workers)
		started = time.Now()
	)
	todo.Store(int64(streams))
	for i := range workers {
		wg.Go(func() {
			for todo.Add(-1) >= 0 && errs[i] == nil {
				errs[i] = encode(parts, level, &counts[i])
			}
		})
	}
	wg.Wait()
	result := Encoded{Elapsed: time.Since(started)}
	for i := range workers {
		if errs[i] != nil {
			return Encoded{}, errs[i]
		}
		result.Out += counts[i].n
	}
	for _, part := range parts {
		result.In += int64(len(part)) * int64(streams)
	}
	return result, nil
}

func encode(parts [][]byte, level int, to io.Writer) error {
	z, err := gzip.NewWriterLevel(to, level)
	if err != nil {
		return err
	}
	for _, part := range parts {
		if _, err := z.Write(part); err != nil {
			return err
		}
	}
	return z.Close()
}

type countingWriter struct{ n int64 }

func (c *countingWriter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}
