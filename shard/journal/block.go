package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/klauspost/compress/zstd"

	"github.com/seed-462d9463/sluice/shard"
)

// A compressed segment is made of blocks: whole frames, about targetBlockBytes of them, so that a read unpacks
// little beside what it needs. A frame longer than that is a block of its own. FORMAT.md has the layout.
const (
	blockMagic       = 0x425a4c53 // "SLZB"
	blockHeaderBytes = 48

	codecStored = 0 // for what does not get smaller
	codecZstd   = 1

	targetBlockBytes = 64 << 10
)

// maxBlockBytes bounds what a block may claim to unpack to: no frame is longer.
var maxBlockBytes = maxFrameBytes(shard.MaxAppendBytes)

// blockHeader is the fixed part before each block of a compressed segment.
type blockHeader struct {
	stored  int64 // bytes behind the header
	decoded int64 // bytes of the frames
	codec   byte
	sum     uint32 // of the stored bytes
	pos     int64  // of the first frame in the segment before it was compressed
	base    shard.Offset
	millis  int64
}

// length returns the bytes of the block in the file.
func (h *blockHeader) length() int64 { return blockHeaderBytes + h.stored }

// index returns the entry of a block at a position of the file.
func (h *blockHeader) index(at int64) indexEntry {
	return indexEntry{base: h.base, millis: h.millis, pos: h.pos, at: at}
}

func (h *blockHeader) put(b []byte) {
	le := binary.LittleEndian
	le.PutUint32(b, blockMagic)
	le.PutUint32(b[8:], h.sum)
	le.PutUint32(b[12:], uint32(h.stored))
	le.PutUint32(b[16:], uint32(h.decoded))
	le.PutUint32(b[20:], uint32(h.codec))
	le.PutUint64(b[24:], uint64(h.pos))
	le.PutUint64(b[32:], uint64(h.base))
	le.PutUint64(b[40:], uint64(h.millis))
	le.PutUint32(b[4:], crc32.Checksum(b[8:blockHeaderBytes], castagnoli))
}

// parseBlockHeader checks and decodes the header at the start of b. What it says of sizes is within bounds.
func parseBlockHeader(b []byte) (blockHeader, error) {
	le := binary.LittleEndian
	switch {
	case len(b) < blockHeaderBytes:
		return blockHeader{}, errShort
	case le.Uint32(b) != blockMagic:
		return blockHeader{}, errors.New("no block begins here")
	case le.Uint32(b[4:]) != crc32.Checksum(b[8:blockHeaderBytes], castagnoli):
		return blockHeader{}, errors.New("block header: checksum does not match")
	}
	h := blockHeader{
		sum:     le.Uint32(b[8:]),
		stored:  int64(le.Uint32(b[12:])),
		decoded: int64(le.Uint32(b[16:])),
		codec:   b[20],
		pos:     int64(le.Uint64(b[24:])),
		base:    shard.Offset(le.Uint64(b[32:])),
		millis:  int64(le.Uint64(b[40:])),
	}
	switch {
	case h.codec > codecZstd:
		return h, fmt.Errorf("block codec %d is not known", h.codec)
	case h.decoded < frameHeaderBytes || h.decoded > maxBlockBytes:
		return h, fmt.Errorf("a block of %d bytes, which no block has", h.decoded)
	case h.stored > h.decoded || h.codec == codecStored && h.stored != h.decoded:
		return h, fmt.Errorf("%d bytes that are said to be %d", h.decoded, h.stored)
	case h.pos < segmentHeaderBytes || h.base < 0:
		return h, errors.New("block with an impossible place")
	}
	return h, nil
}

// decodeBlock returns the frames of a block, in memory of their own, from what is stored of it.
func decodeBlock(h *blockHeader, stored []byte) ([]byte, error) {
	switch {
	case int64(len(stored)) != h.stored:
		return nil, errShort
	case crc32.Checksum(stored, castagnoli) != h.sum:
		return nil, errors.New("block: checksum does not match")
	case h.codec == codecStored:
		return append(make([]byte, 0, h.decoded), stored...), nil
	}
	frames, err := decoder.DecodeAll(stored, make([]byte, 0, h.decoded))
	if err == nil && int64(len(frames)) != h.decoded {
		err = fmt.Errorf("%d bytes, not %d", len(frames), h.decoded)
	}
	if err != nil {
		return nil, fmt.Errorf("block does not unpack: %w", err)
	}
	return frames, nil
}

// decoder unpacks for everybody. It keeps less than 100 KiB for each call that may run at one time, and starts no
// goroutine. It is made at once because it has a channel inside: one made when first needed would belong to the
// testing/synctest bubble that happened to need it.
var decoder = newDecoder()

func newDecoder() *zstd.Decoder {
	d, err := zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(0), // as many as there are processors
		zstd.WithDecoderMaxMemory(uint64(maxBlockBytes)),
		zstd.WithDecoderMaxWindow(32<<20),
		zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		panic(err) // the options are constants
	}
	return d
}

// newEncoder returns what packs blocks, for one goroutine. The fastest level: on web server logs the next one takes
// nearly twice the time for 1 % less (bench/README.md).
func newEncoder() *zstd.Encoder {
	enc, err := zstd.NewWriter(nil,
		zstd.WithEncoderConcurrency(1),
		zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithEncoderCRC(false), // the block has a sum of its own
		zstd.WithWindowSize(1<<20), // beyond it memory grows, and only the biggest frames would gain
		zstd.WithLowerEncoderMem(true))
	if err != nil {
		panic(err) // the options are constants
	}
	return enc
}

// appendBlock appends frames as a block, of which h says the place. It unpacks what it packed: the frames will be
// removed, so nothing is taken on trust.
func appendBlock(dst []byte, enc *zstd.Encoder, h blockHeader, frames []byte) ([]byte, error) {
	start := len(dst)
	dst = append(dst, make([]byte, blockHeaderBytes)...)
	dst = enc.EncodeAll(frames, dst)
	h.codec, h.decoded = codecZstd, int64(len(frames))
	if len(dst)-start-blockHeaderBytes >= len(frames) {
		dst = append(dst[:start+blockHeaderBytes], frames...)
		h.codec = codecStored
	}
	stored := dst[start+blockHeaderBytes:]
	h.stored, h.sum = int64(len(stored)), crc32.Checksum(stored, castagnoli)
	h.put(dst[start:])
	again, err := decodeBlock(&h, stored)
	if err == nil && string(again) != string(frames) {
		err = errors.New("other bytes came back")
	}
	if err != nil {
		return nil, fmt.Errorf("compress block: %w", err)
	}
	return dst, nil
}
