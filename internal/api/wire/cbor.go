package wire

import (
	"encoding/binary"
	"math"
	"unicode/utf8"
)

// The CBOR of a Reader (RFC 8949). Definite and indefinite lengths are read, tags are passed over, and a length
// that is announced costs nothing: no memory is taken for it, and more than the document has left is refused.

// Major types of CBOR.
const (
	cborUnsigned = iota
	cborNegative
	cborBytes
	cborText
	cborArray
	cborMap
	cborTag
	cborSimple // and floating-point numbers
)

// What the low five bits of a head can say beside a small argument.
const (
	cborFalse      = 20
	cborTrue       = 21
	cborNull       = 22
	cborUndefined  = 23
	cborOneByte    = 24 // the argument follows
	cborHalf       = 25
	cborSingle     = 26
	cborDouble     = 27
	cborIndefinite = 31
)

const cborBreak = 0xff

// cborDepth bounds how deep arrays and maps that are not skipped may nest.
const cborDepth = 16

// indefinite stands for the number of members that are left in a container that ends with a break.
const indefinite = -1

// cborItem is the head of an item.
type cborItem struct {
	major byte
	info  byte
	arg   uint64 // a number, or how much there is of what follows
	end   int    // of the head, in the document
}

func (i cborItem) null() bool {
	return i.major == cborSimple && (i.info == cborNull || i.info == cborUndefined)
}

// item reads the head of the item that is next, and does not take it. The tags before it are taken. False
// after an error.
func (r *Reader) item() (cborItem, bool) {
	for r.err == nil {
		if r.pos >= len(r.buf) {
			r.syntax("unexpected end")
			break
		}
		c := r.buf[r.pos]
		i := cborItem{major: c >> 5, info: c & 31, end: r.pos + 1}
		switch {
		case i.info < cborOneByte:
			i.arg = uint64(i.info)
		case i.info <= cborDouble:
			size := 1 << (i.info - cborOneByte)
			if len(r.buf)-i.end < size {
				r.syntax("unexpected end")
				return i, false
			}
			i.arg = argument(r.buf[i.end : i.end+size])
			i.end += size
			if i.major == cborSimple && i.info == cborOneByte && i.arg < 32 {
				r.syntax("invalid head")
				return i, false
			}
		case i.info == cborIndefinite && i.major >= cborBytes && i.major <= cborMap:
		default:
			r.syntax("invalid head")
			return i, false
		}
		if i.major != cborTag {
			return i, true
		}
		r.pos = i.end
	}
	return cborItem{}, false
}

// argument is a number of one, two, four or eight bytes.
func argument(b []byte) uint64 {
	switch len(b) {
	case 1:
		return uint64(b[0])
	case 2:
		return uint64(binary.BigEndian.Uint16(b))
	case 4:
		return uint64(binary.BigEndian.Uint32(b))
	}
	return binary.BigEndian.Uint64(b)
}

func (r *Reader) cborNull() bool {
	i, ok := r.item()
	if !ok || !i.null() {
		return false
	}
	r.pos = i.end
	return true
}

// cborBegin enters an array or a map.
func (r *Reader) cborBegin(major byte, w want) bool {
	i, ok := r.item()
	switch {
	case !ok:
		return false
	case i.null():
		r.pos = i.end
		return false
	case i.major != major:
		r.cborWrong(w, i)
		return false
	case r.depth >= cborDepth:
		r.syntax("nested too deep")
		return false
	}
	left, ok := r.members(i)
	if !ok {
		return false
	}
	r.left[r.depth] = left
	r.depth++
	r.pos = i.end
	return true
}

// members is how many members an array or map has; false after an error. Each member takes a byte at least, and
// one of a map two.
func (r *Reader) members(i cborItem) (int32, bool) {
	if i.info == cborIndefinite {
		return indefinite, true
	}
	most := uint64(len(r.buf) - i.end)
	if i.major == cborMap {
		most /= 2
	}
	if i.arg > most || i.arg > math.MaxInt32 {
		r.syntax("unexpected end")
		return 0, false
	}
	return int32(i.arg), true
}

// cborMore moves to the next member of the container that was entered last. False: there is none, and the
// container has been left.
func (r *Reader) cborMore() bool {
	if r.err != nil {
		return false
	}
	more := r.more(&r.left[r.depth-1])
	if !more {
		r.depth--
	}
	return more
}

// more counts a member of a container that has so many left.
func (r *Reader) more(left *int32) bool {
	switch {
	case *left > 0:
		*left--
		return true
	case *left == 0:
		return false
	case r.pos < len(r.buf) && r.buf[r.pos] == cborBreak:
		r.pos++
		return false
	}
	return true // what is wrong is found by whoever takes it
}

func (r *Reader) cborMember() bool {
	if !r.cborMore() {
		return false
	}
	i, ok := r.item()
	if !ok {
		return false
	}
	if i.major != cborText {
		r.syntax("no text where a member's name is expected")
		return false
	}
	r.name, ok = r.cborString(i)
	return ok
}

