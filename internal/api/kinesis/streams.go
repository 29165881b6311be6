package kinesis

import (
	"context"

	"github.com/seed-462d9463/sluice/internal/api/arn"
	"github.com/seed-462d9463/sluice/internal/api/wire"
	"github.com/seed-462d9463/sluice/stream"
)

// Page sizes when a request does not say.
const (
	defaultStreams = 100
	defaultShards  = 100 // of DescribeStream
)

const bytesPerKiB = 1024

func (a *api) createStream(ctx context.Context, c wire.Caller, in *CreateStreamInput, _ *wire.Nothing) error {
	// AWS makes a stream on demand when it is told neither a mode nor a number of shards.
	onDemand := in.StreamModeDetails == nil && in.ShardCount == nil
	if in.StreamModeDetails != nil {
		onDemand = *in.StreamModeDetails.StreamMode == modeOnDemand
	}
	if !onDemand && in.ShardCount == nil {
		var v wire.Validation
		v.Missing("shardCount")
		return v.Fault()
	}
	name := stream.Name{Account: c.Account, Region: c.Region, Name: *in.StreamName}
	if _, err := addTags(name, nil, in.Tags); err != nil {
		return err
	}
	options := stream.CreateOptions{OnDemand: onDemand, Tags: in.Tags}
	switch {
	case !onDemand && in.WarmThroughputMiBps != nil:
		return wire.Faultf(invalidArgument, "WarmThroughputMiBps can only be set for a stream in ON_DEMAND mode.")
	case onDemand && in.ShardCount != nil:
		return wire.Faultf(invalidArgument, "ShardCount cannot be set for a stream in ON_DEMAND mode.")
	case in.ShardCount != nil && *in.ShardCount > stream.MaxShards:
		return wire.Faultf(limitExceeded, "A stream can have at most %d shards; this request asks for %d.", stream.MaxShards, *in.ShardCount)
	case in.ShardCount != nil:
		options.Shards = int(*in.ShardCount)
	}
	if in.WarmThroughputMiBps != nil {
		options.WarmMiBps = int(*in.WarmThroughputMiBps)
	}
	if in.MaxRecordSizeInKiB != nil {
		options.MaxRecordBytes = int(*in.MaxRecordSizeInKiB) * bytesPerKiB
	}
	return fault(a.streams.Create(ctx, name, options), name, "")
}

func (a *api) deleteStream(ctx context.Context, c wire.Caller, in *DeleteStreamInput, _ *wire.Nothing) error {
	name, err := resolve(c, in.StreamName, in.StreamARN)
	if err != nil {
		return err
	}
	enforce := in.EnforceConsumerDeletion != nil && *in.EnforceConsumerDeletion
	return fault(a.consumers.DeleteStream(ctx, name, enforce), name, "")
}

func (a *api) describeStream(_ context.Context, c wire.Caller, in *DescribeStreamInput, out *DescribeStreamOutput) error {
	d, err := a.describe(c, in.StreamName, in.StreamARN)
	if err != nil {
		return err
	}
	after, err := afterShard(&d, in.ExclusiveStartShardId)
	if err != nil {
		return err
	}
	limit := defaultShards
	if in.Limit != nil {
		limit = int(*in.Limit)
	}
	shards, more := selectShards(&d, filter{kind: fromTrimHorizon}, after, limit, a.now())
	out.StreamDescription = StreamDescription{
		StreamName: d.Name.Name, StreamARN: arn.Stream(d.Name.Region, d.Name.Account, d.Name.Name),
		StreamStatus: statusActive, StreamModeDetails: modeOf(&d),
		Shards: shards, HasMoreShards: more,
		RetentionPeriodHours: int32(d.RetentionHours), StreamCreationTimestamp: wire.At(d.Created),
		EnhancedMonitoring: monitoringOf(&d), EncryptionType: encryptionOf(&d), KeyId: d.EncryptionKey,
	}
	return nil
}

func (a *api) describeStreamSummary(_ context.Context, c wire.Caller, in *DescribeStreamSummaryInput, out *DescribeStreamSummaryOutput) error {
	d, err := a.describe(c, in.StreamName, in.StreamARN)
	if err != nil {
		return err
	}
	consumers, err := a.consumers.Count(&d)
	if err != nil {
		return err
	}
	// StreamId is left out: AWS reserves it, and here it is what iterators are sealed with.
	out.StreamDescriptionSummary = StreamDescriptionSummary{
		StreamName: d.Name.Name, StreamARN: arn.Stream(d.Name.Region, d.Name.Account, d.Name.Name),
		StreamStatus: statusActive, StreamModeDetails: modeOf(&d),
		RetentionPeriodHours: int32(d.RetentionHours), StreamCreationTimestamp: wire.At(d.Created),
		EnhancedMonitoring: monitoringOf(&d), EncryptionType: encryptionOf(&d), KeyId: d.EncryptionKey,
		OpenShardCount: int32(d.OpenShards), ConsumerCount: int32(consumers), WarmThroughput: warmThroughput(&d),
		MaxRecordSizeInKiB: int32(d.MaxRecordBytes / bytesPerKiB),
	}
	return nil
}

// describe resolves and describes a stream.
func (a *api) describe(c wire.Caller, name, streamARN *string) (stream.Description, error) {
	n, err := resolve(c, name, streamARN)
	if err != nil {
		return stream.Description{}, err
	}
	d, err := a.streams.Describe(n)
	return d, fault(err, n, "")
}

func (a *api) listStreams(_ context.Context, c wire.Caller, in *ListStreamsInput, out *ListStreamsOutput) error {
	limit, after := defaultStreams, ""
	if in.Limit != nil {
		limit = int(*in.Limit)
	}
	if in.ExclusiveStartStreamName != nil {
		after = *in.ExclusiveStartStreamName
	}
	if in.NextToken != nil {
		var err error
		if after, err = openStreamsToken(*in.NextToken, a.now()); err != nil {
			return err
		}
	}
	descriptions, more := a.streams.List(c.Account, c.Region, after, limit)
	out.StreamNames = make([]string, 0, len(descriptions))
	out.StreamSummaries = make([]StreamSummary, 0, len(descriptions))
	out.HasMoreStreams = more
	for i := range descriptions {
		d := &descriptions[i]
		out.StreamNames = append(out.StreamNames, d.Name.Name)
		out.StreamSummaries = append(out.StreamSummaries, StreamSummary{
			StreamName: d.Name.Name, StreamARN: arn.Stream(d.Name.Region, d.Name.Account, d.Name.Name),
			StreamStatus: statusActive, StreamModeDetails: modeOf(d), StreamCreationTimestamp: wire.At(d.Created),
		})
	}
	if n := len(descriptions); more && n > 0 {
		out.NextToken = sealStreamsToken(descriptions[n-1].Name.Name, a.now())
	}
	return nil
}
