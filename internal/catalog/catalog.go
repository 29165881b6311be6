// Package catalog keeps the definitions of everything (streams, delivery streams, …): small JSON documents
// by account, region, kind and name, each with a revision.
//
// It is a map that is described by one log. A change is proposed by appending it, with the revision that it
// expects, and decided when it is applied, in log order, by every node in the same way: compare-and-set needs
// neither lock nor leader. What changes all the time (positions, message states) does not belong here.
package catalog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/seed-462d9463/sluice/shard"
)

// Topic is the one topic of the log engine that the catalog uses, with one partition.
const Topic = "sluice.catalog"

// MaxValueBytes is the most that a value may have as JSON.
const MaxValueBytes = 1 << 20

var (
	// ErrConflict: the entry did not have the expected revision. The error is a *ConflictError.
	ErrConflict = errors.New("the definition was changed by someone else")
	// ErrInvalid: the key, the value or the expected revision is not allowed. Not worth a retry.
	ErrInvalid = errors.New("invalid definition")
	// ErrClosed: the catalog, or the watcher, has been closed.
	ErrClosed = errors.New("catalog closed")
	// ErrFormat: the log has records that this version of Sluice does not know.
	ErrFormat = errors.New("unknown catalog format")
	// ErrMissing: the engine has logs, and none of them is the catalog's.
	ErrMissing = errors.New("the catalog's log is missing")
	// ErrUnknown: whether the change took effect is not known. Get tells what there is now.
	ErrUnknown = errors.New("the outcome of the change is unknown")
)

// ConflictError says what revision an entry had when a change that expected another was decided.
type ConflictError struct {
	Key      Key
	Expected int64 // 0: that there is none
	Current  int64 // 0: there was none
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("%v: %s has revision %d, expected %d", ErrConflict, e.Key, e.Current, e.Expected)
}

// Is makes errors.Is(err, ErrConflict) true.
func (e *ConflictError) Is(target error) bool { return target == ErrConflict }

// Entry is one definition. Value is shared: it must not be written to.
type Entry struct {
	Key      Key
	Revision int64 // of its last change; greater than every earlier one in the whole catalog, and than 0
	Value    json.RawMessage
}

// Options are the catalog's settings. The zero value is good.
type Options struct {
	Logger *slog.Logger // nil: slog.Default

	// SnapshotBytes is how much the log may grow beyond a snapshot before the next one, if that is more than
	// four times what is alive. Default 1 MiB.
	SnapshotBytes int
}

// Catalog is the map. All methods may be called concurrently.
//
// One goroutine, run, reads the log and is the only one that changes state and position. Another one lives
// while a snapshot is written.
type Catalog struct {
	log       shard.Log
	logger    *slog.Logger
	minGrowth int
	writer    uint64        // tells our proposals and snapshots from those of others
	numbers   atomic.Uint64 // of proposals and snapshots
	running   sync.WaitGroup
	stop      context.CancelFunc // ends what is running
	failed    chan struct{}      // closed once err is set

	// Of run alone.
	position     shard.Offset // the next record to be applied
	grown        int          // bytes of proposals since the newest snapshot
	snapshotting atomic.Bool

	mu       sync.RWMutex // guards what follows
	state    *state
	watchers map[string]map[*Watcher]struct{} // by kind
	deciding map[uint64]*undecided            // our proposals that were not applied yet, by number
	skipped  shard.Offset                     // records before it that were not applied are known from a snapshot alone
	err      error                            // why there will be no more changes
}

// undecided is a proposal of ours on its way.
type undecided struct {
	decided chan decision // of capacity 1: it is decided once
	written bool          // it stands at offset
	offset  shard.Offset
}

// decision is what became of a proposal.
type decision struct {
	entry Entry
	err   error
}

// Open reads the catalog from the engine, whose owner closes it after the catalog.
func Open(ctx context.Context, engine shard.Engine, options Options) (*Catalog, error) {
	if options.Logger == nil {
		options.Logger = slog.Default()
	}
	if options.SnapshotBytes <= 0 {
		options.SnapshotBytes = 1 << 20
	}
	if err := create(ctx, engine); err != nil {
		return nil, err
	}
	// On a full disk a definition must still be deleted, so that its data can go.
	log, err := engine.Open(shard.Essential(ctx), Topic, 0)
	if err != nil {
		return nil, fmt.Errorf("open the catalog's log: %w", err)
	}
	c := &Catalog{
		log: log, logger: options.Logger, minGrowth: options.SnapshotBytes, writer: rand.Uint64(), failed: make(chan struct{}),
		state: newState(), watchers: map[string]map[*Watcher]struct{}{}, deciding: map[uint64]*undecided{},
	}
	if err := c.load(ctx); err != nil {
		return nil, fmt.Errorf("read the catalog: %w", err)
	}
	// It lives until Close, not as long as the opening may take.
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	c.stop = stop
	c.running.Go(func() { c.run(running) })
	if shard.Lost(log) {
		if err := c.noteLoss(ctx); err != nil {
			return nil, errors.Join(fmt.Errorf("note that definitions were lost: %w", err), c.Close())
		}
	}
	return c, nil
}

