package stream

import (
	"context"
	"fmt"
	"time"

	"github.com/seed-462d9463/sluice/shard"
)

const (
	// MaxReadRecords is how many records one Read returns.
	MaxReadRecords = 10_000
	// MaxReadBytes is how many bytes of records one Read returns; a single record may be longer.
	MaxReadBytes = 10 << 20
)

// Position is a place in one shard of one stream. A stream that is deleted takes its positions with it: they
// are none in a later stream of the same name.
type Position struct {
	StreamID string
	Shard    int // the shard's number
	Offset   shard.Offset
}

// StartType is a way to say where reading begins: AWS's shard iterator types.
type StartType int

// Where reading begins.
const (
	TrimHorizon   StartType = iota + 1 // at the oldest record
	Latest                             // behind the newest record
	AtSequence                         // at the record with the sequence number, or the first one after it that is left
	AfterSequence                      // behind the record with the sequence number
	AtTimestamp                        // at the first record that arrived at the time or later
)

// StartAt is where reading begins.
type StartAt struct {
	Type     StartType
	Sequence SequenceNumber // for AtSequence and AfterSequence
	Time     time.Time      // for AtTimestamp; a time in the future is as good as Latest
}

// ReadResult is what a Read found.
type ReadResult struct {
	Records []shard.Record // shared and immutable; valid until the scratch is used again that they were read into
	Shard   Shard          // gives the records' sequence numbers
	Next    Position       // where the next Read goes on
	// Closed says that Next is the end of a closed shard: there is nothing more to read here, and Children
	// are where its range went.
	Closed   bool
	Children []Shard
	// MillisBehindLatest is the age of the last record returned, in milliseconds, or 0 if no newer one is
	// there to be read.
	MillisBehindLatest int64
}

// shard finds a shard, and its place, by its name.
func (st *stream) shard(id string) (sh *Shard, place int, err error) {
	if index, ok := ParseShardID(id); ok {
		if place, ok := placeOf(st.definition.Shards, index); ok {
			return &st.definition.Shards[place], place, nil
		}
	}
	return nil, 0, fmt.Errorf("%w: %q in stream %s", ErrShardNotFound, clip(id), st.name)
}

// Start is the position where reading a shard begins. Errors: ErrNotFound, ErrShardNotFound, and a
// *PositionError for a sequence number that the shard has not given.
func (s *Service) Start(ctx context.Context, name Name, shardID string, at StartAt) (Position, error) {
	st, err := s.lookup(name)
	if err != nil {
		return Position{}, err
	}
	sh, place, err := st.shard(shardID)
	if err != nil {
		return Position{}, err
	}
	log, err := st.partitions[place].open(ctx)
	if err != nil {
		return Position{}, fmt.Errorf("stream %s: %w", name, err)
	}
	offset, err := startOffset(ctx, log, sh, at)
	if err != nil {
		return Position{}, fmt.Errorf("start at shard %s of stream %s: %w", sh.ID, name, mapError(err))
	}
	return Position{StreamID: st.definition.ID, Shard: sh.Index, Offset: offset}, nil
}

func startOffset(ctx context.Context, log shard.Log, sh *Shard, at StartAt) (shard.Offset, error) {
	first, next := log.Bounds()
	switch at.Type {
	case TrimHorizon:
		return first, nil
	case Latest:
		return next, nil
	case AtTimestamp:
		return log.At(ctx, at.Time)
	case AtSequence, AfterSequence:
		offset, err := sh.offset(at.Sequence, next)
		if err != nil {
			return 0, err
		}
		// Behind a record it is the same place, whether reading is to begin at it or after it.
		after := at.Type == AfterSequence || at.Sequence.behind()
		if after && offset < next && at.Sequence.index() != beginningIndex {
			offset++
		}
		return max(offset, first), nil
	}
	return 0, fmt.Errorf("%w: start type %d", ErrInvalidPosition, at.Type)
}

