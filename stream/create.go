package stream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/seed-462d9463/sluice/internal/catalog"
)

const (
	// DefaultRetentionHours is how long records are kept unless something else was asked for.
	DefaultRetentionHours = 24
	// MaxRetentionHours is a year, AWS's maximum.
	MaxRetentionHours = 8760
	// DefaultMaxRecordBytes is the largest record unless something else was asked for.
	DefaultMaxRecordBytes = 1 << 20
	// LargestMaxRecordBytes is the most that can be asked for.
	LargestMaxRecordBytes = 10 << 20
	// MaxShards is how many open shards a stream may have (AWS's documentation of UpdateShardCount).
	MaxShards = 10_000
	// OnDemandShards is how many shards an on-demand stream starts with.
	OnDemandShards = 4
)

// CreateOptions are what a stream is created with.
type CreateOptions struct {
	Shards         int  // 1 to MaxShards; 0 means OnDemandShards if OnDemand
	OnDemand       bool // capacity mode ON_DEMAND instead of PROVISIONED
	RetentionHours int  // 24 to MaxRetentionHours; 0 means DefaultRetentionHours
	MaxRecordBytes int  // data and partition key of one record, 1 MiB to 10 MiB; 0 means 1 MiB
	Tags           map[string]string
	WarmMiBps      int // what an on-demand stream is to take at any time, MiB a second: it has as many shards at least
}

// withDefaults fills in what was left out and returns an error that wraps ErrInvalidArgument, or
// ErrLimitExceeded for too many shards, if the result breaks a rule.
func (o CreateOptions) withDefaults() (CreateOptions, error) {
	if o.Shards == 0 && o.OnDemand {
		o.Shards = max(OnDemandShards, o.WarmMiBps)
	}
	if o.RetentionHours == 0 {
		o.RetentionHours = DefaultRetentionHours
	}
	if o.MaxRecordBytes == 0 {
		o.MaxRecordBytes = DefaultMaxRecordBytes
	}
	switch {
	case o.Shards < 1:
		return o, fmt.Errorf("%w: %d shards, at least 1", ErrInvalidArgument, o.Shards)
	case o.Shards > MaxShards:
		return o, fmt.Errorf("%w: %d shards, a stream has at most %d", ErrLimitExceeded, o.Shards, MaxShards)
	case o.WarmMiBps < 0 || o.WarmMiBps > 0 && !o.OnDemand:
		return o, fmt.Errorf("%w: warm throughput of %d MiB a second, which is for on-demand streams", ErrInvalidArgument, o.WarmMiBps)
	case o.RetentionHours < DefaultRetentionHours || o.RetentionHours > MaxRetentionHours:
		return o, fmt.Errorf("%w: retention of %d hours, must be %d to %d",
			ErrInvalidArgument, o.RetentionHours, DefaultRetentionHours, MaxRetentionHours)
	case o.MaxRecordBytes < DefaultMaxRecordBytes || o.MaxRecordBytes > LargestMaxRecordBytes:
		return o, fmt.Errorf("%w: records of up to %d bytes, must be %d to %d",
			ErrInvalidArgument, o.MaxRecordBytes, DefaultMaxRecordBytes, LargestMaxRecordBytes)
	}
	return o, nil
}

