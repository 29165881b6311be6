package journal

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/seed-462d9463/sluice/shard"
)

// newSegmentBytes is about what a segment that a repair writes holds at most.
const newSegmentBytes = 64 << 20

// newSegment is a segment that a repair writes.
type newSegment struct {
	log   uint64
	base  shard.Offset
	parts []run
}

// piece is a stretch of a log that is there: in a whole segment, or in runs to be copied.
type piece struct {
	base, next shard.Offset
	whole      *segment
	from       run
}

// layOut decides for each log which segments it will have, and what is lost.
func (r *repairer) layOut() error {
	for i := range r.snap.topics {
		t := &r.snap.topics[i]
		for p := range t.logs {
			l := r.logs[t.logs[p].id]
			t.logs[p].first = max(t.logs[p].first, l.first)
			if !l.hurt && !r.fold {
				continue
			}
			if err := r.layOutLog(l, &t.logs[p]); err != nil {
				return err
			}
		}
	}
	if r.fold {
		r.snap.checkpoint, r.snap.durable = r.journal.end, r.journal.end
	}
	r.snap.journal, r.snap.epoch, r.snap.generation = r.id, r.journal.epoch, r.journal.generation
	r.missingBytes = r.journalFileBytes()
	r.snap.journalFiles = max(uint64(r.journal.count), 1)
	return nil
}

func (r *repairer) layOutLog(l *repairLog, to *snapshotLog) error {
	most := shard.Offset(0) // records that may be lost at the end, without a trace
	if !r.fold {
		l.end = l.flushed // what is behind it, the journal will bring
	} else if l.holes < len(r.journal.lost) {
		bytes := int64(0)
		for _, n := range r.journal.lost[l.holes:] {
			bytes += n
		}
		most = shard.Offset((bytes + 2) / 3) // no record takes less
	}
	pieces, err := r.pieces(l)
	if err != nil {
		return err
	}
	if n := len(pieces); n > 0 {
		l.end = max(l.end, pieces[n-1].next)
	}
	exact := max(l.end, l.first)
	l.end = exact + most
	if !l.hurt && l.end == to.flushed && !slices.ContainsFunc(pieces, func(p piece) bool { return p.whole == nil || !slices.Contains(l.known, *p.whole) }) {
		return nil // all is as it was
	}
	to.flushed = l.end
	to.segments, to.gaps = nil, nil
	at := l.first
	giveUp := func(until shard.Offset) {
		if until > at {
			to.gaps = append(to.gaps, gap{from: at, to: until})
		}
		at = max(at, until)
	}
	for _, p := range pieces {
		giveUp(p.base)
		at = max(at, p.next)
		if p.whole != nil {
			s := *p.whole
			to.segments = append(to.segments, s)
			if !slices.Contains(l.known, s) {
				r.keeps = append(r.keeps, s.key(l.id).name())
			}
			continue
		}
		r.write(l, to, p)
	}
	giveUp(l.end)
	to.lastMillis = max(to.lastMillis, l.lastMillis)
	for i := range to.segments {
		to.segments[i].sealed = true
		to.lastMillis = max(to.lastMillis, to.segments[i].lastMillis)
	}
	r.tellLost(l, to, exact)
	r.listFiles(l, to)
	if err := to.covered(); err != nil {
		return fmt.Errorf("this is an error in this program: %w", err)
	}
	return nil
}

// pieces returns what there is of a log, in order and without overlap. What is in whole segments is taken first.
func (r *repairer) pieces(l *repairLog) ([]piece, error) {
	var have []piece
	for i := range l.whole {
		s := &l.whole[i]
		if s.end > l.first && (r.fold || s.end <= l.end) && free(have, s.base, s.end) {
			have = insert(have, piece{base: s.base, next: s.end, whole: s})
		}
	}
	for _, runs := range [][]run{l.damaged, l.journal, l.strays} {
		for _, run := range runs {
			if run.next <= l.first || !r.fold && run.base >= l.end {
				continue
			}
			if free(have, run.base, run.next) {
				have = insert(have, piece{base: run.base, next: run.next, from: run})
				continue
			}
			// A part of it may be new.
			err := run.eachIn(r.fs, r.opts.Dir, func(h *frameHeader, _ []byte, pos int64) error {
				if h.end() > l.first && (r.fold || h.end() <= l.end) && free(have, h.base, h.end()) {
					part := newRun(run.file, h, pos)
					part.packed = run.packed
					have = insert(have, piece{base: h.base, next: h.end(), from: part})
				}
				return nil
			})
			if err != nil {
				return nil, err
			}
		}
	}
	return have, nil
}

// free tells whether nothing of [base, next) is in the pieces.
func free(have []piece, base, next shard.Offset) bool {
	i, _ := slices.BinarySearchFunc(have, base, func(p piece, at shard.Offset) int { return cmp.Compare(p.next, at+1) })
	return i == len(have) || have[i].base >= next
}

func insert(have []piece, p piece) []piece {
	i, _ := slices.BinarySearchFunc(have, p.base, func(p piece, at shard.Offset) int { return cmp.Compare(p.base, at) })
	return slices.Insert(have, i, p)
}

// write adds a piece to the segment that is being written if it follows directly, or begins a new one.
func (r *repairer) write(l *repairLog, to *snapshotLog, p piece) {
	bytes := p.from.end - p.from.pos
	if n, m := len(r.writes), len(to.segments); n > 0 && m > 0 && r.writes[n-1].log == l.id &&
		r.writes[n-1].base == to.segments[m-1].base && to.segments[m-1].end == p.base && to.segments[m-1].bytes+bytes <= newSegmentBytes {
		s := &to.segments[m-1]
		s.end, s.bytes, s.lastMillis = p.next, s.bytes+bytes, p.from.last
		r.writes[n-1].parts = append(r.writes[n-1].parts, p.from)
		return
	}
	to.segments = append(to.segments, segment{
		base: p.base, end: p.next, bytes: segmentHeaderBytes + bytes, firstMillis: p.from.first, lastMillis: p.from.last, sealed: true,
	})
	r.writes = append(r.writes, newSegment{log: l.id, base: p.base, parts: []run{p.from}})
}

// tellLost lists the gaps that are new.
func (r *repairer) tellLost(l *repairLog, to *snapshotLog, exact shard.Offset) {
	tell := func(from, until shard.Offset, most bool) {
		if from < until {
			r.plan.Lost = append(r.plan.Lost, Lost{Topic: l.topic, Partition: l.partition, From: from, To: until, AtMost: most})
		}
	}
	for _, g := range to.gaps {
		at := g.from
		for _, old := range l.gaps {
			if old.from >= g.to || old.to <= at {
				continue
			}
			tell(at, min(old.from, exact), false)
			at = max(at, old.to)
		}
		tell(at, min(g.to, exact), false)
		tell(max(at, exact), g.to, true)
	}
}

// listFiles says which of the log's files change.
func (r *repairer) listFiles(l *repairLog, to *snapshotLog) {
	written := map[string]bool{}
	for _, w := range r.writes {
		if w.log == l.id {
			written[segmentName(w.log, w.base)] = true
			r.plan.Made = append(r.plan.Made, r.path(segmentName(w.log, w.base)))
		}
	}
	kept := map[string]bool{}
	for _, s := range to.segments {
		kept[s.key(l.id).name()] = true
	}
	for _, name := range l.files {
		if !kept[name] || written[name] {
			r.plan.Moved = append(r.plan.Moved, r.path(name))
		}
	}
}
