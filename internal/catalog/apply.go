package catalog

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/seed-462d9463/sluice/shard"
)

// readLimit bounds what is read from the log at once.
var readLimit = shard.Limit{Records: 1024, Bytes: 4 << 20}

// run applies the log as it grows, until Close or an error.
func (c *Catalog) run(ctx context.Context) {
	for {
		if err := c.follow(ctx); err != nil {
			if ctx.Err() != nil {
				err = ErrClosed
			} else {
				c.logger.Error("the catalog has stopped", "error", err)
			}
			c.fail(err)
			return
		}
	}
}

// follow waits for records and applies them.
func (c *Catalog) follow(ctx context.Context) error {
	if err := c.log.Wait(ctx, c.position); err != nil {
		return err
	}
	records, err := c.log.Read(ctx, c.position, readLimit)
	if err != nil {
		return err
	}
	// Asked after the read: if nothing was trimmed by now, the read has missed nothing. Gaps alone say
	// nothing, an engine may leave some.
	if trimmed := shard.Trimmed(c.log); trimmed > c.position {
		c.logger.Warn("the catalog was trimmed by another node before this one had read it; reading its snapshot",
			"position", c.position, "trimmed", trimmed)
		return c.load(ctx)
	}
	return c.apply(ctx, records)
}

// apply applies records, which begin at or after position with none left out.
func (c *Catalog) apply(ctx context.Context, records []shard.Record) error {
	for i := range records {
		r, err := decode(records[i].Value, false)
		if err != nil {
			return fmt.Errorf("catalog record @%d: %w", records[i].Offset, err)
		}
		if p := r.proposal; p != nil {
			c.decide(p, records[i].Offset)
			c.grown += records[i].Size()
		} else if r.part.index == r.part.parts-1 {
			c.grown = 0
		}
		c.position = records[i].Offset + 1
		// The node whose change made the log long writes the snapshot, lest all do it at once.
		if r.proposal != nil && r.proposal.writer == c.writer {
			c.considerSnapshot(ctx)
		}
	}
	return nil
}

// decide applies one proposal. It depends on nothing but the state and the proposal, so that every node
// decides alike.
func (c *Catalog) decide(p *proposal, at shard.Offset) {
	c.mu.Lock()
	defer c.mu.Unlock()
	current, existed := c.state.entries[p.key] // of no entry, the revision is 0
	var d decision
	switch {
	case current.Revision != p.expected:
		d.err = &ConflictError{Key: p.key, Expected: p.expected, Current: current.Revision}
	case p.delete:
		c.state.delete(p.key)
		c.notify(Event{Entry: Entry{Key: p.key, Revision: current.Revision}, Deleted: true}, existed)
	default:
		// The offset makes revisions that grow over the whole catalog and never come twice, not even for an
		// entry that was deleted and created again.
		d.entry = Entry{Key: p.key, Revision: int64(at) + 1, Value: p.value}
		c.state.put(d.entry)
		c.notify(Event{Entry: d.entry}, existed)
	}
	if p.writer == c.writer {
		if u, ok := c.deciding[p.number]; ok {
			delete(c.deciding, p.number)
			u.decided <- d
		}
	}
}

// load replaces the state by the newest complete snapshot in the log and all that comes after it.
//
//  1. One pass over the log finds the complete snapshot that reaches furthest. (Not the one that stands last:
//     a slow node may write an old state behind a newer one.)
//  2. Another one collects its entries.
//  3. The proposals behind the last record that it contains are applied, other snapshots ignored.
//
// Another node may trim meanwhile; then it begins again. A snapshot reaches through a record that a trim
// leaves in place, so that a log that begins behind it has lost something.
func (c *Catalog) load(ctx context.Context) error {
	for {
		first, _ := c.log.Bounds()
		best, err := c.findSnapshot(ctx, first)
		if err != nil {
			return err
		}
		loaded, from, complete := newState(), first, true
		if best != nil {
			from = best.through + 1
			if complete, err = c.readSnapshot(ctx, best, loaded); err != nil {
				return err
			}
		}
		now, _ := c.log.Bounds()
		if !complete || now > from {
			if now == first {
				return fmt.Errorf("%w: records from @%d on are missing, the log begins at @%d", errDamaged, from, now)
			}
			continue
		}
		c.replaceState(loaded)
		c.position, c.grown = from, 0
		if done, err := c.applyAll(ctx); err != nil {
			return err
		} else if done {
			c.setSkipped(from)
			c.trimTo(ctx, best)
			return nil
		}
	}
}

func (c *Catalog) setSkipped(before shard.Offset) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.skipped = before
	c.dropSkipped()
}

// trimTo drops what the snapshot made needless, for the case that a crash kept its writer from doing so. The
// catalog is good without it, and the next snapshot tries again.
func (c *Catalog) trimTo(ctx context.Context, s *snapshotInLog) {
	if first, _ := c.log.Bounds(); s == nil || s.through <= first {
		return
	}
	if err := c.log.Trim(ctx, s.through); err != nil && ctx.Err() == nil {
		c.logger.Warn("trimming the catalog's log failed; the next snapshot tries again", "error", err)
	}
}

// applyAll applies what is durable from position on. It gives up, without error, when records were trimmed
// that it had not read.
func (c *Catalog) applyAll(ctx context.Context) (done bool, err error) {
	for {
		records, err := c.log.Read(ctx, c.position, readLimit)
		if err != nil {
			return false, err
		}
		if shard.Trimmed(c.log) > c.position {
			return false, nil
		}
		if len(records) == 0 {
			return true, nil
		}
		if err := c.apply(ctx, records); err != nil {
			return false, err
		}
	}
}

// replaceState puts a newer state in the place of this one.
func (c *Catalog) replaceState(next *state) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.state
	c.state = next
	for k, e := range old.entries {
		if _, ok := next.entries[k]; !ok {
			c.notify(Event{Entry: Entry{Key: k, Revision: e.Revision}, Deleted: true}, true)
		}
	}
	changed := next.all("")
	slices.SortFunc(changed, func(a, b Entry) int { return cmp.Compare(a.Revision, b.Revision) })
	for _, e := range changed {
		if was, existed := old.entries[e.Key]; was.Revision != e.Revision {
			c.notify(Event{Entry: e}, existed)
		}
	}
}
