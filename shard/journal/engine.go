// Package journal is the embedded log engine: all logs of a directory share one journal with group commit, and
// each has its own segment files behind it. FORMAT.md describes the files and what happens in a crash.
//
// The life of a record: Append encodes it into a frame and queues it (log.go); the committer writes what is
// queued to the journal, syncs it and acknowledges (committer.go); the frame stays in the cache for readers, until
// the room is needed (budget.go), unless nobody follows its log and it is long (buffers.go) or one of many (lend.go), and
// from then on is read from the journal (place.go); when two thirds of the journal are in use, the flusher writes it to its log's
// segment (flusher.go), unless it has been trimmed, or before that, while it is in the cache, where nothing is gained by putting it off (ahead.go);
// a checkpoint frees the journal behind it (checkpoint.go); readers further behind read segments (read.go); Trim drops
// whole segments.
package journal

import (
	"errors"
	"fmt"
	"io"
	"path"
	"sync"
	"sync/atomic"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

// Engine implements shard.Engine on a directory.
//
// Locks, in the order in which they may be taken together: flusher.telling, table.mu, commitQueue.taking, budget.mu,
// logState.mu, then one of commitQueue.mu, flusher.mu, compressor.mu, buffers.mu.
type Engine struct {
	opts     Options
	maxFrame int64

	lock    io.Closer
	table   *table
	journal *journal
	marks   *marker
	queue   *commitQueue
	budget  *budget
	buffers *buffers
	flusher *flusher
	files   *openFiles
	turns   readTurns
	disk    *diskTurns
	blocks  *blockCache
	metrics *metrics

	compressor *compressor
	scrubber   *scrubber

	tableLock chan struct{} // holds an element while a topic is made or deleted
	naming    chan struct{} // holds an element while names of segments are synced, until a failure has been told
	durable   atomic.Uint64 // LSN; see the invariants in committer.go

	open    atomic.Bool // the start has succeeded
	closing atomic.Bool
	closed  chan struct{} // closed when all that was queued has been written
	failed  chan struct{}
	err     atomic.Pointer[error]
	once    sync.Once // of fail

	settling chan aftermath // of batches with many frames

	// cacheable counts the bytes of shares that became durable and are in the cache, or would be if no rare log lent (lend.go). It is
	// the committer's.
	cacheable int64

	committerDone, settlerDone, flusherDone, lengthsDone chan struct{}
	closeOnce                                            sync.Once
	closeErr                                             error
}

var _ shard.Engine = (*Engine)(nil)

// Open opens the engine on a directory, which it makes if need be, and recovers what was acknowledged. It fails
// with vfs.ErrLocked if another process has the directory open, and with a *shard.CorruptError if something is
// damaged or missing that must be there.
func Open(opts Options) (*Engine, error) {
	if err := opts.complete(); err != nil {
		return nil, err
	}
	e := newEngine(opts)
	if err := e.start(); err != nil {
		e.advise(err)
		return nil, errors.Join(fmt.Errorf("open log engine in %s: %w", opts.Dir, err), e.release())
	}
	return e, nil
}

// newEngine returns an engine with complete options that has not been started.
func newEngine(opts Options) *Engine {
	e := &Engine{
		opts:      opts,
		maxFrame:  maxFrameBytes(opts.MaxAppendBytes),
		table:     &table{topics: map[string]*topic{}},
		queue:     newCommitQueue(min(batchBytes, opts.JournalFileBytes/2)),
		files:     newOpenFiles(opts.FS, opts.Dir, opts.MaxOpenFiles),
		blocks:    newBlockCache(),
		turns:     newReadTurns(),
		disk:      newDiskTurns(),
		tableLock: make(chan struct{}, 1),
		naming:    make(chan struct{}, 1),
		closed:    make(chan struct{}),
		failed:    make(chan struct{}),

		settling:      make(chan aftermath, 4),
		committerDone: make(chan struct{}),
		settlerDone:   make(chan struct{}),
		flusherDone:   make(chan struct{}),
		lengthsDone:   make(chan struct{}),
	}
	e.opts.FS = patientFS{opts.FS, e}
	e.journal = &journal{reserve: journalReserve(opts.JournalFileBytes), freed: make(chan struct{}, 1), writeOver: e.writeOver}
	e.flusher = newFlusher(e)
	e.compressor, e.scrubber = newCompressor(e), newScrubber(e)
	e.budget = &budget{limit: opts.CacheBytes, eager: opts.eager, wanted: func() { signal(e.flusher.kicked) }}
	e.buffers = newBuffers(e.budget)
	e.metrics = newMetrics(e)
	return e
}

// advise adds to an error that says that something is damaged what to do about it.
func (e *Engine) advise(err error) {
	var damage *shard.CorruptError
	if errors.As(err, &damage) {
		damage.Remedy = "stop the server; sluice repair --data " + e.opts.Dir + " shows what can be saved"
	}
}

// prepare takes the directory and recovers what is in it.
func (e *Engine) prepare() error {
	err := makeDir(e.opts.FS, path.Clean(e.opts.Dir))
	if err != nil {
		return err
	}
	if e.lock, err = e.opts.FS.Lock(e.path(LockName)); err != nil {
		if errors.Is(err, vfs.ErrLocked) {
			return fmt.Errorf("another process uses this data directory: %w", err)
		}
		return err
	}
	if err := e.openFormat(); err != nil {
		return err
	}
	if err := e.flusher.openTree(); err != nil {
		return err
	}
	return e.recover()
}

func (e *Engine) start() error {
	if err := e.prepare(); err != nil {
		return err
	}
	if err := e.metrics.register(); err != nil {
		return err
	}
	e.open.Store(true)
	go func() {
		defer close(e.committerDone)
		(&committer{e: e}).run()
		close(e.settling)
	}()
	go func() {
		defer close(e.settlerDone)
		e.settle()
	}()
	go func() {
		defer close(e.flusherDone)
		e.flusher.run()
	}()
	signal(e.flusher.kicked)
	e.compressor.start()
	go func() {
		defer close(e.lengthsDone)
		e.checkLengths()
	}()
	e.scrubber.start()
	return nil
}

// usable returns why nothing can be done any more.
func (e *Engine) usable() error {
	if err := e.Err(); err != nil {
		return err
	}
	if e.closing.Load() {
		return shard.ErrClosed
	}
	return nil
}

// checkSize checks records whose frame would have so many bytes.
func (e *Engine) checkSize(records []shard.Record, size int) error {
	if err := shard.CheckRecords(records); err != nil {
		return err
	}
	if e.opts.MaxAppendBytes < shard.MaxAppendBytes || int64(size) > e.maxFrame {
		return e.checkSum(records, size)
	}
	return nil
}

// checkSum is checkSize where the engine accepts less than others, or a frame may be too long.
func (e *Engine) checkSum(records []shard.Record, size int) error {
	sum := 0
	for i := range records {
		sum += records[i].Size()
	}
	if sum > e.opts.MaxAppendBytes || int64(size) > e.maxFrame {
		return fmt.Errorf("%w: %d bytes, %d encoded; at most %d and %d", shard.ErrTooLarge, sum, size, e.opts.MaxAppendBytes, e.maxFrame)
	}
	return nil
}

// Failed implements shard.Engine.
func (e *Engine) Failed() <-chan struct{} { return e.failed }

// Err implements shard.Engine.
func (e *Engine) Err() error {
	if err := e.err.Load(); err != nil {
		return *err
	}
	return nil
}

// fail ends all work for good: what is on disk is not known any more.
func (e *Engine) fail(err error) {
	e.once.Do(func() {
		err = fmt.Errorf("log engine failed: %w", err)
		e.err.Store(&err)
		close(e.failed)
		e.queue.stop(err)
		e.budget.stop(err)
		e.buffers.lent.stop(err)
		e.opts.Logger.Error("the log engine has failed and must be restarted", "dir", e.opts.Dir, "error", err)
	})
}

// Close implements shard.Engine.
func (e *Engine) Close() error {
	e.closeOnce.Do(func() {
		e.closing.Store(true)
		e.queue.stop(shard.ErrClosed)
		e.budget.stop(shard.ErrClosed)
		e.buffers.lent.stop(shard.ErrClosed)
		<-e.committerDone
		<-e.settlerDone
		close(e.closed)
		e.scrubber.close()
		e.compressor.close() // whose last work the flusher still takes in
		close(e.flusher.stopped)
		<-e.flusherDone
		<-e.lengthsDone
		e.closeErr = errors.Join(e.Err(), e.release())
	})
	return e.closeErr
}

// release gives back what Open took. It works after a half-done start.
func (e *Engine) release() error {
	errs := []error{e.files.close(), e.journal.close(), e.marks.close()}
	e.metrics.close()
	if e.flusher.tree != nil {
		errs = append(errs, e.flusher.tree.Close())
	}
	if e.lock != nil {
		errs = append(errs, e.lock.Close())
	}
	return errors.Join(errs...)
}
