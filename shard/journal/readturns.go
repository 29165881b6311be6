package journal

import (
	"context"
	"runtime"

	"github.com/seed-462d9463/sluice/internal/yield"
)

// Who reads far behind the end can keep all processors busy, while those who write are woken for a moment only to queue
// their next record, and the commit that they wait for, too, needs one again and again. So a long read is done in turns,
// small pieces of work (64 KiB from memory, up to 256 from a file), that no more than half of the processors do at one
// time, and after each whoever else is ready to run goes first. What a reader near the end asks for is one piece from
// memory, and waits for no turn.
const (
	turnBytes = yield.Each
	turnParts = 256
)

// readTurns holds an element for every turn that is being taken. Who waits gets one in the order of coming.
type readTurns chan struct{}

// newReadTurns goes by the processors that the program may use, which may be fewer than the machine has. They may be
// more, too: the server lets Go run more threads than there are processors.
func newReadTurns() readTurns {
	return make(readTurns, max(1, min(runtime.GOMAXPROCS(0), runtime.NumCPU())/2))
}

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
	yield.Core() // with the turn, or one more thread would be ready, to read, beside those that write
	<-t
	runtime.Gosched()
}

// turnReader reads a file for somebody whose turn it is. While that waits for the disk, the turn is others', who may read
// from memory.
type turnReader struct{ diskReader }

// ReadAt implements io.ReaderAt.
func (r turnReader) ReadAt(p []byte, off int64) (int, error) {
	n := r.file.ReadCached(p, off)
	if n == len(p) {
		return n, nil
	}
	<-r.e.turns
	more, err := r.diskReader.ReadAt(p[n:], off+int64(n))
	r.e.turns <- struct{}{}
	return n + more, err
}
