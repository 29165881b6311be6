package journal

import (
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/seed-462d9463/sluice/shard"
)

// verifyAtOnce is how many directories are read at a time: their blocks lie far apart, and the disk is asked for several
// at once.
const verifyAtOnce = 16

// segmentCheck makes sure, at a start, that every segment is there, and has removed what belongs to none. It reads
// directories, and looks at the files that are still written to: of ten thousand logs there are hundreds of thousands of
// sealed ones, and to look at each takes seconds when nothing of them is in memory. That those are as long as they must
// be is looked at in the background (lengths.go), and found by everyone who reads them.
type segmentCheck struct {
	e    *Engine
	logs map[uint64]*logState // read only

	mu     sync.Mutex      // guards what follows
	seen   map[uint64]bool // directories
	doomed map[uint64]bool // logs that are not there any more and have files
}

// checkSegments is the check of all logs.
func (e *Engine) checkSegments() error {
	c := segmentCheck{e: e, logs: e.table.byID(), seen: map[uint64]bool{}, doomed: map[uint64]bool{}}
	dirs, err := e.opts.FS.List(e.path(shardsDir))
	if err != nil {
		return err
	}
	if err := c.all(dirs); err != nil {
		return err
	}
	for id, l := range c.logs {
		if !c.seen[dirOf(id)] {
			if err := c.log(l, nil); err != nil {
				return err
			}
		}
	}
	for id := range c.doomed {
		e.flusher.doomed = append(e.flusher.doomed, &logState{id: id})
	}
	e.opts.Progress(Progress{Phase: phaseSegments, Unit: unitSegments, Done: int64(len(dirs)), Total: int64(len(dirs))})
	return nil
}

func (c *segmentCheck) all(dirs []string) error {
	var g errgroup.Group
	g.SetLimit(verifyAtOnce)
	var failed atomic.Bool
	for i, dir := range dirs {
		if failed.Load() {
			break
		}
		c.e.opts.Progress(Progress{Phase: phaseSegments, Unit: unitSegments, Done: int64(i), Total: int64(len(dirs))})
		n, ok := parseNumber(dir)
		if !ok {
			c.e.opts.Logger.Warn("this does not belong here", "file", c.e.path(path.Join(shardsDir, dir)))
			continue
		}
		c.seen[n] = true
		g.Go(func() error {
			err := c.dir(n)
			if err != nil {
				failed.Store(true)
			}
			return err
		})
	}
	return g.Wait()
}

// dir checks the logs whose segments are in a directory.
func (c *segmentCheck) dir(n uint64) error {
	next := c.e.table.nextLog
	if n >= (next+logsPerDir-1)/logsPerDir {
		return c.e.corrupt(dirName(n), 0, "no log of this number was ever made")
	}
	names, err := c.e.opts.FS.List(c.e.path(dirName(n)))
	if err != nil {
		return err
	}
	there := make(map[uint64][]fileKey, logsPerDir)
	for _, name := range names {
		key, ok := parseSegmentName(name)
		switch {
		case strings.HasSuffix(name, tmpSuffix):
			err = removeIfThere(c.e.opts.FS, c.e.path(path.Join(dirName(n), name)))
		case !ok || dirOf(key.log) != n:
			c.e.opts.Logger.Warn("this file does not belong here", "file", c.e.path(path.Join(dirName(n), name)))
		case key.log >= next:
			err = c.e.corrupt(path.Join(dirName(n), name), 0, "no log of this number was ever made")
		default:
			there[key.log] = append(there[key.log], key)
		}
		if err != nil {
			return err
		}
	}
	return c.dirLogs(n, there)
}

// dirLogs checks all logs that may have something in a directory against what is there.
func (c *segmentCheck) dirLogs(n uint64, there map[uint64][]fileKey) error {
	empty := true
	for id := n * logsPerDir; id < (n+1)*logsPerDir; id++ {
		l := c.logs[id]
		if l == nil {
			if len(there[id]) > 0 {
				c.doom(id)
			}
			continue
		}
		empty = false
		if err := c.log(l, there[id]); err != nil {
			return err
		}
	}
	if empty && n != dirOf(c.e.table.nextLog) {
		c.doom(n * logsPerDir) // with it goes the directory
	}
	return nil
}

func (c *segmentCheck) doom(id uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.doomed[id] = true
}

// log makes sure that all segments of a log that are not trimmed are among the files, and removes other files.
func (c *segmentCheck) log(l *logState, there []fileKey) error {
	needed, trimmed := 0, false
	for i := range l.segments {
		if l.segments[i].end > l.first {
			needed++
		} else {
			trimmed = true
		}
	}
	found := make(map[shard.Offset]bool, needed)
	for _, key := range there {
		s := l.segmentAt(key.base)
		if s == nil || s.compressed() != key.compressed {
			// Begun after the snapshot and read again from the journal, or trimmed, or the other form of one.
			if err := removeIfThere(c.e.opts.FS, c.e.path(key.name())); err != nil {
				return err
			}
		} else if s.end > l.first {
			found[key.base] = true
		}
	}
	if trimmed {
		c.e.flusher.trimmed(l, 0)
	}
	if len(found) == needed {
		return c.active(l)
	}
	i := slices.IndexFunc(l.segments, func(s segment) bool { return s.end > l.first && !found[s.base] })
	return c.e.corrupt(l.segments[i].key(l.id).name(), 0, "the file is missing")
}

// active makes sure that the segment that the log goes on with is as long as it must be.
func (c *segmentCheck) active(l *logState) error {
	n := len(l.segments)
	if n == 0 || l.segments[n-1].sealed || l.segments[n-1].end <= l.first {
		return nil
	}
	return c.e.checkLength(l, l.segments[n-1])
}

// checkLength fails if a segment's file is shorter than it must be, or is not there.
func (e *Engine) checkLength(l *logState, s segment) error {
	name := s.key(l.id).name()
	info, err := e.opts.FS.Stat(e.path(name))
	if err != nil {
		return missing(err, e.path(name))
	}
	if info.Size < s.diskBytes() {
		return e.corrupt(name, info.Size, "the file ends here and not at byte %d", s.diskBytes())
	}
	return nil
}
