package worker

import (
	"context"
	"errors"

	"golang.org/x/sync/errgroup"

	"github.com/seed-462d9463/sluice/bench/child"
	"github.com/seed-462d9463/sluice/shard"
)

// catchUp has writers that append at a steady rate, whatever the engine does, and readers that read all that is there
// from the start as fast as they can. What is measured is how long the writers wait: from when a record was due. Before, the
// engine settles, and what that leaves is what is read.
func (t Task) catchUp(ctx context.Context) (Result, error) {
	e, err := openEngine(ctx, t.Dir, t.Logs)
	if err != nil {
		return Result{}, err
	}
	if err := t.settle(ctx, e); err != nil {
		return Result{}, errors.Join(err, e.close())
	}
	if err := child.OwnQuiet(ctx, quietLimit); err != nil {
		return Result{}, errors.Join(err, e.close())
	}
	if err := child.SettleDisk(ctx, t.Dir, quietLimit); err != nil {
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
