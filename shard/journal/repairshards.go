package journal

import (
	"bytes"
	"errors"
	"maps"
	"path"
	"slices"
	"strconv"

	"github.com/seed-462d9463/sluice/shard"
)

// repairLog is what a repair knows of a log.
type repairLog struct {
	id         uint64
	topic      string
	partition  int
	first      shard.Offset
	flushed    shard.Offset // by the snapshot
	end        shard.Offset // past all offsets that are known to have been given
	lastMillis int64
	known      []segment // by the snapshot
	gaps       []gap     // likewise
	holes      int       // of the journal, before the last of the log's frames in it

	whole   []segment // in a file of their own, all of it intact
	damaged []run     // in known segments that are not whole
	journal []run
	strays  []run // in files, or parts of files, that the snapshot does not know
	files   []string
	hurt    bool
}

// readShards reads all segments.
func (r *repairer) readShards() error {
	if _, err := r.fs.Stat(r.path(shardsDir)); err != nil {
		r.damage(shardsDir, 0, "%v", err)
	}
	dirs, err := r.list(shardsDir)
	if err != nil {
		return err
	}
	for i, dir := range dirs {
		r.opts.Progress(Progress{Phase: phaseSegments, Unit: unitSegments, Done: int64(i), Total: int64(len(dirs))})
		n, err := strconv.ParseUint(dir, 10, 64)
		if err != nil || dirName(n) != path.Join(shardsDir, dir) {
			continue
		}
		if err := r.readDir(n); err != nil {
			return err
		}
	}
	for _, id := range slices.Sorted(maps.Keys(r.logs)) {
		r.findMissing(r.logs[id])
	}
	return nil
}

