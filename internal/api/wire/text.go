package wire

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"

	asm "github.com/segmentio/asm/base64"
)

// strictBase64 takes padded standard base64 without stray bits at the end. It skips line breaks, which Blob
// finds out by the length.
var strictBase64 = asm.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/").Strict()

// String takes a string. False: it was null, or it is an error.
func (r *Reader) String() ([]byte, bool) { return r.str(wantString) }

func (r *Reader) str(w want) ([]byte, bool) {
	if r.cbor {
		return r.cborStr(cborText, w)
	}
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

// Blob takes a blob, which is base64 in JSON, and returns the bytes, never nil. False: it was null, or it is an error.
func (r *Reader) Blob() ([]byte, bool) {
	if r.cbor {
		return r.cborStr(cborBytes, wantBlob)
	}
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
