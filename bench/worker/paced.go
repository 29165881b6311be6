package worker

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/seed-462d9463/sluice/bench/child"
)

// quietLimit is for how long the engine may go on with what it has put off, before anything is measured.
const quietLimit = 20 * time.Second

// paced has writers that append at a steady rate. At such rates the engine moves records to segments once in minutes,
// many at a time, and what is measured may have more or less of that in it than its share. So the CPU is corrected by
// what is waiting to be moved after, and was not before, at the price that all of it has when the engine closes.
func (t Task) paced(ctx context.Context) (Result, error) {
	e, err := openEngine(ctx, t.Dir, t.Logs)
	if err != nil {
		return Result{}, err
	}
	result, more, all, err := t.measurePaced(ctx, e)
	if err != nil {
		return Result{}, errors.Join(err, e.close())
	}
	before, err := child.OwnCPU()
	if err := errors.Join(err, e.close()); err != nil {
		return Result{}, err
	}
	after, err := child.OwnCPU()
	if all > 0 {
		result.CPU += (after - before).Seconds() * more / all
	}
	return result, err
}

// measurePaced also returns how many bytes more there are to be moved to segments after what is measured than before, and
// how many in all.
func (t Task) measurePaced(ctx context.Context, e *engine) (result Result, more, all float64, err error) {
	if err := t.settle(ctx, e); err != nil {
		return Result{}, 0, 0, err
	}
	if err := child.OwnQuiet(ctx, quietLimit); err != nil {
		return Result{}, 0, 0, err
	}
	before, err := e.unflushed()
	if err != nil {
		return Result{}, 0, 0, err
	}
	m := newMeter()
	if result, err = t.measure(ctx, m, func(ctx context.Context) error { return t.pace(ctx, e, m) }); err != nil {
		return Result{}, 0, 0, err
	}
	all, err = e.unflushed()
	return result, all - before, all, err
}

// unflushed returns the bytes that wait to be moved to segments.
func (e *engine) unflushed() (float64, error) {
	families, err := e.metrics.Gather()
	for _, f := range families {
		if f.GetName() == "sluice_journal_unflushed_bytes" {
			return f.GetMetric()[0].GetGauge().GetValue(), err
		}
	}
	return 0, errors.Join(errors.New("the engine does not tell what waits to be moved"), err)
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
