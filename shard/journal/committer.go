package journal

import (
	"time"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/journal/internal/mutant"
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
//	    in the order of b: log.durable = entry.end, tell the flusher, once for all of a log; or apply the change of the table
//	    e.durable = end of b
//	    wake those who wait for b
//	    if nothing is queued for markAfter: mark how far the journal is durable; the flusher does it every markEvery

// committer writes what is queued. Its fields belong to its goroutine.
type committer struct {
	e      *Engine
	buf    []byte
	shares []share     // of the batch that is being published
	idle   *time.Timer // runs while there is something to mark and nothing to commit
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
	if mutant.On(mutant.MarkFirst) {
		if err := c.e.marks.write(c.e.journal.next+lsn(len(buf)), 0); err != nil {
			return b, err
		}
	}
	if err := c.e.journal.append(h, buf); err != nil {
		return b, err
	}
	if c.e.marks.reached() <= c.e.journal.needed() {
		if err := c.e.marks.write(h.end(), 0); err != nil {
			return b, err
		}
	}
	frames := len(b.entries)
	c.publish(b, h)
	c.e.metrics.committed(b.count, frames, len(buf), time.Since(start))
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
		b.finish()
	}
	if len(left) == 0 {
		q.putBack(nil)
		return nil
	}
	q.putBack(left[1:])
	return left[0]
}

// encode lays the batch out in the committer's buffer, and gathers what the logs have in it unless changes of the table
// come between: the entries of a thousand writers are looked at once, not once for each purpose.
func (c *committer) encode(b *batch) (*batchHeader, []byte) {
	padded := alignUp(b.bytes)
	if int64(cap(c.buf)) < padded {
		c.buf = make([]byte, padded, max(padded, 64<<10))
	}
	buf := c.buf[:batchHeaderBytes]
	at := c.e.journal.next
	for _, en := range b.entries {
		buf = append(buf, en.buf...)
		en.at = at
		if !b.changes {
			c.gather(en)
		}
	}
	clear(c.buf[b.bytes:padded:padded])
	h := &batchHeader{frames: uint32(len(b.entries)), length: b.bytes}
	return h, c.buf[:padded]
}

// share is what one log has in a batch.
type share struct {
	log   *logState
	end   shard.Offset // of its last entry
	bytes int64        // their charge
	gone  bool
}

// gather adds a log's entry to its share.
func (c *committer) gather(en *entry) {
	l := en.log
	if l.share == 0 {
		c.shares = append(c.shares, share{log: l})
		l.share = len(c.shares)
	}
	s := &c.shares[l.share-1]
	s.end = en.end
	s.bytes += en.charge()
}

// publish makes a durable batch visible: the records of a log together, but not past a change of the table, for after
// a delete they are gone.
func (c *committer) publish(b *batch, h *batchHeader) {
	if !b.changes {
		c.publishShares(b.entries, h.at)
	} else {
		c.publishAround(b, h.at)
	}
	c.e.durable.Store(uint64(h.end()))
	entries := b.entries
	b.entries = nil
	b.finish()
	c.e.queue.keep(entries)
	c.e.flusher.noteBatch(time.Now())
}

// publishAround publishes a batch that has changes of the table.
func (c *committer) publishAround(b *batch, at lsn) {
	from := 0
	for i, en := range b.entries {
		if en.log != nil {
			c.gather(en)
			continue
		}
		c.publishShares(b.entries[from:i], at)
		from = i + 1
		en.apply(nil)
	}
	c.publishShares(b.entries[from:], at)
}

// publishShares publishes what has been gathered of the entries.
func (c *committer) publishShares(entries []*entry, at lsn) {
	gone := false
	for i := range c.shares {
		s := &c.shares[i]
		s.gone = !s.log.publish(s.end, s.bytes, at)
		gone = gone || s.gone
	}
	if gone {
		for _, en := range entries {
			if c.shares[en.log.share-1].gone {
				en.err = en.log.errGone()
			}
		}
	}
	for i := range c.shares {
		c.shares[i].log.share = 0
		c.shares[i] = share{}
	}
	c.shares = c.shares[:0]
}

// drop fails all entries of a batch.
func (e *Engine) drop(b *batch, err error) {
	for _, en := range b.entries {
		en.err = err
		if en.apply != nil {
			en.apply(err)
		}
	}
	b.entries = nil
	b.finish()
}
