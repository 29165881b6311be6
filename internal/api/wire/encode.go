package wire

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	asm "github.com/segmentio/asm/base64"
)

// AppendJSON appends a shape as compact JSON.
func AppendJSON(dst []byte, out any) []byte { return appendShape(dst, false, out) }

// AppendCBOR appends a shape as CBOR.
func AppendCBOR(dst []byte, out any) []byte { return appendShape(dst, true, out) }

// writers are for use again: one that a shape is handed to by its interface lies on the heap.
var writers = sync.Pool{New: func() any { return new(Writer) }}

func appendShape(dst []byte, cbor bool, out any) []byte {
	w := writers.Get().(*Writer)
	*w = Writer{buf: dst, cbor: cbor}
	w.Shape(out)
	dst = w.buf
	*w = Writer{}
	writers.Put(w)
	return dst
}

// Shape writes a shape, by reflection unless it writes itself.
func (w *Writer) Shape(out any) {
	if self, ok := out.(SelfWriter); ok {
		self.WriteWire(w)
		return
	}
	w.reflected(reflect.ValueOf(out))
}

func (w *Writer) reflected(v reflect.Value) {
	if v.Type() == timestampType {
		w.Timestamp(v.Interface().(Timestamp))
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		w.reflected(v.Elem())
	case reflect.Struct:
		w.structure(v)
	case reflect.String:
		w.String(v.String())
	case reflect.Bool:
		w.Bool(v.Bool())
	case reflect.Int32, reflect.Int64:
		w.Int(v.Int())
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			w.Blob(v.Bytes())
			return
		}
		w.BeginArray()
		for i := range v.Len() {
			w.reflected(v.Index(i))
		}
		w.EndArray()
	case reflect.Map:
		w.mapping(v)
	default:
		panic(fmt.Sprintf("wire: a shape cannot have a %v", v.Type()))
	}
}

func (w *Writer) structure(v reflect.Value) {
	w.BeginObject()
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if !field.IsExported() || absent(v.Field(i)) {
			continue
		}
		w.Name(field.Name)
		w.reflected(v.Field(i))
	}
	w.EndObject()
}

// absent tells whether a member is not sent.
func absent(v reflect.Value) bool {
	if v.Type() == timestampType {
		return v.Interface().(Timestamp).IsZero()
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		return v.IsNil()
	case reflect.String:
		return v.Len() == 0
	}
	return false
}

// mapping writes a map in the order of its keys.
func (w *Writer) mapping(v reflect.Value) {
	keys := v.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	w.BeginObject()
	for _, key := range keys {
		w.anyName(key.String())
		w.reflected(v.MapIndex(key))
	}
	w.EndObject()
}

// AppendTimestamp appends seconds since 1970 with three digits of a fraction.
func AppendTimestamp(dst []byte, t Timestamp) []byte {
	ms := t.UnixMilli()
	if ms < 0 {
		dst, ms = append(dst, '-'), -ms
	}
	dst = strconv.AppendInt(dst, ms/1000, 10)
	ms %= 1000
	return append(dst, '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10))
}

// AppendBlob appends bytes as a base64 string.
func AppendBlob(dst []byte, blob []byte) []byte {
	size := asm.StdEncoding.EncodedLen(len(blob))
	dst = append(slices.Grow(dst, size+2), '"')
	start := len(dst)
	dst = dst[:start+size]
	asm.StdEncoding.Encode(dst[start:], blob)
	return append(dst, '"')
}

const hexDigits = "0123456789abcdef"

// AppendString appends a JSON string. Invalid UTF-8 becomes U+FFFD.
func AppendString[S string | []byte](dst []byte, s S) []byte {
	dst = append(dst, '"')
	start := 0 // what is before start has been appended
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c < utf8.RuneSelf && c != '"' && c != '\\' {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			char, size := utf8.DecodeRuneInString(string(s[i:min(len(s), i+utf8.UTFMax)]))
			if char != utf8.RuneError || size > 1 {
				i += size
				continue
			}
			dst = append(append(dst, s[start:i]...), "\uFFFD"...)
			i++
			start = i
			continue
		}
		dst = append(dst, s[start:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		start = i
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}
