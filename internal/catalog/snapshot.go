package catalog

import (
	"context"
	"fmt"

	"github.com/seed-462d9463/sluice/shard"
)

// partBytes is about how much of a snapshot goes into one record. With the largest entry behind it, a record
// is still far below shard.MaxAppendBytes.
const partBytes = 4 << 20

// snapshotID tells the parts of one snapshot from those of others, which may stand between them.
type snapshotID struct{ writer, number uint64 }

// snapshotInLog is a complete snapshot.
type snapshotInLog struct {
	id      snapshotID
	through shard.Offset
	start   shard.Offset // of its first part
	parts   int
}

// considerSnapshot starts a snapshot if the log has grown to a multiple of what is alive. Of run alone.
func (c *Catalog) considerSnapshot(ctx context.Context) {
	if c.grown <= max(c.minGrowth, 4*c.state.bytes) || !c.snapshotting.CompareAndSwap(false, true) {
		return
	}
	c.grown = 0 // one that fails is tried again when the log has grown as much once more
	// Entries are never changed in place, so that the copy of the map is a state of its own.
	entries, through := c.state.all(""), c.position-1
	c.running.Go(func() {
		defer c.snapshotting.Store(false)
		if err := c.writeSnapshot(ctx, entries, through); err != nil && ctx.Err() == nil {
			c.logger.Warn("writing a snapshot of the catalog failed; it is tried again later", "error", err)
		}
	})
}

// writeSnapshot appends the state after the record through, and trims what comes before that record. A crash
// in between leaves either an incomplete snapshot, which nobody reads, or a log that is longer than it must
// be, until the next Open.
func (c *Catalog) writeSnapshot(ctx context.Context, entries []Entry, through shard.Offset) error {
	parts := split(entries)
	number := c.numbers.Add(1)
	for i, entries := range parts {
		p := part{writer: c.writer, number: number, through: through, index: i, parts: len(parts), entries: entries}
		if _, err := c.log.Append(ctx, []shard.Record{{Value: appendPart(nil, &p)}}).Wait(ctx); err != nil {
			return fmt.Errorf("part %d of %d: %w", i+1, len(parts), err)
		}
	}
	if err := c.log.Trim(ctx, through); err != nil {
		return fmt.Errorf("trim the log: %w", err)
	}
	c.logger.Debug("catalog snapshot written", "entries", len(entries), "parts", len(parts), "through", through)
	return nil
}

// split cuts entries into parts of about partBytes. There is always one.
func split(entries []Entry) [][]Entry {
	var parts [][]Entry
	start, size := 0, 0
	for i := range entries {
		if size >= partBytes {
			parts = append(parts, entries[start:i])
			start, size = i, 0
		}
		size += sizeOf(&entries[i])
	}
	return append(parts, entries[start:])
}

// scan calls f for every durable record from an offset on.
func (c *Catalog) scan(ctx context.Context, from shard.Offset, withEntries bool, f func(shard.Offset, record) (more bool, err error)) error {
	for {
		records, err := c.log.Read(ctx, from, readLimit)
		if err != nil {
			return err
		}
		if len(records) == 0 {
			return nil
		}
		for i := range records {
			r, err := decode(records[i].Value, withEntries)
			if err != nil {
				return fmt.Errorf("catalog record @%d: %w", records[i].Offset, err)
			}
			if more, err := f(records[i].Offset, r); err != nil || !more {
				return err
			}
			from = records[i].Offset + 1
		}
	}
}

// findSnapshot returns the complete snapshot that reaches furthest, or nil.
func (c *Catalog) findSnapshot(ctx context.Context, from shard.Offset) (*snapshotInLog, error) {
	type seen struct {
		start shard.Offset
		parts int
	}
	open := map[snapshotID]seen{}
	var best *snapshotInLog
	err := c.scan(ctx, from, false, func(at shard.Offset, r record) (bool, error) {
		p := r.part
		if p == nil {
			return true, nil
		}
		id := snapshotID{p.writer, p.number}
		s := open[id]
		if p.index == 0 {
			s = seen{start: at}
		}
		if p.index != s.parts { // its beginning was trimmed
			return true, nil
		}
		s.parts++
		open[id] = s
		if s.parts == p.parts {
			delete(open, id)
			if best == nil || p.through > best.through {
				best = &snapshotInLog{id: id, through: p.through, start: s.start, parts: p.parts}
			}
		}
		return true, nil
	})
	return best, err
}

// readSnapshot puts the entries of a snapshot into a state. It is incomplete if parts were trimmed meanwhile.
func (c *Catalog) readSnapshot(ctx context.Context, s *snapshotInLog, into *state) (complete bool, err error) {
	parts := 0
	err = c.scan(ctx, s.start, true, func(at shard.Offset, r record) (bool, error) {
		if p := r.part; p != nil && p.writer == s.id.writer && p.number == s.id.number && p.index == parts {
			for _, e := range p.entries {
				into.put(e)
			}
			parts++
		}
		return parts < s.parts, nil
	})
	return parts == s.parts, err
}
