package firehose

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/sinks"
	"github.com/seed-462d9463/sluice/stream/aggregate"
)

const (
	// zeroInterval is what an interval of 0 means: soon, but not an object for each record.
	zeroInterval = 200 * time.Millisecond
	// scanPause keeps a source that gets many small appends from being scanned after each of them.
	scanPause = 20 * time.Millisecond
	// sourceRetry is how often a source stream is looked for that is not there.
	sourceRetry = time.Minute
)

// A delivery carries the records of one delivery stream from its sources to its bucket. One goroutine, run, owns
// the state; others wait for records (one for each source that has none now) and upload (one for each open
// intent), and tell run.
//
//	until stopped:
//	    scan what is durable in the sources beyond the batch, a chunk of each in turn, adding offsets to the batch
//	    when the batch is full, or its oldest record is old enough and all that is there has been scanned:
//	        unless OpenObjects intents are in the list: log the intent, start its upload, begin a new batch
//	    wait for: more records, an upload that is done, the interval's end, a change of the sources
//	    when an upload is done: log committed, and trim the own log up to the floor
//
// Invariants, beside those of state:
//
//  1. An upload starts only when its intent is durable.
//  2. A record is dropped from the own log only when the entry that moved the floor past it is durable.
//  3. An input's pos is the end of its range in the batch or, if it has none there, of the state's intents and
//     floors, or further where records between were lost.
//  4. What is in memory does not grow with the backlog: a batch and at most OpenObjects intents, and of each
//     only a range for each source.
type delivery struct {
	service *Service
	name    Name
	doc     document
	id      uuid.UUID
	prefix  prefix
	zone    *time.Location
	own     shard.Log // with DirectPut, else nil
	log     *slog.Logger
	journal *stateLog
	uploads *health
	reads   *health

	stop context.CancelFunc
	done sync.WaitGroup // run and all that it started

	// Owned by run.
	expander  expander
	ready     []*input        // those that have records to scan, each once, next first
	signals   chan *input     // from the watchers
	uploaded  chan committed  // from the uploads
	changed   <-chan struct{} // closed when the sources have changed
	resolveAt time.Time       // when to look for the sources again, zero if not by time
	resolves  int             // failures to do so, in a row
	holdUntil time.Time       // no scan before
	timer     *time.Timer

	mu      sync.Mutex // guards what follows, for Stats and uploads; only run writes
	state   *state
	batch   *batch
	inputs  map[source]*input
	sources []Log // as they were when last looked at
	failed  error // why run has ended, if it did by itself

	incoming incoming
}

// input is one log that is read.
type input struct {
	source
	keys     aggregate.HashRange // of the shard
	log      shard.Log
	stop     context.CancelFunc // ends all that is done for it
	unwatch  context.CancelFunc // ends its last watcher; nil if there was none
	ctx      context.Context
	pos      shard.Offset // next to scan; delivery.mu guards it
	closed   bool         // nothing more is appended to it
	ended    bool         // it is closed, and has been scanned to its end
	failures int
	gone     atomic.Bool // an upload found the log deleted
}

// start runs the delivery until stopped.
func (d *delivery) start() {
	ctx, stop := context.WithCancel(context.Background())
	d.stop = stop
	if d.own != nil {
		d.addInput(ctx, ownSource, aggregate.FullRange, d.own)
	}
	d.done.Go(func() {
		err := d.run(ctx)
		if ctx.Err() != nil {
			return
		}
		d.log.Error("delivery has ended; the process has to be restarted", "error", err)
		d.mu.Lock()
		d.failed = err
		d.mu.Unlock()
	})
}

// halt ends it: uploads are cut off, to be repeated by whoever loads the state, and buffers are left as they are.
func (d *delivery) halt() {
	d.stop()
	d.done.Wait()
}

func (d *delivery) run(ctx context.Context) error {
	d.timer = time.NewTimer(time.Hour)
	defer d.timer.Stop()
	// Before the sources are known, an open intent would seem to have lost its records.
	for resolved := false; !resolved; {
		var err error
		if resolved, err = d.resolve(ctx); err != nil {
			return err
		}
		if !resolved {
			if err := sinks.WaitBackoff(ctx, d.resolves); err != nil {
				return err
			}
		}
	}
	if err := d.trim(ctx); err != nil {
		return err
	}
	for _, in := range d.state.intents {
		if !in.done {
			d.upload(ctx, in)
		}
	}
	for {
		if err := d.work(ctx); err != nil {
			return err
		}
		if err := d.await(ctx); err != nil {
			return err
		}
	}
}

// work scans and cuts until there is nothing to do now.
func (d *delivery) work(ctx context.Context) error {
	for {
		if err := d.cutIfDue(ctx); err != nil {
			return err
		}
		if !d.mayScan() {
			return nil
		}
		if err := d.scan(ctx); err != nil {
			return err
		}
		// An upload that is done makes room, and should not wait until a long backlog has been scanned.
		select {
		case c := <-d.uploaded:
			if err := d.commit(ctx, c); err != nil {
				return err
			}
		default:
		}
	}
}