// create makes the catalog's log if the engine is new. It is the first one that an engine gets, so if only others are
// there it has been taken away. An empty catalog would make them all look left over, and they would be removed.
func create(ctx context.Context, engine shard.Engine) error {
	topics, err := engine.Topics(ctx)
	if err != nil {
		return fmt.Errorf("look for the catalog's log: %w", err)
	}
	if slices.ContainsFunc(topics, func(t shard.Topic) bool { return t.Name == Topic }) {
		return nil
	}
	if len(topics) > 0 {
		return fmt.Errorf("%w: there are %d other topics, %s among them, and no %s, which tells what they are; bring it "+
			"back, or give the server a log of its own", ErrMissing, len(topics), topics[0].Name, Topic)
	}
	if err := engine.Create(ctx, Topic, 1); err != nil {
		return fmt.Errorf("create the catalog's log: %w", err)
	}
	return nil
}

// Close ends the catalog. Whoever waits for a change gets ErrClosed.
func (c *Catalog) Close() error {
	c.fail(ErrClosed)
	c.stop()
	c.running.Wait()
	return nil
}

// Failed is closed when the catalog has ended: it was closed, the engine failed, or the log holds what this
// version of Sluice does not know. Gets go on, with what was known then.
func (c *Catalog) Failed() <-chan struct{} { return c.failed }

// Err is why the catalog has ended; nil while it works.
func (c *Catalog) Err() error {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.err
}

func (c *Catalog) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
		close(c.failed)
	}
}

// Get returns an entry, and whether there is one.
func (c *Catalog) Get(k Key) (Entry, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	e, ok := c.state.entries[k]
	return e, ok
}

// List returns the entries with names greater than after, by name, and whether there are more than limit. A
// limit of 0 or less is none.
func (c *Catalog) List(account, region, kind, after string, limit int) (entries []Entry, more bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.state.list(group{account, region, kind}, after, limit)
}

// All returns the entries of a kind in every account and region, by account, region and name.
func (c *Catalog) All(kind string) []Entry {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.state.all(kind)
}

// Put sets a value, which becomes JSON of at most MaxValueBytes, if the entry has the expected revision; 0
// means that there must be none. When it has returned, Get sees it. A conflict gives a *ConflictError, and
// nothing has changed then, nor after ErrInvalid. After any other error, the end of ctx included, the change
// may have taken effect or may yet.
func (c *Catalog) Put(ctx context.Context, k Key, value any, expected int64) (Entry, error) {
	if expected < 0 {
		return Entry{}, fmt.Errorf("%w: expected revision %d", ErrInvalid, expected)
	}
	b, err := json.Marshal(value)
	if err != nil {
		return Entry{}, fmt.Errorf("%w: %s: %w", ErrInvalid, k, err)
	}
	if len(b) > MaxValueBytes {
		return Entry{}, fmt.Errorf("%w: %s: %d bytes, at most %d", ErrInvalid, k, len(b), MaxValueBytes)
	}
	return c.propose(ctx, &proposal{key: k, expected: expected, value: b})
}

// Delete drops an entry if it has the expected revision, which must be greater than 0. Errors are those of
// Put.
func (c *Catalog) Delete(ctx context.Context, k Key, expected int64) error {
	if expected <= 0 {
		return fmt.Errorf("%w: expected revision %d of an entry to delete", ErrInvalid, expected)
	}
	_, err := c.propose(ctx, &proposal{key: k, expected: expected, delete: true})
	return err
}

func (c *Catalog) propose(ctx context.Context, p *proposal) (Entry, error) {
	if err := p.key.check(); err != nil {
		return Entry{}, err
	}
	p.writer, p.number = c.writer, c.numbers.Add(1)
	u, err := c.register(p.number)
	if err != nil {
		return Entry{}, err
	}
	defer c.unregister(p.number)
	at, err := c.log.Append(ctx, []shard.Record{{Value: appendProposal(nil, p)}}).Wait(ctx)
	if err != nil {
		return Entry{}, fmt.Errorf("write %s to the catalog: %w", p.key, err)
	}
	c.written(u, at.First)
	select {
	case d := <-u.decided:
		return d.entry, d.err
	case <-c.failed:
		err = c.Err()
	case <-ctx.Done():
		err = fmt.Errorf("wait for the change of %s: %w", p.key, ctx.Err())
	}
	select {
	case d := <-u.decided: // at the same moment
		return d.entry, d.err
	default:
		return Entry{}, err
	}
}

func (c *Catalog) register(number uint64) (*undecided, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return nil, c.err
	}
	u := &undecided{decided: make(chan decision, 1)}
	c.deciding[number] = u
	return u, nil
}

func (c *Catalog) unregister(number uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.deciding, number)
}

func (c *Catalog) written(u *undecided, at shard.Offset) {
	c.mu.Lock()
	defer c.mu.Unlock()
	u.written, u.offset = true, at
	c.dropSkipped()
}

// dropSkipped gives up on proposals whose records were trimmed before this node had read them. c.mu is held.
func (c *Catalog) dropSkipped() {
	for number, u := range c.deciding {
		if u.written && u.offset < c.skipped {
			delete(c.deciding, number)
			u.decided <- decision{err: ErrUnknown}
		}
	}
}
