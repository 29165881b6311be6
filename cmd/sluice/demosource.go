package main

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/seed-462d9463/sluice/internal/clickstream"
)

// record is one on its way to a stream.
type record struct {
	key  string
	data []byte
}

// recordSource gives the records of one producer, batch by batch, each small enough for one request. The error
// is io.EOF when there are no more.
type recordSource func(ctx context.Context) ([]record, error)

// budget is how many records all producers together may still make.
type budget struct{ left atomic.Int64 }

// take gives up to n of what is left.
func (b *budget) take(n int64) int64 {
	for {
		left := b.left.Load()
		if n = min(n, left); n <= 0 {
			return 0
		}
		if b.left.CompareAndSwap(left, left-n) {
			return n
		}
	}
}

// pacer holds producers to a rate.
type pacer struct {
	perSecond float64 // 0: as fast as it goes
	start     time.Time
	taken     atomic.Int64
}

// wait blocks until n more records are due.
func (p *pacer) wait(ctx context.Context, n int) error {
	if p.perSecond <= 0 {
		return ctx.Err()
	}
	due := p.start.Add(time.Duration(float64(p.taken.Add(int64(n))) / p.perSecond * float64(time.Second)))
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// generated is a clickstream of its own for one producer, so that the events of a session, which have one key,
// are put one after the other.
func generated(seed uint64, b *budget, p *pacer) recordSource {
	generator := clickstream.New(clickstream.Options{Seed: seed})
	size := int64(batchLines)
	if p.perSecond > 0 { // a few batches a second, so that a slow stream is a steady one
		size = max(1, min(size, int64(p.perSecond/20)))
	}
	return func(ctx context.Context) ([]record, error) {
		if ctx.Err() != nil {
			return nil, io.EOF
		}
		n := b.take(size)
		if n == 0 {
			return nil, io.EOF
		}
		if err := p.wait(ctx, int(n)); err != nil {
			return nil, io.EOF
		}
		records := make([]record, n)
		buffer := make([]byte, 0, n*512)
		for i := range records {
			from := len(buffer)
			buffer, records[i].key = generator.Append(buffer)
			records[i].data = buffer[from:len(buffer):len(buffer)]
		}
		return records, nil
	}
}

// inputSource hands the batches of one input to all producers. Lines of a file have no key that tells which
// belong together, so they are spread by their number.
type inputSource struct {
	batches chan batch
	failure error // why reading ended, if not at the end; read it after batches was closed
}

// readInput starts reading. It ends with the input, or with ctx; a read from a terminal or pipe that waits for
// its writer cannot be broken off, and ends with the process.
func readInput(ctx context.Context, l *lineReader, b *budget) *inputSource {
	s := &inputSource{batches: make(chan batch)}
	go func() {
		defer close(s.batches)
		for {
			next, err := l.nextBatch()
			next.lines = next.lines[:b.take(int64(len(next.lines)))]
			if len(next.lines) > 0 {
				select {
				case s.batches <- next:
				case <-ctx.Done():
					return
				}
			}
			if errors.Is(err, io.EOF) || b.left.Load() == 0 {
				return
			}
			if err != nil {
				s.failure = err
				return
			}
		}
	}()
	return s
}

func (s *inputSource) source(p *pacer) recordSource {
	return func(ctx context.Context) ([]record, error) {
		select {
		case <-ctx.Done():
			return nil, io.EOF
		case next, ok := <-s.batches:
			if !ok {
				if s.failure != nil {
					return nil, s.failure
				}
				return nil, io.EOF
			}
			// From here on the batch is put, whatever happens: what was sent is always the input's beginning.
			_ = p.wait(ctx, len(next.lines))
			records := make([]record, len(next.lines))
			for i, line := range next.lines {
				records[i] = record{strconv.FormatInt(next.first+int64(i), 10), line}
			}
			return records, nil
		}
	}
}

// randomKeyBytes is the longest randomKey.
const randomKeyBytes = 13

// randomKey spreads a record over the shards.
func randomKey() string { return strconv.FormatUint(rand.Uint64(), 36) }
