package eventstream

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// Message is one message that was read. Its parts lie in the reader's buffer, until the next one is read.
type Message struct {
	headers []byte
	Payload []byte
}

// ErrMalformed: the bytes are not a message, or were damaged on the way.
var ErrMalformed = errors.New("malformed message of an event stream")

// Reader reads messages.
type Reader struct {
	r   io.Reader
	buf []byte
}

// NewReader returns a reader of what comes from r.
func NewReader(r io.Reader) *Reader { return &Reader{r: r} }

// Next reads a message. io.EOF: there are no more. Other errors are those of reading, or wrap ErrMalformed.
func (r *Reader) Next() (Message, error) {
	var prelude [preludeSize]byte
	if _, err := io.ReadFull(r.r, prelude[:]); err != nil {
		return Message{}, err
	}
	length, headers := binary.BigEndian.Uint32(prelude[:]), binary.BigEndian.Uint32(prelude[4:])
	switch {
	case binary.BigEndian.Uint32(prelude[8:]) != crc32.ChecksumIEEE(prelude[:8]):
		return Message{}, fmt.Errorf("%w: checksum of the lengths", ErrMalformed)
	case headers > MaxHeaderBytes, uint64(length) < uint64(headers)+preludeSize+crcSize,
		length-headers-preludeSize-crcSize > MaxPayloadBytes:
		return Message{}, fmt.Errorf("%w: %d bytes, %d of them headers", ErrMalformed, length, headers)
	}
	if uint32(cap(r.buf)) < length {
		r.buf = make([]byte, length)
	}
	message := r.buf[:length]
	copy(message, prelude[:])
	if _, err := io.ReadFull(r.r, message[preludeSize:]); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return Message{}, err
	}
	end := length - crcSize
	if binary.BigEndian.Uint32(message[end:]) != crc32.ChecksumIEEE(message[:end]) {
		return Message{}, fmt.Errorf("%w: checksum", ErrMalformed)
	}
	m := Message{headers: message[preludeSize : preludeSize+headers], Payload: message[preludeSize+headers : end]}
	return m, m.check()
}

// valueSize is how many bytes a header's value has, by its type; those with a length before them come from text.
func valueSize(kind byte, rest []byte) (skip, size int, ok bool) {
	switch kind {
	case 0, 1: // true, false
		return 0, 0, true
	case 2: // byte
		return 0, 1, true
	case 3:
		return 0, 2, true
	case 4:
		return 0, 4, true
	case 5, 8: // integer, time
		return 0, 8, true
	case 6, typeString:
		if len(rest) < 2 {
			return 0, 0, false
		}
		return 2, int(binary.BigEndian.Uint16(rest)), true
	case 9: // UUID
		return 0, 16, true
	}
	return 0, 0, false
}

// header takes one header off the front.
func header(from []byte) (name, value []byte, kind byte, rest []byte, ok bool) {
	n := int(from[0])
	if len(from) < 1+n+1 {
		return nil, nil, 0, nil, false
	}
	name, kind, rest = from[1:1+n], from[1+n], from[1+n+1:]
	skip, size, ok := valueSize(kind, rest)
	if !ok || len(rest) < skip+size {
		return nil, nil, 0, nil, false
	}
	return name, rest[skip : skip+size], kind, rest[skip+size:], true
}

func (m *Message) check() error {
	for rest := m.headers; len(rest) > 0; {
		_, _, _, after, ok := header(rest)
		if !ok {
			return fmt.Errorf("%w: headers", ErrMalformed)
		}
		rest = after
	}
	return nil
}

// Header returns the value of a header that is a string; "" if there is none.
func (m *Message) Header(name string) string {
	for rest := m.headers; len(rest) > 0; {
		n, value, kind, after, _ := header(rest)
		if string(n) == name && kind == typeString {
			return string(value)
		}
		rest = after
	}
	return ""
}
