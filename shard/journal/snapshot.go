package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"path"
	"strconv"
	"strings"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

const (
	metaDir             = "meta"
	tmpSuffix           = ".tmp"
	snapshotMagic       = 0x50534c53 // "SLSP"
	snapshotVersion     = 1
	snapshotHeaderBytes = 16
)

// snapshot is what a checkpoint writes: everything that the journal before the checkpoint said. FORMAT.md has
// the bytes.
type snapshot struct {
	journal      uint64
	epoch        uint64
	generation   uint64
	checkpoint   lsn // the journal is needed from here
	durable      lsn // and must reach at least to here
	journalFiles uint64
	nextTopic    uint64
	nextLog      uint64
	topics       []snapshotTopic
}

type snapshotTopic struct {
	id   uint64
	name string
	logs []snapshotLog
}

type snapshotLog struct {
	id         uint64
	first      shard.Offset
	flushed    shard.Offset
	lastMillis int64
	segments   []segment
	gaps       []gap
}

// copyName is a copy of the newest snapshot.
var copyName = path.Join(metaDir, "copy")

func snapshotName(n uint64) string { return path.Join(metaDir, fmt.Sprintf("%016x.snap", n)) }

func parseSnapshotName(name string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, ".snap")
	if !ok || len(digits) != 16 {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 16, 64)
	return n, err == nil
}

func (s *snapshot) encode() []byte {
	b := make([]byte, snapshotHeaderBytes, 4096)
	put := func(values ...uint64) {
		for _, v := range values {
			b = binary.AppendUvarint(b, v)
		}
	}
	put(s.journal, s.epoch, s.generation, uint64(s.checkpoint), uint64(s.durable), s.journalFiles, s.nextTopic, s.nextLog)
	put(uint64(len(s.topics)))
	for _, t := range s.topics {
		put(t.id, uint64(len(t.name)))
		b = append(b, t.name...)
		put(uint64(len(t.logs)))
		for _, l := range t.logs {
			put(l.id, uint64(l.first), uint64(l.flushed), uint64(l.lastMillis), uint64(len(l.segments)))
			for _, g := range l.segments {
				put(uint64(g.base), uint64(g.end), uint64(g.bytes), uint64(g.firstMillis), uint64(g.lastMillis), g.state())
				if g.compressed() {
					put(uint64(g.stored))
				}
			}
			put(uint64(len(l.gaps)))
			for _, g := range l.gaps {
				put(uint64(g.from), uint64(g.to))
			}
		}
	}
	le := binary.LittleEndian
	le.PutUint32(b, snapshotMagic)
	le.PutUint16(b[8:], snapshotVersion)
	le.PutUint32(b[12:], uint32(len(b)))
	le.PutUint32(b[4:], crc32.Checksum(b[8:], castagnoli))
	return b
}

func decodeSnapshot(b []byte) (*snapshot, error) {
	le := binary.LittleEndian
	switch {
	case len(b) < snapshotHeaderBytes || le.Uint32(b) != snapshotMagic:
		return nil, errors.New("not a snapshot")
	case uint64(le.Uint32(b[12:])) != uint64(len(b)):
		return nil, errors.New("snapshot: length does not match")
	case le.Uint32(b[4:]) != crc32.Checksum(b[8:], castagnoli):
		return nil, errors.New("snapshot: checksum does not match")
	case le.Uint16(b[8:]) != snapshotVersion:
		return nil, fmt.Errorf("snapshot version %d is not known", le.Uint16(b[8:]))
	}
	p := payloadReader{b: b[snapshotHeaderBytes:]}
	s := &snapshot{
		journal: p.uvarint(), epoch: p.uvarint(), generation: p.uvarint(), checkpoint: lsn(p.uvarint()),
		durable: lsn(p.uvarint()), journalFiles: p.uvarint(), nextTopic: p.uvarint(), nextLog: p.uvarint(),
	}
	for n := p.uvarint(); n > 0 && !p.bad; n-- {
		t := snapshotTopic{id: p.uvarint()}
		t.name = string(p.take(p.uvarint()))
		for n := p.uvarint(); n > 0 && !p.bad; n-- {
			t.logs = append(t.logs, decodeSnapshotLog(&p))
		}
		s.topics = append(s.topics, t)
	}
	if p.bad || len(p.b) > 0 {
		return nil, errors.New("snapshot does not decode")
	}
	if s.journalFiles < 1 || s.journalFiles > maxJournalFiles {
		return nil, fmt.Errorf("snapshot with %d journal files", s.journalFiles)
	}
	return s, nil
}

