package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/seed-462d9463/sluice/shard"
)

// A compressed segment takes the place of a sealed one and holds the same frames, in blocks. Positions of frames,
// in indexes, hints and segment.bytes, stay those of the plain segment; indexEntry.at and segment.stored are positions
// in the compressed file.
const (
	compressedMagic   = 0x5a534c53 // "SLSZ"
	compressedVersion = 1

	blockIndexMagic      = 0x585a4c53 // "SLZX"
	blockIndexEntryBytes = 32
)

// compressedHeader is how a compressed segment begins. Reads do without it; it is there for those who have the file
// and nothing else.
type compressedHeader struct {
	log    uint64
	base   shard.Offset
	end    shard.Offset
	bytes  int64 // of the plain segment
	stored int64 // of the file, up to its index
	blocks int64
}

func (h *compressedHeader) encode() []byte {
	b := make([]byte, segmentHeaderBytes)
	le := binary.LittleEndian
	le.PutUint32(b, compressedMagic)
	le.PutUint16(b[8:], compressedVersion)
	le.PutUint32(b[12:], uint32(h.blocks))
	le.PutUint64(b[16:], h.log)
	le.PutUint64(b[24:], uint64(h.base))
	le.PutUint64(b[32:], uint64(h.end))
	le.PutUint64(b[40:], uint64(h.bytes))
	le.PutUint64(b[48:], uint64(h.stored))
	le.PutUint32(b[4:], crc32.Checksum(b[8:], castagnoli))
	return b
}

func parseCompressedHeader(b []byte) (compressedHeader, error) {
	le := binary.LittleEndian
	switch {
	case len(b) < segmentHeaderBytes:
		return compressedHeader{}, errShort
	case le.Uint32(b) != compressedMagic:
		return compressedHeader{}, errors.New("not a compressed segment")
	case le.Uint32(b[4:]) != crc32.Checksum(b[8:segmentHeaderBytes], castagnoli):
		return compressedHeader{}, errors.New("compressed segment's header: checksum does not match")
	case le.Uint16(b[8:]) != compressedVersion:
		return compressedHeader{}, fmt.Errorf("compressed segment version %d is not known", le.Uint16(b[8:]))
	}
	return compressedHeader{
		blocks: int64(le.Uint32(b[12:])),
		log:    le.Uint64(b[16:]),
		base:   shard.Offset(le.Uint64(b[24:])),
		end:    shard.Offset(le.Uint64(b[32:])),
		bytes:  int64(le.Uint64(b[40:])),
		stored: int64(le.Uint64(b[48:])),
	}, nil
}

// encodeBlockIndex returns what stands behind the blocks.
func encodeBlockIndex(index []indexEntry) []byte {
	le := binary.LittleEndian
	b := make([]byte, footerHeaderBytes, footerHeaderBytes+len(index)*blockIndexEntryBytes)
	le.PutUint32(b, blockIndexMagic)
	le.PutUint16(b[8:], compressedVersion)
	le.PutUint32(b[12:], uint32(len(index)))
	for _, en := range index {
		b = le.AppendUint64(b, uint64(en.base))
		b = le.AppendUint64(b, uint64(en.millis))
		b = le.AppendUint64(b, uint64(en.pos))
		b = le.AppendUint64(b, uint64(en.at))
	}
	le.PutUint32(b[4:], crc32.Checksum(b[8:], castagnoli))
	return b
}

