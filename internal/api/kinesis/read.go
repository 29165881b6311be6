package kinesis

import (
	"context"
	"errors"
	"time"

	"github.com/seed-462d9463/sluice/internal/api/arn"
	"github.com/seed-462d9463/sluice/internal/api/wire"
	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/stream"
)

// GetRecordsInput is AWS's shape of that name.
type GetRecordsInput struct {
	ShardIterator *string
	Limit         *int32
	StreamARN     *string
	StreamId      *string
}

// GetRecordsOutput is AWS's shape of that name. Records are the log's own, or in scratch; Shard gives their sequence numbers.
type GetRecordsOutput struct {
	Records            []shard.Record
	Shard              stream.Shard
	NextShardIterator  string // "" at the end of a closed shard: null on the wire
	MillisBehindLatest int64
	ChildShards        []ChildShard // at the end of a closed shard

	scratch shard.Scratch
}

// Reset implements wire.Reusable.
func (out *GetRecordsOutput) Reset() {
	scratch := out.scratch
	scratch.Release(maxScratch, 2*stream.MaxReadRecords)
	*out = GetRecordsOutput{scratch: scratch}
}

// recordOverhead is about what a record takes in memory beside its key and value.
const recordOverhead = 128

// maxScratch is what a read may need: all that it returns, and what was put next in one piece, which as a rule is no longer
// than that, and turns out not to fit when it has been read.
const maxScratch = 2 * stream.MaxReadBytes

// MaxBytes implements wire.Heavy.
func (out *GetRecordsOutput) MaxBytes() int64 {
	return maxScratch + stream.MaxReadRecords*recordOverhead
}

// HeldBytes implements wire.Heavy. Memory that is kept for reads counts wholly, however little of it the records are in.
func (out *GetRecordsOutput) HeldBytes() int64 {
	return max(heldBytes(out.Records), int64(out.scratch.Size()+len(out.Records)*recordOverhead))
}

func heldBytes(records []shard.Record) (sum int64) {
	for i := range records {
		sum += int64(recordOverhead + len(records[i].Key) + len(records[i].Value))
	}
	return sum
}

// ChildShard is AWS's shape of that name.
type ChildShard struct {
	ShardId      string
	ParentShards []string
	HashKeyRange HashKeyRange
}

// startTypes has the types of iterators.
var startTypes = map[string]stream.StartType{
	"TRIM_HORIZON": stream.TrimHorizon, "LATEST": stream.Latest, "AT_SEQUENCE_NUMBER": stream.AtSequence,
	"AFTER_SEQUENCE_NUMBER": stream.AfterSequence, "AT_TIMESTAMP": stream.AtTimestamp,
}

func (a *api) getShardIterator(ctx context.Context, c wire.Caller, in *GetShardIteratorInput, out *GetShardIteratorOutput) error {
	name, err := resolve(c, in.StreamName, in.StreamARN)
	if err != nil {
		return err
	}
	index, ok := stream.ParseShardID(*in.ShardId)
	if !ok {
		return wire.Faultf(resourceNotFound, "Could not find shard %s in stream %s under account %s.",
			*in.ShardId, name.Name, name.Account)
	}
	shardID := stream.ShardID(index)
	d, err := a.streams.Describe(name)
	if err != nil && !errors.Is(err, stream.ErrNotFound) {
		return fault(err, name, shardID)
	}
	if _, ok := d.Shard(shardID); err != nil || !ok {
		return shardNotFound(name, shardID) // AWS does not tell a missing stream from a missing shard here
	}
	start := starting{
		operation: "GetShardIterator", kind: *in.ShardIteratorType, sequence: in.StartingSequenceNumber, time: in.Timestamp,
		name: name, shardID: shardID,
	}
	at, err := start.at(a.now())
	if err != nil {
		return err
	}
	position, err := a.streams.Start(ctx, name, shardID, at)
	if err != nil {
		return start.fault(err)
	}
	out.ShardIterator = sealIterator(name.Name, position, c, a.now())
	return nil
}

// starting is where a request wants to begin reading.
type starting struct {
	operation string // the request's
	kind      string // a key of startTypes
	sequence  *string
	time      wire.Timestamp
	name      stream.Name
	shardID   string
}