// Create makes a stream, durably; it can be used when Create returns. Of several concurrent creations of one
// name exactly one succeeds, the others give ErrExists.
//
// The logs are made before the catalog knows the stream, so that a stream in the catalog always has its logs.
// Logs without a stream, left behind by a crash in between, are removed at the next start.
func (s *Service) Create(ctx context.Context, name Name, options CreateOptions) error {
	if s.closed.Load() {
		return ErrClosed
	}
	if err := name.check(); err != nil {
		return err
	}
	options, err := options.withDefaults()
	if err != nil {
		return fmt.Errorf("create stream %s: %w", name, err)
	}
	if most := s.config.OnDemand.MaxShards; options.WarmMiBps > most {
		return tooWarm(options.WarmMiBps, most)
	}
	if _, exists := s.catalog.Get(name.key()); exists {
		return fmt.Errorf("%w: %s", ErrExists, name)
	}
	if s.config.ShardQuota > 0 && !options.OnDemand {
		s.creating.Lock()
		defer s.creating.Unlock()
		if err := s.checkQuota(name, options.Shards); err != nil {
			return err
		}
	}
	if quota := s.config.OnDemandStreamQuota; quota > 0 && options.OnDemand {
		s.creating.Lock()
		defer s.creating.Unlock()
		if used := s.Usage(name.Account, name.Region).OnDemandStreams; used >= quota {
			return fmt.Errorf("%w: account %s has %d on-demand streams in %s, which is its quota", ErrLimitExceeded, name.Account, used, name.Region)
		}
	}
	d := newDefinition(name, options, time.Now())
	err = s.engine.Create(ctx, d.Topic, len(d.Shards))
	if err == nil {
		err = s.engine.Configure(ctx, d.Topic, s.config.settingsFor(name.Name))
	}
	if err != nil {
		s.deleteLogs(ctx, name, d.Topic)
		return fmt.Errorf("create the logs of stream %s: %w", name, err)
	}
	// Carried through though the caller may go away, so that the logs are not left without a stream.
	_, err = s.catalog.Put(context.WithoutCancel(ctx), name.key(), d.document(), 0)
	switch {
	case errors.Is(err, catalog.ErrConflict):
		s.deleteLogs(ctx, name, d.Topic)
		return fmt.Errorf("%w: %s", ErrExists, name)
	case notTaken(err):
		s.deleteLogs(ctx, name, d.Topic)
		return fmt.Errorf("create stream %s: %w", name, err)
	case err != nil:
		// The catalog may have taken it or not, and if it has, the logs are needed: they stay.
		return fmt.Errorf("create stream %s: %w", name, err)
	}
	s.logger.Info("stream created", "stream", name.String(), "shards", len(d.Shards), "on_demand", d.OnDemand)
	_, err = s.refresh(name)
	if errors.Is(err, ErrNotFound) {
		return nil // somebody has deleted it already
	}
	return err
}

func newDefinition(name Name, options CreateOptions, now time.Time) *definition {
	d := &definition{
		ID: newID(), Created: now.UTC().Truncate(time.Millisecond), OnDemand: options.OnDemand,
		RetentionHours: options.RetentionHours, MaxRecordBytes: options.MaxRecordBytes,
		Tags: maps.Clone(options.Tags), WarmMiBps: options.WarmMiBps,
	}
	d.Topic = name.topic(d.ID)
	for i, r := range uniformSplit(options.Shards) {
		d.Shards = append(d.Shards, Shard{
			ID: ShardID(i), Index: i, Range: r, Created: now.UTC().Truncate(time.Second),
		})
	}
	return d
}

// checkQuota fails with ErrLimitExceeded if so many shards more are too many for the account.
func (s *Service) checkQuota(name Name, more int) error {
	used := 0
	for _, d := range s.all(name.Account, name.Region) {
		if !d.OnDemand {
			used += d.OpenShards
		}
	}
	if used+more > s.config.ShardQuota {
		return &QuotaError{Account: name.Account, Region: name.Region, Used: used, Quota: s.config.ShardQuota, More: more}
	}
	return nil
}

// Delete removes a stream with all its records, durably.
//
// The catalog forgets the stream first, so that nobody finds a stream without logs. Writers that found it
// before get ErrNotFound or write to logs that are about to go.
func (s *Service) Delete(ctx context.Context, name Name) error {
	if s.closed.Load() {
		return ErrClosed
	}
	for {
		entry, ok := s.catalog.Get(name.key())
		if !ok {
			return notFound(name)
		}
		d, err := decodeDefinition(entry.Value)
		if err != nil {
			return fmt.Errorf("delete stream %s: %w", name, err)
		}
		// Carried through though the caller may go away: else the logs could stay when the stream has gone.
		err = s.catalog.Delete(context.WithoutCancel(ctx), name.key(), entry.Revision)
		if errors.Is(err, catalog.ErrConflict) {
			continue // changed or deleted in between: look again
		}
		if err != nil {
			return fmt.Errorf("delete stream %s: %w", name, err)
		}
		s.logger.Info("stream deleted", "stream", name.String())
		// Whoever waits for a change learns of it here at the latest.
		if _, err := s.refresh(name); err != nil && !errors.Is(err, ErrNotFound) {
			s.logger.Error("stream cannot be used", "stream", name.String(), "error", err)
		}
		s.deleteLogs(ctx, name, d.Topic)
		return nil
	}
}

// deleteLogs removes a topic that no stream needs. What fails is made up for at the next start, so it is
// logged and not returned; and it goes on when the caller has gone away.
func (s *Service) deleteLogs(ctx context.Context, name Name, topic string) {
	if err := s.engine.Delete(context.WithoutCancel(ctx), topic); err != nil {
		s.logger.Warn("logs of a deleted stream are left until the next start",
			"stream", name.String(), "topic", topic, "error", err)
	}
}
