package journal

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"sort"

	"github.com/seed-462d9463/sluice/shard"
)

// indexEntry says that the frame at a position of a segment has this offset and time. There is one for every
// indexEvery bytes, or for every block of a compressed segment.
type indexEntry struct {
	base   shard.Offset
	millis int64
	pos    int64
	at     int64 // of the block in a compressed segment's file
}

// activeIndex is the index of the segment that a log writes to. After a restart it lacks the part before start,
// which is read back from the file when first needed.
type activeIndex struct {
	entries []indexEntry
	start   int64
}

// addIndex adds a frame if it is far enough from the last one that was added.
func addIndex(index []indexEntry, h *frameHeader, pos int64) []indexEntry {
	if n := len(index); n > 0 && pos-index[n-1].pos < indexEvery {
		return index
	}
	return append(index, indexEntry{base: h.base, millis: h.millis, pos: pos})
}

// seekOffset returns where to begin looking for an offset.
func seekOffset(index []indexEntry, from shard.Offset) int64 {
	return posBefore(index, sort.Search(len(index), func(i int) bool { return index[i].base > from }))
}

// seekTime returns where to begin looking for the first frame whose time is not before millis.
func seekTime(index []indexEntry, millis int64) int64 {
	return posBefore(index, sort.Search(len(index), func(i int) bool { return index[i].millis >= millis }))
}

func posBefore(index []indexEntry, i int) int64 {
	if i == 0 {
		return segmentHeaderBytes
	}
	return index[i-1].pos
}

// buildIndex reads the frames in [pos, end) and returns their index.
func buildIndex(r io.ReaderAt, name string, pos, end int64) ([]indexEntry, error) {
	var index []indexEntry
	err := scanFrames(r, name, pos, end, chunkBytes, func(h *frameHeader, _ []byte, pos int64) (bool, error) {
		index = addIndex(index, h, pos)
		return true, nil
	})
	return index, err
}

// encodeFooter returns what stands behind the frames of a sealed segment.
func encodeFooter(index []indexEntry) []byte {
	le := binary.LittleEndian
	b := make([]byte, footerHeaderBytes, footerHeaderBytes+len(index)*indexEntryBytes)
	le.PutUint32(b, footerMagic)
	le.PutUint16(b[8:], segmentVersion)
	le.PutUint32(b[12:], uint32(len(index)))
	for _, en := range index {
		b = le.AppendUint64(b, uint64(en.base))
		b = le.AppendUint64(b, uint64(en.millis))
		b = le.AppendUint64(b, uint64(en.pos))
	}
	le.PutUint32(b[4:], crc32.Checksum(b[8:], castagnoli))
	return b
}

// decodeFooter decodes a footer of a segment whose frames end at the given position.
func decodeFooter(b []byte, frames int64) ([]indexEntry, error) {
	le := binary.LittleEndian
	if len(b) < footerHeaderBytes || le.Uint32(b) != footerMagic || le.Uint16(b[8:]) != segmentVersion {
		return nil, errors.New("no footer")
	}
	n := int64(le.Uint32(b[12:]))
	size := footerHeaderBytes + n*indexEntryBytes
	if int64(len(b)) < size {
		return nil, errShort
	}
	if le.Uint32(b[4:]) != crc32.Checksum(b[8:size], castagnoli) {
		return nil, errors.New("footer: checksum does not match")
	}
	index := make([]indexEntry, n)
	last := indexEntry{base: -1, pos: segmentHeaderBytes - 1}
	for i := range index {
		at := b[footerHeaderBytes+i*indexEntryBytes:]
		en := indexEntry{
			base: shard.Offset(le.Uint64(at)), millis: int64(le.Uint64(at[8:])), pos: int64(le.Uint64(at[16:])),
		}
		if en.base <= last.base || en.pos <= last.pos || en.pos >= frames || i > 0 && en.millis < last.millis {
			return nil, errors.New("footer: not in order")
		}
		index[i], last = en, en
	}
	return index, nil
}

type sizedReader interface {
	io.ReaderAt
	Size() (int64, error)
}

// readTail returns what is behind a position of a file, nothing if that is more than any index has, or unreadable.
func readTail(f sizedReader, from int64) ([]byte, error) {
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size <= from || size-from > 64<<20 {
		return nil, nil
	}
	b := make([]byte, size-from)
	n, _ := f.ReadAt(b, from)
	return b[:n], nil
}

// readFooter returns the index of a sealed segment whose frames end at the given position. What the footer holds
// can be had from the frames, so a bad one is only slow.
func readFooter(f sizedReader, name string, frames int64) ([]indexEntry, error) {
	tail, err := readTail(f, frames)
	if err != nil {
		return nil, err
	}
	if index, err := decodeFooter(tail, frames); err == nil {
		return index, nil
	}
	return buildIndex(f, name, segmentHeaderBytes, frames)
}
