package journal

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
)

// repairJournal is the journal as a repair finds it.
type repairJournal struct {
	files      []*journalFile // by number; nil: missing
	count      int            // how many there must be; those behind were not used yet
	readers    map[*journalFile]salvageReader
	found      []foundBatch // every valid batch, of other directories too
	parts      []journalPart
	end        lsn // past all that is known of
	generation uint64
	epoch      uint64
	lost       []int64 // for each hole, how many bytes nothing is known about
	old        bool    // a file is of format version 1
}

// journalPart is a batch, or what is left of those that should be between two others.
type journalPart struct {
	batch  foundBatch
	hole   bool
	frames []salvagedFrame // of a hole
}

type salvagedFrame struct {
	frameHeader
	bytes   []byte // of a change of the table
	file    string
	pos     int64
	damaged bool // only the header is right
}

// openJournal reads all batches of all files, and adds the voices of those that carry a directory's id.
func (r *repairer) openJournal(votes map[uint64]int) error {
	names, err := r.list(journalDir)
	if err != nil {
		return err
	}
	j := &r.journal
	j.readers = map[*journalFile]salvageReader{}
	for _, base := range names {
		digits, ok := strings.CutSuffix(base, ".j")
		i, err := strconv.Atoi(digits)
		if !ok || err != nil || i >= maxJournalFiles || path.Join(journalDir, base) != journalFileName(i) {
			continue
		}
		for len(j.files) <= i {
			j.files = append(j.files, nil)
		}
		name := journalFileName(i)
		f, reader, size, err := openSalvage(r.fs, r.path(name), r.unreadable(name))
		if err != nil {
			return err
		}
		file := &journalFile{name: name, f: f, size: size}
		j.files[i], j.readers[file] = file, reader
		ids := map[uint64]bool{}
		err = scanBatches(reader, size, 0, func(h *batchHeader, pos int64, _ []byte) error {
			j.found = append(j.found, foundBatch{batchHeader: *h, file: file, pos: pos})
			ids[h.journal] = true
			return nil
		})
		if err != nil {
			return errors.Join(fmt.Errorf("read %s: %w", name, err), j.close())
		}
		for id := range ids {
			votes[id]++
		}
		if len(ids) == 0 && beginsOld(reader) {
			j.old = true
		}
	}
	return nil
}

// beginsOld tells whether a batch of format version 1 begins a journal file.
func beginsOld(r io.ReaderAt) bool {
	b := make([]byte, batchHeaderBytes)
	if n, _ := r.ReadAt(b, 0); n < len(b) {
		return false
	}
	_, err := parseBatchHeader(b)
	return errors.Is(err, errVersion) && binary.LittleEndian.Uint16(b[8:]) == 1
}

func (j *repairJournal) close() error {
	var errs []error
	for _, f := range j.files {
		if f != nil {
			errs = append(errs, f.f.Close())
		}
	}
	j.files = nil
	return errors.Join(errs...)
}

