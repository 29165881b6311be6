package ingest

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// maxDepth bounds how deep a record's objects and arrays may nest.
const maxDepth = 512

// scan walks over the JSON value that begins at b[at], white space before it included, and returns where it ends. It
// is as strict as RFC 8259, except that it leaves UTF-8 to the caller; it neither allocates, nor recurses, nor changes
// anything. Loose tells that there is white space between the value's tokens. A flaw is what is wrong, and end is
// where, then. If the value is an object and want is not nil, it learns where its member is.
func scan(b []byte, at int, want *wanted) (end int, loose bool, flaw string) {
	var objects [maxDepth / 64]uint64 // a bit for each level: an object, or else an array
	depth := 0
	i := space(b, at)
	for {
		// Here a value begins.
		if i == len(b) {
			return i, loose, "unexpected end"
		}
		switch c := b[i]; {
		case c == '"':
			i, flaw = scanString(b, i)
		case c == '{' || c == '[':
			if depth == maxDepth {
				return i, loose, "nested too deep"
			}
			bit := uint64(1) << (depth % 64)
			objects[depth/64] &^= bit
			if c == '{' {
				objects[depth/64] |= bit
			}
			depth++
			i++
			next := space(b, i)
			loose = loose || next > i
			if i = next; i < len(b) && b[i] == c+2 { // '}' or ']': it is empty
				i++
				depth--
				break
			}
			if c == '{' {
				name := i
				i, loose, flaw = scanName(b, i, loose)
				if flaw != "" {
					return i, loose, flaw
				}
				if depth == 1 && want != nil {
					want.look(b, name, i)
				}
			}
			continue
		case c == '-' || '0' <= c && c <= '9':
			i, flaw = scanNumber(b, i)
		case c == 't':
			i, flaw = scanLiteral(b, i, "true")
		case c == 'f':
			i, flaw = scanLiteral(b, i, "false")
		case c == 'n':
			i, flaw = scanLiteral(b, i, "null")
		default:
			flaw = "unexpected character where a value is expected"
		}
		if flaw != "" {
			return i, loose, flaw
		}
		// Here a value has ended, and maybe what it is in.
		for more := false; !more; {
			if depth == 0 {
				return i, loose, ""
			}
			next := space(b, i)
			loose = loose || next > i
			if i = next; i == len(b) {
				return i, loose, "unexpected end"
			}
			object := objects[(depth-1)/64]>>((depth-1)%64)&1 == 1
			switch c := b[i]; {
			case c == ',':
				i++
				next := space(b, i)
				loose = loose || next > i
				if i = next; object {
					name := i
					i, loose, flaw = scanName(b, i, loose)
					if flaw != "" {
						return i, loose, flaw
					}
					if depth == 1 && want != nil {
						want.look(b, name, i)
					}
				}
				more = true
			case object && c == '}', !object && c == ']':
				i++
				depth--
			default:
				return i, loose, "unexpected character where ',' or the end is expected"
			}
		}
	}
}

// wanted is a member of an object, of which scan tells where its value begins.
type wanted struct {
	name  string
	value int // the last one of that name; 0 if there is none
}

// look takes note of the member whose name begins at b[name], and its value at b[value].
func (w *wanted) look(b []byte, name, value int) {
	end := name + 1 + len(w.name)
	plainly := end < value && b[end] == '"' && string(b[name+1:end]) == w.name
	if !plainly {
		if bytes.IndexByte(b[name:value], '\\') < 0 {
			return
		}
		if end, _ = scanString(b, name); !isText(b[name:end], w.name) {
			return
		}
	} else if bytes.IndexByte(b[name:end], '\\') >= 0 {
		return // the name that is wanted looks like this one, but has backslashes of its own
	}
	w.value = value
}