// readDir reads the segments of a directory, log by log.
func (r *repairer) readDir(n uint64) error {
	names, err := r.list(dirName(n))
	if err != nil {
		return err
	}
	there := map[uint64][]fileKey{}
	for _, name := range names {
		if key, ok := parseSegmentName(name); ok && dirOf(key.log) == n && path.Base(key.name()) == name {
			there[key.log] = append(there[key.log], key)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(there)) {
		l := r.logs[id]
		if l == nil && id < r.snap.nextLog {
			continue // of a deleted topic
		}
		if l == nil {
			err = r.readStrange(id, there[id])
		} else {
			err = r.readLog(l, there[id])
		}
		if err != nil {
			return err
		}
	}
	if n*logsPerDir >= r.snap.nextLog {
		r.damage(dirName(n), 0, "no log of this number was ever made")
		r.snap.nextLog = n*logsPerDir + 1
	}
	return nil
}

// readStrange reads the segments of a log that nobody made, as far as is known.
func (r *repairer) readStrange(id uint64, there []fileKey) error {
	r.damage(there[0].name(), 0, "no log of this number was ever made")
	l := &repairLog{id: id}
	if err := r.readLog(l, there); err != nil {
		return err
	}
	for _, name := range l.files {
		r.hurt[name] = true
	}
	r.snap.nextLog = max(r.snap.nextLog, id+1)
	if len(l.whole)+len(l.strays) > 0 {
		r.fold = true
		*r.adopt(id) = repairLog{id: id, topic: r.logs[id].topic, whole: l.whole, strays: l.strays, files: l.files, hurt: true}
	}
	return nil
}

func (r *repairer) readLog(l *repairLog, there []fileKey) error {
	for _, key := range there {
		if slices.ContainsFunc(l.known, func(s segment) bool { return s.base == key.base && s.end <= l.first }) {
			continue // trimmed, and about to go
		}
		l.files = append(l.files, key.name())
		if err := r.readSegment(l, key); err != nil {
			return err
		}
	}
	return nil
}

// findMissing looks for known segments without a file.
func (r *repairer) findMissing(l *repairLog) {
	for _, s := range l.known {
		if name := s.key(l.id).name(); s.end > l.first && !slices.Contains(l.files, name) {
			r.damage(name, 0, "the file is missing")
			l.hurt = true
		}
	}
}

// readSegment finds the intact frames of a segment.
func (r *repairer) readSegment(l *repairLog, key fileKey) error {
	seg := segment{base: key.base}
	i := slices.IndexFunc(l.known, func(s segment) bool { return s.key(l.id) == key })
	known := i >= 0
	if known {
		seg = l.known[i]
	}
	name := key.name()
	f, reader, size, err := openSalvage(r.fs, r.path(name), r.unreadable(name))
	if err != nil {
		return err
	}
	defer f.Close()
	before := len(r.plan.Damage)
	head := make([]byte, min(segmentHeaderBytes, size))
	if _, err := reader.ReadAt(head, 0); err != nil {
		return err
	}
	sound := headerFits(head, key)
	if known && !sound {
		r.damage(name, 0, "the segment's header is damaged, or another segment's")
	}
	if known && size < seg.diskBytes() {
		r.damage(name, size, "the file ends here and not at byte %d", seg.diskBytes())
	}
	var runs []run
	if key.compressed {
		runs, err = r.readBlocks(l, reader, name, seg, size)
	} else {
		runs, err = r.readFrames(l, reader, name, seg, size)
	}
	if err != nil {
		return err
	}
	whole := len(l.whole)
	l.keepRuns(seg, known, sound && len(r.plan.Damage) == before, runs)
	if known && len(l.whole) == whole {
		l.hurt = true
		if len(r.plan.Damage) == before {
			r.damage(name, 0, "it does not hold the offsets %d to %d", seg.base, seg.end)
		}
	}
	return nil
}

// headerFits tells whether a file begins as this segment does.
func headerFits(head []byte, key fileKey) bool {
	if key.compressed {
		h, err := parseCompressedHeader(head)
		return err == nil && h.log == key.log && h.base == key.base
	}
	id, base, err := parseSegmentHeader(head)
	return err == nil && id == key.log && base == key.base
}

// readBlocks is readFrames for a compressed segment.
func (r *repairer) readBlocks(l *repairLog, reader salvageReader, name string, seg segment, size int64) ([]run, error) {
	var runs []run
	end := size
	if seg.stored > 0 {
		end = min(end, seg.stored)
	}
	expect := int64(segmentHeaderBytes)
	hurt := func(at int64, reason error) {
		if at < seg.stored {
			r.damage(name, at, "%v", reason)
		}
	}
	err := eachBlock(reader, end, segmentHeaderBytes, func(h *blockHeader, at int64, frames []byte) {
		if at != expect {
			hurt(at, errors.New("this block belongs elsewhere"))
		}
		expect = at + h.length()
		s := salvage{
			dir: r.dirMark(),
			frame: func(fh *frameHeader, _ []byte, pos int64) {
				if fh.log != l.id || fh.kind != frameRecords {
					hurt(at, errors.New("what is here belongs to another log"))
					return
				}
				pos += h.pos
				if n := len(runs); n == 0 || !runs[n-1].add(fh, pos, l.first) {
					run := newRun(name, fh, pos)
					run.packed = true
					runs = append(runs, run)
				}
			},
			hurt: func(_ int64, reason error) {
				if n := len(r.plan.Damage); n == 0 || r.plan.Damage[n-1].Offset != at { // told with the block
					hurt(at, reason)
				}
			},
		}
		_ = s.scan(bytes.NewReader(frames), int64(len(frames)), 0, int64(len(frames))) // memory can be read
	}, hurt)
	return runs, err
}

// readFrames returns the runs of a segment, of which one ends where the snapshot says that the segment does. Damage
// behind that is none: those bytes do not count.
func (r *repairer) readFrames(l *repairLog, reader salvageReader, name string, seg segment, size int64) ([]run, error) {
	var runs []run
	end := size
	if seg.sealed {
		end = seg.bytes
	}
	hurt := func(pos int64, reason string) {
		if pos < seg.bytes {
			r.damage(name, pos, "%s", reason)
		}
	}
	scan := salvage{
		dir: r.dirMark(),
		frame: func(h *frameHeader, _ []byte, pos int64) {
			if h.log != l.id || h.kind != frameRecords {
				hurt(pos, "what is here belongs to another log")
				return
			}
			if n := len(runs); n == 0 || pos == seg.bytes || !runs[n-1].add(h, pos, l.first) {
				runs = append(runs, newRun(name, h, pos))
			}
		},
		lost: func(h *frameHeader, pos int64) {
			if pos < seg.bytes && h.log == l.id && h.kind == frameRecords {
				l.end = max(l.end, h.end())
			}
		},
		hurt: func(pos int64, reason error) { hurt(pos, reason.Error()) },
	}
	return runs, scan.scan(reader, size, segmentHeaderBytes, end)
}

// keepRuns takes note of what was found in a segment's file.
func (l *repairLog) keepRuns(seg segment, known, sound bool, runs []run) {
	for i, run := range runs {
		l.lastMillis = max(l.lastMillis, run.last)
		alone := sound && i == 0 && run.pos == segmentHeaderBytes && run.base == seg.base
		switch {
		case known && alone && run.end == seg.bytes && run.next == seg.end:
			l.whole = append(l.whole, seg)
		case known && run.pos < seg.bytes:
			l.damaged = append(l.damaged, run)
		case !known && alone && !run.packed:
			l.whole = append(l.whole, segment{base: run.base, end: run.next, bytes: run.end, firstMillis: run.first, lastMillis: run.last, sealed: true})
		default:
			l.strays = append(l.strays, run)
		}
	}
}
