package kinesis

import (
	"context"
	"errors"
	"slices"

	"github.com/seed-462d9463/sluice/consumers/fanout"
	"github.com/seed-462d9463/sluice/internal/api/wire"
	"github.com/seed-462d9463/sluice/stream"
)

// SubscribeToShardInput is AWS's shape of that name.
type SubscribeToShardInput struct {
	ConsumerARN      *string
	ShardId          *string
	StartingPosition *StartingPosition
	StreamId         *string
}

// StartingPosition is AWS's shape of that name.
type StartingPosition struct {
	Type           *string
	SequenceNumber *string
	Timestamp      wire.Timestamp
}

// SubscribeToShardEvent is AWS's shape of that name.
type SubscribeToShardEvent struct{ fanout.Event }

// keptRecords is how many records an event may have whose memory is worth keeping for the next one.
const keptRecords = 64

// Reset implements wire.Reusable.
func (e *SubscribeToShardEvent) Reset() {
	records := e.Records
	clear(records)
	if cap(records) > keptRecords {
		records = nil
	}
	e.Release()
	e.Event = fanout.Event{Records: records[:0]}
}

// HeldBytes is what the event's records take in memory.
func (e *SubscribeToShardEvent) HeldBytes() int64 { return heldBytes(e.Records) }

// WireSize implements wire.Sizer.
func (e *SubscribeToShardEvent) WireSize() (rest, blobs int) { return sizeOfRecords(e.Records) }

// WriteWire implements wire.SelfWriter.
func (e *SubscribeToShardEvent) WriteWire(w *wire.Writer) {
	w.BeginObject()
	w.Name("Records")
	writeRecords(w, &e.Shard, e.Records)
	w.Name("ContinuationSequenceNumber")
	if e.Continuation.IsZero() {
		w.Null()
	} else {
		writeSequence(w, e.Continuation)
	}
	w.Name("MillisBehindLatest")
	w.Int(e.MillisBehindLatest)
	if e.Children != nil {
		w.Name("ChildShards")
		w.Shape(childShards(e.Children))
	}
	w.EndObject()
}

// subscription is one of fanout's, with AWS's errors.
type subscription struct {
	*fanout.Subscription
	consumer fanout.Consumer
	shardID  string
}

func (s *subscription) Wait(ctx context.Context) error { return s.ending(s.Subscription.Wait(ctx)) }

func (s *subscription) Next(ctx context.Context, e *SubscribeToShardEvent) (bool, error) {
	some, err := s.Subscription.Next(ctx, &e.Event)
	return some, s.ending(err)
}

// ending is fault among events, where clients know fewer errors (AWS's shape SubscribeToShardEventStream).
func (s *subscription) ending(err error) error {
	err = s.fault(err)
	var told *wire.Fault
	if errors.As(err, &told) && !slices.Contains([]string{resourceInUse, resourceNotFound, kmsAccessDenied, kmsNotFound}, told.Code) {
		return wire.Faultf("InternalFailureException", "%s", told.Message)
	}
	return err
}

func (s *subscription) fault(err error) error {
	switch {
	case errors.Is(err, fanout.ErrTakenOver), errors.Is(err, fanout.ErrSubscribed):
		return wire.Faultf(resourceInUse, "Another active subscription exists for this consumer: %s:%s:%s:%s",
			s.consumer.Stream.Account, s.consumer.Stream.Name, s.shardID, s.consumer.Name)
	case errors.Is(err, stream.ErrNotFound):
		return notFound(s.consumer.Stream)
	case errors.Is(err, stream.ErrShardNotFound):
		return shardNotFound(s.consumer.Stream, s.shardID)
	}
	return consumerFault(err, s.consumer.Stream, s.consumer.Name)
}

func (a *api) subscribeToShard(ctx context.Context, c wire.Caller, in *SubscribeToShardInput) (wire.Source[SubscribeToShardEvent], error) {
	consumer, err := a.consumer(c, nil, nil, in.ConsumerARN)
	if err != nil {
		return nil, err
	}
	name := consumer.Stream
	index, ok := stream.ParseShardID(*in.ShardId)
	if !ok {
		return nil, wire.Faultf(resourceNotFound, "Could not find shard %s in stream %s under account %s.",
			*in.ShardId, name.Name, name.Account)
	}
	s := &subscription{consumer: consumer, shardID: stream.ShardID(index)}
	start := starting{
		operation: "SubscribeToShard", kind: *in.StartingPosition.Type, sequence: in.StartingPosition.SequenceNumber,
		time: in.StartingPosition.Timestamp, name: name, shardID: s.shardID,
	}
	at, err := start.at(a.now())
	if err != nil {
		return nil, err
	}
	if s.Subscription, err = a.consumers.Subscribe(ctx, consumer, s.shardID, at); err != nil {
		var position *stream.PositionError
		if errors.As(err, &position) {
			return nil, start.fault(err)
		}
		return nil, s.fault(err)
	}
	return s, nil
}
