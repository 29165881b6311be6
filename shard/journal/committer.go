package journal

import (
	"slices"
	"time"

	"github.com/seed-462d9463/sluice/internal/yield"
	"github.com/seed-462d9463/sluice/shard/journal/internal/mutant"
)

// The commit pipeline.
//
// Invariants:
//  1. An offset is given and the frame queued under the log's lock: the queue, and so the journal, has the
//     frames of a log in the order of their offsets, without gaps.
//  2. At most one batch is being written. The next one is written only after the one before it is durable: the
//     only batch that a crash can tear is the last.
//  3. A record is acknowledged, and seen by readers, only after the fdatasync of its batch returned success.
//  4. A batch is never written again, nor a failed sync repeated. Any error of the journal fails the engine,
//     because what is on disk is then unknown.
//  5. When the durable position e.durable reaches X, all shares before X are known to the flusher and all
//     changes of the table before X are applied: a checkpoint that sees X misses nothing before X.
//  6. A share is taken back (disk full) only while it is in the queue, and then all shares of its log in the
//     queue are, before another append to that log is let in: no log gets a gap.
//  7. In a batch the changes of the table stand behind the shares. They may have been queued in another order, but no
//     record depends on a change in its own batch: nobody can append to a log before its creation is durable, a trim
//     is about what was durable when it was queued, and to be written just before a delete is as good as just after.
//
// Steps:
//
//	loop:
//	    let those who waited for the last batch hand in their next records, if they do so at once (gather.go)
//	    b := oldest queued batch (appends join the youngest one while it is below batchBytes); close it
//	    while there is no room for b in the journal:
//	        ask the flusher for a checkpoint; wait for a free file
//	        if the disk is full: take back all records in the queue but essential ones; go on with the rest
//	    write b to the journal; fdatasync; if it is the first in a file, or after a checkpoint, mark it
//	    for each share of b: log.durable = share.end, tell the flusher; then apply the changes of the table
//	    e.durable = end of b
//	    wake those who wait for b
//	    if nothing is queued for markAfter: mark how far the journal is durable; the flusher does it every markEvery

// committer writes what is queued. Its fields belong to its goroutine.
type committer struct {
	e       *Engine
	buf     []byte
	vec     [][]byte    // of the batch
	order   []uint64    // of its shares
	shares  []*share    // in that order
	records int64       // in the batch
	idle    *time.Timer // runs while there is something to mark and nothing to commit
	back    gatherer
}

