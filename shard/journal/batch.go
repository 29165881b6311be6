package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/seed-462d9463/sluice/shard/journal/internal/mutant"
)

// A batch is what the committer writes at one time: a header and the frames of all who waited, padded with
// zeros to whole blocks. FORMAT.md has the layout.
//
// Each frame has sums over all its bytes, and begins with the one that covers the other. Who appends makes them, but for those
// of many small frames in lent slabs (lend.go). So no bytes are summed again: a batch's sum is over its header and these
// beginnings. It says which frames belong to the batch, and in which order, their own sums that they are whole: both must be
// checked.
const (
	blockBytes       = 4096
	batchHeaderBytes = 64
	batchMagic       = 0x424a4c53 // "SLJB"
	batchVersion     = 2
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
	sum := sumHeader(buf)
	sum.frames(buf[batchHeaderBytes:min(int64(len(buf)), h.length)])
	for _, piece := range pieces {
		sum.frames(piece)
	}
	le.PutUint32(buf[4:], sum.total())
}

// batchSum is a batch's sum in the making.
type batchSum struct {
	sum  uint32
	n    int
	next [256]byte // what is to be summed: many at a time, for a call takes longer than four bytes
}

// sumHeader begins with a batch's header.
func sumHeader(b []byte) *batchSum {
	return &batchSum{sum: crc32.Checksum(b[8:batchHeaderBytes], castagnoli)}
}

// add goes on with the sum that a frame begins with.
func (s *batchSum) add(frame []byte) {
	if mutant.On(mutant.LeaveOutFrames) {
		return
	}
	if s.n == len(s.next) {
		s.total()
	}
	s.n += copy(s.next[s.n:], frame[:4])
}

// frames goes on with frames that were made here.
func (s *batchSum) frames(b []byte) {
	for len(b) > 0 {
		s.add(b)
		b = b[binary.LittleEndian.Uint32(b[4:]):]
	}
}

func (s *batchSum) total() uint32 {
	s.sum = crc32.Update(s.sum, castagnoli, s.next[:s.n])
	s.n = 0
	return s.sum
}

var (
	errNoBatch = errors.New("no batch begins here")
	errVersion = errors.New("batch version is not known")
)

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
		return batchHeader{}, fmt.Errorf("%w: %d", errVersion, v)
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

// checkBatch checks all bytes of a batch against its sums. Whether its frames make sense is for who uses them to see: a batch
// that is whole was durable, and must not pass for one that was torn.
func checkBatch(h *batchHeader, b []byte) error {
	if mutant.On(mutant.SkipPayloads) {
		return walkBatch(h, b, func([]byte) error { return nil })
	}
	return walkBatch(h, b, checkPayload)
}

// eachFrame is walkBatch for frames that must make sense.
func eachFrame(h *batchHeader, b []byte, f func(frameHeader, []byte) error) error {
	return walkBatch(h, b, func(frame []byte) error {
		fh := decodeHeader(frame)
		if err := fh.makesSense(frame); err != nil {
			return err
		}
		return f(fh, frame)
	})
}

// walkBatch checks the sums of a batch but for those of payloads, and calls f for each frame: before it is known that those
// behind it are right, and that all are of this batch. A start does this with all that is in the journal, so nothing is decoded
// here.
func walkBatch(h *batchHeader, b []byte, f func(frame []byte) error) error {
	if int64(len(b)) < h.length {
		return errShort
	}
	sum := sumHeader(b)
	rest := b[batchHeaderBytes:h.length]
	for i := range h.frames {
		length, err := checkHeader(rest)
		if err == nil && length > int64(len(rest)) {
			err = errShort
		}
		if err == nil {
			sum.add(rest)
			err = f(rest[:length:length])
		}
		if err != nil {
			return fmt.Errorf("frame %d of %d: %w", i+1, h.frames, err)
		}
		rest = rest[length:]
	}
	if len(rest) > 0 {
		return fmt.Errorf("%d bytes after the last frame", len(rest))
	}
	if binary.LittleEndian.Uint32(b[4:]) != sum.total() {
		return errors.New("batch checksum does not match")
	}
	return nil
}
