package journal

import (
	"context"
	"runtime"
)

// Who reads far behind the end can keep the processors busy, while those who write are woken for a moment only to queue
// their next record. So a read is done in turns, small pieces of work, and after each of them whoever else is ready to
// run goes first. Only so many at a time read files as there are processors: more would not be faster.
const (
	turnBytes   = 128 << 10
	turnEntries = 256
)

// readTurns are what readers of files take.
type readTurns chan struct{}

func newReadTurns() readTurns { return make(readTurns, runtime.GOMAXPROCS(0)) }

// take waits for a turn, to be given back.
func (t readTurns) take(ctx context.Context) error {
	select {
	case t <- struct{}{}:
		return nil
	default:
	}
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t readTurns) give() {
	<-t
	t.yield()
}

func (readTurns) yield() { runtime.Gosched() }
