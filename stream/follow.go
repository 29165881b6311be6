package stream

import (
	"context"
	"fmt"

	"github.com/seed-462d9463/sluice/shard"
)

// Fetch returns records like Read, for those who push them on: the limits and metrics of GetRecords do not concern
// them. The limit is theirs, too.
func (s *Service) Fetch(ctx context.Context, name Name, from Position, most shard.Limit, scratch *shard.Scratch) (ReadResult, error) {
	st, log, place, err := s.at(ctx, name, from)
	if err != nil {
		return ReadResult{}, err
	}
	result, err := st.read(ctx, log, place, from, most, scratch)
	if err != nil {
		return ReadResult{}, fmt.Errorf("read shard %s of stream %s: %w", ShardID(from.Shard), name, mapError(err))
	}
	return result, nil
}

// Wait blocks until there may be something new at a position: a record, the end of the shard, or a change of the
// stream that Fetch then tells of. Errors are those of Fetch.
func (s *Service) Wait(ctx context.Context, name Name, from Position) error {
	st, log, place, err := s.at(ctx, name, from)
	if err != nil {
		return err
	}
	if _, next := log.Bounds(); from.Offset < next || !st.definition.Shards[place].Open() {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	come := make(chan error, 1)
	go func() { come <- log.Wait(ctx, from.Offset) }()
	select {
	case err := <-come:
		return mapError(err)
	case <-st.changed:
		cancel()
		<-come //nolint:errcheck // it ends because of cancel
		return nil
	}
}

// at is the stream and the log that a position is in, and the place of its shard.
func (s *Service) at(ctx context.Context, name Name, p Position) (st *stream, log *sealedLog, place int, err error) {
	if st, err = s.lookup(name); err != nil {
		return nil, nil, 0, err
	}
	place, ok := placeOf(st.definition.Shards, p.Shard)
	if !ok || p.StreamID != st.definition.ID {
		return nil, nil, 0, fmt.Errorf("%w: %s of an earlier stream %s, or no more", ErrShardNotFound, ShardID(p.Shard), name)
	}
	if log, err = st.partitions[place].open(ctx); err != nil {
		return nil, nil, 0, fmt.Errorf("stream %s: %w", name, err)
	}
	return st, log, place, nil
}

// Limits are what each shard of the stream takes and gives.
func (s *Service) Limits(name Name) (Limits, error) {
	st, err := s.lookup(name)
	if err != nil {
		return Limits{}, err
	}
	return st.limits, nil
}
