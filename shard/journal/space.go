package journal

import (
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

func (f *flusher) setFull(err error) {
	f.mu.Lock()
	was := f.full
	f.full = err
	f.isFull.Store(err != nil)
	f.mu.Unlock()
	if err == nil && was == nil {
		return
	}
	f.lastTry.Store(time.Now().UnixNano())
	f.e.queue.setFull(err)
	f.e.budget.setFull(err)
	switch {
	case was == nil:
		f.e.opts.Logger.Error("no space left: appends are refused until there is some", "dir", f.e.opts.Dir, "error", err)
	case err == nil:
		f.e.opts.Logger.Info("there is space again: appends are accepted", "dir", f.e.opts.Dir)
	}
}

// freeEvery is how much is written at most between two looks at the free space.
const freeEvery = 4 << 20

// checkFree keeps MinFreeBytes of the disk free, with all that is acknowledged in its segments: so what is in the
// journal can always be flushed, the journal emptied, and there is room in it for what makes room on the disk.
func (f *flusher) checkFree() error {
	if f.sinceFree < min(freeEvery, f.e.opts.MinFreeBytes/8) && !f.isFull.Load() {
		return nil
	}
	f.sinceFree = 0
	free, err := f.e.opts.FS.Free(f.e.opts.Dir)
	if err != nil {
		f.e.opts.Logger.Warn("cannot tell the free space", "dir", f.e.opts.Dir, "error", err)
		return nil
	}
	f.e.metrics.free(free)
	f.mu.Lock()
	keep := f.e.opts.MinFreeBytes + f.unflushed
	f.mu.Unlock()
	if free < keep {
		return errFull{fmt.Errorf("%d bytes are free, %d must stay so", free, keep)}
	}
	return nil
}

// refuse returns why records cannot be taken now. If the disk was full it has somebody look again, but not more
// often than every SpaceRetry.
func (f *flusher) refuse() error {
	if !f.isFull.Load() {
		return nil
	}
	now := time.Now().UnixNano()
	last := f.lastTry.Load()
	if now-last >= int64(f.e.opts.SpaceRetry) && f.lastTry.CompareAndSwap(last, now) {
		signal(f.kicked)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.full
}
