package kinesis

import (
	"context"
	"errors"

	"github.com/seed-462d9463/sluice/internal/api/arn"
	"github.com/seed-462d9463/sluice/internal/api/wire"
	"github.com/seed-462d9463/sluice/stream"
)

// validation is the code of the error that AWS gives to who reshards a stream of the wrong capacity mode.
const validation = "ValidationException"

// SplitShardInput is AWS's shape of that name.
type SplitShardInput struct {
	StreamName         *string
	StreamARN          *string
	StreamId           *string
	ShardToSplit       *string
	NewStartingHashKey *string
}

// MergeShardsInput is AWS's shape of that name.
type MergeShardsInput struct {
	StreamName           *string
	StreamARN            *string
	StreamId             *string
	ShardToMerge         *string
	AdjacentShardToMerge *string
}

// UpdateShardCountInput is AWS's shape of that name.
type UpdateShardCountInput struct {
	StreamName       *string
	StreamARN        *string
	StreamId         *string
	TargetShardCount *int32
	ScalingType      *string
}

// UpdateShardCountOutput is AWS's shape of that name.
type UpdateShardCountOutput struct {
	StreamName        string
	CurrentShardCount int32
	TargetShardCount  int32
	StreamARN         string
}

// UpdateStreamModeInput is AWS's shape of that name.
type UpdateStreamModeInput struct {
	StreamARN           *string
	StreamId            *string
	StreamModeDetails   *StreamModeDetails
	WarmThroughputMiBps *int32
}

// UpdateStreamWarmThroughputInput is AWS's shape of that name.
type UpdateStreamWarmThroughputInput struct {
	StreamName          *string
	StreamARN           *string
	StreamId            *string
	WarmThroughputMiBps *int32
}

// UpdateStreamWarmThroughputOutput is AWS's shape of that name.
type UpdateStreamWarmThroughputOutput struct {
	StreamARN      string
	StreamName     string
	WarmThroughput *WarmThroughputObject
}

// WarmThroughputObject is AWS's shape of that name.
type WarmThroughputObject struct {
	TargetMiBps  int32
	CurrentMiBps int32
}

// warmThroughput is what a stream was made ready for; nil if nobody asked for anything.
func warmThroughput(d *stream.Description) *WarmThroughputObject {
	if !d.OnDemand || d.WarmMiBps == 0 {
		return nil
	}
	return &WarmThroughputObject{TargetMiBps: int32(d.WarmMiBps), CurrentMiBps: int32(min(d.WarmMiBps, d.OpenShards))}
}

func (a *api) splitShard(ctx context.Context, c wire.Caller, in *SplitShardInput, _ *wire.Nothing) error {
	name, err := resolve(c, in.StreamName, in.StreamARN)
	if err != nil {
		return err
	}
	id, err := knownShard(name, *in.ShardToSplit)
	if err != nil {
		return err
	}
	at, err := stream.ParseHashKey(*in.NewStartingHashKey)
	if err != nil { // it has as many digits as a hash key, and is too large for one
		at = stream.MaxHashKey
	}
	err = a.streams.Split(ctx, name, id, at)
	var key *stream.SplitKeyError
	if errors.As(err, &key) {
		return wire.Faultf(invalidArgument, "NewStartingHashKey %s used in SplitShard() on shard %s in stream %s under account %s "+
			"is not both greater than one plus the shard's StartingHashKey %s and less than the shard's EndingHashKey %s.",
			*in.NewStartingHashKey, key.ShardID, name.Name, name.Account, key.Range.Start, key.Range.End)
	}
	return reshardFault(err, "SplitShard", name, id)
}

func (a *api) mergeShards(ctx context.Context, c wire.Caller, in *MergeShardsInput, _ *wire.Nothing) error {
	name, err := resolve(c, in.StreamName, in.StreamARN)
	if err != nil {
		return err
	}
	first, err := knownShard(name, *in.ShardToMerge)
	if err != nil {
		return err
	}
	second, err := knownShard(name, *in.AdjacentShardToMerge)
	if err != nil {
		return err
	}
	d, err := a.streams.Describe(name)
	if err != nil {
		return fault(err, name, "")
	}
	missing := first
	if _, ok := d.Shard(first); ok {
		missing = second
	}
	err = a.streams.Merge(ctx, name, first, second)
	if errors.Is(err, stream.ErrNotAdjacent) {
		return wire.Faultf(invalidArgument, "Shards %s and %s in stream %s under account %s are not an adjacent pair of shards eligible for merging",
			first, second, name.Name, name.Account)
	}
	return reshardFault(err, "MergeShards", name, missing)
}

// knownShard is the full name of a shard.
func knownShard(name stream.Name, shardID string) (string, error) {
	index, ok := stream.ParseShardID(shardID)
	if !ok {
		return "", couldNotFind(name, shardID)
	}
	return stream.ShardID(index), nil
}