// readJournal puts the batches in order from the snapshot's checkpoint on, with the holes between them.
func (r *repairer) readJournal() error {
	j := &r.journal
	j.found = slices.DeleteFunc(j.found, func(b foundBatch) bool { return b.journal != r.id })
	slices.SortFunc(j.found, func(a, b foundBatch) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(b.epoch, a.epoch), cmp.Compare(b.generation, a.generation))
	})
	if r.snap.journalFiles == 0 && (len(j.found) == 0 || j.found[0].at > 0) {
		return errors.New("every snapshot is damaged or missing, and the journal does not go back to the directory's beginning: " +
			"nothing tells the names of the topics; restore " + metaDir + "/ from a backup")
	}
	j.count = int(r.snap.journalFiles)
	for _, b := range j.found {
		i := slices.Index(j.files, b.file)
		if i >= int(r.snap.journalFiles) && r.snap.journalFiles > 0 && !r.fold {
			r.damage(metaDir, 0, "the newest snapshot is missing: the one there does not know %s, which has been written to", r.path(b.file.name))
			r.fold = true
		}
		j.count = max(j.count, i+1)
	}
	for i := range j.count {
		if i >= len(j.files) || j.files[i] == nil {
			r.damage(journalFileName(i), 0, "the file is missing")
		}
	}
	next := r.snap.checkpoint
	var last *foundBatch
	durable := max(r.snap.durable, r.mark.durable)
	j.end, j.generation, j.epoch = max(next, durable), r.snap.generation, r.snap.epoch
	for i := range j.found {
		b := &j.found[i]
		j.end, j.generation, j.epoch = max(j.end, b.end()), max(j.generation, b.generation), max(j.epoch, b.epoch)
		if b.at < next {
			continue
		}
		if b.at > next {
			if err := r.hole(next, b.at, last, b); err != nil {
				return err
			}
		}
		j.parts = append(j.parts, journalPart{batch: *b})
		next, last = b.end(), b
	}
	if next < durable {
		return r.hole(next, durable, last, nil)
	}
	return nil
}

// stretch is a part of a journal file.
type stretch struct {
	file     *journalFile
	pos, end int64
	sure     bool // the lost batches were here, and not in another file
}

// hole looks for what is left of the batches that should be between two others, of which either may be nil.
func (r *repairer) hole(from, to lsn, before, after *foundBatch) error {
	j := &r.journal
	r.fold = true
	part := journalPart{hole: true}
	lost := int64(0)
	known := false // something of what was there has been recognized
	length := int64(to - from)
	epoch := r.snap.epoch
	if before != nil {
		epoch = before.epoch
	}
	stretches := r.stretches(length, before, after)
	where, pos := journalFileName(0), int64(0)
	if len(stretches) > 0 {
		where, pos = stretches[0].file.name, stretches[0].pos
	}
	r.damage(where, pos, "batches with LSN %d to %d are damaged or missing", from, to)
	there := int64(0)
	for _, s := range stretches {
		r.hurt[s.file.name] = true
		found, unknown, recognized, err := r.salvageStretch(s, from, to, epoch)
		if err != nil {
			return err
		}
		part.frames = append(part.frames, found...)
		known = known || recognized
		if s.sure {
			there += s.end - s.pos
			lost += unknown
		}
	}
	lost += max(0, length-there)
	if !known && after == nil {
		// Whatever file the batches were in, there may have been more behind them.
		lost = length + r.journalFileBytes()
	}
	r.plan.LostBytes += lost
	j.lost = append(j.lost, lost)
	j.parts = append(j.parts, part)
	return nil
}

// stretches returns where the bytes of a hole are. At the end of the journal, and at its beginning, it can be any file.
func (r *repairer) stretches(length int64, before, after *foundBatch) []stretch {
	var all []stretch
	cut := func(f *journalFile, pos, n int64) {
		if end := min(pos+n, f.size); pos < end {
			all = append(all, stretch{f, pos, end, after != nil || before != nil && f == before.file})
		}
	}
	if after != nil {
		here := min(after.pos, length)
		if before != nil && before.file != after.file {
			cut(before.file, before.pos+before.padded(), length-here)
		}
		cut(after.file, after.pos-here, here)
		return all
	}
	if before != nil {
		cut(before.file, before.pos+before.padded(), length)
	}
	used := map[*journalFile]bool{}
	for _, p := range r.journal.parts {
		used[p.batch.file] = true
	}
	for _, f := range r.journal.files {
		if f != nil && !used[f] {
			cut(f, 0, length)
		}
	}
	return all
}

// journalFileBytes returns the size of the biggest journal file.
func (r *repairer) journalFileBytes() int64 {
	size := int64(0)
	for _, f := range r.journal.files {
		if f != nil {
			size = max(size, f.size)
		}
	}
	return size
}

