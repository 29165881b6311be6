package journal

import (
	"context"
	"runtime"
)

// Who reads far behind the end can keep all processors busy, while those who write are woken for a moment only to queue
// their next record, and the commit that they wait for, too, needs one again and again. So a long read is done in turns,
// small pieces of work, that no more than half of the processors do at one time, and after each whoever else is ready
// to run goes first. What a reader near the end asks for is one piece from memory, and waits for no turn.
const (
	turnBytes   = 128 << 10
	turnEntries = 256
)

// readTurns holds an element for every turn that is being taken. Who waits gets one in the order of coming.
type readTurns chan struct{}

func newReadTurns() readTurns { return make(readTurns, max(1, runtime.NumCPU()/2)) }

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
	runtime.Gosched()
}
