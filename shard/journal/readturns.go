package journal

import (
	"context"
	"runtime"
	"sync"

	"github.com/seed-462d9463/sluice/shard/vfs"
)

// Who reads far behind the end can keep all processors busy, while those who write are woken for a moment only to queue
// their next record, and the commit that they wait for, too, needs one again and again. So a long read is done in turns,
// small pieces of work, that no more than half of the processors do at one time, and after each whoever else is ready
// to run goes first. What a reader near the end asks for is one piece from memory, and waits for no turn.
const (
	turnBytes = 128 << 10
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
	<-t
	runtime.Gosched()
}

// A disk serves what it is asked for in some order of its own, and reads before writes if the system has a say: so a commit
// may wait for all reads that are under way, and for some that come later. Reads from the disk take turns, too, of a piece
// each, and none begins while a commit is under way. The system, which would read ahead as much as it likes, is told not to;
// a turn brings a whole piece into memory, however little it is for.
const (
	diskReads = 1 // at one time
	diskBytes = 256 << 10
)

type diskTurns struct {
	turns chan struct{} // holds an element for every turn that is being taken

	mu         sync.Mutex    // guards what follows
	committing bool          // a commit is under way
	committed  chan struct{} // closed when it is no more, if somebody waits for that
}

func newDiskTurns() *diskTurns { return &diskTurns{turns: make(chan struct{}, diskReads)} }

// take waits for a turn, to be given back, and for one commit at most: they may follow each other all the time. With an error
// there is none to give back.
func (t *diskTurns) take(ctx context.Context) error {
	select {
	case t.turns <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	t.mu.Lock()
	if !t.committing {
		t.mu.Unlock()
		return nil
	}
	if t.committed == nil {
		t.committed = make(chan struct{})
	}
	committed := t.committed
	t.mu.Unlock()
	select {
	case <-committed:
		return nil
	case <-ctx.Done():
		t.give()
		return ctx.Err()
	}
}

func (t *diskTurns) give() { <-t.turns }

// commit says whether a commit is under way that readers wait for.
func (t *diskTurns) commit(underWay bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.committing = underWay
	if !underWay && t.committed != nil {
		close(t.committed)
		t.committed = nil
	}
}

// diskReader reads a file in turns of the disk.
type diskReader struct {
	ctx  context.Context
	e    *Engine
	file vfs.File
}

// ReadAt implements io.ReaderAt.
func (r diskReader) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) && err == nil {
		if err := r.e.disk.take(r.ctx); err != nil {
			return n, err
		}
		piece := p[n:min(n+diskBytes, len(p))]
		if len(piece) < diskBytes {
			_ = r.file.Prefetch(off+int64(n), diskBytes)
		}
		var more int
		more, err = r.file.ReadAt(piece, off+int64(n))
		r.e.disk.give()
		n += more
	}
	return n, err
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