func (d *delivery) mayScan() bool {
	return len(d.ready) > 0 && !d.full() && !time.Now().Before(d.holdUntil)
}

func (d *delivery) full() bool { return d.batch.bytes >= d.doc.Definition.S3.sizeBytes() }

func (d *delivery) mayCut() bool {
	return d.batch.records > 0 && len(d.state.intents) < d.service.config.OpenObjects
}

// untilDue is for how long the batch is not old enough. Its age is that of its oldest record, and at least the time
// since it was begun: a record from before the clock was set back looks younger than it is.
func (d *delivery) untilDue() time.Duration {
	age := max(time.Since(d.batch.oldest), time.Since(d.batch.begun))
	return max(d.doc.Definition.S3.interval(), zeroInterval) - age
}

func (d *delivery) cutIfDue(ctx context.Context) error {
	if !d.mayCut() {
		return nil
	}
	// While there is more to scan, an old batch may still become a full one.
	if d.full() || len(d.ready) == 0 && d.untilDue() <= 0 {
		return d.cut(ctx)
	}
	return nil
}

// await blocks until there may be something to do.
func (d *delivery) await(ctx context.Context) error {
	d.setTimer()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case in := <-d.signals:
		d.ready = append(d.ready, in)
		d.moreSignals()
	case c := <-d.uploaded:
		return d.commit(ctx, c)
	case <-d.changed:
		_, err := d.resolve(ctx)
		return err
	case <-d.timer.C:
		if !d.resolveAt.IsZero() && !time.Now().Before(d.resolveAt) {
			_, err := d.resolve(ctx)
			return err
		}
	}
	return nil
}

// moreSignals takes all that have come, so that one pause serves them all.
func (d *delivery) moreSignals() {
	for {
		select {
		case in := <-d.signals:
			d.ready = append(d.ready, in)
		default:
			return
		}
	}
}

// setTimer sets the timer to the next thing that is due by time alone; stops it if there is none.
func (d *delivery) setTimer() {
	var next time.Time
	sooner := func(t time.Time) {
		if next.IsZero() || t.Before(next) {
			next = t
		}
	}
	if d.mayCut() && len(d.ready) == 0 {
		sooner(time.Now().Add(d.untilDue()))
	}
	if len(d.ready) > 0 && !d.full() {
		sooner(d.holdUntil)
	}
	if !d.resolveAt.IsZero() {
		sooner(d.resolveAt)
	}
	if next.IsZero() {
		d.timer.Stop()
	} else {
		d.timer.Reset(time.Until(next))
	}
}

// cut makes the batch an intent, and starts its upload.
func (d *delivery) cut(ctx context.Context) error {
	b, s3 := d.batch, &d.doc.Definition.S3
	ranges := b.sorted()
	oldest := b.oldest.In(d.zone)
	in := &intent{
		Number: d.state.next, Version: d.doc.Version, Bucket: s3.bucket(),
		Key: d.prefix.evaluate(oldest) +
			objectName(d.name.Name, d.doc.Version, oldest, objectID(d.id, ranges), s3.extension()),
		Compression: s3.Compression, Delimiter: d.expander.delimiter, Expand: d.expander.expand, Oldest: b.oldest,
		Records: b.records, Bytes: b.bytes, Skipped: b.skipped, Ranges: ranges,
	}
	if _, err := d.journal.append(ctx, encodeIntent(in)); err != nil {
		return err
	}
	d.mu.Lock()
	err := d.state.addIntent(in)
	d.batch = newBatch()
	d.mu.Unlock()
	if err != nil {
		return err
	}
	d.upload(ctx, in)
	return nil
}

// commit takes note of an upload that is done.
func (d *delivery) commit(ctx context.Context, c committed) error {
	if _, err := d.journal.append(ctx, encodeCommitted(c)); err != nil {
		return err
	}
	d.mu.Lock()
	err := d.state.commit(c)
	d.mu.Unlock()
	if err != nil {
		return err
	}
	if err := d.trim(ctx); err != nil {
		return err
	}
	if d.journal.entries >= snapshotEvery {
		return d.journal.snapshot(ctx, d.state)
	}
	return nil
}

// trim drops what has been delivered from the own log.
func (d *delivery) trim(ctx context.Context) error {
	if d.own == nil {
		return nil
	}
	if err := d.own.Trim(ctx, d.state.floors[ownSource]); err != nil {
		return fmt.Errorf("trim delivered records: %w", err)
	}
	return nil
}

// fatal tells an error after which the delivery cannot go on: the end of the process, or of the engine.
func (d *delivery) fatal(ctx context.Context, err error) bool {
	return ctx.Err() != nil || errors.Is(err, shard.ErrClosed) || d.service.engine.Err() != nil
}
