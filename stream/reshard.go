package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// How often a stream's capacity may be set, unless its limits are off: AWS's documentation of UpdateShardCount and
// UpdateStreamMode.
const (
	// MaxCountUpdates is how often UpdateShardCount may be called for a stream within UpdatePeriod.
	MaxCountUpdates = 10
	// MaxModeUpdates is how often a stream's capacity mode may be changed within UpdatePeriod.
	MaxModeUpdates = 2
	// UpdatePeriod is what the two are counted in.
	UpdatePeriod = 24 * time.Hour
)

var (
	// ErrOnDemand: the stream is on demand, and has its shards managed.
	ErrOnDemand = errors.New("the stream's capacity mode is ON_DEMAND")
	// ErrProvisioned: the stream is not on demand.
	ErrProvisioned = errors.New("the stream's capacity mode is PROVISIONED")
	// ErrShardClosed: the shard has been split or merged already. A *ShardClosedError.
	ErrShardClosed = errors.New("the shard has been split or merged already")
	// ErrNotAdjacent: the second shard's range does not begin where the first one's ends.
	ErrNotAdjacent = errors.New("the shards are not adjacent")
	// ErrScaling: the number of shards is too far from what it is. A *ScalingError.
	ErrScaling = errors.New("number of shards out of bounds")
	// ErrTooManyUpdates: the stream's capacity was set too often of late.
	ErrTooManyUpdates = errors.New("capacity updated too often")
)

// ShardClosedError says which shard was closed already.
type ShardClosedError struct{ ShardID string }

func (e *ShardClosedError) Error() string { return fmt.Sprintf("%s: %s", ErrShardClosed, e.ShardID) }

// Unwrap makes errors.Is(err, ErrShardClosed) hold.
func (e *ShardClosedError) Unwrap() error { return ErrShardClosed }

// SplitKeyError says that a shard cannot be split at a key.
type SplitKeyError struct {
	ShardID string
	Range   HashRange
	At      HashKey
}

func (e *SplitKeyError) Error() string {
	return fmt.Sprintf("%s takes %s to %s and cannot be split at %s", e.ShardID, e.Range.Start, e.Range.End, e.At)
}

// Unwrap makes errors.Is(err, ErrInvalidArgument) hold.
func (e *SplitKeyError) Unwrap() error { return ErrInvalidArgument }

// ScalingError says what number of shards was asked for, and what it may be.
type ScalingError struct {
	Open, Target  int
	Least, Most   int
	QuotaExceeded bool // Most is what a stream may have at all
}

func (e *ScalingError) Error() string {
	return fmt.Sprintf("%s: %d open shards, %d asked for, %d to %d allowed", ErrScaling, e.Open, e.Target, e.Least, e.Most)
}

// Unwrap makes errors.Is(err, ErrScaling) hold.
func (e *ScalingError) Unwrap() error { return ErrScaling }

// QuotaError says by what an account's quota of shards would be exceeded.
type QuotaError struct {
	Account, Region   string
	Used, Quota, More int
}

func (e *QuotaError) Error() string {
	return fmt.Sprintf("%s: account %s has %d shards in %s and a quota of %d; %d more were asked for",
		ErrLimitExceeded, e.Account, e.Used, e.Region, e.Quota, e.More)
}

// Unwrap makes errors.Is(err, ErrLimitExceeded) hold.
func (e *QuotaError) Unwrap() error { return ErrLimitExceeded }

// Split replaces an open shard of a provisioned stream by two, durably; the second one begins at the given key.
// Errors: ErrNotFound, ErrShardNotFound, ErrOnDemand, a *SplitKeyError, a *ShardClosedError, ErrLimitExceeded (a
// *QuotaError).
func (s *Service) Split(ctx context.Context, name Name, shardID string, at HashKey) error {
	return s.reshape(ctx, name, func(d *definition, p *plan) error {
		if d.OnDemand {
			return ErrOnDemand
		}
		place, err := d.shard(name, shardID)
		if err != nil {
			return err
		}
		if err := s.checkGrowth(name, p, 1, 1); err != nil {
			return err
		}
		sh := &d.Shards[place]
		// AWS's rule: both shards take more than one key, and the second one not the last alone.
		if at.Compare(sh.Range.Start) <= 0 || at.Previous() == sh.Range.Start || at.Compare(sh.Range.End) >= 0 {
			return &SplitKeyError{ShardID: sh.ID, Range: sh.Range, At: at}
		}
		if !sh.Open() {
			return &ShardClosedError{sh.ID}
		}
		p.split(place, at)
		return nil
	})
}

