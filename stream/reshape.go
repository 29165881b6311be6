package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/seed-462d9463/sluice/internal/catalog"
	"github.com/seed-462d9463/sluice/shard"
)

// Changing a stream's shards.
//
// Invariants:
//  1. The change is one compare-and-set of the stream's definition: at every moment, also after a crash, the open
//     shards cover the ring once.
//  2. A shard in the catalog has its log: new logs are made before.
//  3. When the catalog says that a shard is closed, all appends to it are decided and no more will come (gate). So
//     the log of a closed shard ends where it ends, and a record that is written to a child after one was written to
//     its parent is read after it.
//
// Steps:
//
//	one at a time for each stream:
//	    plan the change on the definition as it is
//	    make the new shards' logs                       (a crash leaves logs that the next change uses)
//	    shut the gates of the shards to be closed; wait until nobody is inside
//	    compare-and-set the definition                  (on conflict: open the gates, begin anew)
//	    whoever waits at a gate looks the stream up again and goes to the new shards
//	    if it is not known whether the definition was set, find out before the next change

// maxLineageBytes is what a definition may take in the catalog for another change of its shards, so that there is
// room left for what else changes in it: tags above all.
const maxLineageBytes = catalog.MaxValueBytes - 128<<10

// drainTime is how long writers may be kept waiting for those before them in the shards that are to be closed.
const drainTime = 10 * time.Second

var errSlowWrites = fmt.Errorf("they take more than %s", drainTime)

// reshape changes a stream's shards. decide plans the change, and may change the definition in other ways, of which
// it gets a copy; it is called again when the stream was changed meanwhile. errUnchanged ends it without a change.
func (s *Service) reshape(ctx context.Context, name Name, decide func(d *definition, p *plan) error) error {
	done, err := s.reshaping.take(ctx, name)
	if err != nil {
		return err
	}
	decided := true
	defer func() {
		if decided {
			done()
		}
	}()
	if s.config.ShardQuota > 0 {
		s.creating.Lock() // until what decide has counted is in the catalog
		defer s.creating.Unlock()
	}
	for {
		st, err := s.lookup(name)
		if err != nil {
			return err
		}
		d := st.definition.clone()
		p := newPlan(d.Shards)
		if err := decide(d, p); errors.Is(err, errUnchanged) {
			return nil
		} else if err != nil {
			return err
		}
		undecided, err := s.carryOut(ctx, st, d, p)
		if errors.Is(err, catalog.ErrConflict) {
			continue
		}
		if undecided != nil { // then there is no other change before it is known what has become of this one
			decided = !s.spawn(func() { defer done(); s.findOut(st, undecided) })
		}
		if err != nil {
			return fmt.Errorf("change the shards of stream %s: %w", name, err)
		}
		s.logger.Info("stream resharded", "stream", name.String(),
			"closed", len(p.closing), "new", len(p.parents), "open", len(p.open()))
		return nil
	}
}

// carryOut makes a planned change. After an error it has not been made, unless that is not known yet; then it returns
// the shards to be closed, which take nothing until it is.
func (s *Service) carryOut(ctx context.Context, st *stream, d *definition, p *plan) (undecided []*partition, err error) {
	p.stamp(time.Now())
	d.Shards = p.shards
	if _, err := encodeLineage(d); err != nil {
		return nil, err
	}
	if err := s.makeLogs(ctx, st.name, d); err != nil {
		return nil, err
	}
	var parents []*partition
	for _, place := range p.closing {
		if place < p.old {
			parents = append(parents, st.partitions[place])
		}
	}
	for _, parent := range parents {
		parent.gate.shut()
	}
	if err := drainAll(ctx, parents); err != nil {
		reopenAll(parents)
		return nil, fmt.Errorf("wait for writes to be durable: %w", err)
	}
	p.stamp(time.Now()) // the parents' last records are not newer
	value, err := encodeLineage(d)
	if err == nil && s.closed.Load() {
		err = ErrClosed
	}
	if err != nil {
		reopenAll(parents)
		return nil, err
	}
	// Carried through though the caller may go away: what the parents' gates do depends on it.
	_, err = s.catalog.Put(s.background, st.name.key(), value, st.revision)
	switch {
	case err == nil:
		_, err = s.refresh(st.name)
		settleAll(parents)
		if errors.Is(err, ErrNotFound) {
			return nil, nil // somebody has deleted it already
		}
		return nil, err
	case errors.Is(err, catalog.ErrConflict), notTaken(err):
		reopenAll(parents)
		return nil, err
	}
	return parents, err
}

