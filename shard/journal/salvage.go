package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"path"
	"syscall"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

// salvageReader reads a file that may have sectors that cannot be read: they are zeros, and noted.
type salvageReader struct {
	f   io.ReaderAt
	bad func(pos int64, err error)
}

func (r salvageReader) ReadAt(p []byte, off int64) (int, error) {
	n, err := r.f.ReadAt(p, off)
	if n == len(p) || !errors.Is(err, syscall.EIO) {
		return n, err
	}
	for at := 0; at < len(p); {
		size := min(len(p)-at, blockBytes-int((off+int64(at))%blockBytes))
		n, err := r.f.ReadAt(p[at:at+size], off+int64(at))
		switch {
		case n == size:
		case errors.Is(err, io.EOF):
			return at + n, err
		case errors.Is(err, syscall.EIO):
			clear(p[at : at+size])
			r.bad(off+int64(at), err)
		default:
			return at + n, err
		}
		at += size
	}
	return len(p), nil
}

// run is a stretch of a log that stands in one file, intact: frames whose offsets follow one another.
type run struct {
	file     string // within the data directory
	dir      uint32 // what its frames carry
	packed   bool   // in a compressed file: positions are those of the plain segment
	pos, end int64  // of the first frame, and past the last
	base     shard.Offset
	next     shard.Offset
	first    int64 // milliseconds of the first frame
	last     int64
}

// add puts a frame at the end of a run if it follows directly. Of what is before the log's first offset, some may have
// been trimmed before it came to a segment.
func (r *run) add(h *frameHeader, pos int64, first shard.Offset) bool {
	if pos != r.end || h.base != r.next && (h.base < r.next || h.base > first) {
		return false
	}
	r.next, r.end, r.last = h.end(), pos+h.length, h.millis
	return true
}

// eachIn calls f for the frames of a run. Their bytes are valid in the call only.
func (r *run) eachIn(fsys vfs.FS, dir string, f func(h *frameHeader, frame []byte, pos int64) error) error {
	file, reader, size, err := openSalvage(fsys, path.Join(dir, r.file), func(int64, error) {})
	if err != nil {
		return err
	}
	defer file.Close()
	if !r.packed {
		return scanFrames(reader, r.file, r.pos, r.end, chunkBytes, func(h *frameHeader, frame []byte, pos int64) (bool, error) {
			return true, f(h, frame, pos)
		})
	}
	var failed error
	err = eachBlock(reader, size, segmentHeaderBytes, func(h *blockHeader, _ int64, frames []byte) {
		if failed != nil || h.pos+h.decoded <= r.pos || h.pos >= r.end {
			return
		}
		s := salvage{dir: r.dir, frame: func(fh *frameHeader, frame []byte, pos int64) {
			if pos += h.pos; failed == nil && pos >= r.pos && pos < r.end {
				failed = f(fh, frame, pos)
			}
		}}
		_ = s.scan(bytes.NewReader(frames), int64(len(frames)), 0, int64(len(frames))) // memory can be read
	}, func(int64, error) {})
	return errors.Join(err, failed)
}

// eachBlock calls f for the blocks of a compressed file from a position on, with what can be unpacked of them, and hurt
// for those that are damaged. Behind damage it goes on at the next block that says where it belongs.
func eachBlock(r io.ReaderAt, size, at int64, f func(h *blockHeader, at int64, frames []byte), hurt func(at int64, reason error)) error {
	w := window{r: r, size: size}
	pos := int64(segmentHeaderBytes) // of the frames of a block that follows directly
	for well := true; at < size; {
		b, err := w.at(at, blockHeaderBytes)
		if err != nil {
			return err
		}
		h, err := parseBlockHeader(b)
		if err != nil {
			if well {
				hurt(at, err)
			}
			next, err := nextBlock(&w, at+1)
			if err != nil {
				return err
			}
			if well {
				h, frames, err := headlessBlock(&w, at, next, pos)
				if err != nil {
					return err
				}
				f(&h, at, frames)
				pos += h.decoded
			}
			at, well = next, false
			continue
		}
		if b, err = w.at(at, h.length()); err != nil {
			return err
		}
		stored := b[min(blockHeaderBytes, len(b)):min(h.length(), int64(len(b)))]
		frames, err := decodeBlock(&h, stored)
		if err != nil {
			frames = decodeDamaged(&h, stored)
		}
		if err != nil && well {
			hurt(at, err)
		}
		f(&h, at, frames)
		pos = h.pos + h.decoded
		// Behind damage, what looks like a header may be in the middle of records: anybody can put one there. Then what
		// it says of its length is not to be followed.
		if well = well || err == nil; well {
			at += h.length()
		} else if at, err = nextBlock(&w, at+1); err != nil {
			return err
		}
	}
	return nil
}

// headlessBlock returns what can be had of a block whose header is damaged, and which ends at the latest where the next
// one begins.
func headlessBlock(w *window, at, next, pos int64) (h blockHeader, frames []byte, err error) {
	h = blockHeader{stored: next - at - blockHeaderBytes, codec: codecZstd, decoded: maxBlockBytes, pos: pos}
	if h.stored <= 0 {
		return blockHeader{stored: h.stored, pos: pos}, nil, nil
	}
	b, err := w.at(at, blockHeaderBytes+min(h.stored, maxBlockBytes))
	if err != nil {
		return h, nil, err
	}
	stored := b[min(blockHeaderBytes, len(b)):min(h.length(), int64(len(b)))]
	if frames = decodeDamaged(&h, stored); len(frames) == 0 {
		frames = stored
	}
	h.decoded = int64(len(frames))
	return h, frames, nil
}

