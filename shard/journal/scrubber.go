package journal

import (
	"errors"
	"sync"
	"time"

	"github.com/seed-462d9463/sluice/shard"
)

// scrubber reads all sealed segments again and again, slowly, and verifies every checksum, so that damage is known
// before somebody needs the records, and while there may be another copy. It finds, it does not mend: reads of what is
// damaged refuse by themselves, and the engine goes on.
//
// One timer waits for the next pass; between passes it costs nothing. How far it has come is written down now and then
// and at the end of the engine, so that restarts do not make it begin anew.
type scrubber struct {
	background

	mu    sync.Mutex // guards state; no other lock is taken under it
	state scrubState

	// Of the pass alone.
	begun   time.Time // the work since the last pause
	unsaved int64     // bytes verified since the state was written
	ended   bool      // the engine ends
}

const (
	// scrubFirst is how long after the first start the first pass begins.
	scrubFirst = time.Hour
	// scrubDelay keeps the scrub away from the work at a start.
	scrubDelay = time.Minute
	// scrubSaveBytes is how much is verified before the place is written down.
	scrubSaveBytes = 1 << 30
)

func newScrubber(e *Engine) *scrubber {
	return &scrubber{background: background{e: e, stop: make(chan struct{}), pace: pace{share: 1, rate: e.opts.ScrubBytesPerSecond}}}
}

// start sets the timer after recovery.
func (s *scrubber) start() {
	if s.e.opts.ScrubInterval <= 0 {
		return
	}
	state := s.e.loadScrubState()
	s.mu.Lock() // metrics may be asked for already
	s.state = state
	s.mu.Unlock()
	s.schedule()
}

// schedule sets the timer for the next pass, or for what is left of one.
func (s *scrubber) schedule() {
	s.mu.Lock()
	pass, last := s.state.pass.begun, s.state.last.begun
	s.mu.Unlock()
	interval := s.e.opts.ScrubInterval
	wait := min(scrubFirst, interval)
	switch {
	case !pass.IsZero():
		wait = scrubDelay
	case !last.IsZero():
		wait = min(time.Until(last.Add(interval)), interval) // whatever has become of the clock
	}
	s.later(max(wait, min(scrubDelay, interval)), func() {
		s.pass()
		s.schedule()
	})
}

// pass verifies the segments that are left of a pass, or begins a new one.
func (s *scrubber) pass() {
	s.mu.Lock()
	if s.state.pass.begun.IsZero() {
		s.state.pass, s.state.log, s.state.base = scrubPass{begun: time.Now()}, 0, 0
	}
	from, base := s.state.log, s.state.base
	s.mu.Unlock()
	s.begun, s.unsaved, s.ended = time.Now(), 0, false
	for _, l := range s.e.table.all() {
		if l.id < from {
			continue
		}
		if l.id > from {
			base = 0
		}
		for _, seg := range l.sealedSegments(base) {
			damaged := s.segment(l, seg)
			if s.ended {
				s.save()
				return
			}
			s.mu.Lock()
			s.state.pass.segments++
			if damaged {
				s.state.pass.damaged++
			}
			s.state.log, s.state.base = l.id, seg.end
			s.mu.Unlock()
			s.e.metrics.scrubbed(damaged)
			if s.unsaved >= scrubSaveBytes {
				s.save()
			}
		}
	}
	s.finish()
}

// finish ends a pass.
func (s *scrubber) finish() {
	s.mu.Lock()
	s.state.last, s.state.end = s.state.pass, time.Now()
	s.state.pass, s.state.log, s.state.base = scrubPass{}, 0, 0
	last, took := s.state.last, s.state.end.Sub(s.state.last.begun)
	s.mu.Unlock()
	s.save()
	say := s.e.opts.Logger.Info
	if last.damaged > 0 {
		say = s.e.opts.Logger.Error
	}
	say("all closed segments have been verified", "dir", s.e.opts.Dir, "segments", last.segments, "damaged", last.damaged, "took", took)
}

// save writes down how far the scrub is. It is no more than a help at the next start, so a failure is only told.
func (s *scrubber) save() {
	s.mu.Lock()
	b := s.state.encode()
	s.mu.Unlock()
	s.unsaved = 0
	if err := writeFile(s.e.opts.FS, s.e.opts.Dir, scrubName, b); err != nil {
		s.e.opts.Logger.Warn("how far the scrub is could not be written down", "file", s.e.path(scrubName), "error", err)
	}
}

// lastPass returns the last pass that has ended, and its end.
func (s *scrubber) lastPass() (scrubPass, time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.last, s.state.end
}

// segment verifies one segment, and tells what is damaged.
func (s *scrubber) segment(l *logState, seg segment) (damaged bool) {
	for range 2 { // it may be compressed meanwhile
		err := s.verify(l, seg)
		if err == nil || errors.Is(err, errStopped) {
			return false
		}
		if !l.movedOn(err, seg, seg.end-1) {
			s.e.opts.Logger.Error("a segment is damaged, or cannot be read", "topic", l.topic, "partition", l.partition,
				"file", s.e.path(seg.key(l.id).name()), "position", damagedAt(err), "error", err)
			return true
		}
		l.mu.Lock()
		now := l.segmentAt(seg.base)
		if now != nil {
			seg = *now
		}
		l.mu.Unlock()
		if now == nil {
			return false // trimmed
		}
	}
	return false
}

// damagedAt returns the position in the file that an error names, -1 if none.
func damagedAt(err error) int64 {
	var damage *shard.CorruptError
	if errors.As(err, &damage) {
		return damage.Offset
	}
	return -1
}

// spent takes note that bytes were verified, and pauses for them.
func (s *scrubber) spent(bytes int64) {
	s.unsaved += bytes
	s.e.metrics.scrubBytes.Add(float64(bytes))
	ok := s.pause(s.pace.after(bytes, time.Since(s.begun)))
	for ok && s.e.flusher.pressed() {
		ok = s.pause(100 * time.Millisecond)
	}
	s.begun = time.Now()
	s.ended = s.ended || !ok
}

// sealedSegments returns the sealed segments from an offset on that are not trimmed.
func (l *logState) sealedSegments(from shard.Offset) []segment {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []segment
	for _, s := range l.segments {
		if s.sealed && s.base >= from && s.end > l.first {
			out = append(out, s)
		}
	}
	return out
}
