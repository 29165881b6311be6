package journal

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/seed-462d9463/sluice/shard"
)

// checkSegments makes sure that every segment is there, and removes what belongs to none.
func (e *Engine) checkSegments() error {
	logs := e.table.byID()
	dirs, err := e.opts.FS.List(e.path(shardsDir))
	if err != nil {
		return err
	}
	seen := map[uint64]bool{}
	for i, dir := range dirs {
		e.opts.Progress(Progress{Phase: "segments", Done: int64(i), Total: int64(len(dirs))})
		id, err := strconv.ParseUint(dir, 10, 64)
		if err != nil {
			continue
		}
		if id >= e.table.nextLog {
			return e.corrupt(path.Join(shardsDir, dir), 0, "no log of this number was ever made")
		}
		if l := logs[id]; l == nil {
			e.flusher.doomed = append(e.flusher.doomed, &logState{id: id})
		} else if err := e.checkLog(l); err != nil {
			return err
		}
		seen[id] = true
	}
	for id, l := range logs {
		if !seen[id] {
			if err := e.checkThere(l, nil); err != nil {
				return err
			}
		}
	}
	e.opts.Progress(Progress{Phase: "segments", Done: int64(len(dirs)), Total: int64(len(dirs))})
	return nil
}

func (e *Engine) checkLog(l *logState) error {
	dir := logDir(l.id)
	names, err := e.opts.FS.List(e.path(dir))
	if err != nil {
		return err
	}
	sizes := map[shard.Offset]int64{}
	for _, name := range names {
		base, compressed, ok := parseSegmentName(name)
		if !ok && !strings.HasSuffix(name, tmpSuffix) {
			e.opts.Logger.Warn("this file does not belong here", "file", e.path(path.Join(dir, name)))
			continue
		}
		known := ok && slices.ContainsFunc(l.segments, func(s segment) bool {
			return s.base == base && s.compressed() == compressed
		})
		if !known { // begun after the snapshot and read again from the journal, or trimmed, or the other form of one
			if err := removeIfThere(e.opts.FS, e.path(path.Join(dir, name))); err != nil {
				return err
			}
			continue
		}
		info, err := e.opts.FS.Stat(e.path(path.Join(dir, name)))
		if err != nil {
			return err
		}
		sizes[base] = info.Size
	}
	return e.checkThere(l, sizes)
}

// checkThere makes sure that all segments of a log that are not trimmed are there and long enough.
func (e *Engine) checkThere(l *logState, sizes map[shard.Offset]int64) error {
	for _, s := range l.segments {
		if s.end <= l.first {
			e.flusher.trimmed(l, 0)
			continue
		}
		size, ok := sizes[s.base]
		if !ok {
			return e.corrupt(s.key(l.id).name(), 0, "the file is missing")
		}
		if size < s.diskBytes() {
			return e.corrupt(s.key(l.id).name(), size, "the file ends here and not at byte %d", s.diskBytes())
		}
	}
	return nil
}
