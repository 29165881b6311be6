// Package eventstream frames messages as AWS's application/vnd.amazon.eventstream has them (Smithy, "Amazon Event
// Stream Specification"). A message is, all numbers big-endian:
//
//	4  length of the whole message
//	4  length of the headers
//	4  CRC-32 (IEEE) of these eight bytes
//	…  headers: length of the name, name, type, value
//	…  payload
//	4  CRC-32 of all the above
//
// Messages are appended in place, so that a payload is encoded once and copied never.
package eventstream

// ContentType is what an answer of messages is declared to be.
const ContentType = "application/vnd.amazon.eventstream"

const (
	preludeSize = 12
	crcSize     = 4
	// MaxPayloadBytes and MaxHeaderBytes are what a message may have.
	MaxPayloadBytes = 16 << 20
	MaxHeaderBytes  = 128 << 10
)

// Overhead is what a message takes beside its payload.
func (h Headers) Overhead() int { return preludeSize + len(h) + crcSize }
