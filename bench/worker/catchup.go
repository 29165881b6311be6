package worker

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/seed-462d9463/sluice/shard"
)

// catchUp has writers that append at a steady rate, whatever the engine does, and readers that read all that is there
// from the start as fast as they can. What is measured is how long the writers wait: from when a record was due.
func (t Task) catchUp(ctx context.Context) (Result, error) {
	e, err := openEngine(ctx, t.Dir, t.Logs)
	if err != nil {
		return Result{}, err
	}
	if err := t.fill(ctx, e); err != nil {
		return Result{}, errors.Join(err, e.close())
	}
	writers, readers := newMeter(), newMeter()
	result, err := t.measure(ctx, writers, func(ctx context.Context) error {
		var load errgroup.Group
		load.Go(func() error { return t.pace(ctx, e, writers) })
		for i := range t.Readers {
			load.Go(func() error {
				reader := t
				if t.Cold {
					reader.What = ReadCold
				}
				// As the server's readers do, who are done with the records before they read on.
				return reader.readLog(ctx, e.logs[i%len(e.logs)], i, readers, new(shard.Scratch))
			})
		}
		readers.start()
		return load.Wait()
	})
	if t.Readers > 0 {
		read := readers.stop()
		result.ReadBytes = read.Bytes / read.Seconds
	}
	return result, errors.Join(err, e.close())
}

// pace appends t.Rate records a second. A tick's records are handed to writers at once, a few hundred times a second:
// more often a timer would not come in time. Each waits from its own moment.
func (t Task) pace(ctx context.Context, e *engine, m *meter) error {
	const tick = 2 * time.Millisecond
	payload := payloadOf(t.Size)
	due := make(chan time.Time, t.Rate) // a second's worth may be late
	var writers errgroup.Group
	var number atomic.Int64
	for w := range t.Writers {
		append := e.writer(ctx)
		writers.Go(func() error {
			for at := range due {
				log := int(number.Add(1)) % len(e.logs)
				if err := append(log, payload); err != nil {
					if ctx.Err() != nil {
						return nil
					}
					return err
				}
				m.count(w, at, 1, t.Size)
			}
			return nil
		})
	}
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	start, sent := time.Now(), 0
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case now := <-ticker.C:
			for want := int(now.Sub(start).Seconds() * float64(t.Rate)); sent < want && ctx.Err() == nil; sent++ {
				select {
				case due <- now:
				case <-ctx.Done():
				}
			}
		}
	}
	close(due)
	return writers.Wait()
}