// salvageStretch finds the intact frames of damaged batches between two LSNs, of an epoch or later ones: what is older
// was never acknowledged, and written over. unknown is the number of bytes in which there may have been others; known
// tells whether something of those batches has been recognized.
func (r *repairer) salvageStretch(s stretch, from, to lsn, epoch uint64) (frames []salvagedFrame, unknown int64, known bool, err error) {
	var covered []stretch // by frames, of which some are damaged
	take := func(h *frameHeader, pos int64, damaged bool) *salvagedFrame {
		covered = append(covered, stretch{pos: pos, end: pos + h.length})
		if h.epoch < epoch {
			return nil
		}
		frames = append(frames, salvagedFrame{frameHeader: *h, file: s.file.name, pos: pos, damaged: damaged})
		return &frames[len(frames)-1]
	}
	scan := salvage{
		dir: r.dirMark(),
		frame: func(h *frameHeader, b []byte, pos int64) {
			if f := take(h, pos, false); f != nil && h.kind == frameControl {
				f.bytes = slices.Clone(b)
			}
		},
		lost: func(h *frameHeader, pos int64) { take(h, pos, true) },
	}
	reader := r.journal.readers[s.file]
	w := window{r: reader, size: s.file.size}
	for pos := s.pos; pos < s.end; {
		b, err := w.at(pos, batchHeaderBytes)
		if err != nil {
			return nil, 0, false, err
		}
		h, err := parseBatchHeader(b)
		if err == nil && slices.ContainsFunc(r.journal.found, func(f foundBatch) bool { return f.file == s.file && f.pos == pos }) {
			pos += h.padded() // an intact one, from before or after
			continue
		}
		// The header of a damaged batch may be right all the same, and then says how long it is.
		right := err == nil && h.journal == r.id && h.padded() <= s.end-pos && h.at >= from && h.end() <= to
		start, end := pos+batchHeaderBytes, s.end
		if right {
			end = pos + h.length
		}
		covered = covered[:0]
		if err := scan.scan(reader, s.file.size, start, end); err != nil {
			return nil, 0, false, err
		}
		if !right && r.headerOnly(&w, covered, start, end) {
			known = true // but for the header all is there
		} else {
			unknown += uncovered(covered, start, end)
		}
		known = known || right
		pos = alignUp(end)
	}
	return frames, unknown, known, nil
}

// headerOnly tells whether a stretch is a batch of which only the header is damaged: frames, then zeros up to a block.
func (r *repairer) headerOnly(w *window, covered []stretch, start, end int64) bool {
	if len(covered) == 0 || covered[0].pos != start {
		return false
	}
	last := covered[len(covered)-1].end
	return alignUp(last) == end && uncovered(covered, start, last) == 0 && r.zero(w, last, end)
}

// zero tells whether there are only zeros.
func (r *repairer) zero(w *window, pos, end int64) bool {
	b, err := w.at(pos, end-pos)
	return err == nil && !slices.ContainsFunc(b[:min(int64(len(b)), end-pos)], func(c byte) bool { return c != 0 })
}

// uncovered counts the bytes of [pos, end) that are in none of the stretches, which are in order.
func uncovered(covered []stretch, pos, end int64) int64 {
	n := int64(0)
	for _, c := range covered {
		n += max(0, min(c.pos, end)-pos)
		pos = max(pos, c.end)
	}
	return n + max(0, end-pos)
}

func (r *repairer) dirMark() uint32 { return (&journal{id: r.id}).dir() }

