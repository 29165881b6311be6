package journal

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-462d9463/sluice/shard/journal/internal/mutant"
)

// batchBytes is what a batch may take, if it is not a single bigger append, nor more than half of a journal file.
const batchBytes = 4 << 20

// batch is a group of shares, and changes of the table behind them, that become durable together. Appends join while it is
// in the queue; taken from there, it is closed.
type batch struct {
	shares  []*share // nil when done: who keeps a share must not keep all
	changes []*queuedChange
	bytes   atomic.Int64
	want    atomic.Int64 // how many bytes the committer awaits; 0: it does not
	limit   int64
	enough  chan struct{} // the queue's
	records bool          // some are ordinary records; known when it is closed
	whole   bool          // all shares are durable, and their logs there: who waits need not look at his; known when done is closed
	done    chan struct{} // closed when the outcome of all is known, or it was moved to another batch

	glance   chan struct{} // closed when done is, or the batch has become glanceAfter old
	glanced  sync.Once     // of closing it
	watching *time.Timer   // closes it
}

// glanceAfter is for how long those who wait for a batch do nothing else. To wait for one channel costs much less than to
// wait for it or the end of a context, which is too much for a thousand who wait for half a millisecond. So it comes
// first, and takes no longer than nobody minds; most batches are durable by then.
const glanceAfter = 10 * time.Millisecond

func (q *commitQueue) newBatch() *batch {
	b := &batch{done: make(chan struct{}), glance: make(chan struct{}), limit: q.limit, enough: q.enough}
	b.bytes.Store(batchHeaderBytes)
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

// keepShares is how long a list of shares may be that is worth keeping for another batch.
const keepShares = 16 << 10

// take takes so many bytes of the batch's bound if they are left. A first one always fits.
func (b *batch) take(n int64) bool {
	// Other processors change it all the time, so it is changed without being read before: that would fetch it twice. Who finds no
	// room has taken some for a moment, and so may keep out another, who then begins another share, maybe in the same batch.
	now := b.bytes.Add(n)
	if now > b.limit && now-n > batchHeaderBytes {
		b.bytes.Add(-n)
		return false
	}
	// What is taken for a moment could hide that want is reached; but somebody found no room then, and the next batch tells, too.
	if want := b.want.Load(); now-n < want && now >= want {
		signal(b.enough)
	}
	return true
}

// close lets nothing join any more.
func (b *batch) close() {
	for _, s := range b.shares {
		if !mutant.On(mutant.JoinLate) {
			s.log.close(s)
		}
		b.records = b.records || s.ordinary()
	}
}

// wait waits for done, or until ctx has ended, but not if it is done already. That ctx has ended is seen when the batch has become
// glanceAfter old: a look at a context takes memory that is seldom in the processor's caches, and most would look for nothing.
func (b *batch) wait(ctx context.Context) error {
	<-b.glance
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
//
// An append whose log has a share in the queue joins it under the log's lock alone. So who takes a batch out of the queue
// closes its shares, each under its log's lock, before looking at them; and who refuses appends says so first and takes
// out batches after that: an append that has not seen the one is met by the other.
type commitQueue struct {
	limit int64 // bytes of a batch

	mu      sync.Mutex
	batches []*batch
	later   []*queuedChange // nobody waits for them: they go with the next batch, or when there has been none for a while
	quiet   bool            // that has been so since the last batch
	spare   []*share        // empty, for the next batch
	want    int64           // bytes that the committer awaits in the next batch
	taking  sync.Mutex      // held while records are taken back: for so long full stays set, and no log becomes essential
	ready   chan struct{}
	enough  chan struct{} // tells a waiting committer that there are as many bytes as it awaits
	changed chan struct{} // tells a waiting committer that err or full was set

	// Written under mu.
	err  atomic.Pointer[error] // refuses everything: closed or failed
	full atomic.Pointer[error] // refuses ordinary records: the disk is full
	none atomic.Pointer[error] // refuses everything, while all of it is taken back
}

func newCommitQueue(limit int64) *commitQueue {
	return &commitQueue{limit: limit, ready: make(chan struct{}, 1), enough: make(chan struct{}, 1), changed: make(chan struct{}, 1)}
}

// refuses returns why nothing is taken, nor ordinary records if that is what it is about.
func (q *commitQueue) refuses(ordinary bool) error {
	for _, why := range []*error{q.err.Load(), q.none.Load()} {
		if why != nil {
			return *why
		}
	}
	if why := q.full.Load(); why != nil && ordinary {
		return *why
	}
	return nil
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// youngest returns a batch with room for so many bytes, which are taken. The lock is held.
func (q *commitQueue) youngest(size int64) *batch {
	if n := len(q.batches); n > 0 && q.batches[n-1].take(size) {
		return q.batches[n-1]
	}
	b := q.newBatch()
	b.want.Store(q.want)
	b.take(size)
	b.shares, q.spare = q.spare, nil
	q.batches = append(q.batches, b)
	if len(q.batches) == 1 {
		signal(q.ready)
	} else {
		signal(q.enough) // the first is full
	}
	return b
}

// await waits until so many bytes are queued, in one batch, or a batch is full, but not for longer than most.
func (q *commitQueue) await(want int64, most <-chan time.Time) {
	defer q.awaits(0)
	if !q.awaits(want) {
		return
	}
	select {
	case <-q.enough:
	case <-most:
	}
}

// awaits sets how many bytes the committer waits for, and tells whether they are still missing.
func (q *commitQueue) awaits(want int64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	select {
	case <-q.enough: // of an earlier time
	default:
	}
	if q.want = want; len(q.batches) == 0 {
		return true
	}
	q.batches[0].want.Store(want)
	return len(q.batches) == 1 && q.batches[0].bytes.Load() < want
}

// join queues a share for a frame of so many bytes. The caller holds the log's lock.
func (q *commitQueue) join(s *share, size int64) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.refuses(s.ordinary()); err != nil {
		return err
	}
	b := q.youngest(size)
	b.shares = append(b.shares, s)
	s.batch.Store(b)
	return nil
}

// push queues a change of the table.
func (q *commitQueue) push(c *queuedChange) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.refuses(false); err != nil {
		return err
	}
	b := q.youngest(int64(len(c.frame)))
	b.changes = append(b.changes, c)
	return nil
}

// pushLater queues a change of the table that is in no hurry.
func (q *commitQueue) pushLater(c *queuedChange) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.refuses(false); err != nil {
		return err
	}
	q.later = append(q.later, c)
	if q.quiet || q.full.Load() != nil {
		q.hurry()
	}
	return nil
}

