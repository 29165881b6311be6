// Package kinesis is the API of Amazon Kinesis Data Streams (API version 2013-12-02) on the streams of
// package stream: what AWS calls operations, with AWS's validation, paging and errors. It knows neither HTTP
// nor JSON nor CBOR.
package kinesis

import (
	"context"
	"log/slog"
	"time"

	"github.com/seed-462d9463/sluice/consumers/fanout"
	"github.com/seed-462d9463/sluice/internal/api/wire"
	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/stream"
)

// Streams is what the operations need of package stream, whose Service has it; the comments are there.
type Streams interface {
	Create(ctx context.Context, name stream.Name, options stream.CreateOptions) error
	Describe(name stream.Name) (stream.Description, error)
	List(account, region, after string, limit int) (descriptions []stream.Description, more bool)
	PutInto(ctx context.Context, name stream.Name, entries []stream.Entry, results []stream.Result) ([]stream.Result, error)
	Start(ctx context.Context, name stream.Name, shardID string, at stream.StartAt) (stream.Position, error)
	Read(ctx context.Context, name stream.Name, from stream.Position, limit int, scratch *shard.Scratch) (stream.ReadResult, error)
	StartEncryption(ctx context.Context, name stream.Name, keyID string) error
	StopEncryption(ctx context.Context, name stream.Name) error
	Amend(ctx context.Context, name stream.Name, change func(*stream.Settings) error) error

	Usage(account, region string) stream.Usage
	Commitment(account, region string, now time.Time) (stream.Commitment, error)
	SetCommitment(ctx context.Context, account, region string, enabled bool, now time.Time) (stream.Commitment, error)

	Split(ctx context.Context, name stream.Name, shardID string, at stream.HashKey) error
	Merge(ctx context.Context, name stream.Name, shardID, adjacentID string) error
	UpdateShardCount(ctx context.Context, name stream.Name, target int) (before int, err error)
	UpdateMode(ctx context.Context, name stream.Name, onDemand bool, warmMiBps int) error
	UpdateWarmThroughput(ctx context.Context, name stream.Name, mibps int) error
}

// Consumers is what the operations need of package fanout, whose Service has it; the comments are there.
type Consumers interface {
	Register(ctx context.Context, name stream.Name, consumer string, tags map[string]string) (fanout.Consumer, error)
	Deregister(ctx context.Context, c fanout.Consumer) error
	Consumer(name stream.Name, consumer string) (fanout.Consumer, error)
	SetTags(ctx context.Context, c fanout.Consumer, change func(tags map[string]string) (map[string]string, error)) (fanout.Consumer, error)
	SetPolicy(ctx context.Context, c fanout.Consumer, change func(before string) (string, error)) (fanout.Consumer, error)
	Consumers(d *stream.Description, after string, limit int) (consumers []fanout.Consumer, more bool, err error)
	Count(d *stream.Description) (int, error)
	DeleteStream(ctx context.Context, name stream.Name, enforce bool) error
	Subscribe(ctx context.Context, c fanout.Consumer, shardID string, at stream.StartAt) (*fanout.Subscription, error)
}

var (
	_ Streams   = (*stream.Service)(nil)
	_ Consumers = (*fanout.Service)(nil)
)

// Options say what the service is made of.
type Options struct {
	Streams   Streams
	Consumers Consumers
	Logger    *slog.Logger
	Now       func() time.Time // default time.Now
	Config    Config
}

type api struct {
	streams   Streams
	consumers Consumers
	logger    *slog.Logger
	now       func() time.Time
	policies  policyCache
	rates     *rates
}

// Bodies of requests, in bytes. Ten MiB of data are fourteen in base64, and keys may have escapes.
const (
	maxBody    = 2 << 20
	maxPutBody = 16 << 20
)

