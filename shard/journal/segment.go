package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path"
	"strconv"
	"strings"

	"github.com/seed-462d9463/sluice/shard"
)

// A segment file holds a stretch of one log: a header, frames back to back, and, once it is sealed, a footer
// with its index. FORMAT.md has the layout.
const (
	shardsDir          = "shards"
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
}

func logDir(id uint64) string { return path.Join(shardsDir, strconv.FormatUint(id, 10)) }

func segmentName(id uint64, base shard.Offset) string {
	return path.Join(logDir(id), fmt.Sprintf("%020d.seg", base))
}

func parseSegmentName(name string) (shard.Offset, bool) {
	digits, ok := strings.CutSuffix(name, ".seg")
	if !ok || len(digits) != 20 {
		return 0, false
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	return shard.Offset(n), err == nil && n >= 0
}

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

// scanFrames calls f for the frames in [pos, end) of a file, each checked against its sums, until it returns
// false. The frame's bytes may be kept. Damage gives a *shard.CorruptError.
func scanFrames(r io.ReaderAt, name string, pos, end int64, chunk int64, f func(h *frameHeader, frame []byte, pos int64) (bool, error)) error {
	corrupt := func(reason error) error {
		return &shard.CorruptError{File: name, Offset: pos, Reason: reason.Error()}
	}
	need := int64(frameHeaderBytes)
	for pos < end {
		b := make([]byte, min(max(chunk, need), end-pos))
		if n, err := r.ReadAt(b, pos); n < len(b) {
			if err == io.EOF {
				return corrupt(errors.New("the file ends too early"))
			}
			return fmt.Errorf("read %s: %w", name, err)
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
			if errors.Is(err, errPayload) {
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
