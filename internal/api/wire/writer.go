package wire

import (
	"encoding/binary"
	"strconv"
	"unicode/utf8"
)

// Writer writes one document, of JSON or of CBOR; whoever writes does not know which. Values are written one after
// the other: within an object each after its name, within an array one for each element.
//
//	w.BeginObject()
//	w.Name("ShardId")
//	w.String(out.ShardID)
//	w.EndObject()
type Writer struct {
	buf   []byte
	cbor  bool
	comma bool // of JSON: one is needed before what comes next
}

// Bytes is what has been written, behind what was in the slice that the writer began with.
func (w *Writer) Bytes() []byte { return w.buf }

// value is called before a value is written that is more than one part.
func (w *Writer) value() {
	if w.comma {
		w.buf = append(w.buf, ',')
	}
}

func (w *Writer) open(json, cbor byte) {
	if w.cbor {
		w.buf = append(w.buf, cbor)
		return
	}
	w.value()
	w.buf = append(w.buf, json)
	w.comma = false
}

func (w *Writer) shut(json byte) {
	if w.cbor {
		w.buf = append(w.buf, cborBreak)
		return
	}
	w.buf = append(w.buf, json)
	w.comma = true
}

// BeginObject begins an object, which EndObject ends.
func (w *Writer) BeginObject() { w.open('{', cborMap<<5|cborIndefinite) }

// EndObject ends what BeginObject began.
func (w *Writer) EndObject() { w.shut('}') }

// BeginArray begins an array, which EndArray ends.
func (w *Writer) BeginArray() { w.open('[', cborArray<<5|cborIndefinite) }

// EndArray ends what BeginArray began.
func (w *Writer) EndArray() { w.shut(']') }

// Name begins a member of an object. The name must need no escapes, as AWS's do not.
func (w *Writer) Name(name string) {
	if w.cbor {
		w.buf = append(appendHead(w.buf, cborText, uint64(len(name))), name...)
		return
	}
	if w.comma {
		w.buf = append(w.buf, ',', '"')
	} else {
		w.buf = append(w.buf, '"')
	}
	w.buf = append(append(w.buf, name...), '"', ':')
	w.comma = false
}

// anyName is Name for names that clients choose.
func (w *Writer) anyName(name string) {
	w.String(name)
	if !w.cbor {
		w.buf = append(w.buf, ':')
		w.comma = false
	}
}

// String writes a string. Invalid UTF-8 becomes U+FFFD.
func (w *Writer) String(s string) {
	if w.cbor {
		w.buf = appendText(w.buf, s)
		return
	}
	w.value()
	w.buf = AppendString(w.buf, s)
	w.comma = true
}

// Text is String for bytes.
func (w *Writer) Text(s []byte) {
	if w.cbor {
		w.buf = appendText(w.buf, s)
		return
	}
	w.value()
	w.buf = AppendString(w.buf, s)
	w.comma = true
}

// Plain is String for what needs no escapes and is ASCII: numbers, names that AWS gives.
func (w *Writer) Plain(s string) {
	if w.cbor {
		w.buf = append(appendHead(w.buf, cborText, uint64(len(s))), s...)
		return
	}
	w.value()
	w.buf = append(append(append(w.buf, '"'), s...), '"')
	w.comma = true
}

// Digits is Plain for bytes. It is written out and not shared by a type parameter, by which s would escape: an
// allocation for every number.
func (w *Writer) Digits(s []byte) {
	if w.cbor {
		w.buf = append(appendHead(w.buf, cborText, uint64(len(s))), s...)
		return
	}
	w.value()
	w.buf = append(append(append(w.buf, '"'), s...), '"')
	w.comma = true
}

// Blob writes bytes, as base64 in JSON.
func (w *Writer) Blob(blob []byte) {
	if w.cbor {
		w.buf = append(appendHead(w.buf, cborBytes, uint64(len(blob))), blob...)
		return
	}
	w.value()
	w.buf = AppendBlob(w.buf, blob)
	w.comma = true
}

// Timestamp writes a time: seconds with a fraction in JSON, milliseconds with the tag of times in CBOR.
func (w *Writer) Timestamp(t Timestamp) {
	if w.cbor {
		w.buf = append(w.buf, cborTag<<5|1)
		w.Int(t.UnixMilli())
		return
	}
	w.value()
	w.buf = AppendTimestamp(w.buf, t)
	w.comma = true
}

// Int writes an integer.
func (w *Writer) Int(n int64) {
	if w.cbor {
		if n < 0 {
			w.buf = appendHead(w.buf, cborNegative, uint64(-1-n))
		} else {
			w.buf = appendHead(w.buf, cborUnsigned, uint64(n))
		}
		return
	}
	w.value()
	w.buf = strconv.AppendInt(w.buf, n, 10)
	w.comma = true
}

// Bool writes true or false.
func (w *Writer) Bool(b bool) {
	if w.cbor {
		if b {
			w.buf = append(w.buf, cborSimple<<5|cborTrue)
		} else {
			w.buf = append(w.buf, cborSimple<<5|cborFalse)
		}
		return
	}
	w.value()
	w.buf = strconv.AppendBool(w.buf, b)
	w.comma = true
}

// Null writes null.
func (w *Writer) Null() {
	if w.cbor {
		w.buf = append(w.buf, cborSimple<<5|cborNull)
		return
	}
	w.value()
	w.buf = append(w.buf, "null"...)
	w.comma = true
}

// appendHead appends the head of an item of CBOR, in its shortest form.
func appendHead(dst []byte, major byte, n uint64) []byte {
	major <<= 5
	switch {
	case n < cborOneByte:
		return append(dst, major|byte(n))
	case n < 1<<8:
		return append(dst, major|cborOneByte, byte(n))
	case n < 1<<16:
		return append(dst, major|cborHalf, byte(n>>8), byte(n))
	case n < 1<<32:
		return binary.BigEndian.AppendUint32(append(dst, major|cborSingle), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, major|cborDouble), n)
}

// appendText appends a text string of CBOR. Invalid UTF-8 becomes U+FFFD.
func appendText[S string | []byte](dst []byte, s S) []byte {
	valid, size := true, 0
	for i := 0; i < len(s); {
		if s[i] < utf8.RuneSelf {
			i, size = i+1, size+1
			continue
		}
		char, n := utf8.DecodeRuneInString(string(s[i:min(len(s), i+utf8.UTFMax)]))
		valid = valid && (char != utf8.RuneError || n > 1)
		i, size = i+n, size+utf8.RuneLen(char)
	}
	dst = appendHead(dst, cborText, uint64(size))
	if valid {
		return append(dst, s...)
	}
	for _, char := range string(s) {
		dst = utf8.AppendRune(dst, char)
	}
	return dst
}
