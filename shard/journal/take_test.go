package journal

import (
	"sync"
	"sync/atomic"
	"testing"
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