// notTaken tells that the catalog has certainly not taken a change, for other reasons than a conflict.
func notTaken(err error) bool {
	return errors.Is(err, catalog.ErrInvalid) || errors.Is(err, shard.ErrNoSpace) || errors.Is(err, shard.ErrTooLarge)
}

// drainAll waits until nobody is inside any of the gates, which are shut, but not for long: writers wait meanwhile.
func drainAll(ctx context.Context, parents []*partition) error {
	ctx, cancel := context.WithTimeoutCause(ctx, drainTime, errSlowWrites)
	defer cancel()
	for _, parent := range parents {
		if err := parent.gate.drain(ctx); err != nil {
			return err
		}
	}
	return nil
}

// encodeLineage encodes a definition, if there is room for it.
func encodeLineage(d *definition) (json.RawMessage, error) {
	value, err := json.Marshal(d.document())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalidArgument, err)
	}
	if len(value) > maxLineageBytes {
		return nil, fmt.Errorf("%w: the stream has %d shards, closed ones included; those that were closed are kept until "+
			"their retention ends, and there is no room for more before", ErrLimitExceeded, len(d.Shards))
	}
	return value, nil
}

// makeLogs makes sure that all shards of a definition have logs.
func (s *Service) makeLogs(ctx context.Context, name Name, d *definition) error {
	logs := d.Shards[len(d.Shards)-1].Index + 1
	if err := s.engine.Create(ctx, d.Topic, logs); err != nil {
		return fmt.Errorf("create the logs of new shards: %w", err)
	}
	st, err := s.lookup(name)
	if errors.Is(err, ErrNotFound) || err == nil && st.definition.ID != d.ID {
		s.deleteLogs(ctx, name, d.Topic) // deleted meanwhile, and its topic perhaps made anew here
		return notFound(name)
	}
	return err
}

// findOut is for a change of which nobody knows whether the catalog has taken it. A change that changes nothing,
// expecting the same revision, decides: one of the two conflicts.
func (s *Service) findOut(st *stream, parents []*partition) {
	for attempt := 0; s.background.Err() == nil; attempt++ {
		entry, ok := s.catalog.Get(st.name.key())
		if !ok || entry.Revision != st.revision {
			s.settleByCatalog(st, parents)
			return
		}
		if _, err := s.catalog.Put(s.background, st.name.key(), st.definition.document(), st.revision); err == nil {
			continue
		}
		select {
		case <-s.background.Done():
		case <-s.catalog.Failed():
			return // those at the gates see it, too
		case <-time.After(min(time.Minute, time.Duration(1+attempt)*time.Second)):
		}
	}
}

// settleByCatalog lets those at the gates go on, by what has become of the shards.
func (s *Service) settleByCatalog(st *stream, parents []*partition) {
	now, err := s.refresh(st.name)
	for _, p := range parents {
		if err == nil && now.definition.ID == st.definition.ID {
			if place, ok := placeOf(now.definition.Shards, p.index); ok && now.definition.Shards[place].Open() {
				p.gate.reopen()
				continue
			}
		}
		p.gate.settle()
	}
}

func reopenAll(parents []*partition) {
	for _, p := range parents {
		p.gate.reopen()
	}
}

func settleAll(parents []*partition) {
	for _, p := range parents {
		p.gate.settle()
	}
}

// spawn starts a goroutine that Close waits for. False: the service is being closed, and it was not started.
func (s *Service) spawn(f func()) bool {
	s.spawning.Lock()
	defer s.spawning.Unlock()
	if s.background.Err() != nil {
		return false
	}
	s.owned.Go(f)
	return true
}