// at checks that the request has what its type of start needs, and no more.
func (s *starting) at(now time.Time) (stream.StartAt, error) {
	at := stream.StartAt{Type: startTypes[s.kind]}
	const rule = "Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and StartingSequenceNumber or " +
		"(2) TRIM_HORIZON or LATEST and no StartingSequenceNumber. Request specified "
	bySequence := at.Type == stream.AtSequence || at.Type == stream.AfterSequence
	switch {
	case bySequence && s.sequence == nil:
		return at, wire.Faultf(invalidArgument, "%s%s and no StartingSequenceNumber.", rule, s.kind)
	case !bySequence && s.sequence != nil:
		return at, wire.Faultf(invalidArgument, "%s%s and also a StartingSequenceNumber.", rule, s.kind)
	case bySequence:
		n, err := stream.ParseSequence(*s.sequence)
		if err != nil {
			return at, s.bad("")
		}
		at.Sequence = n
	case at.Type == stream.AtTimestamp:
		if s.time.IsZero() {
			return at, wire.Faultf(invalidArgument, "Must specify a Timestamp for an iterator of type AT_TIMESTAMP.")
		}
		if s.time.After(now.Add(time.Millisecond)) {
			return at, wire.Faultf(invalidArgument,
				"The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. "+
					"timestampInMillis: %d, currentTimestampInMillis: %d", s.time.UnixMilli(), now.UnixMilli())
		}
		at.Time = s.time.Time
	}
	return at, nil
}

// bad is the error for a sequence number that is none of the shard's.
func (s *starting) bad(why string) error {
	return wire.Faultf(invalidArgument, "StartingSequenceNumber %s used in %s on shard %s in stream %s under account %s is invalid%s.",
		*s.sequence, s.operation, s.shardID, s.name.Name, s.name.Account, why)
}

// fault turns an error of starting into AWS's.
func (s *starting) fault(err error) error {
	var position *stream.PositionError
	if !errors.As(err, &position) || s.sequence == nil {
		return fault(err, s.name, s.shardID)
	}
	switch position.Reason {
	case stream.OtherShard:
		return wire.Faultf(invalidArgument, "Invalid StartingSequenceNumber. It encodes %s, while it was used in a call to a shard with %s",
			stream.ShardID(position.Sequence.ShardIndex()), s.shardID)
	case stream.OtherStream:
		return s.bad(" because it did not come from this stream")
	}
	return s.bad("")
}

func (a *api) getRecords(ctx context.Context, c wire.Caller, in *GetRecordsInput, out *GetRecordsOutput) error {
	if err := in.check(); err != nil {
		return err
	}
	it, err := parseIterator(*in.ShardIterator)
	if err != nil {
		return err
	}
	c, err = a.authorize(c, "GetRecords", in.StreamARN)
	if err != nil {
		return err
	}
	name := stream.Name{Account: ownerOf(c), Region: c.Region, Name: it.name}
	if in.StreamARN != nil {
		if n, _ := arn.Parse(*in.StreamARN); n.Name != name.Name || n.Account != name.Account || n.Region != c.Region {
			return wire.Faultf(invalidArgument, "The ShardIterator is not one of the stream %s.", *in.StreamARN)
		}
	}
	shardID := stream.ShardID(it.position.Shard)
	d, err := a.streams.Describe(name)
	if err != nil {
		return readFault(err, name, shardID)
	}
	from, err := it.open(c, d.ID, a.now())
	if err != nil {
		return err
	}
	limit := stream.MaxReadRecords
	if in.Limit != nil {
		limit = int(*in.Limit)
	}
	result, err := a.streams.Read(ctx, name, from, limit, &out.scratch)
	if err != nil {
		return readFault(err, name, shardID)
	}
	out.Records, out.Shard, out.MillisBehindLatest = result.Records, result.Shard, result.MillisBehindLatest
	if !result.Closed {
		out.NextShardIterator = sealIterator(name.Name, result.Next, c, a.now())
		return nil
	}
	out.ChildShards = childShards(result.Children)
	return nil
}

// childShards is never nil.
func childShards(children []stream.Shard) []ChildShard {
	shapes := make([]ChildShard, 0, len(children))
	for i := range children {
		child := &children[i]
		shapes = append(shapes, ChildShard{
			ShardId: child.ID, ParentShards: child.Parents(),
			HashKeyRange: HashKeyRange{child.Range.Start.String(), child.Range.End.String()},
		})
	}
	return shapes
}

// readFault is fault, except that a reader misses a shard where others miss a stream.
func readFault(err error, name stream.Name, shardID string) error {
	if errors.Is(err, stream.ErrNotFound) {
		return shardNotFound(name, shardID)
	}
	return fault(err, name, shardID)
}