func couldNotFind(name stream.Name, shardID string) error {
	return wire.Faultf(resourceNotFound, "Could not find shard %s in stream %s under account %s.", shardID, name.Name, name.Account)
}

// reshardFault is fault with what only those meet who change a stream's capacity.
func reshardFault(err error, operation string, name stream.Name, shardID string) error {
	var closed *stream.ShardClosedError
	switch {
	case errors.Is(err, stream.ErrShardNotFound):
		return couldNotFind(name, shardID)
	case errors.As(err, &closed):
		return wire.Faultf(invalidArgument, "Shard %s in stream %s under account %s has already been merged or split, and thus "+
			"is not eligible for merging or splitting.", closed.ShardID, name.Name, name.Account)
	case errors.Is(err, stream.ErrOnDemand):
		return wire.Faultf(validation, "%s is only supported for data streams with the provisioned capacity mode. Stream %s under account %s "+
			"is in ON_DEMAND mode.", operation, name.Name, name.Account)
	case errors.Is(err, stream.ErrProvisioned):
		return wire.Faultf(validation, "%s is only supported for data streams with the on-demand capacity mode. Stream %s under account %s "+
			"is in PROVISIONED mode.", operation, name.Name, name.Account)
	}
	return fault(err, name, shardID)
}

func (a *api) updateShardCount(ctx context.Context, c wire.Caller, in *UpdateShardCountInput, out *UpdateShardCountOutput) error {
	name, err := resolve(c, in.StreamName, in.StreamARN)
	if err != nil {
		return err
	}
	before, err := a.streams.UpdateShardCount(ctx, name, int(*in.TargetShardCount))
	var scaling *stream.ScalingError
	switch {
	case errors.As(err, &scaling):
		return scalingFault(scaling)
	case errors.Is(err, stream.ErrTooManyUpdates):
		return wire.Faultf(limitExceeded, "UpdateShardCount cannot be called more than %d times in a rolling 24-hour period for stream %s under account %s.",
			stream.MaxCountUpdates, name.Name, name.Account)
	case err != nil:
		return reshardFault(err, "UpdateShardCount", name, "")
	}
	*out = UpdateShardCountOutput{
		StreamName: name.Name, CurrentShardCount: int32(before), TargetShardCount: *in.TargetShardCount,
		StreamARN: arn.Stream(name.Region, name.Account, name.Name),
	}
	return nil
}

func scalingFault(e *stream.ScalingError) error {
	const counts = " Current open shard count: %d, Target shard count: %d"
	switch {
	case e.QuotaExceeded:
		return wire.Faultf(limitExceeded, "Target shard count or number of open shards cannot be greater than %d."+counts, e.Most, e.Open, e.Target)
	case e.Target > e.Most:
		return wire.Faultf(limitExceeded, "UpdateShardCount cannot scale up over double your current open shard count."+counts, e.Open, e.Target)
	}
	return wire.Faultf(limitExceeded, "UpdateShardCount cannot scale down below half your current open shard count."+counts, e.Open, e.Target)
}

func (a *api) updateStreamMode(ctx context.Context, c wire.Caller, in *UpdateStreamModeInput, _ *wire.Nothing) error {
	name, err := resolve(c, nil, in.StreamARN)
	if err != nil {
		return err
	}
	onDemand := *in.StreamModeDetails.StreamMode == modeOnDemand
	if !onDemand && in.WarmThroughputMiBps != nil {
		return wire.Faultf(invalidArgument, "WarmThroughputMiBps can only be set for a stream in ON_DEMAND mode.")
	}
	warm := -1
	if in.WarmThroughputMiBps != nil {
		warm = int(*in.WarmThroughputMiBps)
	}
	err = a.streams.UpdateMode(ctx, name, onDemand, warm)
	if errors.Is(err, stream.ErrTooManyUpdates) {
		return wire.Faultf(limitExceeded, "The capacity mode of stream %s under account %s cannot be changed more than %d times in a rolling 24-hour period.",
			name.Name, name.Account, stream.MaxModeUpdates)
	}
	return reshardFault(err, "UpdateStreamMode", name, "")
}

func (a *api) updateStreamWarmThroughput(ctx context.Context, c wire.Caller, in *UpdateStreamWarmThroughputInput, out *UpdateStreamWarmThroughputOutput) error {
	name, err := resolve(c, in.StreamName, in.StreamARN)
	if err != nil {
		return err
	}
	if err := a.streams.UpdateWarmThroughput(ctx, name, int(*in.WarmThroughputMiBps)); err != nil {
		return reshardFault(err, "UpdateStreamWarmThroughput", name, "")
	}
	d, err := a.streams.Describe(name)
	if err != nil {
		return fault(err, name, "")
	}
	*out = UpdateStreamWarmThroughputOutput{
		StreamARN: arn.Stream(name.Region, name.Account, name.Name), StreamName: name.Name, WarmThroughput: warmThroughput(&d),
	}
	return nil
}
