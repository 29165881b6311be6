package journal

import (
	"sort"

	"github.com/seed-462d9463/sluice/shard"
)

// replacement is what the compressor found out about a sealed segment: the compressed file that may take its place, or
// that there should be none.
type replacement struct {
	log    *logState
	base   shard.Offset
	stored int64 // 0: none
}

// replace hands a replacement to the flusher, which alone changes the lists of segments.
func (f *flusher) replace(r replacement) {
	r.log.mu.Lock()
	if s := r.log.segmentAt(r.base); s != nil {
		s.replacing = true
	}
	r.log.mu.Unlock()
	f.mu.Lock()
	f.replacements = append(f.replacements, r)
	f.mu.Unlock()
	if f.e.opts.eager {
		signal(f.kicked)
	}
}

// recordReplaced asks for a snapshot, after which the files that have been replaced are removed.
func (f *flusher) recordReplaced() {
	f.mu.Lock()
	f.recordDue = true
	f.mu.Unlock()
	signal(f.kicked)
}

// pressed tells whether appends wait for the disk, so that background work should let it be.
func (f *flusher) pressed() bool {
	f.mu.Lock()
	stalled := f.stalled
	f.mu.Unlock()
	if stalled {
		return true
	}
	_, waiting := f.e.budget.state()
	return waiting
}

// applyReplacements puts compressed segments in the place of plain ones. The plain files are still needed: a crash
// goes back to the newest snapshot, which names them.
func (f *flusher) applyReplacements() error {
	f.mu.Lock()
	all := f.replacements
	f.replacements = nil
	f.mu.Unlock()
	for _, r := range all {
		l := r.log
		l.mu.Lock()
		gone := l.gone
		s := l.segmentAt(r.base)
		if s != nil {
			s.stored, s.dense, s.replacing = r.stored, r.stored == 0, false
		}
		l.mu.Unlock()
		switch {
		case gone || r.stored == 0: // all files of a deleted log are removed together
		case s != nil:
			f.replaced = append(f.replaced, fileKey{l.id, r.base, false})
		default: // trimmed
			if err := f.removeSegment(fileKey{l.id, r.base, true}); err != nil {
				return err
			}
		}
	}
	return nil
}

// removeReplaced removes the plain files that the newest snapshot does not name any more.
func (f *flusher) removeReplaced() error {
	for _, key := range f.replaced {
		if err := f.removeSegment(key); err != nil {
			return err
		}
	}
	if len(f.replaced) > 0 {
		f.sinceFree = freeEvery // there may be room again
	}
	f.replaced = nil
	f.mu.Lock()
	f.recordDue = len(f.replacements) > 0 && f.recordDue
	f.mu.Unlock()
	return nil
}

// segmentAt returns the segment that begins at an offset, nil if it is not there any more. The lock is held.
func (l *logState) segmentAt(base shard.Offset) *segment {
	i := sort.Search(len(l.segments), func(i int) bool { return l.segments[i].base >= base })
	if i == len(l.segments) || l.segments[i].base != base {
		return nil
	}
	return &l.segments[i]
}
