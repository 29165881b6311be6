package journal

import (
	"context"
	"sync"
	"time"
)

// batchBytes is what a batch may take, if it is not a single bigger append.
const batchBytes = 4 << 20

// batch is a group of entries that become durable together.
type batch struct {
	entries []*entry // nil when done: who keeps one entry, or a record in it, must not keep all
	bytes   int64
	count   int64         // of their records
	records bool          // some are ordinary records
	changes bool          // some are changes of the table
	done    chan struct{} // closed when the outcome of every entry is known, or it was moved to another batch

	glance   chan struct{} // closed when done is, or the batch has become glanceAfter old
	glanced  sync.Once     // of closing it
	watching *time.Timer   // closes it
}

// glanceAfter is for how long those who wait for a batch do nothing else. To wait for one channel costs much less than to
// wait for it or the end of a context, which is too much for a thousand who wait for half a millisecond. So it comes
// first, and takes no longer than nobody minds; most batches are durable by then.
const glanceAfter = 10 * time.Millisecond

func newBatch() *batch {
	b := &batch{done: make(chan struct{}), glance: make(chan struct{}), bytes: batchHeaderBytes}
	b.watching = time.AfterFunc(glanceAfter, b.endGlance)
	return b
}

func (b *batch) endGlance() { b.glanced.Do(func() { close(b.glance) }) }

// finish wakes those who wait.
func (b *batch) finish() {
	close(b.done)
	b.watching.Stop()
	b.endGlance()
}

// keepEntries is how long a list of entries may be that is worth keeping for another batch.
const keepEntries = 16 << 10

func (b *batch) add(en *entry) {
	b.entries = append(b.entries, en)
	b.bytes += int64(len(en.buf))
	b.count += int64(en.end - en.base)
	b.records = b.records || en.ordinary()
	b.changes = b.changes || en.log == nil
}

// takes tells whether an entry fits in. Every batch takes at least one.
func (b *batch) takes(en *entry) bool {
	return len(b.entries) == 0 || b.bytes+int64(len(en.buf)) <= batchBytes
}

// wait waits for done, or until ctx has ended, but not if it is done already.
func (b *batch) wait(ctx context.Context) error {
	ended := ctx.Done()
	if ended == nil {
		<-b.done
		return nil
	}
	if ctx.Err() == nil {
		<-b.glance
	}
	select {
	case <-b.done:
		return nil
	default:
	}
	select {
	case <-b.done:
		return nil
	case <-ended:
		return ctx.Err()
	}
}

// commitQueue holds what waits for the committer. Its size is bounded by the budget, which all records have been
// charged to, and by those who wait for changes of the table.
type commitQueue struct {
	mu      sync.Mutex
	batches []*batch
	spare   []*entry   // empty, for the next batch
	err     error      // refuses everything: closed or failed
	full    error      // refuses ordinary records: the disk is full
	none    error      // refuses everything, while all of it is taken back
	taking  sync.Mutex // held while records are taken back: for so long full stays set, and no log becomes essential
	ready   chan struct{}
	changed chan struct{} // tells a waiting committer that err or full was set
}

func newCommitQueue() *commitQueue {
	return &commitQueue{ready: make(chan struct{}, 1), changed: make(chan struct{}, 1)}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// push queues an entry. The caller holds the log's lock, if there is one.
func (q *commitQueue) push(en *entry) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err != nil {
		return q.err
	}
	if q.none != nil {
		return q.none
	}
	if q.full != nil && en.ordinary() {
		return q.full
	}
	var b *batch
	if len(q.batches) > 0 {
		b = q.batches[len(q.batches)-1]
	}
	if b == nil || !b.takes(en) {
		b = newBatch()
		b.entries, q.spare = q.spare, nil
		q.batches = append(q.batches, b)
	}
	b.add(en)
	en.batch = b
	if len(q.batches) == 1 && len(b.entries) == 1 {
		signal(q.ready)
	}
	return nil
}

// take returns the next batch. Without one it waits: until the queue is closed, then open is false, or until idle.
func (q *commitQueue) take(idle <-chan time.Time) (b *batch, open bool) {
	for {
		q.mu.Lock()
		if len(q.batches) > 0 {
			b := q.batches[0]
			q.batches[0] = nil
			q.batches = q.batches[1:]
			q.mu.Unlock()
			return b, true
		}
		q.batches = nil
		err := q.err
		q.mu.Unlock()
		if err != nil {
			return nil, false
		}
		select {
		case <-q.ready:
		case <-idle:
			return nil, true
		}
	}
}

// keep takes back the list of a batch that is done.
func (q *commitQueue) keep(entries []*entry) {
	if cap(entries) > keepEntries {
		return
	}
	clear(entries)
	q.mu.Lock()
	q.spare = entries[:0]
	q.mu.Unlock()
}

// takeAll returns all batches, and from then on refuses everything with none, if that is an error.
func (q *commitQueue) takeAll(none error) []*batch {
	q.mu.Lock()
	defer q.mu.Unlock()
	all := q.batches
	q.batches, q.none = nil, none
	return all
}

// putBack puts batches to the front, and refuses no longer.
func (q *commitQueue) putBack(batches []*batch) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.batches = append(batches, q.batches...)
	q.none = nil
}

func (q *commitQueue) stop(err error) {
	q.mu.Lock()
	if q.err == nil {
		q.err = err
	}
	q.mu.Unlock()
	signal(q.ready)
	signal(q.changed)
}

func (q *commitQueue) setFull(err error) {
	q.taking.Lock()
	defer q.taking.Unlock()
	q.mu.Lock()
	q.full = err
	q.mu.Unlock()
	signal(q.changed)
}

func (q *commitQueue) isFull() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.full
}
