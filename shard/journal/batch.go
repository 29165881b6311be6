package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// A batch is what the committer writes at one time: a header and the frames of all who waited, padded with
// zeros to whole blocks. FORMAT.md has the layout.
const (
	blockBytes       = 4096
	batchHeaderBytes = 64
	batchMagic       = 0x424a4c53 // "SLJB"
	batchVersion     = 1
)

// lsn is a position in the journal: the number of bytes, with padding, that all earlier batches took since the
// directory was made. It never goes back, whatever file the bytes are in.
type lsn uint64

type batchHeader struct {
	frames     uint32
	journal    uint64 // the directory's random id: no payload can look like a batch, no foreign file be taken
	generation uint64 // of the file: counts each time that one is begun anew
	at         lsn
	durable    lsn // all before it was durable when this was written
	length     int64
	epoch      uint64
}

// padded is what the batch takes in the file and in LSNs.
func (h *batchHeader) padded() int64 { return alignUp(h.length) }

func (h *batchHeader) end() lsn { return h.at + lsn(h.padded()) }

func alignUp(n int64) int64 { return (n + blockBytes - 1) &^ (blockBytes - 1) }

// seal completes a batch: the header goes to the beginning of buf, behind which are the first frames, if not all, and
// the others follow in pieces.
func (h *batchHeader) seal(buf []byte, pieces ...[]byte) {
	le := binary.LittleEndian
	le.PutUint32(buf, batchMagic)
	le.PutUint16(buf[8:], batchVersion)
	le.PutUint16(buf[10:], 0)
	le.PutUint32(buf[12:], h.frames)
	le.PutUint64(buf[16:], h.journal)
	le.PutUint64(buf[24:], h.generation)
	le.PutUint64(buf[32:], uint64(h.at))
	le.PutUint64(buf[40:], uint64(h.durable))
	le.PutUint32(buf[48:], uint32(h.length))
	le.PutUint32(buf[52:], 0)
	le.PutUint64(buf[56:], h.epoch)
	sum := crc32.Checksum(buf[8:min(int64(len(buf)), h.length)], castagnoli)
	for _, piece := range pieces {
		sum = sumFrames(sum, piece)
	}
	le.PutUint32(buf[4:], sum)
}

var errNoBatch = errors.New("no batch begins here")

// parseBatchHeader decodes the header at the start of b. Whether it is whole, only checkBatch can say.
func parseBatchHeader(b []byte) (batchHeader, error) {
	if len(b) < batchHeaderBytes {
		return batchHeader{}, errShort
	}
	le := binary.LittleEndian
	if le.Uint32(b) != batchMagic {
		return batchHeader{}, errNoBatch
	}
	if v := le.Uint16(b[8:]); v != batchVersion {
		return batchHeader{}, fmt.Errorf("batch version %d is not known", v)
	}
	h := batchHeader{
		frames:     le.Uint32(b[12:]),
		journal:    le.Uint64(b[16:]),
		generation: le.Uint64(b[24:]),
		at:         lsn(le.Uint64(b[32:])),
		durable:    lsn(le.Uint64(b[40:])),
		length:     int64(le.Uint32(b[48:])),
		epoch:      le.Uint64(b[56:]),
	}
	if h.length < batchHeaderBytes || h.durable > h.at {
		return h, errors.New("batch header makes no sense")
	}
	return h, nil
}

// checkBatch checks a whole batch against its sum.
func checkBatch(h *batchHeader, b []byte) error {
	if int64(len(b)) < h.length {
		return errShort
	}
	if binary.LittleEndian.Uint32(b[4:]) != crc32.Checksum(b[8:h.length], castagnoli) {
		return errors.New("batch checksum does not match")
	}
	return nil
}

// eachFrame calls f for the frames of a batch that was checked.
func eachFrame(h *batchHeader, b []byte, f func(frameHeader, []byte) error) error {
	rest := b[batchHeaderBytes:h.length]
	for i := range h.frames {
		fh, err := checkFrame(rest)
		if err != nil {
			return fmt.Errorf("frame %d of %d: %w", i+1, h.frames, err)
		}
		if err := f(fh, rest[:fh.length:fh.length]); err != nil {
			return err
		}
		rest = rest[fh.length:]
	}
	if len(rest) > 0 {
		return fmt.Errorf("%d bytes after the last frame", len(rest))
	}
	return nil
}
