package stream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"
)

// Settings are what can be changed of a stream at any time, beside its shards.
type Settings struct {
	RetentionHours int // 24 to MaxRetentionHours
	MaxRecordBytes int // data and partition key of one record, 1 MiB to 10 MiB
	Tags           map[string]string
	Monitoring     ShardMetrics // what is counted for each shard
	Policy         string       // whom else the owner lets use the stream, a document of the API's; "" without one
}

// MaxPolicyBytes is the most that a policy may have.
const MaxPolicyBytes = 20 << 10

// Amend changes a stream's settings, durably. The change is made to settings that are the change's own, and made again if
// the stream was changed meanwhile. If it returns an error, nothing changes, and Amend returns the error.
func (s *Service) Amend(ctx context.Context, name Name, change func(*Settings) error) error {
	return s.amend(ctx, name, func(d *definition) error {
		before := d.settings()
		after := before
		after.Tags = maps.Clone(before.Tags)
		if err := change(&after); err != nil {
			return err
		}
		if before.equal(&after) {
			return errUnchanged
		}
		if err := after.check(); err != nil {
			return fmt.Errorf("change stream %s: %w", name, err)
		}
		if after.RetentionHours > before.RetentionHours {
			// What is too old already, and only waits to be trimmed, must not come back.
			if err := s.trimAll(ctx, name); err != nil {
				return fmt.Errorf("change stream %s: %w", name, err)
			}
		}
		d.RetentionHours, d.MaxRecordBytes, d.Tags = after.RetentionHours, after.MaxRecordBytes, after.Tags
		d.Monitoring, d.Policy = after.Monitoring, after.Policy
		return nil
	})
}

func (d *definition) settings() Settings {
	return Settings{
		RetentionHours: d.RetentionHours, MaxRecordBytes: d.MaxRecordBytes, Tags: d.Tags,
		Monitoring: d.Monitoring, Policy: d.Policy,
	}
}

func (s *Settings) equal(other *Settings) bool {
	return s.RetentionHours == other.RetentionHours && s.MaxRecordBytes == other.MaxRecordBytes &&
		maps.Equal(s.Tags, other.Tags) && s.Monitoring == other.Monitoring && s.Policy == other.Policy
}

// check returns an error that wraps ErrInvalidArgument if the settings break a rule.
func (s *Settings) check() error {
	switch {
	case s.RetentionHours < DefaultRetentionHours || s.RetentionHours > MaxRetentionHours:
		return fmt.Errorf("%w: retention of %d hours, must be %d to %d",
			ErrInvalidArgument, s.RetentionHours, DefaultRetentionHours, MaxRetentionHours)
	case s.MaxRecordBytes < DefaultMaxRecordBytes || s.MaxRecordBytes > LargestMaxRecordBytes:
		return fmt.Errorf("%w: records of up to %d bytes, must be %d to %d",
			ErrInvalidArgument, s.MaxRecordBytes, DefaultMaxRecordBytes, LargestMaxRecordBytes)
	case s.Monitoring&^AllShardMetrics != 0:
		return fmt.Errorf("%w: unknown shard metrics %#x", ErrInvalidArgument, uint8(s.Monitoring))
	case len(s.Policy) > MaxPolicyBytes:
		return fmt.Errorf("%w: a policy of %d bytes, at most %d", ErrInvalidArgument, len(s.Policy), MaxPolicyBytes)
	}
	return nil
}

// trimAll drops the records of a stream that are too old now.
func (s *Service) trimAll(ctx context.Context, name Name) error {
	st, err := s.lookup(name)
	if err != nil {
		return err
	}
	for from := 0; from < len(st.partitions); from += trimsAtOnce {
		some := st.partitions[from:min(len(st.partitions), from+trimsAtOnce)]
		errs := make([]error, len(some))
		var trims sync.WaitGroup
		for i, p := range some {
			trims.Go(func() { _, _, errs[i] = p.trim(ctx, time.Now()) })
		}
		trims.Wait()
		if err := errors.Join(errs...); err != nil {
			return err
		}
	}
	return nil
}
