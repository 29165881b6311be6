package stream

import (
	"errors"
	"fmt"
)

var (
	// ErrNotFound: there is no such stream, or it was deleted meanwhile.
	ErrNotFound = errors.New("stream not found")
	// ErrExists: there is a stream of that name.
	ErrExists = errors.New("stream exists already")
	// ErrShardNotFound: the stream has no such shard; or the position belongs to a stream that was deleted,
	// and another one has its name now.
	ErrShardNotFound = errors.New("shard not found")
	// ErrLimitExceeded: the account would have more shards than its quota, or a stream more than any may.
	ErrLimitExceeded = errors.New("shard limit exceeded")
	// ErrThroughputExceeded: the shard's limit of this second is used up. Worth a retry a little later.
	ErrThroughputExceeded = errors.New("provisioned throughput exceeded")
	// ErrInvalidPosition: a reader cannot start there. A *PositionError when a sequence number is why.
	ErrInvalidPosition = errors.New("invalid position")
	// ErrInvalidArgument: a name, an option or a record breaks a rule. Nothing was done.
	ErrInvalidArgument = errors.New("invalid argument")
	// ErrClosed: the service has been closed.
	ErrClosed = errors.New("stream service closed")
)

// PositionReason is why a sequence number is no place to start reading a shard from.
type PositionReason int

const (
	// OtherShard: the number belongs to another shard.
	OtherShard PositionReason = iota + 1
	// OtherStream: the number belongs to the shard of this number in another stream, perhaps an earlier one
	// of the same name.
	OtherStream
	// NotYet: no record has the number, and none before it has been written either.
	NotYet
)

func (r PositionReason) String() string {
	switch r {
	case OtherShard:
		return "it belongs to another shard"
	case OtherStream:
		return "it did not come from this stream"
	case NotYet:
		return "no record has it yet"
	}
	return fmt.Sprintf("reason %d", int(r))
}

// PositionError says which sequence number a shard cannot be read from, and why.
type PositionError struct {
	Sequence SequenceNumber
	ShardID  string // where reading was to start
	Reason   PositionReason
}

func (e *PositionError) Error() string {
	return fmt.Sprintf("sequence number %s on shard %s: %s", e.Sequence, e.ShardID, e.Reason)
}

// Unwrap makes errors.Is(err, ErrInvalidPosition) hold.
func (e *PositionError) Unwrap() error { return ErrInvalidPosition }

// RecordError says which record of a Put breaks a rule.
type RecordError struct {
	Index  int
	Reason string
}

func (e *RecordError) Error() string { return fmt.Sprintf("record %d: %s", e.Index, e.Reason) }

// Unwrap makes errors.Is(err, ErrInvalidArgument) hold.
func (e *RecordError) Unwrap() error { return ErrInvalidArgument }