// Read returns records from a position on, at most limit of them (0 means MaxReadRecords) and MaxReadBytes.
// It does not wait for records. Without scratch they get memory of their own. Errors: ErrNotFound, ErrShardNotFound,
// ErrThroughputExceeded.
func (s *Service) Read(ctx context.Context, name Name, from Position, limit int, scratch *shard.Scratch) (ReadResult, error) {
	st, err := s.lookup(name)
	if err != nil {
		return ReadResult{}, err
	}
	place, ok := placeOf(st.definition.Shards, from.Shard)
	if !ok || from.StreamID != st.definition.ID {
		return ReadResult{}, fmt.Errorf("%w: %s of an earlier stream %s, or no more", ErrShardNotFound, ShardID(from.Shard), name)
	}
	p := st.partitions[place]
	if !p.limiter.takeRead(&st.limits, s.clock()) {
		st.metrics.readThrottled.Add(1)
		if c := p.counters.Load(); c != nil {
			c.readThrottled.Add(1)
		}
		return ReadResult{}, fmt.Errorf("read shard %s of stream %s: %w", ShardID(from.Shard), name, ErrThroughputExceeded)
	}
	log, err := p.open(ctx)
	if err != nil {
		return ReadResult{}, fmt.Errorf("stream %s: %w", name, err)
	}
	if limit <= 0 || limit > MaxReadRecords {
		limit = MaxReadRecords
	}
	result, err := st.read(ctx, log, place, from, shard.Limit{Records: limit, Bytes: MaxReadBytes}, scratch)
	if err != nil {
		return ReadResult{}, fmt.Errorf("read shard %s of stream %s: %w", ShardID(from.Shard), name, mapError(err))
	}
	size := 0
	for i := range result.Records {
		size += len(result.Records[i].Key) + len(result.Records[i].Value)
	}
	p.limiter.chargeRead(&st.limits, s.clock(), size)
	st.metrics.outgoingRecords.Add(int64(len(result.Records)))
	st.metrics.outgoingBytes.Add(int64(size))
	st.metrics.iteratorAge.put(time.Now(), result.MillisBehindLatest)
	if c := p.counters.Load(); c != nil {
		c.outgoingRecords.Add(int64(len(result.Records)))
		c.outgoingBytes.Add(int64(size))
		c.iteratorAge.put(time.Now(), result.MillisBehindLatest)
	}
	return result, nil
}

// read does what Read is about, without limits and metrics.
func (st *stream) read(ctx context.Context, log shard.Log, place int, from Position, most shard.Limit, scratch *shard.Scratch) (ReadResult, error) {
	sh := &st.definition.Shards[place]
	result := ReadResult{Shard: *sh, Next: from}
	now := time.Now()
	// The end as it was before the read: what comes in meanwhile is not what this read is behind of.
	_, end := log.Bounds()
	if from.Offset < end {
		records, err := readRetained(ctx, log, from.Offset, most, now.Add(-st.retention), scratch)
		if err != nil {
			return ReadResult{}, err
		}
		result.Records = records
		// Without records there are none up to the end, whatever offsets the log left out.
		result.Next.Offset = end
		if len(records) > 0 {
			result.Next.Offset = records[len(records)-1].Offset + 1
		}
	}
	if result.Next.Offset < end {
		last := result.Records[len(result.Records)-1].Time
		result.MillisBehindLatest = max(0, now.Sub(last).Milliseconds())
		return result, nil
	}
	if !sh.Open() {
		result.Closed = true
		result.Children = st.shards.children(place)
	}
	return result, nil
}

// readRetained reads records that arrived at the horizon or later. Older ones may still be in the log: they
// are trimmed now and then, not at the very moment.
func readRetained(ctx context.Context, log shard.Log, from shard.Offset, most shard.Limit, horizon time.Time, scratch *shard.Scratch) ([]shard.Record, error) {
	read := func(from shard.Offset) ([]shard.Record, error) {
		if scratch == nil {
			return log.Read(ctx, from, most)
		}
		records, err := shard.ReadInto(ctx, log, from, most, scratch)
		return most.Cut(records), err
	}
	records, err := read(from)
	if err != nil || len(records) == 0 || !records[0].Time.Before(horizon) {
		return records, err
	}
	at, err := log.At(ctx, horizon)
	if err != nil {
		return nil, err
	}
	return read(max(from, at))
}
