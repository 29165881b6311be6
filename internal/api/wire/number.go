package wire

import (
	"math"
	"strconv"
)

// Bool takes true or false. The second is false if it was null, or an error.
func (r *Reader) Bool() (value, ok bool) {
	if r.cbor {
		return r.cborBool()
	}
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
			r.fail(notBoolean(s))
		}
		return false, false
	}
	r.wrong(wantBoolean, c)
	return false, false
}

// Int takes a number as a 32-bit integer: a fraction is cut off, and what is out of range becomes the nearest
// integer in range, to be refused by whoever knows what is allowed. False: it was null, or it is an error.
func (r *Reader) Int() (int32, bool) {
	f, ok := r.number(wantInteger) // holds any integer of 32 bits exactly
	return int32(max(math.MinInt32, min(math.MaxInt32, math.Trunc(f)))), ok
}

// Int64 is Int for 64 bits. Beyond 2^53 the last digits may be lost in JSON.
func (r *Reader) Int64() (int64, bool) {
	var f float64
	var ok bool
	if r.cbor {
		n, number, exact, found := r.cborNumber(wantLong)
		if exact {
			return n, found
		}
		f, ok = number, found
	} else {
		f, ok = r.number(wantLong)
	}
	switch f = math.Trunc(f); {
	case f >= math.MaxInt64:
		return math.MaxInt64, ok
	case f <= math.MinInt64:
		return math.MinInt64, ok
	}
	return int64(f), ok
}

// Timestamp takes a number of seconds, or milliseconds, since 1970.
func (r *Reader) Timestamp() (Timestamp, bool) {
	f, ok := r.number(wantTimestamp)
	if !ok {
		return Timestamp{}, false
	}
	return timestamp(f), true
}

// number takes a number. Too large a one is an infinity.
func (r *Reader) number(w want) (float64, bool) {
	if r.cbor {
		_, f, _, ok := r.cborNumber(w)
		return f, ok
	}
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