// decodeBlockIndex decodes the index of a compressed segment whose blocks end at the position stored, and their frames
// at the position bytes.
func decodeBlockIndex(b []byte, bytes, stored int64) ([]indexEntry, error) {
	le := binary.LittleEndian
	if len(b) < footerHeaderBytes || le.Uint32(b) != blockIndexMagic || le.Uint16(b[8:]) != compressedVersion {
		return nil, errors.New("no index of blocks")
	}
	n := int64(le.Uint32(b[12:]))
	if int64(len(b)) < footerHeaderBytes+n*blockIndexEntryBytes {
		return nil, errShort
	}
	if le.Uint32(b[4:]) != crc32.Checksum(b[8:footerHeaderBytes+n*blockIndexEntryBytes], castagnoli) {
		return nil, errors.New("index of blocks: checksum does not match")
	}
	index := make([]indexEntry, n)
	for i := range index {
		at := b[footerHeaderBytes+i*blockIndexEntryBytes:]
		en := indexEntry{base: shard.Offset(le.Uint64(at)), millis: int64(le.Uint64(at[8:])),
			pos: int64(le.Uint64(at[16:])), at: int64(le.Uint64(at[24:]))}
		first := en.pos == segmentHeaderBytes && en.at == segmentHeaderBytes && en.base >= 0
		ordered := i > 0 && en.base > index[i-1].base && en.millis >= index[i-1].millis && en.pos > index[i-1].pos &&
			en.at > index[i-1].at
		if i == 0 && !first || i > 0 && !ordered || en.pos >= bytes || en.at >= stored {
			return nil, errors.New("index of blocks: not in order")
		}
		index[i] = en
	}
	if n == 0 {
		return nil, errors.New("index of blocks: empty")
	}
	return index, nil
}

// buildBlockIndex returns the index from the blocks' headers.
func buildBlockIndex(r io.ReaderAt, name string, bytes, stored int64) ([]indexEntry, error) {
	var index []indexEntry
	pos, at := int64(segmentHeaderBytes), int64(segmentHeaderBytes)
	for b := make([]byte, blockHeaderBytes); at < stored; {
		corrupt := func(reason error) error {
			return &shard.CorruptError{File: name, Offset: at, Reason: reason.Error()}
		}
		if n, err := r.ReadAt(b, at); n < len(b) {
			return index, readError(err, name, corrupt)
		}
		h, err := parseBlockHeader(b)
		if err == nil && (h.pos != pos || at+h.length() > stored || pos+h.decoded > bytes) {
			err = errors.New("this block belongs elsewhere")
		}
		if err != nil {
			return nil, corrupt(err)
		}
		index = append(index, h.index(at))
		pos, at = pos+h.decoded, at+h.length()
	}
	if pos != bytes || len(index) == 0 {
		return nil, &shard.CorruptError{File: name, Offset: at, Reason: fmt.Sprintf("the blocks end at byte %d, not %d", pos, bytes)}
	}
	return index, nil
}

// readBlockIndex returns the index of a compressed segment. As with plain ones, a bad one is only slow.
func readBlockIndex(f sizedReader, name string, bytes, stored int64) ([]indexEntry, error) {
	tail, err := readTail(f, stored)
	if err != nil {
		return nil, err
	}
	if index, err := decodeBlockIndex(tail, bytes, stored); err == nil {
		return index, nil
	}
	return buildBlockIndex(f, name, bytes, stored)
}

// readBlock reads the i-th block of an index and returns its frames. All that it says must fit.
func readBlock(r io.ReaderAt, name string, index []indexEntry, i int, bytes, stored int64) ([]byte, error) {
	at, pos, end := index[i].at, bytes, stored
	if i+1 < len(index) {
		pos, end = index[i+1].pos, index[i+1].at
	}
	corrupt := func(reason error) error {
		return &shard.CorruptError{File: name, Offset: at, Reason: reason.Error()}
	}
	if end-at < blockHeaderBytes || end-at > blockHeaderBytes+maxBlockBytes {
		return nil, corrupt(fmt.Errorf("a block of %d bytes, which no block has", end-at))
	}
	b := make([]byte, end-at)
	if n, err := r.ReadAt(b, at); n < len(b) {
		return nil, readError(err, name, corrupt)
	}
	h, err := parseBlockHeader(b)
	if err == nil && (h.index(at) != index[i] || h.length() != int64(len(b)) || h.pos+h.decoded != pos) {
		err = errors.New("this block belongs elsewhere")
	}
	if err != nil {
		return nil, corrupt(err)
	}
	frames, err := decodeBlock(&h, b[blockHeaderBytes:])
	if err != nil {
		return nil, corrupt(err)
	}
	return frames, nil
}

// readError tells a file that ends too early, which is damage, from one that cannot be read.
func readError(err error, name string, corrupt func(error) error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return corrupt(errors.New("the file ends too early"))
	}
	return fmt.Errorf("read %s: %w", name, err)
}
