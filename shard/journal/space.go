package journal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

// errFull marks errors that mean no more than a full disk.
type errFull struct{ err error }

func (e errFull) Error() string   { return fmt.Sprintf("%v: %v", shard.ErrNoSpace, e.err) }
func (e errFull) Unwrap() []error { return []error{shard.ErrNoSpace, e.err} }

func isFullError(err error) bool { return errors.Is(err, shard.ErrNoSpace) }

// fullIfNoSpace classifies an error of making or growing a file that nobody relies on yet.
func fullIfNoSpace(err error) error {
	if err != nil && vfs.IsNoSpace(err) {
		return errFull{err}
	}
	return err
}

// setFull refuses appends with an error that means a full disk, or takes them again with nil.
func (f *flusher) setFull(err error) {
	if err != nil {
		err = f.describeFull(err)
	}
	f.telling.Lock()
	defer f.telling.Unlock()
	f.mu.Lock()
	was := f.full
	f.full = err
	f.isFull.Store(err != nil)
	f.mu.Unlock()
	if err == nil && was == nil {
		return
	}
	f.lastTry.Store(int64(time.Since(f.begun)))
	f.e.queue.setFull(err)
	f.e.budget.setFull(err)
	f.e.buffers.lent.setFull(err)
	switch {
	case was == nil:
		f.e.opts.Logger.Error("no space left: writes are refused until there is some; free some on this disk, delete streams, "+
			"or keep records for a shorter time", "dir", f.e.opts.Dir, "error", err)
	case err == nil:
		f.e.opts.Logger.Info("there is space again: writes are accepted", "dir", f.e.opts.Dir)
	}
}

// describeFull says how much space there is, to those who are refused.
func (f *flusher) describeFull(err error) error {
	var known *shard.NoSpaceError
	if errors.As(err, &known) {
		return err
	}
	known = &shard.NoSpaceError{Place: f.e.opts.Dir, Free: -1, Keep: f.keep(), Cause: err}
	if free, err := f.e.opts.FS.Free(f.e.opts.Dir); err == nil {
		known.Free = free
	}
	return known
}

// keep is what must stay free: MinFreeBytes, and what is acknowledged and not in its segment yet.
func (f *flusher) keep() int64 {
	return f.e.opts.MinFreeBytes + f.waiting()
}

// freeEvery is how much is committed, or flushed, at most between two looks at the free space.
const freeEvery = 4 << 20

// lookDue tells whether enough has been committed since the last look: each byte will need another one in a segment.
func (f *flusher) lookDue() bool {
	return int64(f.e.durable.Load()-f.lookedAt.Load()) >= min(freeEvery, f.e.opts.MinFreeBytes/8)
}

// checkFree keeps MinFreeBytes of the disk free, with all that is acknowledged in its segments: so what is in the
// journal can always be flushed, the journal emptied, and there is room in it for what makes room on the disk.
func (f *flusher) checkFree() error {
	if f.sinceFree < min(freeEvery, f.e.opts.MinFreeBytes/8) && !f.lookDue() && !f.isFull.Load() {
		return nil
	}
	f.sinceFree = 0
	f.lookedAt.Store(f.e.durable.Load())
	free, err := f.e.opts.FS.Free(f.e.opts.Dir)
	if err != nil {
		f.e.opts.Logger.Warn("cannot tell the free space", "dir", f.e.opts.Dir, "error", err)
		return nil
	}
	f.e.metrics.free(free)
	f.watchSpace(free - f.waiting())
	if keep := f.keep(); free < keep {
		return &shard.NoSpaceError{Place: f.e.opts.Dir, Free: free, Keep: keep}
	}
	return nil
}

// warnEvery is the least time between two warnings.
const warnEvery = 10 * time.Minute

// watchSpace warns while there is little space, beside what waits to be flushed. It is enough again only when an eighth more is free, so that a disk
// whose free space goes to and fro is one event and not many.
func (f *flusher) watchSpace(free int64) {
	warn := max(f.e.opts.WarnFreeBytes, 2*f.e.opts.MinFreeBytes)
	switch {
	case free < warn:
		f.low.Store(true)
		if now := time.Now(); f.warned.IsZero() || now.Sub(f.warned) >= warnEvery {
			f.warned = now
			f.e.opts.Logger.Warn("little disk space is left; with less than log.min_free_bytes writes will be refused",
				"dir", f.e.opts.Dir, "free_bytes", free, "warn_free_bytes", warn, "min_free_bytes", f.e.opts.MinFreeBytes)
		}
	case free >= warn+warn/8 && f.low.Swap(false):
		f.e.opts.Logger.Info("there is enough disk space again", "dir", f.e.opts.Dir, "free_bytes", free)
	}
}

// lookFor is how long an append waits at most for a look at the disk.
const lookFor = 250 * time.Millisecond

// refuse returns why records cannot be taken now. If the disk was full it has somebody look again, but not more
// often than every SpaceRetry, and waits for what that one sees: so the first append that finds room again is taken.
func (f *flusher) refuse(ctx context.Context) error {
	if !f.isFull.Load() {
		return nil
	}
	now := int64(time.Since(f.begun))
	last := f.lastTry.Load()
	if now-last >= int64(f.e.opts.SpaceRetry) && f.lastTry.CompareAndSwap(last, now) {
		f.look(ctx)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.full
}

// look waits for a round of work that begins now, but not for long.
func (f *flusher) look(ctx context.Context) {
	f.mu.Lock()
	round := f.started + 1
	f.mu.Unlock()
	signal(f.kicked)
	limit := time.NewTimer(lookFor)
	defer limit.Stop()
	for {
		f.mu.Lock()
		if f.looked == nil {
			f.looked = make(chan struct{})
		}
		ended, looked := f.ended, f.looked
		f.mu.Unlock()
		if ended >= round {
			return
		}
		select {
		case <-looked:
		case <-limit.C:
			return
		case <-ctx.Done():
			return
		case <-f.e.failed:
			return
		case <-f.e.closed:
			return
		}
	}
}

// endRound tells those who wait for it that a round of work has ended.
func (f *flusher) endRound(round uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = round
	if f.looked != nil {
		close(f.looked)
		f.looked = nil
	}
}
