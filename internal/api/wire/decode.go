package wire

import (
	"fmt"
	"reflect"
	"sync"
)

// DecodeJSON decodes a request body into the shape that in points to. The body is overwritten; what in holds
// afterwards does not point into it, unless in reads itself and says otherwise. The error is a *SyntaxError or
// a *TypeError.
func DecodeJSON(body []byte, in any) error { return decode(body, false, in) }

// DecodeCBOR is DecodeJSON for a body of CBOR.
func DecodeCBOR(body []byte, in any) error { return decode(body, true, in) }

// readers are for use again, as writers are.
var readers = sync.Pool{New: func() any { return new(Reader) }}

func decode(body []byte, cbor bool, in any) error {
	r := readers.Get().(*Reader)
	*r = Reader{buf: body, cbor: cbor}
	err := r.decode(in)
	*r = Reader{}
	readers.Put(r)
	return err
}

func (r *Reader) decode(in any) error {
	if r.Null() {
		r.syntax("null where a structure is expected")
	}
	if reader, ok := in.(SelfReader); ok {
		reader.ReadWire(r)
	} else {
		v := reflect.ValueOf(in).Elem()
		readStruct(r, v, fieldsOf(v.Type()))
	}
	return r.End()
}

var (
	timestampType = reflect.TypeFor[Timestamp]()
	unknownType   = reflect.TypeFor[Unknown]()
)

// fields says how the members of a shape map to the fields of its struct.
type fields struct {
	byName  map[string]int
	unknown int // the field of type Unknown, or -1
}

// maxElements bounds what all lists and maps of a document may hold, far above what any shape allows: three
// bytes of a request can be a struct of a hundred.
const maxElements = 2000

// count counts an element that takes memory. False: there are too many.
func (r *Reader) count() bool {
	if r.elements++; r.elements > maxElements {
		r.syntax("too many elements")
	}
	return r.err == nil
}

var fieldsCache sync.Map // reflect.Type → *fields

func fieldsOf(t reflect.Type) *fields {
	if f, ok := fieldsCache.Load(t); ok {
		return f.(*fields)
	}
	f := &fields{byName: map[string]int{}, unknown: -1}
	for i := range t.NumField() {
		switch field := t.Field(i); {
		case field.Type == unknownType:
			f.unknown = i
		case field.IsExported():
			f.byName[field.Name] = i
		}
	}
	cached, _ := fieldsCache.LoadOrStore(t, f)
	return cached.(*fields)
}

// readStruct reads an object into a struct; null leaves it as it is.
func readStruct(r *Reader, v reflect.Value, f *fields) {
	if !r.BeginObject() {
		return
	}
	var unknown Unknown
	for r.Member() {
		i, known := f.byName[string(r.Name())]
		switch {
		case known:
			readValue(r, v.Field(i))
		case f.unknown >= 0:
			name := string(r.Name())
			if !r.Null() && r.count() {
				r.Skip()
				unknown = append(unknown, name)
			}
		default:
			r.Skip()
		}
	}
	if f.unknown >= 0 && unknown != nil {
		v.Field(f.unknown).Set(reflect.ValueOf(unknown))
	}
}

// readValue reads any value into v, which loses what it held.
func readValue(r *Reader, v reflect.Value) {
	v.SetZero()
	if v.Type() == timestampType {
		t, _ := r.Timestamp()
		v.Set(reflect.ValueOf(t))
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !r.Null() {
			p := reflect.New(v.Type().Elem())
			readValue(r, p.Elem())
			v.Set(p)
		}
	case reflect.Struct:
		readStruct(r, v, fieldsOf(v.Type()))
	case reflect.String:
		s, _ := r.String()
		v.SetString(string(s))
	case reflect.Bool:
		b, _ := r.Bool()
		v.SetBool(b)
	case reflect.Int32:
		n, _ := r.Int()
		v.SetInt(int64(n))
	case reflect.Int64:
		n, _ := r.Int64()
		v.SetInt(n)
	case reflect.Slice:
		readSlice(r, v)
	case reflect.Map:
		readMap(r, v)
	default:
		panic(fmt.Sprintf("wire: a shape cannot have a %v", v.Type()))
	}
}

func readSlice(r *Reader, v reflect.Value) {
	if v.Type().Elem().Kind() == reflect.Uint8 {
		if blob, ok := r.Blob(); ok {
			v.SetBytes(append([]byte{}, blob...))
		}
		return
	}
	if !r.BeginArray() {
		return
	}
	list := reflect.MakeSlice(v.Type(), 0, 0)
	for r.Element() {
		if !r.count() {
			return
		}
		e := reflect.New(v.Type().Elem()).Elem()
		readValue(r, e)
		list = reflect.Append(list, e)
	}
	v.Set(list)
}

func readMap(r *Reader, v reflect.Value) {
	if !r.beginObject(wantMap) {
		return
	}
	m := reflect.MakeMap(v.Type())
	for r.Member() {
		if !r.count() {
			return
		}
		key := reflect.ValueOf(string(r.Name())).Convert(v.Type().Key())
		e := reflect.New(v.Type().Elem()).Elem()
		readValue(r, e)
		m.SetMapIndex(key, e)
	}
	v.Set(m)
}
