package kinesis

import (
	"context"

	"github.com/seed-462d9463/sluice/internal/api/wire"
	"github.com/seed-462d9463/sluice/stream"
)

// Empty is an input without members.
type Empty struct{}

// DescribeLimitsOutput is AWS's shape of that name.
type DescribeLimitsOutput struct {
	ShardLimit               int32
	OpenShardCount           int32
	OnDemandStreamCount      int32
	OnDemandStreamCountLimit int32
}

// UpdateAccountSettingsInput is AWS's shape of that name.
type UpdateAccountSettingsInput struct {
	MinimumThroughputBillingCommitment *CommitmentInput
}

// CommitmentInput is AWS's MinimumThroughputBillingCommitmentInput.
type CommitmentInput struct {
	Status *string
}

// AccountSettingsOutput is AWS's DescribeAccountSettingsOutput and UpdateAccountSettingsOutput.
type AccountSettingsOutput struct {
	MinimumThroughputBillingCommitment Commitment
}

// Commitment is AWS's MinimumThroughputBillingCommitmentOutput.
type Commitment struct {
	Status               string
	StartedAt            wire.Timestamp
	EndedAt              wire.Timestamp
	EarliestAllowedEndAt wire.Timestamp
}

const (
	commitmentEnabled  = "ENABLED"
	commitmentDisabled = "DISABLED"
	commitmentEnding   = "ENABLED_UNTIL_EARLIEST_ALLOWED_END"
)

func (a *api) describeLimits(_ context.Context, c wire.Caller, _ *Empty, out *DescribeLimitsOutput) error {
	u := a.streams.Usage(c.Account, c.Region)
	out.ShardLimit, out.OpenShardCount = limitOrNone(u.ShardQuota), count(u.Shards)
	out.OnDemandStreamCountLimit, out.OnDemandStreamCount = limitOrNone(u.OnDemandStreamQuota), count(u.OnDemandStreams)
	return nil
}

// mostCounted is the largest number that AWS's model has for limits and what is counted against them.
const mostCounted = 1_000_000

// limitOrNone is a limit for clients that compare with it: no limit is as much as there can be.
func limitOrNone(limit int) int32 {
	if limit == 0 {
		return mostCounted
	}
	return count(limit)
}

func count(n int) int32 { return int32(min(n, mostCounted)) }

func (a *api) describeAccountSettings(_ context.Context, c wire.Caller, _ *Empty, out *AccountSettingsOutput) error {
	commitment, err := a.streams.Commitment(c.Account, c.Region, a.now())
	out.MinimumThroughputBillingCommitment = commitmentOf(commitment)
	return fault(err, stream.Name{}, "")
}

func (a *api) updateAccountSettings(ctx context.Context, c wire.Caller, in *UpdateAccountSettingsInput, out *AccountSettingsOutput) error {
	enabled := *in.MinimumThroughputBillingCommitment.Status == commitmentEnabled
	commitment, err := a.streams.SetCommitment(ctx, c.Account, c.Region, enabled, a.now())
	out.MinimumThroughputBillingCommitment = commitmentOf(commitment)
	return fault(err, stream.Name{}, "")
}

func commitmentOf(c stream.Commitment) Commitment {
	out := Commitment{Status: commitmentDisabled}
	switch {
	case c.Enabled && c.Ends.IsZero():
		out.Status = commitmentEnabled
	case c.Enabled:
		out.Status = commitmentEnding
	case !c.Ends.IsZero():
		out.EndedAt = wire.At(c.Ends)
	}
	if !c.Started.IsZero() {
		out.StartedAt = wire.At(c.Started)
	}
	if c.Enabled {
		out.EarliestAllowedEndAt = wire.At(c.EarliestEnd())
	}
	return out
}
