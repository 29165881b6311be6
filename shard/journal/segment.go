package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/seed-462d9463/sluice/shard"
)

// A segment file holds a stretch of one log: a header, frames back to back, and, once it is sealed, a footer
// with its index. FORMAT.md has the layout.
const (
	segmentMagic       = 0x47534c53 // "SLSG"
	segmentVersion     = 1
	segmentHeaderBytes = 64

	footerMagic       = 0x58494c53 // "SLIX"
	footerHeaderBytes = 16
	indexEntryBytes   = 24

	// indexEvery is the distance between index entries: what a read passes over at most to find its place.
	indexEvery = 64 << 10
	// chunkBytes is what is read of a file at one time, unless a frame is longer.
	chunkBytes = 256 << 10
	// maxReadBytes bounds a Read without a limit of bytes.
	maxReadBytes = 32 << 20
)

// segment is what is known of a segment file. The bytes below are what counts of the file: what is behind them,
// but for the footer, was never said to be there.
type segment struct {
	base        shard.Offset
	end         shard.Offset
	bytes       int64 // header and frames
	firstMillis int64
	lastMillis  int64
	sealed      bool
	dense       bool  // compressing was tried and is not worth it
	stored      int64 // header and blocks of the compressed file, 0 for a plain one
	replacing   bool  // a replacement is on its way to the flusher
}

func (s *segment) compressed() bool { return s.stored > 0 }

// diskBytes returns what the segment takes on disk, without its index.
func (s *segment) diskBytes() int64 {
	if s.compressed() {
		return s.stored
	}
	return s.bytes
}

func (s *segment) key(log uint64) fileKey { return fileKey{log, s.base, s.compressed()} }

func segmentHeader(id uint64, base shard.Offset) []byte {
	b := make([]byte, segmentHeaderBytes)
	le := binary.LittleEndian
	le.PutUint32(b, segmentMagic)
	le.PutUint16(b[8:], segmentVersion)
	le.PutUint64(b[16:], id)
	le.PutUint64(b[24:], uint64(base))
	le.PutUint32(b[4:], crc32.Checksum(b[8:], castagnoli))
	return b
}

func parseSegmentHeader(b []byte) (id uint64, base shard.Offset, err error) {
	le := binary.LittleEndian
	switch {
	case len(b) < segmentHeaderBytes:
		return 0, 0, errShort
	case le.Uint32(b) != segmentMagic:
		return 0, 0, errors.New("not a segment")
	case le.Uint32(b[4:]) != crc32.Checksum(b[8:segmentHeaderBytes], castagnoli):
		return 0, 0, errors.New("segment header: checksum does not match")
	case le.Uint16(b[8:]) != segmentVersion:
		return 0, 0, fmt.Errorf("segment version %d is not known", le.Uint16(b[8:]))
	}
	return le.Uint64(b[16:]), shard.Offset(le.Uint64(b[24:])), nil
}

// badFrame is what the function of a scan says of a frame that is sound and still wrong: it is damage at the frame's
// position.
type badFrame string

func (b badFrame) Error() string { return string(b) }

// scanFrames calls f for the frames in [pos, end) of a file, each checked against its sums, until it returns
// false. The frame's bytes may be kept. Damage gives a *shard.CorruptError.
func scanFrames(r io.ReaderAt, name string, pos, end int64, chunk int64, f func(h *frameHeader, frame []byte, pos int64) (bool, error)) error {
	s := frameScan{r: r, name: name, chunk: chunk}
	return s.run(pos, end, f)
}

// frameScan is scanFrames with its choices.
type frameScan struct {
	r     io.ReaderAt
	name  string
	chunk int64
	reuse bool                   // the frames' bytes are valid in the call only
	after func(pos, bytes int64) // called when these bytes of the file have been read, if it is set

	scratch *shard.Scratch // memory for the frames' bytes, if it is set
}

func (s *frameScan) run(pos, end int64, f func(h *frameHeader, frame []byte, pos int64) (bool, error)) error {
	corrupt := func(reason error) error {
		return &shard.CorruptError{File: s.name, Offset: pos, Reason: reason.Error()}
	}
	var buf, b []byte // b is what has been read from pos on: nothing, or the beginning of a frame
	need := int64(frameHeaderBytes)
	for pos < end {
		n := min(max(s.chunk, need), end-pos)
		begun := len(b)
		switch {
		case s.scratch != nil:
			b = s.scratch.Room(b, int(n))
		case !s.reuse || int64(cap(buf)) < n:
			buf = make([]byte, n)
			fallthrough
		default:
			copy(buf[:n], b)
			b = buf[:n]
		}
		if n, err := s.r.ReadAt(b[begun:], pos+int64(begun)); n < len(b)-begun {
			return readError(err, s.name, corrupt)
		}
		if s.after != nil {
			s.after(pos+int64(begun), n-int64(begun))
		}
		need = frameHeaderBytes
		for len(b) > 0 {
			h, err := checkFrame(b)
			if errors.Is(err, errShort) && int64(len(b)) < end-pos {
				need = max(need, h.length)
				break
			}
			if err != nil {
				return corrupt(err)
			}
			more, err := f(&h, b[:h.length:h.length], pos)
			if bad := badFrame(""); errors.As(err, &bad) {
				return corrupt(err)
			}
			if !more || err != nil {
				return err
			}
			b = b[h.length:]
			pos += h.length
		}
	}
	return nil
}
