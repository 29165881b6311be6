package journal

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"unsafe"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

// closeAccounted closes an engine, which must have counted right.
func closeAccounted(t *testing.T, e *Engine) {
	t.Helper()
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if err := accounted(e); err != nil {
		t.Error(err)
	}
}

// accounted holds what a closed engine has counted against what there is.
func accounted(e *Engine) error {
	var charged, unflushed int64
	places := 0
	for _, l := range e.table.all() {
		var bytes int64
		for i := range l.left {
			bytes += int64(l.left[i].bytes)
		}
		for _, s := range l.cache {
			charged += s.charge
			if s.end > l.flushed {
				bytes += s.bytes
			}
		}
		if bytes != l.unflushed {
			return fmt.Errorf("%s counts %d bytes that are not flushed, %d are there", l, l.unflushed, bytes)
		}
		if (l.heapAt > 0) != (bytes > 0) || l.inHeap != (bytes > 0) {
			return fmt.Errorf("%s with %d bytes that are not flushed is at %d of the heap", l, bytes, l.heapAt)
		}
		unflushed += bytes
		places += len(l.left)
	}
	charged += int64(places) * placeCharge
	charged += e.buffers.bytes
	if lent := e.buffers.lent.used.Load(); lent != 0 {
		return fmt.Errorf("%d bytes of buffers have not been given back", lent)
	}
	f := e.flusher
	if used := e.budget.used.Load(); used != charged || f.unflushed.Load() != unflushed || f.places.Load() != int64(places) {
		return fmt.Errorf("counted: %d bytes of memory, %d not flushed, %d places; there are %d, %d and %d",
			used, f.unflushed.Load(), f.places.Load(), charged, unflushed, places)
	}
	return nil
}

func TestNothingIsCountedThatIsNotThere(t *testing.T) {
	opts := lazyOptions(vfs.NewMem())
	opts.placeBytes = 1
	e := mustOpen(t, opts)
	l := mustLog(t, e, "a")
	n := appendBytesTo(t, l, 1<<20)
	other := mustLog(t, e, "b")
	appendBytesTo(t, other, 1<<20)
	if leftIn(l) == 0 || leftIn(other) == 0 {
		t.Fatalf("%d places and %d", leftIn(l), leftIn(other))
	}
	if err := l.Trim(t.Context(), shard.Offset(n)); err != nil {
		t.Fatal(err)
	}
	if err := e.Delete(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	closeAccounted(t, e)
	if used := e.budget.used.Load(); used != 0 || e.flusher.unflushed.Load() != 0 || e.flusher.places.Load() != 0 {
		t.Errorf("%d bytes of memory, %d not flushed, %d places of nothing", used, e.flusher.unflushed.Load(), e.flusher.places.Load())
	}
}

// Small frames, of changes of the table, are gathered beside a long part too.
func TestOnlyABatchOfLongPartsIsWrittenInPieces(t *testing.T) {
	e := mustOpen(t, lazyOptions(vfs.NewMem()))
	defer e.Close()
	c := &committer{e: e}
	for _, changes := range []int{0, 3, 100} {
		b := newCommitQueue(1 << 20).newBatch()
		s := &share{log: &logState{}, parts: []part{{frames: make([]byte, 33<<10)}}, bytes: 33 << 10}
		b.take(s.bytes)
		b.shares = append(b.shares, s)
		for range changes {
			b.take(80)
			b.changes = append(b.changes, &queuedChange{frame: make([]byte, 80)})
		}
		_, vec := c.encode(b)
		if apart := len(vec) > 2; apart != (changes < 100) {
			t.Errorf("with %d changes it is in %d pieces", changes, len(vec))
		}
		b.finish()
	}
}

func TestRoomIsMadeBeforeTheNextAppendsNeedIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := mustOpen(t, lazyOptions(vfs.NewMem()))
		defer e.Close()
		l := mustLog(t, e, "a")
		limit := e.budget.limit
		for range 2 * limit / (4 << 10) {
			if _, err := l.Append(t.Context(), []shard.Record{{Value: make([]byte, 4<<10)}}).Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if used := e.budget.used.Load(); used > limit-limit/sparePart {
				t.Fatalf("%d bytes of %d are used", used, limit)
			}
		}
	})
}

// TestWhatIsAppendedToALogThatIsBeingDeletedCountsForNothing has an append queued while the batch with the delete is being synced.
func TestWhatIsAppendedToALogThatIsBeingDeletedCountsForNothing(t *testing.T) {
	disk := vfs.Inject(vfs.NewMem())
	e := mustOpen(t, lazyOptions(disk))
	l := mustLog(t, e, "a")
	appendBytesTo(t, l, 1000)
	syncing, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	disk.Hook(func(c vfs.Call) error {
		if c.Op == vfs.OpDatasync && strings.HasSuffix(c.Name, ".j") {
			once.Do(func() {
				close(syncing)
				<-goOn
			})
		}
		return nil
	})
	deleted := make(chan error, 1)
	go func() { deleted <- e.Delete(t.Context(), "a") }()
	<-syncing
	late := l.Append(t.Context(), []shard.Record{{Value: []byte("late")}})
	close(goOn)
	if err := <-deleted; err != nil {
		t.Fatal(err)
	}
	if _, err := late.Wait(t.Context()); !errors.Is(err, shard.ErrNotFound) {
		t.Errorf("append to a log that has been deleted: %v, want %v", err, shard.ErrNotFound)
	}
	closeAccounted(t, e)
}

// TestWhatAnAppendNeedsIsInFewLines holds the layout of a log against what is said of it: with thousands of logs each line of the
// processor's caches has to be fetched.
func TestWhatAnAppendNeedsIsInFewLines(t *testing.T) {
	const line = 64
	var l logState
	for name, found := range map[string]uintptr{
		"open, in the first": unsafe.Offsetof(l.open) - (line - 8), "cache, in the second": unsafe.Offsetof(l.cache) - line,
		"lends, in the third": unsafe.Offsetof(l.lends) - 2*line, "left, in the fourth": unsafe.Offsetof(l.left) - 3*line,
	} {
		if found != 0 {
			t.Errorf("%s: %d bytes off", name, int(found))
		}
	}
	if begun := unsafe.Offsetof(l.slab) + unsafe.Offsetof(l.slab.pending); begun > 4*line {
		t.Errorf("what logs that lend need of their slab ends at byte %d", begun)
	}
	if size := unsafe.Sizeof(l); size > 512 { // from there on the allocator puts something before it
		t.Errorf("a log has %d bytes", size)
	}
}
