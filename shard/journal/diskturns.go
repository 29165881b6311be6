package journal

import (
	"context"
	"sync"

	"github.com/seed-462d9463/sluice/shard/vfs"
)

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