// run is the committer's goroutine.
func (c *committer) run() {
	c.idle = time.NewTimer(markAfter)
	defer c.idle.Stop()
	begun := time.Now()
	patience := time.NewTimer(0)
	defer patience.Stop()
	c.back = gatherer{
		queued: c.e.queue.bytes,
		yield:  c.e.opts.yield,
		await: func(want int64, most time.Duration) {
			patience.Reset(most)
			c.e.queue.await(want, patience.C)
			patience.Stop()
		},
		since: func() time.Duration { return time.Since(begun) },
	}
	for {
		c.back.gather()
		b, open := c.e.queue.take(c.idle.C)
		if !open {
			return
		}
		c.idle.Stop()
		if b == nil {
			c.e.buffers.drop()
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
	c.sort(b.shares)
	h, vec := c.encode(b)
	if mutant.On(mutant.MarkFirst) {
		if err := c.e.marks.write(c.e.journal.next+lsn(h.padded()), 0); err != nil {
			return b, err
		}
	}
	yield.Busy()
	c.e.disk.commit(true)
	err = c.e.journal.append(h, vec)
	c.e.disk.commit(false)
	if err != nil {
		return b, err
	}
	if c.e.marks.reached() <= c.e.journal.needed() {
		if err := c.e.marks.write(h.end(), 0); err != nil {
			return b, err
		}
	}
	queued := c.e.queue.bytes()
	c.publish(b, h)
	took := time.Since(start)
	c.back.committed(h.frames, h.length, queued, took)
	c.e.metrics.committed(c.records, int(h.frames), int(h.padded()), took)
	clear(vec)
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
		ok, err := j.place(alignUp(b.bytes.Load()), b.records)
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
	into := func(size int64) *batch {
		if len(left) == 0 || !left[len(left)-1].take(size) {
			left = append(left, q.newBatch())
			left[len(left)-1].take(size)
		}
		return left[len(left)-1]
	}
	for _, b := range append([]*batch{b}, q.takeAll(none)...) {
		for _, s := range b.shares {
			if everything || s.ordinary() {
				s.err = full
				s.log.takeBack()
				s.letGo()
				c.e.giveBack(s)
				continue
			}
			to := into(s.bytes)
			to.shares = append(to.shares, s)
			s.batch.Store(to)
		}
		for _, change := range b.changes {
			if everything {
				change.apply(full)
				continue
			}
			to := into(int64(len(change.frame)))
			to.changes = append(to.changes, change)
		}
		b.shares = nil
		b.finish()
	}
	if len(left) == 0 {
		q.putBack(nil)
		return nil
	}
	q.putBack(left[1:])
	return left[0]
}

// longParts is how long the parts of a batch must be in the mean to be written as they are: to gather short ones in one
// piece of memory costs less than to hand them to the system one by one.
const longParts = 8 << 10

var zeros [blockBytes]byte

// encode lays the batch out, in pieces that follow one another: the header comes first, and last the zeros up to a whole block.
func (c *committer) encode(b *batch) (*batchHeader, [][]byte) {
	h := &batchHeader{frames: uint32(len(b.changes)), length: b.bytes.Load()}
	parts, pos := len(b.changes), int64(batchHeaderBytes)
	c.records = 0
	for _, s := range b.shares {
		s.at, s.skip = c.e.journal.next, uint32(pos)
		pos += s.bytes
		parts += len(s.parts)
		h.frames += s.frames
		c.records += int64(s.end - s.base)
	}
	apart := h.length >= int64(parts)*longParts
	size := int64(batchHeaderBytes)
	if !apart {
		size = h.length
	}
	if int64(cap(c.buf)) < size {
		c.buf = make([]byte, 0, max(size, 64<<10))
	}
	buf, vec := c.buf[:batchHeaderBytes], append(c.vec[:0], nil)
	for _, s := range b.shares {
		for i := range s.parts {
			if s.parts[i].raw {
				sealRaw(s.parts[i].frames)
			}
			if apart {
				vec = append(vec, s.parts[i].frames)
			} else {
				buf = append(buf, s.parts[i].frames...)
			}
		}
	}
	for _, change := range b.changes {
		if apart {
			vec = append(vec, change.frame)
		} else {
			buf = append(buf, change.frame...)
		}
	}
	vec[0] = buf
	c.vec = append(vec, zeros[:h.padded()-h.length])
	return h, c.vec
}

// sort puts shares in the order of their logs' ids, and those of one log in the order in which they are: so what logs whose ids
// follow one another have in the batch lies together, for whoever moves them together.
func (c *committer) sort(shares []*share) {
	const indexBits = 20 // for more shares than a batch has room for
	c.order = c.order[:0]
	for i, s := range shares {
		c.order = append(c.order, s.log.id<<indexBits|uint64(i))
	}
	slices.Sort(c.order)
	c.shares = append(c.shares[:0], shares...)
	for i, key := range c.order {
		shares[i] = c.shares[key&(1<<indexBits-1)]
	}
	clear(c.shares)
}

// manyFrames is how many frames a batch has from which on the committer does not itself do what comes after publishing:
// while it wakes hundreds who wait, the disk could have begun the next batch.
const manyFrames = 32

// aftermath is what comes after a batch has been published.
type aftermath struct {
	batch  *batch
	shares []*share
	freed  int64
}

// settle does what comes after batches with many frames.
func (e *Engine) settle() {
	for a := range e.settling {
		a.settle(e)
	}
}

func (a aftermath) settle(e *Engine) {
	cached := a.shares[:0]
	lent := giver{to: e.buffers}
	for _, s := range a.shares {
		if s.lent == nil {
			cached = append(cached, s)
		} else {
			lent.take(s)
		}
	}
	lent.give()
	a.batch.finish()
	e.budget.published(cached, a.freed)
	e.queue.keep(a.shares)
	e.flusher.noteBatch(time.Now())
}

// publish makes a durable batch visible.
func (c *committer) publish(b *batch, h *batchHeader) {
	e := c.e
	// What is the same for all shares is counted once: those who append and the flusher use it, too, on other processors.
	freed, places, bytes := int64(0), 0, int64(0)
	for _, s := range b.shares {
		bytes += s.bytes
	}
	e.flusher.unflushed.Add(bytes) // before any of it can be moved
	whole := true
	for _, s := range b.shares {
		gain, more, ok := s.log.publish(s)
		if !ok {
			s.err, whole = s.log.errGone(), false
			e.flusher.unflushed.Add(-s.bytes)
		}
		freed += gain
		places += more
	}
	b.whole = whole
	e.flusher.leave(places)
	for _, change := range b.changes {
		change.apply(nil)
	}
	e.durable.Store(uint64(h.end()))
	a := aftermath{b, b.shares, freed}
	b.shares = nil
	if h.frames < manyFrames {
		a.settle(e)
	} else {
		e.settling <- a
	}
}

// drop fails all that is in a batch.
func (e *Engine) drop(b *batch, err error) {
	for _, s := range b.shares {
		s.err = err
		e.giveBack(s)
	}
	for _, change := range b.changes {
		change.apply(err)
	}
	b.shares = nil
	b.finish()
}
