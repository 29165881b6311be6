package wire

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"unicode/utf8"

	asm "github.com/segmentio/asm/base64"
)

// AppendJSON appends a shape as compact JSON.
func AppendJSON(dst []byte, out any) []byte {
	if a, ok := out.(JSONAppender); ok {
		return a.AppendJSON(dst)
	}
	return appendValue(dst, reflect.ValueOf(out))
}

func appendValue(dst []byte, v reflect.Value) []byte {
	if v.Type() == timestampType {
		return AppendTimestamp(dst, v.Interface().(Timestamp))
	}
	switch v.Kind() {
	case reflect.Pointer:
		return appendValue(dst, v.Elem())
	case reflect.Struct:
		return appendStruct(dst, v)
	case reflect.String:
		return AppendString(dst, v.String())
	case reflect.Bool:
		return strconv.AppendBool(dst, v.Bool())
	case reflect.Int32, reflect.Int64:
		return strconv.AppendInt(dst, v.Int(), 10)
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return AppendBlob(dst, v.Bytes())
		}
		dst = append(dst, '[')
		for i := range v.Len() {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendValue(dst, v.Index(i))
		}
		return append(dst, ']')
	case reflect.Map:
		return appendMap(dst, v)
	}
	panic(fmt.Sprintf("wire: a shape cannot have a %v", v.Type()))
}

func appendStruct(dst []byte, v reflect.Value) []byte {
	dst = append(dst, '{')
	first := true
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if !field.IsExported() || absent(v.Field(i)) {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(AppendString(dst, field.Name), ':')
		dst = appendValue(dst, v.Field(i))
	}
	return append(dst, '}')
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

func appendMap(dst []byte, v reflect.Value) []byte {
	keys := v.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int {
		switch {
		case a.String() < b.String():
			return -1
		case a.String() > b.String():
			return 1
		}
		return 0
	})
	dst = append(dst, '{')
	for i, key := range keys {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(AppendString(dst, key.String()), ':')
		dst = appendValue(dst, v.MapIndex(key))
	}
	return append(dst, '}')
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
