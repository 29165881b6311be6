package stream

import (
	"context"
	"fmt"
	"time"
)

// UpdateMode makes a stream on demand or provisioned, durably. It keeps its shards, except that one which becomes on
// demand, or is so already, is made to take warmMiBps at once, as by UpdateWarmThroughput, unless that is negative.
// Errors: ErrNotFound, ErrTooManyUpdates, ErrLimitExceeded (a *QuotaError).
func (s *Service) UpdateMode(ctx context.Context, name Name, onDemand bool, warmMiBps int) error {
	if most := s.config.OnDemand.MaxShards; warmMiBps > most {
		return tooWarm(warmMiBps, most)
	}
	return s.reshape(ctx, name, func(d *definition, p *plan) error {
		if onDemand && warmMiBps >= 0 && warmMiBps != d.WarmMiBps {
			d.WarmMiBps = warmMiBps
			p.widen(warmMiBps)
		} else if d.OnDemand == onDemand {
			return errUnchanged
		}
		if d.OnDemand == onDemand {
			return nil
		}
		now := time.Now()
		limited := s.config.limited(name.Name)
		if d.ModeUpdates = recent(d.ModeUpdates, now); limited && len(d.ModeUpdates) >= MaxModeUpdates {
			return ErrTooManyUpdates
		}
		if !onDemand {
			d.WarmMiBps = 0
			if err := s.checkGrowth(name, p, 0, d.openShards()); err != nil {
				return err
			}
		}
		d.OnDemand = onDemand
		if limited {
			d.ModeUpdates = append(d.ModeUpdates, now.UTC().Truncate(time.Millisecond))
		}
		return nil
	})
}

func (d *definition) openShards() (n int) {
	for i := range d.Shards {
		if d.Shards[i].Open() {
			n++
		}
	}
	return n
}

// UpdateWarmThroughput makes an on-demand stream able to take so many MiB a second at once, durably, by splitting its
// widest shards, and keeps it from getting fewer shards than that takes. Zero ends that. Errors: ErrNotFound,
// ErrProvisioned, ErrLimitExceeded.
func (s *Service) UpdateWarmThroughput(ctx context.Context, name Name, mibps int) error {
	if mibps < 0 {
		return fmt.Errorf("%w: warm throughput of %d MiB a second", ErrInvalidArgument, mibps)
	}
	if most := s.config.OnDemand.MaxShards; mibps > most {
		return tooWarm(mibps, most)
	}
	return s.reshape(ctx, name, func(d *definition, p *plan) error {
		if !d.OnDemand {
			return ErrProvisioned
		}
		open := len(p.open())
		if d.WarmMiBps == mibps && open >= mibps {
			return errUnchanged
		}
		d.WarmMiBps = mibps
		p.widen(mibps)
		return nil
	})
}

func tooWarm(mibps, most int) error {
	return fmt.Errorf("%w: warm throughput of %d MiB a second, which takes as many shards; an on-demand stream has at most %d",
		ErrLimitExceeded, mibps, most)
}