// space returns where the white space that begins at b[i] ends.
func space(b []byte, i int) int {
	for i < len(b) && isSpace(b[i]) {
		i++
	}
	return i
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// scanName takes a member's name, the colon, and the white space around it.
func scanName(b []byte, i int, loose bool) (int, bool, string) {
	if i == len(b) {
		return i, loose, "unexpected end"
	}
	if b[i] != '"' {
		return i, loose, "unexpected character where a member's name is expected"
	}
	i, flaw := scanString(b, i)
	if flaw != "" {
		return i, loose, flaw
	}
	next := space(b, i)
	loose = loose || next > i
	if i = next; i == len(b) {
		return i, loose, "unexpected end"
	}
	if b[i] != ':' {
		return i, loose, "unexpected character after a member's name"
	}
	i++
	next = space(b, i)
	return next, loose || next > i, ""
}

// scanString takes the string whose opening quote is b[i].
func scanString(b []byte, i int) (int, string) {
	i++
	for {
		i = plain(b, i)
		if i == len(b) {
			return i, "unexpected end in a string"
		}
		switch b[i] {
		case '"':
			return i + 1, ""
		case '\\':
			size := escapeSize(b[i:])
			if size == 0 {
				return i, "invalid escape in a string"
			}
			i += size
		default:
			return i, "control character in a string"
		}
	}
}

// Bytes repeated over a word.
const (
	ones  = 0x0101010101010101
	highs = 0x80 * ones
)

// plain returns where the bytes from b[i] on end that mean themselves within a string. It looks at eight at a time.
func plain(b []byte, i int) int {
	for ; i+8 <= len(b); i += 8 {
		w := binary.LittleEndian.Uint64(b[i:])
		quote, escape := w^'"'*ones, w^'\\'*ones
		// The high bit of each byte that is below 0x20, a quote or a backslash. A borrow may mark one more, but only
		// above one that is marked rightly, and the lowest counts.
		marks := ((w-0x20*ones)&^w | (quote-ones)&^quote | (escape-ones)&^escape) & highs
		if marks != 0 {
			return i + bits.TrailingZeros64(marks)/8
		}
	}
	for i < len(b) && b[i] >= 0x20 && b[i] != '"' && b[i] != '\\' {
		i++
	}
	return i
}

// escapeSize is how long the escape is that s begins with; 0 if it is none.
func escapeSize(s []byte) int {
	if len(s) < 2 {
		return 0
	}
	switch s[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(s) < 6 {
			return 0
		}
		for _, c := range s[2:6] {
			if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
				return 0
			}
		}
		return 6
	}
	return 0
}

// scanNumber takes a number: -? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?
func scanNumber(b []byte, i int) (int, string) {
	const flaw = "invalid number"
	if b[i] == '-' {
		i++
	}
	switch {
	case i < len(b) && b[i] == '0':
		i++
	default:
		end := digits(b, i)
		if end == i {
			return i, flaw
		}
		i = end
	}
	if i < len(b) && b[i] == '.' {
		end := digits(b, i+1)
		if end == i+1 {
			return end, flaw
		}
		i = end
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		end := digits(b, i)
		if end == i {
			return end, flaw
		}
		i = end
	}
	return i, ""
}

func digits(b []byte, i int) int {
	for i < len(b) && '0' <= b[i] && b[i] <= '9' {
		i++
	}
	return i
}

func scanLiteral(b []byte, i int, word string) (int, string) {
	if len(b)-i < len(word) || string(b[i:i+len(word)]) != word {
		return i, "invalid literal"
	}
	return i + len(word), ""
}

// compact removes the white space between the tokens of a valid value, in place.
func compact(b []byte) []byte {
	out := 0
	for i := 0; i < len(b); {
		switch {
		case isSpace(b[i]):
			i++
		case b[i] == '"':
			end, _ := scanString(b, i)
			out += copy(b[out:], b[i:end])
			i = end
		default:
			b[out] = b[i]
			out++
			i++
		}
	}
	return b[:out:out]
}

// skip returns where the valid value ends that begins at b[i].
func skip(b []byte, i int) int {
	depth := 0
	for i < len(b) {
		switch b[i] {
		case '"':
			i, _ = scanString(b, i)
			if depth == 0 {
				return i
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i // the end of what a number or literal was in
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return i
			}
		}
		i++
	}
	return i
}