// cborString takes a text or byte string. The chunks of one that comes in chunks are moved together, over their
// heads.
func (r *Reader) cborString(i cborItem) ([]byte, bool) {
	if i.info != cborIndefinite {
		return r.chunk(i)
	}
	start, out := i.end, i.end
	for r.pos = i.end; r.pos < len(r.buf) && r.buf[r.pos] != cborBreak; {
		head := r.buf[r.pos]
		if head>>5 != i.major || head&31 == cborIndefinite {
			r.syntax("no chunk of a string where one is expected")
			return nil, false
		}
		next, ok := r.item()
		if !ok {
			return nil, false
		}
		chunk, ok := r.chunk(next)
		if !ok {
			return nil, false
		}
		out += copy(r.buf[out:], chunk)
	}
	if r.pos >= len(r.buf) {
		r.syntax("unexpected end")
		return nil, false
	}
	r.pos++
	return r.buf[start:out:out], true
}

// chunk takes a string of definite length.
func (r *Reader) chunk(i cborItem) ([]byte, bool) {
	if i.arg > uint64(len(r.buf)-i.end) {
		r.syntax("unexpected end in a string")
		return nil, false
	}
	end := i.end + int(i.arg)
	s := r.buf[i.end:end:end]
	if i.major == cborText && !utf8.Valid(s) {
		r.syntax("invalid UTF-8 in a string")
		return nil, false
	}
	r.pos = end
	return s, true
}

// cborStr takes a string of the given major type.
func (r *Reader) cborStr(major byte, w want) ([]byte, bool) {
	i, ok := r.item()
	switch {
	case !ok:
		return nil, false
	case i.null():
		r.pos = i.end
		return nil, false
	case i.major != major:
		r.cborWrong(w, i)
		return nil, false
	}
	return r.cborString(i)
}

func (r *Reader) cborBool() (value, ok bool) {
	i, ok := r.item()
	switch {
	case !ok:
		return false, false
	case i.null():
		r.pos = i.end
		return false, false
	case i.major == cborSimple && (i.info == cborTrue || i.info == cborFalse):
		r.pos = i.end
		return i.info == cborTrue, true
	case i.major == cborText:
		if s, ok := r.cborString(i); ok {
			r.fail(notBoolean(s))
		}
		return false, false
	}
	r.cborWrong(wantBoolean, i)
	return false, false
}

// cborNumber takes a number: an integer exactly, if it is one of 64 bits, and a floating-point number in any case.
func (r *Reader) cborNumber(w want) (n int64, f float64, exact, ok bool) {
	i, ok := r.item()
	if !ok {
		return 0, 0, false, false
	}
	switch {
	case i.null():
		r.pos = i.end
		return 0, 0, false, false
	case i.major == cborUnsigned:
		n, f, exact = int64(i.arg), float64(i.arg), i.arg <= math.MaxInt64
	case i.major == cborNegative:
		n, f, exact = -1-int64(i.arg), -1-float64(i.arg), i.arg <= math.MaxInt64
	case i.major == cborSimple && i.info == cborHalf:
		f = half(uint16(i.arg))
	case i.major == cborSimple && i.info == cborSingle:
		f = float64(math.Float32frombits(uint32(i.arg)))
	case i.major == cborSimple && i.info == cborDouble:
		f = math.Float64frombits(i.arg)
	default:
		r.cborWrong(w, i)
		return 0, 0, false, false
	}
	if math.IsNaN(f) {
		r.cborWrong(w, i)
		return 0, 0, false, false
	}
	r.pos = i.end
	return n, f, exact, true
}

// half is a floating-point number of 16 bits.
func half(bits uint16) float64 {
	sign, exponent, fraction := bits>>15, int(bits>>10&31), float64(bits&1023)
	f := math.Ldexp(1024+fraction, exponent-25)
	switch {
	case exponent == 0:
		f = math.Ldexp(fraction, -24)
	case exponent == 31 && fraction == 0:
		f = math.Inf(1)
	case exponent == 31:
		f = math.NaN()
	}
	if sign == 1 {
		f = -f
	}
	return f
}

// cborWrong records that an item is not of the type that is wanted, unless it is not even valid CBOR.
func (r *Reader) cborWrong(w want, i cborItem) {
	if r.cborSkip(0); r.err == nil {
		r.fail(mismatch(w, i.kind()))
	}
}

// kind is the byte that JSON has at the beginning of such an item; 'b' is a byte string.
func (i cborItem) kind() byte {
	switch {
	case i.major == cborBytes:
		return 'b'
	case i.major == cborText:
		return '"'
	case i.major == cborArray:
		return '['
	case i.major == cborMap:
		return '{'
	case i.major == cborSimple && (i.info == cborTrue || i.info == cborFalse):
		return 't'
	}
	return '0'
}

// cborSkip takes any item and checks that it is well-formed.
func (r *Reader) cborSkip(depth int) {
	i, ok := r.item()
	if !ok {
		return
	}
	switch i.major {
	case cborBytes, cborText:
		r.cborString(i)
	case cborArray, cborMap:
		left, ok := r.members(i)
		if !ok {
			return
		}
		if depth++; r.depth+depth > maxDepth {
			r.syntax("nested too deep")
			return
		}
		r.pos = i.end
		for r.err == nil && r.more(&left) {
			r.cborSkip(depth)
			if i.major == cborMap {
				r.cborSkip(depth)
			}
		}
	default:
		r.pos = i.end
	}
}
