package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path"
	"sync/atomic"
	"time"

	"github.com/seed-462d9463/sluice/shard/vfs"
)

// A mark says, outside of what it speaks of, how far the journal is durable and which snapshot there is. Without it the
// last batch, when it is damaged, would look like one that a crash tore; a journal file full of zeros like one that was
// never written to; and an older snapshot like the newest.
//
// Invariants:
//  1. What a mark says is durable was durable before the mark was written.
//  2. If a batch in a journal file is needed and was acknowledged, a mark says that some needed one there is durable. A
//     checkpoint beside a commit may leave this to the next commit.
//  3. markAfter after the last batch a mark speaks of it, too. While batches go on, about every markEvery a mark speaks
//     of all that are durable: not exactly, for it is the flusher that leaves it, between two writes to segments.
//  4. Of the two slots the one with the newest mark is never written: a torn write leaves it.
const (
	markMagic     = 0x4b4d4c53 // "SLMK"
	markVersion   = 1
	markBytes     = 48
	markSlotBytes = 4096

	// markAfter is how long the committer has nothing to do before it leaves a mark.
	markAfter = 100 * time.Millisecond
	// markEvery is how old the newest mark becomes while the committer always has something to do.
	markEvery = time.Second
)

var markName = path.Join(journalDir, "mark")

type mark struct {
	journal  uint64
	sequence uint64 // grows with every mark
	durable  lsn
	snapshot uint64 // the newest one
}

func (m mark) encode() []byte {
	b := make([]byte, markBytes)
	le := binary.LittleEndian
	le.PutUint32(b, markMagic)
	le.PutUint16(b[8:], markVersion)
	le.PutUint64(b[16:], m.journal)
	le.PutUint64(b[24:], m.sequence)
	le.PutUint64(b[32:], uint64(m.durable))
	le.PutUint64(b[40:], m.snapshot)
	le.PutUint32(b[4:], crc32.Checksum(b[8:], castagnoli))
	return b
}

func decodeMark(b []byte) (mark, error) {
	le := binary.LittleEndian
	switch {
	case len(b) < markBytes:
		return mark{}, errShort
	case le.Uint32(b) != markMagic:
		return mark{}, errors.New("no mark")
	case le.Uint32(b[4:]) != crc32.Checksum(b[8:markBytes], castagnoli):
		return mark{}, errors.New("mark: checksum does not match")
	case le.Uint16(b[8:]) != markVersion:
		return mark{}, fmt.Errorf("mark version %d is not known", le.Uint16(b[8:]))
	}
	return mark{
		journal: le.Uint64(b[16:]), sequence: le.Uint64(b[24:]), durable: lsn(le.Uint64(b[32:])), snapshot: le.Uint64(b[40:]),
	}, nil
}

// marker writes marks. The committer and the flusher both do.
type marker struct {
	f         vfs.File
	writeOver func(f vfs.File, vec [][]byte, pos int64) error
	turn      chan struct{} // holds an element while a mark is written; guards last
	last      mark
	upTo      atomic.Uint64 // last.durable
	begun     time.Time
	written   atomic.Int64 // when last was, in time since begun
}

// reached returns how far the last mark says that the journal is durable.
func (m *marker) reached() lsn { return lsn(m.upTo.Load()) }

// old tells whether the last mark is markEvery old.
func (m *marker) old(now time.Time) bool {
	return now.Sub(m.begun)-time.Duration(m.written.Load()) >= markEvery
}

// createMarks makes the file of the marks, with one that says nothing.
func createMarks(fsys vfs.FS, dir string, journal uint64) error {
	b := make([]byte, 2*markSlotBytes)
	copy(b, mark{journal: journal}.encode())
	return writeFile(fsys, dir, markName, b)
}

// openMarks reads the newest mark.
func (e *Engine) openMarks() error {
	f, err := e.opts.FS.Open(e.path(markName), true)
	if errors.Is(err, fs.ErrNotExist) {
		return e.corrupt(markName, 0, "the file is missing")
	}
	if err != nil {
		return err
	}
	e.marks = &marker{f: f, turn: make(chan struct{}, 1), writeOver: e.writeOver, begun: time.Now()}
	b := make([]byte, 2*markSlotBytes)
	if n, err := f.ReadAt(b, 0); n < len(b) {
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read %s: %w", e.path(markName), err)
		}
		return e.corrupt(markName, int64(n), "the file cannot be read further: %v", err)
	}
	found := false
	for slot := range 2 {
		m, err := decodeMark(b[slot*markSlotBytes:])
		if err != nil || m.journal != e.journal.id {
			continue // torn, if not damaged; what the other one says is true all the same
		}
		if !found || m.sequence > e.marks.last.sequence {
			e.marks.last = m
		}
		found = true
	}
	if !found {
		return e.corrupt(markName, 0, "neither of the two marks can be read")
	}
	e.marks.upTo.Store(uint64(e.marks.last.durable))
	return nil
}

// write leaves a mark, unless the last one says it already.
func (m *marker) write(durable lsn, snapshot uint64) error {
	m.turn <- struct{}{}
	defer func() { <-m.turn }()
	next := m.last
	next.durable, next.snapshot = max(next.durable, durable), max(next.snapshot, snapshot)
	if next == m.last {
		m.written.Store(int64(time.Since(m.begun))) // it might as well have been
		return nil
	}
	next.sequence++
	err := m.writeOver(m.f, [][]byte{next.encode()}, int64(next.sequence%2)*markSlotBytes)
	if err == nil {
		err = m.f.Datasync()
	}
	if err != nil {
		return fmt.Errorf("mark how far the journal is durable: %w", err)
	}
	m.last = next
	m.upTo.Store(uint64(next.durable))
	m.written.Store(int64(time.Since(m.begun)))
	return nil
}

// markDue leaves a mark of how far the journal is durable, if the last one is old.
func (f *flusher) markDue() error {
	if f.replays || !f.e.marks.old(time.Now()) {
		return nil
	}
	f.e.buffers.trim() // as often
	return f.e.marks.write(lsn(f.e.durable.Load()), 0)
}

func (m *marker) close() error {
	if m == nil {
		return nil
	}
	return m.f.Close()
}
