package journal

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"sync"
	"testing/synctest"

	"github.com/seed-462d9463/sluice/shard/vfs"
)

// turns lets one party of a campaign go on at a time, be it a client or a call of the file system, and waits until all
// that follows from it has come to rest. So the seed decides on the order of all that matters, and a run can be
// repeated. It needs a bubble of testing/synctest.
type turns struct {
	rng     *rand.Rand
	arrived chan struct{}

	mu      sync.Mutex // guards what follows
	waiting []*turn
	over    error // what all get who still wait or come
}

type turn struct {
	who    string
	call   *vfs.Call // nil: a client
	answer chan error
}

func newTurns(rng *rand.Rand) *turns { return &turns{rng: rng, arrived: make(chan struct{}, 1)} }

// take waits for a turn. An error is the result of the call, or the end of the client.
func (t *turns) take(who string, call *vfs.Call) error {
	t.mu.Lock()
	if t.over != nil {
		defer t.mu.Unlock()
		return t.over
	}
	w := &turn{who: who, call: call, answer: make(chan error, 1)}
	t.waiting = append(t.waiting, w)
	t.mu.Unlock()
	signal(t.arrived)
	return <-w.answer
}

// next waits until nothing moves any more, and draws whose turn it is. It returns nil when done is closed. The time goes
// on only while nobody waits for a turn.
func (t *turns) next(done <-chan struct{}) *turn {
	for {
		synctest.Wait()
		t.mu.Lock()
		if n := len(t.waiting); n > 0 {
			slices.SortStableFunc(t.waiting, func(a, b *turn) int { return cmp.Compare(a.who, b.who) })
			i := t.rng.IntN(n)
			w := t.waiting[i]
			t.waiting = slices.Delete(t.waiting, i, i+1)
			t.mu.Unlock()
			return w
		}
		t.mu.Unlock()
		select {
		case <-t.arrived:
		case <-done:
			return nil
		}
	}
}

// end refuses all who wait, and who come.
func (t *turns) end(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = err
	for _, w := range t.waiting {
		w.answer <- err
	}
	t.waiting = nil
}

// gate is the hook of a file system whose calls take turns: those that change something, and the look at the free space
// with which the flusher begins its work.
func (t *turns) gate(c vfs.Call) error {
	if !changesDisk(c.Op) && c.Op != vfs.OpFree {
		return nil
	}
	return t.take(string(c.Op)+" "+c.Name, &c)
}

// changesDisk tells whether a call changes what a crash would leave.
func changesDisk(op vfs.Op) bool {
	switch op {
	case vfs.OpCreate, vfs.OpRename, vfs.OpRemove, vfs.OpMkdir, vfs.OpWrite, vfs.OpTruncate, vfs.OpPreallocate:
		return true
	}
	return syncsDisk(op)
}

func syncsDisk(op vfs.Op) bool {
	switch op {
	case vfs.OpSyncDir, vfs.OpSyncTree, vfs.OpDatasync, vfs.OpSync:
		return true
	}
	return false
}
