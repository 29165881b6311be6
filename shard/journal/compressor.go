package journal

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"
)

// compressor puts compressed files in the place of sealed segments, in the background:
//
//  1. It reads the segment's frames, checks them, and writes them in blocks to a file with a temporary name.
//  2. fdatasync of the file, rename, fsync of the directory.
//  3. The flusher puts the compressed segment in the place of the plain one in the log's list (replace.go).
//  4. The next snapshot says so. Only then the flusher removes the plain file; who has it open reads on.
//
// A crash before the snapshot leaves the plain file and one that nobody knows, a crash after it the compressed file
// and maybe a plain one that nobody knows. The next start removes what it does not know.
//
// It has no goroutine while there is nothing to do. The first segment that is sealed sets a timer, so that many slow
// logs make one pass together, with one snapshot at its end. It remembers logs, not segments, each at most once.
type compressor struct {
	background

	mu      sync.Mutex  // guards what follows; no other lock is taken under it
	ready   bool        // recovery is over
	running bool        // a pass is on its way, or a timer for one
	due     []*logState // with segments that may be worth it
	using   uint64      // the log in whose directory it works; 0: none

	// Of the pass alone.
	encoder *zstd.Encoder
	begun   time.Time // the work since the last pause
	done    int64     // bytes of plain segments, likewise
	input   int64     // bytes of plain segments since the last snapshot was asked for
	files   int       // and their number
}

const (
	// compressDelay is how long sealed segments are left alone, so that they are compressed many at a time.
	compressDelay = time.Minute
	// minCompressBytes is the smallest segment that is worth a file made anew.
	minCompressBytes = 64 << 10
	// worthwhile is what a segment must shrink to, in percent, to be replaced.
	worthwhile = 90
	// maxReplacedBytes and maxReplacedFiles bound what is there twice until a snapshot lets the plain files go.
	maxReplacedBytes = 256 << 20
	maxReplacedFiles = 1000

	// compressShare is the part of one core that a pass may take, and compressRate the bytes of plain segments that it
	// reads in a second.
	compressShare = 0.25
	compressRate  = 64 << 20
)

func newCompressor(e *Engine) *compressor {
	return &compressor{background: background{e: e, stop: make(chan struct{}), pace: pace{share: compressShare, rate: compressRate}}}
}

// start takes up what there is to do after recovery.
func (c *compressor) start() {
	c.mu.Lock()
	c.ready = true
	c.mu.Unlock()
	c.e.table.mu.RLock()
	var logs []*logState
	for _, t := range c.e.table.topics {
		for _, l := range t.logs {
			if len(l.compressible()) > 0 {
				logs = append(logs, l)
			}
		}
	}
	c.e.table.mu.RUnlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range logs {
		c.add(l)
	}
}

// note takes in a log that has sealed a segment or may have its segments compressed from now on.
func (c *compressor) note(l *logState) {
	if len(l.compressible()) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add(l)
}

// add queues a log. The lock is held.
func (c *compressor) add(l *logState) {
	if !c.ready || l.toCompress {
		return
	}
	l.toCompress = true
	c.due = append(c.due, l)
	delay := compressDelay
	if c.e.opts.eager {
		delay = 0
	}
	c.schedule(delay)
}

// schedule begins a pass after a delay, unless one is on its way. The lock is held.
func (c *compressor) schedule(delay time.Duration) {
	if c.running || len(c.due) == 0 || c.e.Err() != nil {
		return
	}
	c.running = true
	c.later(delay, func() {
		finished := c.pass()
		c.mu.Lock()
		defer c.mu.Unlock()
		c.running = false
		retry := compressDelay
		if c.e.opts.eager {
			retry = 20 * time.Millisecond
			if finished {
				retry = 0
			}
		}
		c.schedule(retry)
	})
}

// next takes a log from the queue; nil if there is none or no more time.
func (c *compressor) next() *logState {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.due) == 0 {
		return nil
	}
	l := c.due[0]
	c.due = c.due[1:]
	l.toCompress = false
	return l
}

// pass compresses what is due. It returns false if there is no room on the disk for now, or no time.
func (c *compressor) pass() (finished bool) {
	c.encoder = newEncoder()
	defer func() { c.encoder = nil }()
	for c.pause(0) {
		l := c.next()
		if l == nil {
			break
		}
		for _, seg := range l.compressible() {
			if !c.one(l, seg) {
				c.putBack(l)
				c.record()
				return false
			}
		}
	}
	c.record()
	return true
}

// putBack queues a log whose turn was cut short.
func (c *compressor) putBack(l *logState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add(l)
}

// one compresses a segment. It returns false when there is no room on the disk now, or no time.
func (c *compressor) one(l *logState, seg segment) (goOn bool) {
	if !c.mayGoOn() {
		return false
	}
	if !c.enter(l) {
		return true
	}
	start := time.Now()
	c.begun, c.done = start, 0
	stored, err := c.compress(l, seg)
	c.leave()
	switch {
	case err == nil, errors.Is(err, errDense):
		c.e.metrics.compressed(seg.bytes, stored, time.Since(start))
		c.e.flusher.replace(replacement{log: l, base: seg.base, stored: stored})
		if stored > 0 {
			c.input += seg.bytes
			c.files++
		}
		if c.input >= maxReplacedBytes || c.files >= maxReplacedFiles {
			c.record()
		}
		return c.rest()
	case errors.Is(err, errGone):
		return true
	case errors.Is(err, errStopped), isFullError(err):
		return false
	}
	c.e.fail(fmt.Errorf("compress %s: %w", c.e.path(seg.key(l.id).name()), err))
	return false
}

// record asks for the snapshot that lets the plain files go.
func (c *compressor) record() {
	if c.files > 0 {
		c.e.flusher.recordReplaced()
	}
	c.input, c.files = 0, 0
}

// enter says that files are made in a log's directory from now on; false if the log is gone.
func (c *compressor) enter(l *logState) bool {
	c.mu.Lock()
	c.using = l.id
	c.mu.Unlock()
	// In this order: whoever removes the directory has marked the log before it asks.
	if l.isGone() {
		c.leave()
		return false
	}
	return true
}

func (c *compressor) leave() {
	c.mu.Lock()
	c.using = 0
	c.mu.Unlock()
	signal(c.e.flusher.kicked) // which may wait to remove the directory
}

// uses tells whether files are being made in the directory of a log, which was marked as gone before.
func (c *compressor) uses(id uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.using != 0 && c.using == id // a directory without logs is removed as that of log 0
}

// usesDir tells whether the compressor works in a directory of segments.
func (c *compressor) usesDir(n uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.using != 0 && dirOf(c.using) == n
}

// rest pauses after a piece of work, longer while others need the disk. False: it should end.
func (c *compressor) rest() bool {
	ok := c.pause(c.pace.after(c.done, time.Since(c.begun))) && c.mayGoOn()
	c.begun, c.done = time.Now(), 0
	return ok
}

// mayGoOn waits while others need the disk more; false when there is no more time, or no room.
func (c *compressor) mayGoOn() bool { return !c.e.flusher.isFull.Load() && c.letOthers() }

// compressible returns the segments of a log that may be worth it.
func (l *logState) compressible() []segment {
	if !l.e.opts.compresses() {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone || l.settings.Plain {
		return nil
	}
	var out []segment
	for _, s := range l.segments {
		done := s.dense || s.compressed() || s.replacing
		if s.sealed && !done && s.end > l.first && (s.bytes >= minCompressBytes || l.e.opts.eager) {
			out = append(out, s)
		}
	}
	return out
}

func (l *logState) isGone() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.gone
}
