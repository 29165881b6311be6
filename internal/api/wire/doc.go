// Package wire is what lies between an operation and the bytes of a request: an operation is a function from
// a Go struct to a Go struct, and a codec turns those into one of AWS's protocols and back. An operation
// knows neither JSON nor CBOR nor HTTP, so that another protocol is another codec and nothing else.
//
// # Shapes
//
// A shape is a struct whose field names are the AWS member names, letter for letter. What the fields may be:
//
//	string, *string        an absent string is "" or nil; "" is not sent
//	bool, int32, int64     always sent; a pointer to one is sent unless nil
//	[]byte                 a blob: nil is absent, base64 in JSON, a byte string in CBOR
//	Timestamp              zero is absent, seconds since 1970 with a fraction in JSON, milliseconds in CBOR
//	[]T, map[string]T, *T  of any of these; nil is absent
//	Unknown                not a member: takes the names of the members that the struct does not have
//
// On the way in null means absent, a member that the struct does not have is skipped, and of a member that
// appears twice the last one counts. A shape on a hot path may read and write itself (SelfReader, SelfWriter),
// once for all protocols, instead of being walked by reflection; a fuzz test holds one against the other.
package wire

import (
	"math"
	"time"
)

// Timestamp is a point in time in a shape, whole milliseconds.
type Timestamp struct{ time.Time }

// At makes a Timestamp of t, cut to milliseconds.
func At(t time.Time) Timestamp { return Timestamp{t.Truncate(time.Millisecond)} }

// Unknown takes the names of the members of an input that its struct does not have and that are not null.
// An operation that must not ignore what it does not know puts a field of this type into its input.
type Unknown []string

// SelfReader is implemented by inputs that read themselves. What ReadWire keeps must not point into the
// reader's buffer, unless the operation is done with it before it returns.
type SelfReader interface{ ReadWire(r *Reader) }

// SelfWriter is implemented by outputs that write themselves into a response.
type SelfWriter interface{ WriteWire(w *Writer) }

// Sizer is implemented by outputs that may be large. The first result is about how many bytes they are without
// the bytes of blobs, the second how many those are.
type Sizer interface{ WireSize() (rest, blobs int) }

// timestamp turns a number from the wire into a time. AWS's JSON counts seconds, its CBOR milliseconds, and
// some clients mix them up: what would be later than the year 5000 in seconds is taken for milliseconds.
func timestamp(seconds float64) Timestamp {
	const tooLate = 1e11
	ms := seconds * 1000
	if math.Abs(seconds) >= tooLate {
		ms = seconds
	}
	const limit = 1e15 // beyond what any log can hold, and safe to convert
	return Timestamp{time.UnixMilli(int64(math.Round(max(-limit, min(limit, ms))))).UTC()}
}
