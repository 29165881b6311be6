package wire

import (
	"bytes"
	"math"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	asm "github.com/segmentio/asm/base64"
)

// maxDepth bounds how deep objects and arrays may nest, in what is skipped too. AWS's shapes need seven.
const maxDepth = 512

// strictBase64 takes padded standard base64 without stray bits at the end. It skips line breaks, which Blob
// finds out by the length.
var strictBase64 = asm.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/").Strict()

// Reader walks through one JSON document without allocating. It is as strict as RFC 8259: what encoding/json
// refuses, it refuses, and invalid UTF-8 too.
//
// It owns the bytes that it reads: escapes and base64 are decoded in place, and what String, Name and Blob
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
}

// NewReader returns a reader of the document.
func NewReader(document []byte) *Reader { return &Reader{buf: document} }

// Reset makes the reader read another document.
func (r *Reader) Reset(document []byte) { *r = Reader{buf: document} }

// Err is the first thing that was wrong, a *SyntaxError or a *TypeError.
func (r *Reader) Err() error { return r.err }

// End checks that nothing but space follows, and returns Err.
func (r *Reader) End() error {
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
	r.fail(&SyntaxError{Offset: r.pos, Reason: reason})
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

// String takes a string. False: it was null, or it is an error.
func (r *Reader) String() ([]byte, bool) { return r.str(wantString) }

func (r *Reader) str(w want) ([]byte, bool) {
	if r.Null() {
		return nil, false
	}
	c, ok := r.value()
	if !ok {
		return nil, false
	}
	if c != '"' {
		r.wrong(w, c)
		return nil, false
	}
	s := r.text()
	return s, r.err == nil
}

// Blob takes a base64 string and returns the bytes, never nil. False: it was null, or it is an error.
func (r *Reader) Blob() ([]byte, bool) {
	if c, ok := r.value(); !ok || c != '"' {
		return r.str(wantBlob)
	}
	// Nearly every blob has no escape in it, so that its end and its validity are found without a look at
	// each byte: what is in the base64 alphabet needs no check for control bytes and UTF-8.
	start := r.pos + 1
	length := bytes.IndexByte(r.buf[start:], '"')
	if length < 0 || bytes.IndexByte(r.buf[start:start+length], '\\') >= 0 {
		s := r.text()
		if r.err != nil {
			return nil, false
		}
		return r.decodeBlob(s, false)
	}
	blob, ok := r.decodeBlob(r.buf[start:start+length], true)
	r.pos = start + length + 1
	return blob, ok
}

// decodeBlob decodes base64 in place: three bytes are written for every four that have been read, so nothing
// is overwritten that is still needed. Raw text has not been checked to be a JSON string yet.
func (r *Reader) decodeBlob(s []byte, raw bool) ([]byte, bool) {
	if len(s) == 0 {
		return s[:0], true
	}
	size := len(s) / 4 * 3
	if s[len(s)-1] == '=' {
		size--
		if len(s) > 1 && s[len(s)-2] == '=' {
			size--
		}
	}
	var head [shownBlob]byte // as it was, for an error
	copy(head[:], s)
	n, err := strictBase64.Decode(s, s)
	if err == nil && n == size && len(s)%4 == 0 {
		return s[:n:n], true
	}
	bad := badBlob{length: len(s), head: head[:min(len(s), shownBlob)], breaks: err == nil}
	// What is wrong lies behind what was decoded, and has not been written over, unless head has it.
	if rest := max(shownBlob, n/3*4); rest < len(s) {
		bad.rest = s[rest:]
	}
	switch {
	case raw && (bad.breaks || bad.has(func(c byte) bool { return c < 0x20 })):
		r.syntax("control character in a string")
	case raw && bad.has(func(c byte) bool { return c >= utf8.RuneSelf }) && !(utf8.Valid(bad.head) && utf8.Valid(bad.rest)):
		r.syntax("invalid UTF-8 in a string")
	default:
		r.fail(bad.err())
	}
	return nil, false
}

// text takes a string whose opening quote is here.
func (r *Reader) text() []byte {
	start := r.pos + 1
	ascii := true
	for i := start; i < len(r.buf); i++ {
		switch c := r.buf[i]; {
		case c == '"':
			s := r.buf[start:i:i]
			if !ascii && !utf8.Valid(s) {
				r.syntax("invalid UTF-8 in a string")
				return nil
			}
			r.pos = i + 1
			return s
		case c == '\\':
			return r.unescape(start, i)
		case c < 0x20:
			r.pos = i
			r.syntax("control character in a string")
			return nil
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	r.pos = len(r.buf)
	r.syntax("unexpected end in a string")
	return nil
}

// unescape takes the rest of a string that began at start and has its first escape at i. It writes the text
// over the string itself; an escape is never shorter than what it stands for.
func (r *Reader) unescape(start, i int) []byte {
	out := i
	for i < len(r.buf) {
		c := r.buf[i]
		switch {
		case c == '"':
			s := r.buf[start:out:out]
			if !utf8.Valid(s) {
				r.syntax("invalid UTF-8 in a string")
				return nil
			}
			r.pos = i + 1
			return s
		case c < 0x20:
			r.pos = i
			r.syntax("control character in a string")
			return nil
		case c != '\\':
			r.buf[out] = c
			out, i = out+1, i+1
		default:
			char, size := escape(r.buf[i:])
			if size == 0 {
				r.pos = i
				r.syntax("invalid escape in a string")
				return nil
			}
			out += utf8.EncodeRune(r.buf[out:out+utf8.RuneLen(char)], char)
			i += size
		}
	}
	r.pos = len(r.buf)
	r.syntax("unexpected end in a string")
	return nil
}

// escape decodes the escape that s begins with, and returns how long it is; 0 if it is none. A lone surrogate
// stands for U+FFFD.
func escape(s []byte) (rune, int) {
	if len(s) < 2 {
		return 0, 0
	}
	switch s[1] {
	case '"', '\\', '/':
		return rune(s[1]), 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	}
	high, ok := hex4(s)
	if !ok {
		return 0, 0
	}
	if !utf16.IsSurrogate(high) {
		return high, 6
	}
	if low, ok := hex4(s[6:]); ok {
		if char := utf16.DecodeRune(high, low); char != utf8.RuneError {
			return char, 12
		}
	}
	return utf8.RuneError, 6
}

// hex4 decodes the \uXXXX that s begins with.
func hex4(s []byte) (rune, bool) {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return 0, false
	}
	var char rune
	for _, c := range s[2:6] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		char = char<<4 | rune(c)
	}
	return char, true
}

// Bool takes true or false. The second is false if it was null, or an error.
func (r *Reader) Bool() (value, ok bool) {
	if r.Null() {
		return false, false
	}
	c, ok := r.value()
	switch {
	case !ok:
		return false, false
	case c == 't':
		r.literal("true")
		return true, r.err == nil
	case c == 'f':
		r.literal("false")
		return false, r.err == nil
	case c == '"':
		if s := r.text(); r.err == nil {
			text := bytes.ToUpper(s[:min(len(s), 64)])
			r.fail(&TypeError{"'" + string(bytes.ToValidUTF8(text, nil)) + "' can not be converted to an Boolean"})
		}
		return false, false
	}
	r.wrong(wantBoolean, c)
	return false, false
}

// Int takes a number as a 32-bit integer: a fraction is cut off, and what is out of range becomes the nearest
// integer in range, to be refused by whoever knows what is allowed. False: it was null, or it is an error.
func (r *Reader) Int() (int32, bool) {
	f, ok := r.number(wantInteger)
	return int32(max(math.MinInt32, min(math.MaxInt32, math.Trunc(f)))), ok
}

// Int64 is Int for 64 bits. Beyond 2^53 the last digits may be lost.
func (r *Reader) Int64() (int64, bool) {
	f, ok := r.number(wantLong)
	switch f = math.Trunc(f); {
	case f >= math.MaxInt64:
		return math.MaxInt64, ok
	case f <= math.MinInt64:
		return math.MinInt64, ok
	}
	return int64(f), ok
}

// Timestamp takes a number of seconds since 1970.
func (r *Reader) Timestamp() (Timestamp, bool) {
	f, ok := r.number(wantTimestamp)
	if !ok {
		return Timestamp{}, false
	}
	return timestamp(f), true
}

// number takes a number. Too large a one is an infinity.
func (r *Reader) number(w want) (float64, bool) {
	if r.Null() {
		return 0, false
	}
	c, ok := r.value()
	if !ok {
		return 0, false
	}
	if c != '-' && (c < '0' || c > '9') {
		r.wrong(w, c)
		return 0, false
	}
	start := r.pos
	if r.skipNumber(); r.err != nil {
		return 0, false
	}
	f, _ := strconv.ParseFloat(string(r.buf[start:r.pos]), 64) // it may be out of range, and is an infinity then
	return f, true
}

// Skip takes any value and checks that it is valid JSON.
func (r *Reader) Skip() {
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

// skipNumber takes a number by the grammar of RFC 8259: -? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?
func (r *Reader) skipNumber() {
	if r.at('-') {
		r.pos++
	}
	if r.at('0') {
		r.pos++
	} else if !r.digits() {
		return
	}
	if r.at('.') {
		if r.pos++; !r.digits() {
			return
		}
	}
	if r.at('e') || r.at('E') {
		r.pos++
		if r.at('+') || r.at('-') {
			r.pos++
		}
		r.digits()
	}
}

func (r *Reader) at(c byte) bool { return r.pos < len(r.buf) && r.buf[r.pos] == c }

func (r *Reader) digits() bool {
	start := r.pos
	for r.pos < len(r.buf) && '0' <= r.buf[r.pos] && r.buf[r.pos] <= '9' {
		r.pos++
	}
	if r.pos == start {
		r.syntax("invalid number")
		return false
	}
	return true
}