// Merge replaces two open shards of a provisioned stream by one, durably. The second one's range must begin where
// the first one's ends. Errors: ErrNotFound, ErrShardNotFound, ErrOnDemand, ErrNotAdjacent, a *ShardClosedError,
// ErrLimitExceeded.
func (s *Service) Merge(ctx context.Context, name Name, shardID, adjacentID string) error {
	return s.reshape(ctx, name, func(d *definition, p *plan) error {
		if d.OnDemand {
			return ErrOnDemand
		}
		left, err := d.shard(name, shardID)
		if err != nil {
			return err
		}
		right, err := d.shard(name, adjacentID)
		if err != nil {
			return err
		}
		end := d.Shards[left].Range.End
		if end == MaxHashKey || end.Next() != d.Shards[right].Range.Start {
			return ErrNotAdjacent
		}
		for _, place := range []int{left, right} {
			if sh := &d.Shards[place]; !sh.Open() {
				return &ShardClosedError{sh.ID}
			}
		}
		p.merge(left, right)
		return nil
	})
}

// UpdateShardCount gives a provisioned stream the given number of shards, all of the same size, durably, and returns
// how many there were. It takes splits and merges, all at once. Errors: ErrNotFound, ErrOnDemand, a *ScalingError,
// ErrTooManyUpdates, ErrLimitExceeded (a *QuotaError).
func (s *Service) UpdateShardCount(ctx context.Context, name Name, target int) (before int, err error) {
	err = s.reshape(ctx, name, func(d *definition, p *plan) error {
		if d.OnDemand {
			return ErrOnDemand
		}
		before = len(p.open())
		limited := s.config.limited(name.Name)
		bounds := &ScalingError{Open: before, Target: target, Least: 1, Most: MaxShards, QuotaExceeded: true}
		if target < 1 || target > MaxShards {
			return bounds
		}
		if limited {
			bounds.Least, bounds.Most, bounds.QuotaExceeded = (before+1)/2, 2*before, false
		}
		if target < bounds.Least || target > bounds.Most {
			return bounds
		}
		now := time.Now()
		if d.CountUpdates = recent(d.CountUpdates, now); limited && len(d.CountUpdates) >= MaxCountUpdates {
			return ErrTooManyUpdates
		}
		if err := s.checkGrowth(name, p, target-before, target-before); err != nil {
			return err
		}
		p.cover(uniformSplit(target))
		if len(p.closing) == 0 {
			return errUnchanged
		}
		if limited {
			d.CountUpdates = append(d.CountUpdates, now.UTC().Truncate(time.Millisecond))
		}
		return nil
	})
	return before, err
}

// checkGrowth fails with ErrLimitExceeded if so many shards more are too many for the stream, or so many more that
// count in the account's quota for that.
func (s *Service) checkGrowth(name Name, p *plan, more, counted int) error {
	if open := len(p.open()); more > 0 && open+more > MaxShards {
		return fmt.Errorf("%w: %d shards, a stream has at most %d", ErrLimitExceeded, open+more, MaxShards)
	}
	if s.config.ShardQuota == 0 || counted <= 0 {
		return nil
	}
	return s.checkQuota(name, counted)
}

// shard is the place of a shard by its name.
func (d *definition) shard(name Name, id string) (place int, err error) {
	if index, ok := ParseShardID(id); ok {
		if place, ok := placeOf(d.Shards, index); ok {
			return place, nil
		}
	}
	return 0, fmt.Errorf("%w: %q in stream %s", ErrShardNotFound, clip(id), name)
}

// recent are those of the times that still count.
func recent(times []time.Time, now time.Time) []time.Time {
	return slices.DeleteFunc(slices.Clone(times), func(t time.Time) bool { return now.Sub(t) >= UpdatePeriod })
}