// The states of a segment, as a snapshot has them.
const (
	segmentActive     = 0
	segmentSealed     = 1
	segmentDense      = 2 // sealed, and compressing is not worth it
	segmentCompressed = 3 // followed by the length of the compressed file, up to its index
)

func (s *segment) state() uint64 {
	switch {
	case s.compressed():
		return segmentCompressed
	case s.dense:
		return segmentDense
	case s.sealed:
		return segmentSealed
	}
	return segmentActive
}

func decodeSegment(p *payloadReader) segment {
	g := segment{
		base: shard.Offset(p.uvarint()), end: shard.Offset(p.uvarint()), bytes: int64(p.uvarint()),
		firstMillis: int64(p.uvarint()), lastMillis: int64(p.uvarint()),
	}
	switch p.uvarint() {
	case segmentActive:
	case segmentSealed:
		g.sealed = true
	case segmentDense:
		g.sealed, g.dense = true, true
	case segmentCompressed:
		g.sealed, g.stored = true, int64(p.uvarint())
		p.bad = p.bad || g.stored <= segmentHeaderBytes
	default:
		p.bad = true
	}
	return g
}

func decodeSnapshotLog(p *payloadReader) snapshotLog {
	l := snapshotLog{
		id: p.uvarint(), first: shard.Offset(p.uvarint()), flushed: shard.Offset(p.uvarint()), lastMillis: int64(p.uvarint()),
	}
	last := shard.Offset(0)
	for n := p.uvarint(); n > 0 && !p.bad; n-- {
		g := decodeSegment(p)
		if g.base < last || g.end <= g.base || g.end > l.flushed || g.bytes <= segmentHeaderBytes || n > 1 && !g.sealed {
			p.bad = true
		}
		last = g.end
		l.segments = append(l.segments, g)
	}
	last = 0
	for n := p.uvarint(); n > 0 && !p.bad; n-- {
		g := gap{from: shard.Offset(p.uvarint()), to: shard.Offset(p.uvarint())}
		if g.from < last || g.to <= g.from || g.to > l.flushed {
			p.bad = true
		}
		last = g.to
		l.gaps = append(l.gaps, g)
	}
	if l.first < 0 || l.flushed < 0 {
		p.bad = true
	}
	return l
}

// writeFile makes a small file durable under its name, or leaves none of it there.
func writeFile(fs vfs.FS, dir, name string, b []byte) error {
	tmp := path.Join(dir, name+tmpSuffix)
	if err := removeIfThere(fs, tmp); err != nil {
		return err
	}
	f, err := fs.Create(tmp)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, 0)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = fs.Rename(tmp, path.Join(dir, name))
	}
	if err != nil {
		return errors.Join(err, removeIfThere(fs, tmp))
	}
	return fs.SyncDir(path.Dir(path.Join(dir, name)))
}

// writeSnapshot makes a snapshot durable and returns its size. First comes a copy of it: nothing else says which topics
// there are, so that a repair could do little without.
func writeSnapshot(fs vfs.FS, dir string, n uint64, s *snapshot) (int, error) {
	b := s.encode()
	if err := writeFile(fs, dir, copyName, b); err != nil {
		return 0, err
	}
	return len(b), writeFile(fs, dir, snapshotName(n), b)
}

// listSnapshots returns the numbers of the snapshots, ascending, and removes temporary files.
func listSnapshots(fs vfs.FS, dir string) ([]uint64, error) {
	names, err := fs.List(path.Join(dir, metaDir))
	if err != nil {
		return nil, err
	}
	var numbers []uint64
	for _, name := range names {
		if n, ok := parseSnapshotName(name); ok {
			numbers = append(numbers, n)
		} else if strings.HasSuffix(name, tmpSuffix) {
			if err := removeIfThere(fs, path.Join(dir, metaDir, name)); err != nil {
				return nil, err
			}
		}
	}
	return numbers, nil
}

func removeSnapshotsBefore(fs vfs.FS, dir string, n uint64) error {
	numbers, err := listSnapshots(fs, dir)
	for _, old := range numbers {
		if old < n && err == nil {
			err = removeIfThere(fs, path.Join(dir, snapshotName(old)))
		}
	}
	return err
}

func readFile(fs vfs.FS, name string, limit int64) ([]byte, error) {
	f, err := fs.Open(name, false)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size > limit {
		return nil, fmt.Errorf("%s has %d bytes, more than %d", name, size, limit)
	}
	b := make([]byte, size)
	if n, err := f.ReadAt(b, 0); n < len(b) {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return b, nil
}
