package journal

import (
	"slices"
)

// checkLengths looks, once after a start, whether every sealed segment's file is as long as it must be. It runs beside
// everything else, since it takes long where there are very many. What is wrong is logged: reads of those records fail,
// all others go on.
func (e *Engine) checkLengths() {
	for _, l := range e.table.all() {
		l.mu.Lock()
		segments := slices.Clone(l.segments)
		l.mu.Unlock()
		for _, s := range segments {
			if e.usable() != nil {
				return
			}
			if !s.sealed {
				continue
			}
			if err := e.checkLength(l, s); err != nil && l.holds(s) {
				e.opts.Logger.Error("a segment is damaged", "log", l.String(), "error", err)
			}
		}
	}
}

// holds tells whether a segment is still what the log consists of, and not trimmed or compressed in the meantime.
func (l *logState) holds(s segment) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.segmentAt(s.base)
	return !l.gone && s.end > l.first && now != nil && now.key(l.id) == s.key(l.id)
}
