package eventstream

import (
	"encoding/binary"
	"hash/crc32"
)

// Headers are those of a message, encoded.
type Headers []byte

const typeString = 7

// NewHeaders encodes headers that are strings: names and values in turn. A name has at most 255 bytes.
func NewHeaders(pairs ...string) Headers {
	var h Headers
	for i := 0; i < len(pairs); i += 2 {
		name, value := pairs[i], pairs[i+1]
		h = append(append(h, byte(len(name))), name...)
		h = binary.BigEndian.AppendUint16(append(h, typeString), uint16(len(value)))
		h = append(h, value...)
	}
	return h
}

// Event are the headers of an event with a payload in JSON.
func Event(event, contentType string) Headers {
	return NewHeaders(":event-type", event, ":content-type", contentType, ":message-type", "event")
}

// Exception are the headers of an error, after which there is no message.
func Exception(code string) Headers {
	return NewHeaders(":exception-type", code, ":content-type", "application/json", ":message-type", "exception")
}

// Begin begins a message behind what is in dst. The payload is to be appended to what it returns, and then End called.
func Begin(dst []byte, h Headers) []byte {
	var prelude [preludeSize]byte
	binary.BigEndian.PutUint32(prelude[4:], uint32(len(h)))
	return append(append(dst, prelude[:]...), h...)
}

// End ends the message that begins at the index start.
func End(dst []byte, start int) []byte {
	message := dst[start:]
	binary.BigEndian.PutUint32(message, uint32(len(message)+crcSize))
	binary.BigEndian.PutUint32(message[8:], crc32.ChecksumIEEE(message[:8]))
	return binary.BigEndian.AppendUint32(dst, crc32.ChecksumIEEE(message))
}

// Append appends a whole message.
func Append(dst []byte, h Headers, payload []byte) []byte {
	start := len(dst)
	return End(append(Begin(dst, h), payload...), start)
}
