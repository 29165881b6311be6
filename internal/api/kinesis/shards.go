package kinesis

import (
	"context"
	"strings"
	"time"

	"github.com/seed-462d9463/sluice/internal/api/arn"
	"github.com/seed-462d9463/sluice/internal/api/wire"
	"github.com/seed-462d9463/sluice/stream"
)

// maxShardsPage is how many shards ListShards returns at most, and unless it is told.
const maxShardsPage = 1000

// filterKind is AWS's ShardFilterType. The numbers are part of tokens.
type filterKind byte

const (
	fromTrimHorizon filterKind = iota // the default
	atTrimHorizon
	atLatest
	atTimestamp
	fromTimestamp
)

// filterKinds has all types but AFTER_SHARD_ID, which is a place to start and no filter.
var filterKinds = map[string]filterKind{
	"FROM_TRIM_HORIZON": fromTrimHorizon, "AT_TRIM_HORIZON": atTrimHorizon, "AT_LATEST": atLatest,
	"AT_TIMESTAMP": atTimestamp, "FROM_TIMESTAMP": fromTimestamp,
}

const afterShardID = "AFTER_SHARD_ID"

// filter selects shards by when they were open.
type filter struct {
	kind filterKind
	at   time.Time // for atTimestamp and fromTimestamp
}

// selectShards returns at most limit of the shards behind the one with the number after that the filter lets
// pass. Shards without records that could still be read are never there.
func selectShards(d *stream.Description, f filter, after, limit int, now time.Time) (shards []Shard, more bool) {
	horizon := d.TrimHorizon(now)
	if horizon.Before(d.Created) {
		horizon = d.Created
	}
	shards = []Shard{}
	behind := d.ShardsAfter(after)
	for i := range behind {
		s := &behind[i]
		if !s.Open() && s.Closed.Before(horizon) || !f.passes(s, d.Created, horizon) {
			continue
		}
		if len(shards) == limit {
			return shards, true
		}
		shards = append(shards, shapeOf(s))
	}
	return shards, false
}

// passes is for shards that were open at the horizon or later. A time before the horizon is as good as the horizon, so
// that what AT_TIMESTAMP selects takes every key; only before the stream was created nothing was open.
func (f filter) passes(s *stream.Shard, created, horizon time.Time) bool {
	at := f.at
	switch f.kind {
	case atLatest:
		return s.Open()
	case atTrimHorizon:
		at = horizon
	case fromTrimHorizon:
		return true
	}
	if f.kind == atTimestamp && at.Before(created.Truncate(time.Second)) {
		return false
	}
	if at.Before(horizon) {
		at = horizon
	}
	if !s.Open() && s.Closed.Before(at) {
		return false
	}
	return f.kind == fromTimestamp || !s.Opened.After(at)
}

// afterShard is the number of the shard that a listing starts behind; −1 without one.
func afterShard(d *stream.Description, shardID *string) (int, error) {
	if shardID == nil {
		return -1, nil
	}
	index, ok := stream.ParseShardID(*shardID)
	if !ok {
		return 0, wire.Faultf(resourceNotFound, "Could not find shard %s in stream %s under account %s.",
			*shardID, d.Name.Name, d.Name.Account)
	}
	return index, nil
}

func (a *api) listShards(_ context.Context, c wire.Caller, in *ListShardsInput, out *ListShardsOutput) error {
	if in.NextToken != nil {
		return a.listMoreShards(c, in, out)
	}
	if in.StreamName == nil && in.StreamARN == nil {
		return wire.Faultf(invalidArgument, "Either NextToken or StreamName should be provided.")
	}
	d, err := a.describe(c, in.StreamName, in.StreamARN)
	if err != nil {
		return err
	}
	if t := in.StreamCreationTimestamp; !t.IsZero() && !t.Truncate(time.Second).Equal(d.Created.Truncate(time.Second)) {
		return notFound(d.Name) // they mean an earlier stream of this name
	}
	after, err := afterShard(&d, in.ExclusiveStartShardId)
	if err != nil {
		return err
	}
	f, after, err := shardFilter(&d, in.ShardFilter, after)
	if err != nil {
		return err
	}
	a.pageOfShards(c, &d, f, after, in.MaxResults, out)
	return nil
}

// shardFilter is what the request's filter means, and the number of the shard that the listing starts behind.
func shardFilter(d *stream.Description, f *ShardFilter, after int) (filter, int, error) {
	if f == nil {
		return filter{}, after, nil
	}
	kind := filterKinds[*f.Type]
	timed := kind == atTimestamp || kind == fromTimestamp
	switch {
	case *f.Type == afterShardID && f.ShardId == nil:
		return filter{}, 0, wire.Faultf(invalidArgument, "ShardId must be provided in the ShardFilter of type %s.", *f.Type)
	case *f.Type != afterShardID && f.ShardId != nil:
		return filter{}, 0, wire.Faultf(invalidArgument, "ShardId cannot be provided in the ShardFilter of type %s.", *f.Type)
	case timed && f.Timestamp.IsZero():
		return filter{}, 0, wire.Faultf(invalidArgument, "Timestamp must be provided in the ShardFilter of type %s.", *f.Type)
	case !timed && !f.Timestamp.IsZero():
		return filter{}, 0, wire.Faultf(invalidArgument, "Timestamp cannot be provided in the ShardFilter of type %s.", *f.Type)
	case *f.Type == afterShardID:
		behind, err := afterShard(d, f.ShardId)
		return filter{}, max(after, behind), err
	}
	return filter{kind: kind, at: f.Timestamp.Time}, after, nil
}

// listMoreShards goes on where a token says.
func (a *api) listMoreShards(c wire.Caller, in *ListShardsInput, out *ListShardsOutput) error {
	for _, other := range []struct {
		name  string
		given bool
	}{
		{"StreamName", in.StreamName != nil},
		{"StreamARN", in.StreamARN != nil},
		{"ExclusiveStartShardId", in.ExclusiveStartShardId != nil},
		{"StreamCreationTimestamp", !in.StreamCreationTimestamp.IsZero()},
		{"ShardFilter", in.ShardFilter != nil},
	} {
		if other.given {
			return wire.Faultf(invalidArgument, "NextToken and %s cannot be provided together.", other.name)
		}
	}
	name, err := shardsTokenName(*in.NextToken)
	if err != nil {
		return err
	}
	var streamARN *string
	if owner, rest, foreign := strings.Cut(name, "/"); foreign { // a token of a stream of another account needs no ARN beside it
		named := arn.Stream(c.Region, owner, rest)
		if c, err = a.authorize(c, "ListShards", &named); err != nil {
			return err
		}
		name, streamARN = rest, &named
	}
	d, err := a.describe(c, &name, streamARN)
	if err != nil {
		return err
	}
	f, after, err := openShardsToken(*in.NextToken, c, d.ID, a.now())
	if err != nil {
		return err
	}
	a.pageOfShards(c, &d, f, after, in.MaxResults, out)
	return nil
}

func (a *api) pageOfShards(c wire.Caller, d *stream.Description, f filter, after int, limit *int32, out *ListShardsOutput) {
	most := maxShardsPage
	if limit != nil {
		most = min(most, int(*limit))
	}
	var more bool
	out.Shards, more = selectShards(d, f, after, most, a.now())
	if more {
		last, _ := stream.ParseShardID(out.Shards[len(out.Shards)-1].ShardId)
		out.NextToken = sealShardsToken(tokenName(c, d.Name), f, last, c, d.ID, a.now())
	}
}
