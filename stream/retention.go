package stream

import (
	"container/heap"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/seed-462d9463/sluice/shard"
)

const (
	// trimInterval is the least time between two trims of one log. Records are not given out once they are
	// too old, trimmed or not, so that trimming need not follow every record.
	trimInterval = time.Minute
	// retryInterval is how long a log is left alone whose trim failed.
	retryInterval = 5 * time.Minute
	// trimsAtOnce is how many logs are trimmed at a time, so that they share commits.
	trimsAtOnce = 16

	notQueued = -1
)

// retention trims the logs of all streams, with one goroutine that sleeps until the oldest record of some log
// is due, and a few more while it trims. A log without records is not in its queue and costs nothing.
//
// A partition is watched from the moment that its log may hold records until the scheduler finds it empty.
// Whoever appends to a partition that is not watched makes it watched, and the scheduler looks at the log
// once more after it has stopped watching: so no record is forgotten.
type retention struct {
	logger *slog.Logger
	// expired is called for a stream that has a closed shard without records whose retention is over.
	expired func(ctx context.Context, stream Name) error
	wake    chan struct{} // holds a token when the queue's head may have changed

	mu    sync.Mutex // guards queue, and due, place and gone of all partitions
	queue dueQueue
}

func newRetention(logger *slog.Logger, expired func(context.Context, Name) error) *retention {
	return &retention{logger: logger, expired: expired, wake: make(chan struct{}, 1)}
}

// examine has the partition looked at as soon as possible: its log may hold anything.
func (r *retention) examine(p *partition) {
	p.watched.Store(true)
	r.schedule(p, time.Time{})
}

// appended takes note that a record of the given time has come.
func (r *retention) appended(p *partition, at time.Time) {
	if !p.watched.Load() && p.watched.CompareAndSwap(false, true) {
		r.schedule(p, at.Add(time.Duration(p.keep.Load())))
	}
}

// forget drops a partition for good.
func (r *retention) forget(p *partition) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p.gone = true
	if p.place != notQueued {
		heap.Remove(&r.queue, p.place)
	}
}

// schedule puts the partition in the queue, or moves it forward in it.
func (r *retention) schedule(p *partition, due time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case p.gone:
		return
	case p.place == notQueued:
		p.due = due
		heap.Push(&r.queue, p)
	case due.Before(p.due):
		p.due = due
		heap.Fix(&r.queue, p.place)
	}
	if p.place == 0 {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
}

// take takes partitions out of the queue that are due, a few at most. If there are none it tells when the
// first will be; ok is false if there never will.
func (r *retention) take(now time.Time) (due []*partition, next time.Time, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.queue) > 0 && len(due) < trimsAtOnce {
		if head := r.queue[0]; head.due.After(now) {
			return due, head.due, true
		}
		due = append(due, heap.Pop(&r.queue).(*partition))
	}
	return due, time.Time{}, len(due) > 0
}

// run trims until ctx ends.
func (r *retention) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		due, next, ok := r.take(time.Now())
		if len(due) > 0 {
			var trims sync.WaitGroup
			for _, p := range due {
				trims.Go(func() { r.trim(ctx, p) })
			}
			trims.Wait()
			continue
		}
		var elapsed <-chan time.Time // never, while the queue is empty
		if ok {
			timer.Reset(time.Until(next))
			elapsed = timer.C
		}
		select {
		case <-ctx.Done():
		case <-r.wake:
		case <-elapsed:
		}
	}
}

// trim drops what is too old in a partition's log and puts the partition back into the queue for what is left.
func (r *retention) trim(ctx context.Context, p *partition) {
	due, empty, err := p.trim(ctx, time.Now())
	switch {
	case errors.Is(err, ErrNotFound), errors.Is(err, shard.ErrClosed), ctx.Err() != nil:
		return // deleted, or shutting down
	case err != nil:
		r.logger.Warn("trimming a shard failed, will be tried again",
			"topic", p.topic, "partition", p.index, "error", err)
		r.schedule(p, time.Now().Add(retryInterval))
	case !empty:
		r.schedule(p, due)
	case p.closed.Load() != 0:
		r.expire(ctx, p)
	default:
		p.watched.Store(false)
		if log, err := p.open(ctx); err == nil && !isEmpty(log) && p.watched.CompareAndSwap(false, true) {
			r.schedule(p, time.Time{})
		}
	}
}

// expire waits for the end of a closed shard's retention, and then has the shard dropped. Nothing is appended to it
// any more, so it need not be watched otherwise.
func (r *retention) expire(ctx context.Context, p *partition) {
	now := time.Now()
	if end := p.expiry(); end.After(now) {
		r.schedule(p, end)
		return
	}
	if err := r.expired(ctx, p.vault.name); err != nil && ctx.Err() == nil && !errors.Is(err, ErrNotFound) {
		r.logger.Warn("dropping closed shards failed, will be tried again", "stream", p.vault.name.String(), "error", err)
		r.schedule(p, now.Add(retryInterval))
	}
}

// expiry is when a closed shard's retention is over.
func (p *partition) expiry() time.Time {
	return time.UnixMilli(p.closed.Load()).Add(time.Duration(p.keep.Load()))
}

func isEmpty(log shard.Log) bool {
	first, next := log.Bounds()
	return first >= next
}

// trim drops the records that are too old now, and tells when the next one will be.
func (p *partition) trim(ctx context.Context, now time.Time) (due time.Time, empty bool, err error) {
	log, err := p.open(ctx)
	if err != nil {
		return time.Time{}, false, err
	}
	if isEmpty(log) {
		return time.Time{}, true, nil
	}
	keep := time.Duration(p.keep.Load())
	cut, err := log.At(ctx, now.Add(-keep))
	if err != nil {
		return time.Time{}, false, mapError(err)
	}
	if first, _ := log.Bounds(); cut > first {
		if err := log.Trim(ctx, cut); err != nil {
			return time.Time{}, false, mapError(err)
		}
	}
	oldest, err := log.Log.Read(ctx, cut, shard.Limit{Records: 1}) // also if it cannot be decrypted
	if err != nil {
		return time.Time{}, false, mapError(err)
	}
	due = now
	if len(oldest) > 0 {
		due = oldest[0].Time.Add(keep)
	} else if isEmpty(log) {
		return time.Time{}, true, nil
	}
	if earliest := now.Add(trimInterval); due.Before(earliest) {
		due = earliest
	}
	return due, false, nil
}

// dueQueue is a heap of partitions by when they are due.
type dueQueue []*partition

func (q dueQueue) Len() int           { return len(q) }
func (q dueQueue) Less(i, j int) bool { return q[i].due.Before(q[j].due) }

func (q dueQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].place, q[j].place = i, j
}

// Push implements heap.Interface.
func (q *dueQueue) Push(x any) {
	p := x.(*partition)
	p.place = len(*q)
	*q = append(*q, p)
}

// Pop implements heap.Interface.
func (q *dueQueue) Pop() any {
	last := len(*q) - 1
	p := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	p.place = notQueued
	return p
}
