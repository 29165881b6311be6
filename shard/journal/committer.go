package journal

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-462d9463/sluice/shard"
)

// The commit pipeline.
//
// Invariants:
//  1. An offset is given and the entry queued under the log's lock: the queue, and so the journal, has the
//     frames of a log in the order of their offsets, without gaps.
//  2. At most one batch is being written. The next one is written only after the one before it is durable: the
//     only batch that a crash can tear is the last.
//  3. An entry is acknowledged, and seen by readers, only after the fdatasync of its batch returned success.
//  4. A batch is never written again, nor a failed sync repeated. Any error of the journal fails the engine,
//     because what is on disk is then unknown.
//  5. When the durable position e.durable reaches X, all entries before X are known to the flusher and all
//     changes of the table before X are applied: a checkpoint that sees X misses nothing before X.
//  6. An entry is taken back (disk full) only while it is in the queue, and then all entries of its log in the
//     queue are, before another one of that log is let in: no log gets a gap.
//
// Steps:
//
//	loop:
//	    b := oldest queued batch (entries join the youngest one while it is below batchBytes)
//	    while there is no room for b in the journal:
//	        ask the flusher for a checkpoint; wait for a free file
//	        if the disk is full: take back all records in the queue but essential ones; go on with the rest
//	    write b to the journal; fdatasync; if it is the first in a file, or after a checkpoint, mark it
//	    for each entry of b: log.durable = entry.end, tell the flusher; or apply the change of the table
//	    e.durable = end of b
//	    wake those who wait for b
//	    if nothing is queued for markAfter: mark how far the journal is durable

// batchBytes is what a batch may take, if it is not a single bigger append.
const batchBytes = 4 << 20

// entryOverhead is what an entry counts for in the cache bound beside its frame.
const entryOverhead = 256

// entry is one frame from the moment it is queued until it leaves the cache. As a Pending, it is what Append
// returns.
type entry struct {
	log    *logState // nil for a change of the table
	buf    []byte    // the frame; immutable
	base   shard.Offset
	end    shard.Offset
	millis int64
	at     lsn // of its batch; set when durable
	batch  *batch
	moved  atomic.Pointer[batch] // where it went when its batch was broken up; set before that batch's done is closed
	err    error                 // set before batch.done, or that of moved, is closed
	apply  func(err error)       // a change of the table: called once, when durable or failed

	flushed bool // it is in its segment, or need not be; guarded by log.mu
}

func (en *entry) charge() int64 { return int64(len(en.buf)) + entryOverhead }

// ordinary tells whether the entry is refused when the disk is full.
func (en *entry) ordinary() bool { return en.log != nil && !en.log.essential.Load() }

// Wait implements shard.Pending.
func (en *entry) Wait(ctx context.Context) (shard.Appended, error) {
	if err := en.batch.wait(ctx); err != nil {
		return shard.Appended{}, err
	}
	for b, next := en.batch, en.moved.Load(); next != nil && next != b; next = en.moved.Load() {
		b = next
		if err := b.wait(ctx); err != nil {
			return shard.Appended{}, err
		}
	}
	if en.err != nil {
		return shard.Appended{}, en.err
	}
	return shard.Appended{First: en.base, Time: time.UnixMilli(en.millis).UTC()}, nil
}

// failedPending is an Append that never got into the queue.
type failedPending struct{ err error }

func (p failedPending) Wait(context.Context) (shard.Appended, error) {
	return shard.Appended{}, p.err
}

// batch is a group of entries that become durable together.
type batch struct {
	entries []*entry
	bytes   int64
	records bool          // some are ordinary records
	done    chan struct{} // closed when the outcome of every entry is known, or it was moved to another batch
}

func newBatch() *batch { return &batch{done: make(chan struct{}), bytes: batchHeaderBytes} }

func (b *batch) add(en *entry) {
	b.entries = append(b.entries, en)
	b.bytes += int64(len(en.buf))
	b.records = b.records || en.ordinary()
}

func (b *batch) recordCount() (n int64) {
	for _, en := range b.entries {
		n += int64(en.end - en.base)
	}
	return n
}

// takes tells whether an entry fits in. Every batch takes at least one.
func (b *batch) takes(en *entry) bool {
	return len(b.entries) == 0 || b.bytes+int64(len(en.buf)) <= batchBytes
}