// New returns the service.
func New(o Options) *wire.Service {
	a := &api{streams: o.Streams, consumers: o.Consumers, logger: o.Logger, now: o.Now}
	a.rates = newRates(o.Config)
	if a.logger == nil {
		a.logger = slog.New(slog.DiscardHandler)
	}
	if a.now == nil {
		a.now = time.Now
	}
	s := wire.NewService("kinesis", "Kinesis_20131202", nil,
		operation(a, "CreateStream", maxBody, a.createStream),
		operation(a, "DeleteStream", maxBody, a.deleteStream),
		operation(a, "DescribeStream", maxBody, a.describeStream),
		operation(a, "DescribeStreamSummary", maxBody, a.describeStreamSummary),
		operation(a, "ListStreams", maxBody, a.listStreams),
		operation(a, "ListShards", maxBody, a.listShards),
		wire.NewOperation("PutRecord", maxPutBody, a.putRecord),
		wire.NewOperation("PutRecords", maxPutBody, a.putRecords),
		operation(a, "GetShardIterator", maxBody, a.getShardIterator),
		operation(a, "RegisterStreamConsumer", maxBody, a.registerStreamConsumer),
		operation(a, "DeregisterStreamConsumer", maxBody, a.deregisterStreamConsumer),
		operation(a, "DescribeStreamConsumer", maxBody, a.describeStreamConsumer),
		operation(a, "ListStreamConsumers", maxBody, a.listStreamConsumers),
		streamOperation(a, "SubscribeToShard", maxBody, "SubscribeToShardEvent", a.subscribeToShard),
		wire.NewOperation("GetRecords", maxBody, a.getRecords),
		operation(a, "AddTagsToStream", maxBody, a.addTagsToStream),
		operation(a, "RemoveTagsFromStream", maxBody, a.removeTagsFromStream),
		operation(a, "ListTagsForStream", maxBody, a.listTagsForStream),
		operation(a, "TagResource", maxBody, a.tagResource),
		operation(a, "UntagResource", maxBody, a.untagResource),
		operation(a, "ListTagsForResource", maxBody, a.listTagsForResource),
		operation(a, "PutResourcePolicy", maxBody, a.putResourcePolicy),
		operation(a, "GetResourcePolicy", maxBody, a.getResourcePolicy),
		operation(a, "DeleteResourcePolicy", maxBody, a.deleteResourcePolicy),
		operation(a, "IncreaseStreamRetentionPeriod", maxBody, a.increaseRetention),
		operation(a, "DecreaseStreamRetentionPeriod", maxBody, a.decreaseRetention),
		operation(a, "UpdateMaxRecordSize", maxBody, a.updateMaxRecordSize),
		operation(a, "EnableEnhancedMonitoring", maxBody, a.enableMonitoring),
		operation(a, "DisableEnhancedMonitoring", maxBody, a.disableMonitoring),
		operation(a, "DescribeLimits", maxBody, a.describeLimits),
		operation(a, "DescribeAccountSettings", maxBody, a.describeAccountSettings),
		operation(a, "UpdateAccountSettings", maxBody, a.updateAccountSettings),
		operation(a, "SplitShard", maxBody, a.splitShard),
		operation(a, "MergeShards", maxBody, a.mergeShards),
		operation(a, "UpdateShardCount", maxBody, a.updateShardCount),
		operation(a, "UpdateStreamMode", maxBody, a.updateStreamMode),
		operation(a, "UpdateStreamWarmThroughput", maxBody, a.updateStreamWarmThroughput),
		operation(a, "StartStreamEncryption", maxBody, a.startStreamEncryption),
		operation(a, "StopStreamEncryption", maxBody, a.stopStreamEncryption),
	)
	s.Codecs = append(s.Codecs, wire.CBOR{}) // the default of the SDKs for Java
	return s
}

// operation makes an operation of a function that is called when the input is what the rules say that it must be, and the
// caller may do it.
func operation[I, O any](a *api, name string, maxBody int, do func(ctx context.Context, c wire.Caller, in *I, out *O) error) *wire.Operation {
	admit := admission[I](a, name)
	return wire.NewOperation(name, maxBody, func(ctx context.Context, c wire.Caller, in *I, out *O) error {
		c, err := admit(c, in)
		if err != nil {
			return err
		}
		return do(ctx, c, in, out)
	})
}

// streamOperation is operation for an answer that goes on.
func streamOperation[I, E any](a *api, name string, maxBody int, event string,
	open func(ctx context.Context, c wire.Caller, in *I) (wire.Source[E], error)) *wire.Operation {
	admit := admission[I](a, name)
	return wire.NewStreamOperation(name, maxBody, event, func(ctx context.Context, c wire.Caller, in *I) (wire.Source[E], error) {
		c, err := admit(c, in)
		if err != nil {
			return nil, err
		}
		return open(ctx, c, in)
	})
}

// admission is what comes before every operation: is the input right, may the caller do it, and so often? In this
// order.
func admission[I any](a *api, name string) func(c wire.Caller, in *I) (wire.Caller, error) {
	check := wire.Rules[I](inputRules[name])
	resourceARN, streamName := subjectOf[I]()
	return func(c wire.Caller, in *I) (wire.Caller, error) {
		if err := check(in); err != nil {
			return c, err
		}
		subject := resourceARN(in)
		c, err := a.authorize(c, name, subject)
		if err != nil {
			return c, err
		}
		return c, a.rates.take(c, name, streamName(in), subject, a.now())
	}
}
