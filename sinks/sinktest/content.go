package sinktest

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
)

// content is a body of any size that is made up while it is written: bytes that do not compress and differ
// with the seed.
type content struct {
	seed uint64
	size int64

	piece int   // bytes for each Write; 64 KiB if zero
	fail  error // what WriteTo ends with, after failAt bytes
	at    int64
	hook  func() // called once, after at bytes
}

var _ io.WriterTo = content{}

func (c content) reader() io.Reader {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], c.seed)
	return io.LimitReader(rand.NewChaCha8(key), c.size)
}

func (c content) WriteTo(w io.Writer) (int64, error) {
	piece := c.piece
	if piece == 0 {
		piece = 64 << 10
	}
	buffer := make([]byte, piece)
	source := c.reader()
	var written int64
	interrupt := c.fail != nil || c.hook != nil
	for {
		if interrupt && written >= c.at {
			interrupt = false
			if c.hook != nil {
				c.hook()
			}
			if c.fail != nil {
				return written, c.fail
			}
		}
		n, err := io.ReadFull(source, buffer)
		if n > 0 {
			m, err := w.Write(buffer[:n])
			written += int64(m)
			if err != nil {
				return written, err
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return written, nil
		}
	}
}

// compare reads to the end and tells the first difference.
func (c content) compare(got io.Reader) error {
	want, have := bufio.NewReaderSize(c.reader(), 64<<10), bufio.NewReaderSize(got, 64<<10)
	a, b := make([]byte, 32<<10), make([]byte, 32<<10)
	for position := int64(0); ; {
		n, _ := io.ReadFull(want, a) // it never fails; it is short at the end
		m, haveErr := io.ReadFull(have, b)
		if haveErr != nil && !errors.Is(haveErr, io.EOF) && !errors.Is(haveErr, io.ErrUnexpectedEOF) {
			return fmt.Errorf("read at byte %d: %w", position, haveErr)
		}
		if n != m {
			return fmt.Errorf("%d bytes or more, want %d", position+int64(m), c.size)
		}
		if !bytes.Equal(a[:n], b[:m]) {
			return fmt.Errorf("differs in the %d bytes from %d on", n, position)
		}
		if n < len(a) {
			return nil
		}
		position += int64(n)
	}
}