// wait waits for done, even if ctx has ended, when it is closed already.
func (b *batch) wait(ctx context.Context) error {
	select {
	case <-b.done:
		return nil
	default:
	}
	select {
	case <-b.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// commitQueue holds what waits for the committer. Its size is bounded by the budget, which all records have been
// charged to, and by those who wait for changes of the table.
type commitQueue struct {
	mu      sync.Mutex
	batches []*batch
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

// committer writes what is queued. Its fields belong to its goroutine.
type committer struct {
	e    *Engine
	buf  []byte
	idle *time.Timer // runs while there is something to mark and nothing to commit
}

// run is the committer's goroutine.
func (c *committer) run() {
	c.idle = time.NewTimer(markAfter)
	defer c.idle.Stop()
	for {
		b, open := c.e.queue.take(c.idle.C)
		if !open {
			return
		}
		c.idle.Stop()
		if b == nil {
			if err := c.e.marks.write(lsn(c.e.durable.Load()), 0); err != nil {
				c.e.fail(err)
			}
			continue
		}
		b, err := c.commit(b)
		c.idle.Reset(markAfter)
		if err != nil {
			c.e.fail(err)
			c.e.drop(b, c.e.Err())
		}
	}
}

// commit makes a batch durable and publishes it. With an error it returns what is left of the batch, to be failed.
func (c *committer) commit(b *batch) (*batch, error) {
	if err := c.e.Err(); err != nil {
		return b, err
	}
	b, err := c.awaitRoom(b)
	if err != nil || b == nil {
		return b, err
	}
	start := time.Now()
	h, buf := c.encode(b)
	if err := c.e.journal.append(h, buf); err != nil {
		return b, err
	}
	if c.e.marks.reached() <= c.e.journal.needed() {
		if err := c.e.marks.write(h.end(), 0); err != nil {
			return b, err
		}
	}
	c.publish(b, h)
	c.e.metrics.committed(b.recordCount(), len(b.entries), len(buf), time.Since(start))
	if cap(c.buf) > 2*batchBytes {
		c.buf = nil // of a rare huge append; not worth keeping
	}
	return nil, nil
}

// awaitRoom waits until the journal has room for the batch. If the disk is full it returns what is left of the
// batch without records, nil if nothing.
func (c *committer) awaitRoom(b *batch) (*batch, error) {
	j := c.e.journal
	tried := uint64(0)
	for {
		ok, err := j.place(alignUp(b.bytes), b.records)
		if ok || err != nil {
			return b, err
		}
		if c.e.queue.isFull() != nil && (b.records || tried > 0 && c.e.flusher.finished.Load() >= tried) {
			if b = c.takeBack(b); b == nil {
				return nil, nil
			}
			continue
		}
		// What makes room is worth another look at the disk before it fails.
		if next := c.e.flusher.journalFull(); tried == 0 {
			tried = next
		}
		stall := c.e.metrics.stall()
		select {
		case <-j.freed:
		case <-c.e.queue.changed:
		case <-c.e.failed:
			return b, c.e.Err()
		}
		stall()
	}
}

// takeBack fails all queued ordinary records, b's too, as if they had never been appended, and returns a batch of what
// is left: changes of the table and essential records. If b has none but those already, not even the reserve has
// room, and everything that is queued fails.
func (c *committer) takeBack(b *batch) *batch {
	q := c.e.queue
	q.taking.Lock()
	defer q.taking.Unlock()
	full := q.isFull()
	if full == nil {
		return b // there is room again
	}
	// The queue refuses ordinary records while it is full, so nothing can come in behind those that are taken out.
	everything := !b.records
	var none error
	if everything {
		none = full
	}
	var left []*batch
	for _, b := range append([]*batch{b}, q.takeAll(none)...) {
		for _, en := range b.entries {
			switch {
			case !everything && !en.ordinary():
				if len(left) == 0 || !left[len(left)-1].takes(en) {
					left = append(left, newBatch())
				}
				to := left[len(left)-1]
				to.add(en)
				en.moved.Store(to)
			case en.log != nil:
				en.err = full
				en.log.takeBack()
			default:
				en.err = full
				en.apply(full)
			}
		}
		close(b.done)
	}
	if len(left) == 0 {
		q.putBack(nil)
		return nil
	}
	q.putBack(left[1:])
	return left[0]
}

// encode lays the batch out in the committer's buffer.
func (c *committer) encode(b *batch) (*batchHeader, []byte) {
	padded := alignUp(b.bytes)
	if int64(cap(c.buf)) < padded {
		c.buf = make([]byte, padded, max(padded, 64<<10))
	}
	buf := c.buf[:batchHeaderBytes]
	for _, en := range b.entries {
		buf = append(buf, en.buf...)
	}
	clear(c.buf[b.bytes:padded:padded])
	h := &batchHeader{frames: uint32(len(b.entries)), length: b.bytes}
	return h, c.buf[:padded]
}

// publish makes a durable batch visible.
func (c *committer) publish(b *batch, h *batchHeader) {
	entries := b.entries
	for i := 0; i < len(entries); {
		en := entries[i]
		if en.log == nil {
			en.apply(nil)
			i++
			continue
		}
		n := 1
		for i+n < len(entries) && entries[i+n].log == en.log {
			n++
		}
		en.log.publish(entries[i:i+n], h.at)
		i += n
	}
	c.e.durable.Store(uint64(h.end()))
	close(b.done)
	c.e.flusher.noteBatch()
}

// drop fails all entries of a batch.
func (e *Engine) drop(b *batch, err error) {
	for _, en := range b.entries {
		en.err = err
		if en.apply != nil {
			en.apply(err)
		}
	}
	close(b.done)
}