// hurry puts what is in no hurry into the youngest batch. The lock is held.
func (q *commitQueue) hurry() {
	for _, c := range q.later {
		b := q.youngest(int64(len(c.frame)))
		b.changes = append(b.changes, c)
	}
	q.later = nil
}

// take returns the next batch, closed. Without one it waits: until the queue is closed, then open is false, or until idle.
func (q *commitQueue) take(idle <-chan time.Time) (b *batch, open bool) {
	for idled := false; ; {
		q.mu.Lock()
		err := q.err.Load()
		if len(q.batches) > 0 || idled || err != nil {
			q.hurry()
		}
		q.quiet = (q.quiet || idled) && len(q.batches) == 0
		if len(q.batches) > 0 {
			b := q.batches[0]
			q.batches[0] = nil
			q.batches = q.batches[1:]
			q.mu.Unlock()
			b.close()
			return b, true
		}
		q.batches = nil
		q.mu.Unlock()
		if err != nil || idled {
			return nil, err == nil
		}
		select {
		case <-q.ready:
		case <-idle:
			idled = true
		}
	}
}

// bytes returns how many there are in the queue.
func (q *commitQueue) bytes() (n int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, b := range q.batches {
		n += b.bytes.Load()
	}
	return n
}

// keep takes back the list of a batch that is done.
func (q *commitQueue) keep(shares []*share) {
	if cap(shares) > keepShares {
		return
	}
	clear(shares)
	q.mu.Lock()
	q.spare = shares[:0]
	q.mu.Unlock()
}

// takeAll returns all batches, closed, and from then on refuses everything with none, if that is an error.
func (q *commitQueue) takeAll(none error) []*batch {
	q.mu.Lock()
	all := q.batches
	q.batches = nil
	if none != nil {
		q.none.Store(&none)
	}
	q.mu.Unlock()
	for _, b := range all {
		b.close()
	}
	return all
}

// putBack puts batches to the front, and refuses no longer.
func (q *commitQueue) putBack(batches []*batch) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.batches = append(batches, q.batches...)
	q.none.Store(nil)
}

func (q *commitQueue) stop(err error) {
	q.mu.Lock()
	q.err.CompareAndSwap(nil, &err)
	q.mu.Unlock()
	signal(q.ready)
	signal(q.changed)
}

func (q *commitQueue) setFull(err error) {
	q.taking.Lock()
	defer q.taking.Unlock()
	q.mu.Lock()
	if err == nil {
		q.full.Store(nil)
	} else {
		q.full.Store(&err)
		q.hurry() // trims make room
	}
	q.mu.Unlock()
	signal(q.changed)
}

func (q *commitQueue) isFull() error {
	if full := q.full.Load(); full != nil {
		return *full
	}
	return nil
}
