package stream

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/seed-462d9463/sluice/shard"
)

// stream is one revision of a stream, ready for use. It never changes; a later revision of the same stream
// shares its partitions.
type stream struct {
	name       Name
	revision   int64
	definition *definition
	shards     *shardMap
	partitions []*partition // by place among the shards
	limits     Limits
	retention  time.Duration
	metrics    *streamMetrics
	vault      *vault
	sealer     *sealer       // nil if records are not encrypted
	sealError  error         // not nil: they ought to be, and cannot
	changed    chan struct{} // closed when another revision, or none, has taken this one's place
}

// newStream prepares a definition for use; old is the revision before it, if there was one.
func (s *Service) newStream(name Name, revision int64, d *definition, old *stream) (*stream, error) {
	shards, err := newShardMap(d.Shards)
	if err != nil {
		return nil, err
	}
	st := &stream{
		name: name, revision: revision, definition: d, shards: shards,
		partitions: make([]*partition, len(d.Shards)),
		limits:     s.config.limitsFor(name.Name),
		retention:  time.Duration(d.RetentionHours) * time.Hour,
		metrics:    s.metrics.of(name),
		changed:    make(chan struct{}),
	}
	if old != nil && old.definition.ID == d.ID {
		st.vault = old.vault
	} else {
		st.vault = newVault(name, d.ID, s.keys)
	}
	st.vault.learn(d.Encryption.Keys)
	if n := d.Encryption.Current; n != 0 {
		st.sealer, st.sealError = st.vault.sealer(n)
	}
	var kept []Shard
	if old != nil && old.definition.ID == d.ID {
		kept = old.definition.Shards
	}
	fresh := make([]partition, 0, max(0, len(d.Shards)-len(kept)))
	for i := range d.Shards {
		index := d.Shards[i].Index
		if place, ok := placeOf(kept, index); ok {
			st.partitions[i] = old.partitions[place]
			continue
		}
		fresh = append(fresh, partition{engine: s.engine, topic: d.Topic, index: index, vault: st.vault, place: notQueued})
		st.partitions[i] = &fresh[len(fresh)-1]
		// Before anybody can write: a record whose log has no retention yet would be too old at once.
		st.partitions[i].keep.Store(int64(st.retention))
	}
	return st, nil
}

// partition is what a shard needs in memory: its log once somebody used it, and a few words.
type partition struct {
	engine shard.Engine
	topic  string
	index  int // the shard's number
	vault  *vault

	log     atomic.Pointer[sealedLog]
	gate    gate
	limiter shardLimiter
	load    atomic.Pointer[load] // while the stream is on demand and the shard open
	// counters are nil unless the stream's shards are monitored.
	counters atomic.Pointer[shardCounters]

	// keep is the stream's retention in nanoseconds.
	keep atomic.Int64
	// examined is true once the retention scheduler was told of the log.
	examined atomic.Bool
	// closed is when the shard was closed, in milliseconds since 1970; 0 while it is open.
	closed atomic.Int64
	// watched is true while the retention scheduler knows that the log may hold records.
	watched atomic.Bool
	// The following belong to the scheduler's lock.
	due   time.Time
	place int // in its queue
	gone  bool
}

// open returns the partition's log. An error wraps ErrNotFound when the stream has been deleted.
func (p *partition) open(ctx context.Context) (*sealedLog, error) {
	if log := p.log.Load(); log != nil {
		return log, nil
	}
	log, err := p.engine.Open(ctx, p.topic, p.index)
	if err != nil {
		return nil, fmt.Errorf("open the log of %s: %w", ShardID(p.index), mapError(err))
	}
	p.log.CompareAndSwap(nil, &sealedLog{log, p.vault, p.index})
	return p.log.Load(), nil // the same log for whoever asks
}

// mapError turns the log's way of saying that it was deleted into the stream's.
func mapError(err error) error {
	if errors.Is(err, shard.ErrNotFound) {
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return err
}