// decodeDamaged returns what can be unpacked of a damaged block. Its frames have sums of their own.
func decodeDamaged(h *blockHeader, stored []byte) []byte {
	if h.codec == codecStored {
		return stored
	}
	frames, _ := decoder.DecodeAll(stored, make([]byte, 0, h.decoded))
	return frames[:min(int64(len(frames)), h.decoded)] // with an error it may be more
}

// nextBlock returns the first position from at on where a block's header may begin, or the end.
func nextBlock(w *window, at int64) (int64, error) {
	for at+blockHeaderBytes <= w.size {
		b, err := w.at(at, blockHeaderBytes)
		if err != nil {
			return 0, err
		}
		for i := 0; i+blockHeaderBytes <= len(b); i++ {
			if binary.LittleEndian.Uint32(b[i:]) != blockMagic {
				continue
			}
			if _, err := parseBlockHeader(b[i:]); err == nil {
				return at + int64(i), nil
			}
		}
		at += int64(len(b) - blockHeaderBytes + 1)
	}
	return w.size, nil
}

func newRun(file string, h *frameHeader, pos int64) run {
	return run{file: file, dir: h.dir, pos: pos, end: pos + h.length, base: h.base, next: h.end(), first: h.millis, last: h.millis}
}

// salvage looks for intact frames in a stretch of a file.
type salvage struct {
	dir   uint32 // what frames of the directory carry
	frame func(h *frameHeader, frame []byte, pos int64)
	lost  func(h *frameHeader, pos int64) // a frame whose header is right and whose payload is not; may be nil
	hurt  func(pos int64, reason error)   // the first byte of a stretch that is no frame; may be nil
}

// scan goes through the bytes [pos, end). Behind damage it goes on at the next byte where an intact frame begins: such
// a frame carries what only the directory knows, so no payload passes for one.
func (s *salvage) scan(r io.ReaderAt, size, pos, end int64) error {
	w := window{r: r, size: min(size, end)}
	well := true
	for pos < w.size {
		h, frame, err := s.at(&w, pos)
		var reading *badRead
		if errors.As(err, &reading) {
			return reading.err
		}
		if err == nil {
			s.frame(&h, frame, pos)
			pos, well = pos+h.length, true
			continue
		}
		if well && s.hurt != nil {
			s.hurt(pos, err)
		}
		well = false
		if h.length > 0 {
			if s.lost != nil {
				s.lost(&h, pos)
			}
			pos, well = pos+h.length, true
			continue
		}
		if pos, err = s.next(&w, pos+1); err != nil {
			return err
		}
	}
	return nil
}

// badRead keeps an error of reading apart from what is wrong with what was read.
type badRead struct{ err error }

func (e *badRead) Error() string { return e.err.Error() }

var errForeign = errors.New("it belongs to another data directory")

// at returns the frame at a position. With an error, and a header, the payload is damaged.
func (s *salvage) at(w *window, pos int64) (frameHeader, []byte, error) {
	b, err := w.at(pos, frameHeaderBytes)
	if err != nil {
		return frameHeader{}, nil, &badRead{err}
	}
	h, err := parseFrameHeader(b)
	if err == nil && h.dir != s.dir {
		err = errForeign
	}
	if err != nil {
		return frameHeader{}, nil, err
	}
	if b, err = w.at(pos, h.length); err != nil {
		return frameHeader{}, nil, &badRead{err}
	}
	h, err = checkFrame(b)
	if err == nil && h.kind == frameRecords {
		err = countRecords(&h, b[:h.length])
	}
	return h, b[:min(h.length, int64(len(b)))], err
}

// countRecords makes sure that a frame decodes to as many records as it says.
func countRecords(h *frameHeader, frame []byte) error {
	p := payloadReader{b: frame[frameHeaderBytes:]}
	for n := h.count; n > 0 && !p.bad; n-- {
		p.skip()
	}
	if p.bad || len(p.b) > 0 {
		return errPayload
	}
	return nil
}

// next returns the first position from pos on where a frame's header may begin, or the end.
func (s *salvage) next(w *window, pos int64) (int64, error) {
	for pos+frameHeaderBytes <= w.size {
		b, err := w.at(pos, frameHeaderBytes)
		if err != nil {
			return 0, err
		}
		for i := 0; i+frameHeaderBytes <= len(b); i++ {
			if binary.LittleEndian.Uint32(b[i+20:]) != s.dir || b[i+12] != frameVersion {
				continue
			}
			if h, err := parseFrameHeader(b[i:]); err == nil && h.dir == s.dir {
				return pos + int64(i), nil
			}
		}
		pos += int64(len(b) - frameHeaderBytes + 1)
	}
	return w.size, nil
}

// openSalvage opens a file for reading whatever of it can be read.
func openSalvage(fsys vfs.FS, name string, bad func(pos int64, err error)) (vfs.File, salvageReader, int64, error) {
	f, err := fsys.Open(name, false)
	if err != nil {
		return nil, salvageReader{}, 0, err
	}
	size, err := f.Size()
	if err != nil {
		return nil, salvageReader{}, 0, errors.Join(err, f.Close())
	}
	return f, salvageReader{f: f, bad: bad}, size, nil
}
