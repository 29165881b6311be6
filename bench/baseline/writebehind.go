package baseline

import (
	"errors"
	"fmt"
	"path"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/seed-462d9463/sluice/shard/vfs"
)

const (
	behindBytes  = 128 << 20 // what may wait to be moved
	chunkBytes   = 256 << 10 // of one log, written to its segment together
	segmentBytes = 64 << 20
)

// writeBehind moves what the journal has made durable to a segment file for each log, in the background, and asks the
// kernel after each write to start on it. A journal file is free again when all that was in it is in segments that
// were synced.
type writeBehind struct {
	fs   vfs.FS
	dir  string
	logs []behindLog // of the goroutine alone, like serial and dirty
	// serial numbers the segments; dirty are those written since the last sync.
	serial int
	dirty  map[vfs.File]bool
	done   chan struct{} // closed when the goroutine has ended

	mu      sync.Mutex // guards what follows
	changed *sync.Cond
	queue   []move
	waiting int64 // bytes in queue, or being moved
	spare   [][]byte
	busy    [recycledFiles]bool // journal files that are not free
	closed  bool
	err     error
}

// move is a group to be moved, or, with file ≥ 0, the message that all groups of that journal file have been handed in.
type move struct {
	records []record
	buf     []byte // the records' bytes, one after the other
	file    int
}

type behindLog struct {
	buf     []byte
	segment vfs.File
	pos     int64
}

func newWriteBehind(fs vfs.FS, dir string, logs int) *writeBehind {
	b := &writeBehind{fs: fs, dir: dir, logs: make([]behindLog, logs), dirty: map[vfs.File]bool{}, done: make(chan struct{})}
	b.changed = sync.NewCond(&b.mu)
	go b.run()
	return b
}

func (b *writeBehind) put(m move) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.queue = append(b.queue, m)
	b.waiting += int64(len(m.buf))
	if m.file >= 0 {
		b.busy[m.file] = true
	}
	b.changed.Broadcast()
}

// awaitFree waits until a journal file can be written over.
func (b *writeBehind) awaitFree(file int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.busy[file] && b.err == nil {
		b.changed.Wait()
	}
	return b.err
}

// buffer waits until there is room for n bytes more.
func (b *writeBehind) buffer(n int64) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.waiting+n > behindBytes && b.err == nil {
		b.changed.Wait()
	}
	if b.err != nil {
		return nil, b.err
	}
	if k := len(b.spare); k > 0 && int64(cap(b.spare[k-1])) >= n {
		buf := b.spare[k-1]
		b.spare = b.spare[:k-1]
		return buf[:0], nil
	}
	return make([]byte, 0, n), nil
}

func (b *writeBehind) close() error {
	b.mu.Lock()
	b.closed = true
	b.changed.Broadcast()
	b.mu.Unlock()
	<-b.done
	for i := range b.logs {
		if f := b.logs[i].segment; f != nil {
			b.err = errors.Join(b.err, f.Close())
		}
	}
	return b.err
}

func (b *writeBehind) run() {
	defer close(b.done)
	for {
		m, ok := b.take()
		if !ok {
			return
		}
		err := b.move(m)
		b.mu.Lock()
		b.waiting -= int64(len(m.buf))
		if len(b.spare) < 8 && m.buf != nil {
			b.spare = append(b.spare, m.buf)
		}
		if m.file >= 0 {
			b.busy[m.file] = false
		}
		b.err = errors.Join(b.err, err)
		b.changed.Broadcast()
		b.mu.Unlock()
	}
}

func (b *writeBehind) take() (move, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.queue) == 0 && !b.closed {
		b.changed.Wait()
	}
	if len(b.queue) == 0 {
		return move{}, false
	}
	m := b.queue[0]
	b.queue[0] = move{}
	b.queue = b.queue[1:]
	return m, true
}

func (b *writeBehind) move(m move) error {
	if m.file >= 0 {
		return b.checkpoint()
	}
	rest := m.buf
	for _, r := range m.records {
		bytes := rest[:len(r.bytes)]
		rest = rest[len(r.bytes):]
		l := &b.logs[r.log]
		if len(l.buf) == 0 && len(bytes) >= chunkBytes {
			if err := b.write(l, bytes); err != nil {
				return err
			}
			continue
		}
		if l.buf = append(l.buf, bytes...); len(l.buf) >= chunkBytes {
			if err := b.flush(l); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *writeBehind) flush(l *behindLog) error {
	err := b.write(l, l.buf)
	l.buf = l.buf[:0]
	return err
}

func (b *writeBehind) write(l *behindLog, bytes []byte) error {
	if l.segment == nil || l.pos+int64(len(bytes)) > segmentBytes {
		if err := b.nextSegment(l); err != nil {
			return err
		}
	}
	b.dirty[l.segment] = true
	if _, err := l.segment.WriteAt(bytes, l.pos); err != nil {
		return err
	}
	err := l.segment.StartWriteback(l.pos, int64(len(bytes)))
	l.pos += int64(len(bytes))
	return err
}

func (b *writeBehind) nextSegment(l *behindLog) error {
	if old := l.segment; old != nil {
		delete(b.dirty, old)
		if err := errors.Join(old.Datasync(), old.Close()); err != nil {
			return err
		}
	}
	b.serial++
	var err error
	l.pos = 0
	if l.segment, err = b.fs.Create(path.Join(b.dir, fmt.Sprintf("%08d.segment", b.serial))); err != nil {
		return err
	}
	return l.segment.Preallocate(0, segmentBytes)
}

// checkpoint makes all that was handed in durable in segments.
func (b *writeBehind) checkpoint() error {
	for i := range b.logs {
		if l := &b.logs[i]; len(l.buf) > 0 {
			if err := b.flush(l); err != nil {
				return err
			}
		}
	}
	var syncs errgroup.Group
	syncs.SetLimit(4)
	for f := range b.dirty {
		syncs.Go(f.Datasync)
	}
	clear(b.dirty)
	return errors.Join(syncs.Wait(), b.fs.SyncDir(b.dir))
}
