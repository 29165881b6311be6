package journal

import (
	"io"

	"github.com/seed-462d9463/sluice/shard/journal/internal/mutant"
)

// scanWindow is how much of a journal file is read at one time.
const scanWindow = 4 << 20

// scanBatches calls f for every valid batch of a directory's journal in a file, whatever its generation; 0 stands for
// any directory. Where no batch begins it tries the next block: among the remains of old ones, where payloads may look
// like headers, but not know the directory's id. So only what may be a batch is read and summed.
func scanBatches(r io.ReaderAt, size int64, journal uint64, f func(h *batchHeader, pos int64, batch []byte) error) error {
	w := window{r: r, size: size}
	for pos := int64(0); pos < size; {
		b, err := w.at(pos, batchHeaderBytes)
		if err != nil {
			return err
		}
		h, err := parseBatchHeader(b)
		if err != nil || h.padded() > size-pos || journal != 0 && h.journal != journal {
			pos += blockBytes
			continue
		}
		if b, err = w.at(pos, h.length); err != nil {
			return err
		}
		if checkBatch(&h, b) != nil && !mutant.On(mutant.SkipBatchSum) {
			pos += blockBytes
			continue
		}
		if err := f(&h, pos, b[:h.length]); err != nil {
			return err
		}
		pos += h.padded()
	}
	return nil
}

// window reads a file forwards in big pieces.
type window struct {
	r     io.ReaderAt
	size  int64
	buf   []byte
	start int64
}

// at returns at least n bytes at a position, or all that are left.
func (w *window) at(pos, n int64) ([]byte, error) {
	n = min(n, w.size-pos)
	if pos < w.start || pos+n > w.start+int64(len(w.buf)) {
		want := min(max(n, scanWindow), w.size-pos)
		if int64(cap(w.buf)) < want {
			w.buf = make([]byte, want)
		}
		w.buf = w.buf[:want]
		w.start = pos
		if got, err := w.r.ReadAt(w.buf, pos); int64(got) < want {
			w.buf = w.buf[:0]
			return nil, err
		}
	}
	return w.buf[pos-w.start:], nil
}
