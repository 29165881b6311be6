package journal

import (
	"context"
	"fmt"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/journal/internal/mutant"
)

// Retention by size. Whenever a log has grown by an eighth of its bound, when one of its segments is sealed, and after
// Configure, the flusher adds up what its segments take, and its records in the journal. If the bound is kept without the
// oldest of them, they go, by a trim like any other: the new first offset is durable in the journal before a file is
// unlinked. The flusher does not wait for it, since the committer may be waiting for the flusher; and while records come it
// takes no commit of its own. What goes while it is in the journal alone is never written to a segment.

// Configure implements shard.Engine.
func (e *Engine) Configure(_ context.Context, name string, settings shard.Settings) error {
	if err := e.usable(); err != nil {
		return err
	}
	e.table.mu.Lock()
	defer e.table.mu.Unlock()
	tp := e.table.topics[name]
	if tp == nil {
		return fmt.Errorf("%w: %s", shard.ErrNotFound, name)
	}
	tp.settings = settings
	look := false
	for _, l := range tp.logs {
		l.mu.Lock()
		l.settings = settings
		if l.surplus() > l.first {
			e.flusher.tooBig(l)
			look = true
		}
		l.mu.Unlock()
		e.compressor.note(l) // which may be allowed now
	}
	if look {
		signal(e.flusher.kicked)
	}
	return nil
}

// surplus returns the offset before which the log's bound on its size does not need the records. The lock is held.
func (l *logState) surplus() shard.Offset {
	bound := l.settings.RetentionBytes
	if bound <= 0 {
		return l.first
	}
	over := l.unflushed - bound
	for i := range l.segments {
		if l.segments[i].end > l.first {
			over += l.segments[i].diskBytes()
		}
	}
	before := l.first
	for i := range l.segments {
		s := &l.segments[i]
		if s.end <= l.first {
			continue
		}
		if over -= s.diskBytes(); over < 0 {
			return before
		}
		if s.sealed {
			before = s.end // the file of another one would not go
		}
	}
	for i := range l.left {
		if over -= int64(l.left[i].bytes); over < 0 {
			return before
		}
		before = l.left[i].end
	}
	for _, r := range l.cache {
		if r.end <= l.flushed {
			continue
		}
		if over -= r.bytes; over < 0 || r.end > l.durable {
			break
		}
		before = r.end
	}
	return before
}

// grow takes note that so many bytes have become durable. The lock is held.
func (l *logState) grow(n int64) {
	bound := l.settings.RetentionBytes
	if bound <= 0 {
		return
	}
	if l.grown += n; l.grown >= bound/8 {
		l.grown = 0
		l.e.flusher.tooBig(l)
	}
}

// tooBig has a log, whose lock may be held, looked at in the next round of work.
func (f *flusher) tooBig(l *logState) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.oversized = append(f.oversized, l)
}

func (f *flusher) shrinkOversized() {
	f.mu.Lock()
	logs := f.oversized
	f.oversized = nil
	f.mu.Unlock()
	for _, l := range logs {
		f.shrink(l)
	}
}

// shrink has the oldest segments, and records in the journal, trimmed that are beyond the log's bound.
func (f *flusher) shrink(l *logState) {
	l.mu.Lock()
	before := l.surplus()
	due := before > l.first && !l.gone && !l.shrinking
	l.shrinking = l.shrinking || due
	l.mu.Unlock()
	if !due {
		return
	}
	if mutant.On(mutant.TrimBySizeFirst) {
		l.trim(before, bySize)
	}
	c := trimChange{log: l, before: before}
	queued := &queuedChange{frame: controlFrame(c, f.e.journal), apply: func(err error) {
		l.mu.Lock()
		l.shrinking = false
		l.mu.Unlock()
		if err != nil {
			f.tooBig(l) // the disk is full to its last block: when there is room again
			return
		}
		l.trim(before, bySize)
	}}
	if err := f.e.queue.pushLater(queued); err != nil {
		queued.apply(err)
	}
}
