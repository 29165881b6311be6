package kinesis

import (
	"context"

	"github.com/seed-462d9463/sluice/internal/api/arn"
	"github.com/seed-462d9463/sluice/internal/api/wire"
	"github.com/seed-462d9463/sluice/stream"
)

// RetentionPeriodInput is AWS's IncreaseStreamRetentionPeriodInput and DecreaseStreamRetentionPeriodInput.
type RetentionPeriodInput struct {
	StreamName           *string
	StreamARN            *string
	StreamId             *string
	RetentionPeriodHours *int32
}

// UpdateMaxRecordSizeInput is AWS's shape of that name.
type UpdateMaxRecordSizeInput struct {
	StreamARN          *string
	StreamId           *string
	MaxRecordSizeInKiB *int32
}

// EnhancedMonitoringInput is AWS's EnableEnhancedMonitoringInput and DisableEnhancedMonitoringInput.
type EnhancedMonitoringInput struct {
	StreamName        *string
	StreamARN         *string
	StreamId          *string
	ShardLevelMetrics []string
}

// EnhancedMonitoringOutput is AWS's shape of that name.
type EnhancedMonitoringOutput struct {
	StreamName               string
	CurrentShardLevelMetrics []string
	DesiredShardLevelMetrics []string
	StreamARN                string
}

// increaseRetention also takes the present retention: Terraform asks for it of every new stream.
func (a *api) increaseRetention(ctx context.Context, c wire.Caller, in *RetentionPeriodInput, _ *wire.Nothing) error {
	return a.setRetention(ctx, c, in, func(hours, before int, name string) error {
		if hours < before {
			return wire.Faultf(invalidArgument, "Requested retention period (%d hours) for stream %s can not be shorter than "+
				"existing retention period (%d hours). Use DecreaseRetentionPeriod API.", hours, name, before)
		}
		return nil
	})
}

func (a *api) decreaseRetention(ctx context.Context, c wire.Caller, in *RetentionPeriodInput, _ *wire.Nothing) error {
	return a.setRetention(ctx, c, in, func(hours, before int, name string) error {
		if hours > before {
			return wire.Faultf(invalidArgument, "Requested retention period (%d hours) for stream %s can not be longer than "+
				"existing retention period (%d hours). Use IncreaseRetentionPeriod API.", hours, name, before)
		}
		return nil
	})
}

func (a *api) setRetention(ctx context.Context, c wire.Caller, in *RetentionPeriodInput, check func(hours, before int, name string) error) error {
	name, err := resolve(c, in.StreamName, in.StreamARN)
	if err != nil {
		return err
	}
	hours := int(*in.RetentionPeriodHours)
	return fault(a.streams.Amend(ctx, name, func(s *stream.Settings) error {
		switch {
		case hours < stream.DefaultRetentionHours:
			return wire.Faultf(invalidArgument, "Minimum allowed retention period is %d hours. Requested retention period (%d hours) is too short.",
				stream.DefaultRetentionHours, hours)
		case hours > stream.MaxRetentionHours:
			return wire.Faultf(invalidArgument, "Maximum allowed retention period is %d hours. Requested retention period (%d hours) is too long.",
				stream.MaxRetentionHours, hours)
		}
		before := s.RetentionHours
		s.RetentionHours = hours
		return check(hours, before, name.Name)
	}), name, "")
}

func (a *api) updateMaxRecordSize(ctx context.Context, c wire.Caller, in *UpdateMaxRecordSizeInput, _ *wire.Nothing) error {
	name, err := resolve(c, nil, in.StreamARN)
	if err != nil {
		return err
	}
	return fault(a.streams.Amend(ctx, name, func(s *stream.Settings) error {
		s.MaxRecordBytes = int(*in.MaxRecordSizeInKiB) * bytesPerKiB
		return nil
	}), name, "")
}

func (a *api) enableMonitoring(ctx context.Context, c wire.Caller, in *EnhancedMonitoringInput, out *EnhancedMonitoringOutput) error {
	return a.setMonitoring(ctx, c, in, out, func(before, asked stream.ShardMetrics) stream.ShardMetrics { return before | asked })
}

func (a *api) disableMonitoring(ctx context.Context, c wire.Caller, in *EnhancedMonitoringInput, out *EnhancedMonitoringOutput) error {
	return a.setMonitoring(ctx, c, in, out, func(before, asked stream.ShardMetrics) stream.ShardMetrics { return before &^ asked })
}

func (a *api) setMonitoring(ctx context.Context, c wire.Caller, in *EnhancedMonitoringInput, out *EnhancedMonitoringOutput,
	change func(before, asked stream.ShardMetrics) stream.ShardMetrics) error {
	name, err := resolve(c, in.StreamName, in.StreamARN)
	if err != nil {
		return err
	}
	asked := stream.ShardMetricsOf(in.ShardLevelMetrics)
	for _, metric := range in.ShardLevelMetrics {
		if metric == "ALL" {
			asked = stream.AllShardMetrics
		}
	}
	err = a.streams.Amend(ctx, name, func(s *stream.Settings) error {
		before := s.Monitoring
		s.Monitoring = change(before, asked)
		out.CurrentShardLevelMetrics, out.DesiredShardLevelMetrics = before.Names(), s.Monitoring.Names()
		return nil
	})
	out.StreamName, out.StreamARN = name.Name, arn.Stream(name.Region, name.Account, name.Name)
	return fault(err, name, "")
}

// monitoringOf says which metrics are kept for each shard.
func monitoringOf(d *stream.Description) []EnhancedMetrics {
	return []EnhancedMetrics{{ShardLevelMetrics: d.Monitoring.Names()}}
}