// applyJournal applies the changes of the table, and takes note of where records are.
func (r *repairer) applyJournal() error {
	holes := 0
	for i := range r.journal.parts {
		p := &r.journal.parts[i]
		if p.hole {
			for _, f := range p.frames {
				if err := r.applyFrame(f, holes); err != nil {
					return err
				}
			}
			holes++
			continue
		}
		buf := make([]byte, p.batch.length)
		if n, err := r.journal.readers[p.batch.file].ReadAt(buf, p.batch.pos); n < len(buf) {
			return fmt.Errorf("read %s: %w", p.batch.file.name, err)
		}
		pos := p.batch.pos + batchHeaderBytes
		err := eachFrame(&p.batch.batchHeader, buf, func(h frameHeader, frame []byte) error {
			f := salvagedFrame{frameHeader: h, bytes: frame, file: p.batch.file.name, pos: pos}
			pos += h.length
			if err := checkPayload(frame); err != nil {
				return err
			}
			return r.applyFrame(f, holes)
		})
		if err != nil {
			return fmt.Errorf("%s, batch at byte %d: %w", p.batch.file.name, p.batch.pos, err)
		}
	}
	return nil
}

// applyFrame applies a frame of the journal. holes is how many holes are before it.
func (r *repairer) applyFrame(f salvagedFrame, holes int) error {
	if f.kind == frameControl && f.damaged {
		r.plan.LostBytes += f.length
		return nil
	}
	if f.kind == frameControl {
		c, err := decodeChange(&f.frameHeader, f.bytes[frameHeaderBytes:], func(id uint64) *logState { return &logState{id: id} })
		if err != nil {
			return err
		}
		r.change(c)
		return nil
	}
	l := r.logs[f.log]
	if l == nil {
		if f.log < r.snap.nextLog {
			return nil // of a deleted topic
		}
		l = r.adopt(f.log)
	}
	if f.damaged {
		l.end = max(l.end, f.end())
		return nil
	}
	l.holes = holes
	run := newRun(f.file, &f.frameHeader, f.pos)
	if n := len(l.journal); n > 0 && l.journal[n-1].file == f.file && l.journal[n-1].add(&f.frameHeader, f.pos, 0) {
		return nil
	}
	l.journal = append(l.journal, run)
	return nil
}

// change applies a change of the table to the snapshot.
func (r *repairer) change(c change) {
	s := r.snap
	switch c := c.(type) {
	case createChange:
		i := slices.IndexFunc(s.topics, func(t snapshotTopic) bool { return t.name == c.name })
		if i < 0 {
			i = len(s.topics)
			s.topics = append(s.topics, snapshotTopic{id: c.topic, name: c.name})
		}
		if t := &s.topics[i]; t.id == c.topic && uint64(len(t.logs)) == c.first {
			for n := range c.count {
				l := &repairLog{id: c.firstLog + n, topic: c.name, partition: len(t.logs)}
				r.logs[l.id] = l
				t.logs = append(t.logs, snapshotLog{id: l.id})
			}
		}
		s.nextTopic, s.nextLog = max(s.nextTopic, c.topic+1), max(s.nextLog, c.firstLog+c.count)
	case deleteChange:
		s.topics = slices.DeleteFunc(s.topics, func(t snapshotTopic) bool {
			if t.id != c.topic {
				return false
			}
			for _, l := range t.logs {
				delete(r.logs, l.id)
			}
			return true
		})
	case trimChange:
		if l := r.logs[c.log.id]; l != nil {
			l.first = max(l.first, c.before)
		}
	}
}

// adopt gives a log whose topic's creation is lost a topic of its own.
func (r *repairer) adopt(id uint64) *repairLog {
	name := fmt.Sprintf("recovered-%d", id)
	for slices.ContainsFunc(r.snap.topics, func(t snapshotTopic) bool { return t.name == name }) {
		name += "-"
	}
	r.note("The name of the topic of log %d is lost. Its records are kept in a topic that is made for them, %q.", id, name)
	l := &repairLog{id: id, topic: name}
	r.logs[id] = l
	r.snap.topics = append(r.snap.topics, snapshotTopic{id: r.snap.nextTopic, name: name, logs: []snapshotLog{{id: id}}})
	r.snap.nextTopic++
	r.snap.nextLog = max(r.snap.nextLog, id+1)
	return l
}
