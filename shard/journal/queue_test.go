package journal

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

func TestABatchTakesNoMoreThanItsBound(t *testing.T) {
	const limit, size, writers = 64 << 10, 100, 8
	b := newCommitQueue(limit).newBatch()
	defer b.finish()
	var taken atomic.Int64
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			n := int64(size + w) // so that the last ones do not all fit or all not
			for range limit / size {
				if b.take(n) {
					taken.Add(n)
				}
			}
		})
	}
	all.Wait()
	have := b.bytes.Load()
	if want := batchHeaderBytes + taken.Load(); have != want {
		t.Errorf("it counts %d bytes, and gave %d", have, want)
	}
	if have > limit || have < limit-size-2*writers {
		t.Errorf("%d bytes with a bound of %d", have, limit)
	}
}

func TestABatchTakesASingleLongAppend(t *testing.T) {
	b := newCommitQueue(1 << 10).newBatch()
	defer b.finish()
	if !b.take(1 << 20) {
		t.Error("it does not")
	}
	if b.take(1) {
		t.Error("it takes another one behind it")
	}
	if have := b.bytes.Load(); have != batchHeaderBytes+1<<20 {
		t.Errorf("it counts %d bytes", have)
	}
}

// An append that finds no room in a batch keeps others out for a moment, whose logs then have several shares in it.
func TestALogMayHaveSeveralSharesInABatch(t *testing.T) {
	disk := vfs.NewMem()
	e := mustOpen(t, lazyOptions(disk))
	openLogs(t, e, 2)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	opts := lazyOptions(disk)
	e = mustPrepare(t, opts)
	logs := e.table.all()
	var outcomes []shard.Pending
	for i := range 3 {
		for _, l := range logs {
			outcomes = append(outcomes, l.Append(t.Context(), []shard.Record{numbered(i)}))
			l.mu.Lock()
			l.shut()
			l.mu.Unlock()
		}
	}
	b, _ := e.queue.take(nil)
	if len(b.shares) != 6 {
		t.Fatalf("the batch has %d shares", len(b.shares))
	}
	if _, err := (&committer{e: e}).commit(b); err != nil {
		t.Fatal(err)
	}
	for i, p := range outcomes {
		if a, err := p.Wait(t.Context()); err != nil || int(a.First) != i/2 {
			t.Errorf("append %d has offset %d: %v", i, a.First, err)
		}
	}
	for _, l := range logs {
		checkNumbered(t, l, 0, 3)
	}
	if err := e.release(); err != nil {
		t.Fatal(err)
	}
	e = mustOpen(t, opts)
	defer e.Close()
	for _, l := range e.table.all() {
		checkNumbered(t, l, 0, 3)
	}
}
