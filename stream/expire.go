package stream

import (
	"context"
	"time"
)

// dropExpired takes the closed shards out of a stream's definition whose retention is over. Their records are gone by
// then, or are trimmed here. The numbers of these shards do not come back: the shards behind them have greater ones,
// and the greatest number is that of an open shard.
func (s *Service) dropExpired(ctx context.Context, name Name) error {
	st, err := s.lookup(name)
	if err != nil {
		return err
	}
	now := time.Now()
	gone := map[int]bool{} // by shard number
	for i, p := range st.partitions {
		if st.definition.Shards[i].Open() || p.expiry().After(now) {
			continue
		}
		// A shard whose records are newer than its end, because the clock was set back, lives as long as they do.
		if _, empty, err := p.trim(ctx, now); err != nil {
			return err
		} else if empty {
			gone[p.index] = true
		}
	}
	return s.amend(ctx, name, func(d *definition) error {
		if d.ID != st.definition.ID {
			return ErrNotFound
		}
		kept := d.Shards[:0]
		for i := range d.Shards {
			if !gone[d.Shards[i].Index] {
				kept = append(kept, d.Shards[i])
			}
		}
		if len(kept) == len(d.Shards) {
			return errUnchanged
		}
		s.logger.Info("closed shards dropped at the end of their retention", "stream", name.String(), "shards", len(d.Shards)-len(kept))
		d.Shards = kept
		return nil
	})
}
