package wire

import (
	"bytes"
	"strconv"
)

// maxDepth bounds how deep objects and arrays may nest, in what is skipped too. AWS's shapes need seven.
const maxDepth = 512

// Reader walks through one document, of JSON or of CBOR, without allocating; whoever walks does not know which. It is
// as strict as RFC 8259, what encoding/json refuses, it refuses, and invalid UTF-8 too, or as RFC 8949.
//
// It owns the bytes that it reads: escapes, base64 and chunks are decoded in place, and what String, Name and Blob
// return points into the document. The first error sticks; every method returns at once from then on, and
// whoever walks needs to look at Err only once, at the end.
//
//	for r.BeginObject(); r.Member(); {
//		switch string(r.Name()) {
//		case "StreamName":
//			in.StreamName, _ = r.String()
//		default:
//			r.Skip()
//		}
//	}
type Reader struct {
	buf   []byte
	pos   int
	depth int
	first bool // the next Member or Element is the first of its object or array
	name  []byte
	err   error

	elements int // of lists and maps that were read by reflection

	cbor bool
	left [cborDepth]int32 // how many members are left in the arrays and maps of CBOR that were entered
}

// NewReader returns a reader of a document of JSON.
func NewReader(document []byte) *Reader { return &Reader{buf: document} }

// NewCBORReader returns a reader of a document of CBOR.
func NewCBORReader(document []byte) *Reader { return &Reader{buf: document, cbor: true} }

// Err is the first thing that was wrong, a *SyntaxError or a *TypeError.
func (r *Reader) Err() error { return r.err }

// End checks that nothing follows, but space in JSON, and returns Err.
func (r *Reader) End() error {
	if r.cbor {
		if r.pos < len(r.buf) {
			r.syntax("more bytes after the end")
		}
		return r.err
	}
	if c, ok := r.peek(); r.err == nil && ok {
		r.unexpected(c, "after the end")
	}
	return r.err
}

func (r *Reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

func (r *Reader) syntax(reason string) {
	format := "JSON"
	if r.cbor {
		format = "CBOR"
	}
	r.fail(&SyntaxError{Format: format, Offset: r.pos, Reason: reason})
}

func (r *Reader) unexpected(c byte, where string) {
	r.syntax("unexpected " + strconv.QuoteRuneToASCII(rune(c)) + " " + where)
}

// peek skips space and returns the byte that follows, without taking it; false at the end of the document.
func (r *Reader) peek() (byte, bool) {
	for r.pos < len(r.buf) {
		switch c := r.buf[r.pos]; c {
		case ' ', '\t', '\r', '\n':
			r.pos++
		default:
			return c, true
		}
	}
	return 0, false
}

// value returns the byte that a value begins with, without taking it. False after an error or at the end.
func (r *Reader) value() (byte, bool) {
	if r.err != nil {
		return 0, false
	}
	c, ok := r.peek()
	if !ok {
		r.syntax("unexpected end")
	}
	return c, ok
}

// Null takes a null if there is one, and tells whether it did.
func (r *Reader) Null() bool {
	if r.cbor {
		return r.cborNull()
	}
	c, ok := r.value()
	if !ok || c != 'n' {
		return false
	}
	r.literal("null")
	return r.err == nil
}

func (r *Reader) literal(word string) {
	if !bytes.HasPrefix(r.buf[r.pos:], []byte(word)) {
		r.syntax("invalid literal")
		return
	}
	r.pos += len(word)
}

func (r *Reader) enter() bool {
	r.pos++
	r.depth++
	r.first = true
	if r.depth > maxDepth {
		r.syntax("nested too deep")
	}
	return r.err == nil
}

// BeginObject enters an object. False: it was null, or it is an error.
func (r *Reader) BeginObject() bool { return r.beginObject(wantStructure) }

func (r *Reader) beginObject(w want) bool {
	if r.cbor {
		return r.cborBegin(cborMap, w)
	}
	if r.Null() {
		return false
	}
	c, ok := r.value()
	if !ok {
		return false
	}
	if c != '{' {
		r.wrong(w, c)
		return false
	}
	return r.enter()
}

// Member moves to the next member of the object that was entered last. False: there is none, and the object
// has been left. The member's value must be taken, or skipped, before the next call.
func (r *Reader) Member() bool {
	if r.cbor {
		return r.cborMember()
	}
	c, ok := r.next('}')
	if !ok {
		return false
	}
	if c != '"' {
		r.unexpected(c, "where a member's name is expected")
		return false
	}
	r.name = r.text()
	if c, ok = r.value(); !ok {
		return false
	}
	if c != ':' {
		r.unexpected(c, "after a member's name")
		return false
	}
	r.pos++
	return true
}

// Name is the name of the current member; valid until the next call of Member.
func (r *Reader) Name() []byte { return r.name }

// BeginArray enters an array. False: it was null, or it is an error.
func (r *Reader) BeginArray() bool {
	if r.cbor {
		return r.cborBegin(cborArray, wantList)
	}
	if r.Null() {
		return false
	}
	c, ok := r.value()
	if !ok {
		return false
	}
	if c != '[' {
		r.wrong(wantList, c)
		return false
	}
	return r.enter()
}

// Element moves to the next element of the array that was entered last, as Member does.
func (r *Reader) Element() bool {
	if r.cbor {
		return r.cborMore()
	}
	_, ok := r.next(']')
	return ok
}

// next moves to the next thing in an object or array, or leaves it at its closing byte.
func (r *Reader) next(closing byte) (byte, bool) {
	c, ok := r.value()
	if !ok {
		return 0, false
	}
	first := r.first
	r.first = false
	if c == closing {
		r.pos++
		r.depth--
		return 0, false
	}
	if !first {
		if c != ',' {
			r.unexpected(c, "where ',' or the end is expected")
			return 0, false
		}
		r.pos++
		return r.value()
	}
	return c, true
}

// wrong records that the value here is not of the type that is wanted, unless it is not even valid JSON.
func (r *Reader) wrong(w want, c byte) {
	if r.Skip(); r.err == nil {
		r.fail(mismatch(w, c))
	}
}

// Skip takes any value and checks that it is valid.
func (r *Reader) Skip() {
	if r.cbor {
		r.cborSkip(0)
		return
	}
	c, ok := r.value()
	if !ok {
		return
	}
	switch {
	case c == '"':
		r.text()
	case c == '{':
		for r.enter(); r.Member(); {
			r.Skip()
		}
	case c == '[':
		for r.enter(); r.Element(); {
			r.Skip()
		}
	case c == 't':
		r.literal("true")
	case c == 'f':
		r.literal("false")
	case c == 'n':
		r.literal("null")
	case c == '-' || '0' <= c && c <= '9':
		r.skipNumber()
	default:
		r.unexpected(c, "where a value is expected")
	}
}
