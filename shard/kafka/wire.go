package kafka

import (
	"encoding/binary"
	"encoding/hex"
)

// encoder appends values in the form of Kafka's protocol (KIP-482 for the compact ones).
type encoder struct{ b []byte }

func (e *encoder) i8(v int8)   { e.b = append(e.b, byte(v)) }
func (e *encoder) i16(v int16) { e.b = binary.BigEndian.AppendUint16(e.b, uint16(v)) }
func (e *encoder) i32(v int32) { e.b = binary.BigEndian.AppendUint32(e.b, uint32(v)) }
func (e *encoder) i64(v int64) { e.b = binary.BigEndian.AppendUint64(e.b, uint64(v)) }

func (e *encoder) str(s string) {
	e.i16(int16(len(s)))
	e.b = append(e.b, s...)
}

func (e *encoder) compactLen(n int) { e.b = binary.AppendUvarint(e.b, uint64(n)+1) }

func (e *encoder) compactStr(s string) {
	e.compactLen(len(s))
	e.b = append(e.b, s...)
}

func (e *encoder) noTags()       { e.b = append(e.b, 0) }
func (e *encoder) id(id topicID) { e.b = append(e.b, id[:]...) }

func (e *encoder) bool(v bool) {
	if v {
		e.b = append(e.b, 1)
	} else {
		e.b = append(e.b, 0)
	}
}

// decoder takes values from bytes that may be anything. After the first that is not there, bad is set and all further
// ones are zero. No count is believed before there are bytes enough for it.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) take(n int) []byte {
	if d.bad || n < 0 || n > len(d.b) {
		d.bad, d.b = true, nil
		return nil
	}
	out := d.b[:n:n]
	d.b = d.b[n:]
	return out
}

func (d *decoder) i8() int8 {
	if b := d.take(1); b != nil {
		return int8(b[0])
	}
	return 0
}

func (d *decoder) i16() int16 {
	if b := d.take(2); b != nil {
		return int16(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (d *decoder) i32() int32 {
	if b := d.take(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

func (d *decoder) i64() int64 {
	if b := d.take(8); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if d.bad || n <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

// varint is zigzag-encoded, as within records.
func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if d.bad || n <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) str() string { return string(d.take(int(d.i16()))) }

// nullableBytes have a length of four bytes; −1 is none.
func (d *decoder) nullableBytes() []byte {
	n := d.i32()
	if n == -1 {
		return nil
	}
	return d.take(int(n))
}

// varBytes have a zigzag length; −1 is none.
func (d *decoder) varBytes() []byte {
	n := d.varint()
	if n == -1 {
		return nil
	}
	if n > int64(len(d.b)) {
		d.bad, d.b = true, nil
		return nil
	}
	return d.take(int(n))
}

// compactLen is a length plus one; none, which is 0, gives 0.
func (d *decoder) compactLen() int {
	n := d.uvarint()
	if n > uint64(len(d.b))+1 {
		d.bad, d.b = true, nil
		return 0
	}
	return max(int(n)-1, 0)
}

func (d *decoder) compactStr() string { return string(d.take(d.compactLen())) }

// count is that of an array whose elements take so many bytes at least.
func (d *decoder) count(n, each int) int {
	if d.bad || n <= 0 {
		return 0
	}
	if n > len(d.b)/each {
		d.bad, d.b = true, nil
		return 0
	}
	return n
}

func (d *decoder) tags() {
	for n := d.count(int(min(d.uvarint(), 1<<31-1)), 2); n > 0; n-- {
		d.uvarint()
		d.take(int(min(d.uvarint(), 1<<31-1)))
	}
}

func (d *decoder) id() (id topicID) {
	copy(id[:], d.take(len(id)))
	return id
}

// topicID is what tells a topic from another one that had its name before (KIP-516).
type topicID [16]byte

func (id topicID) String() string { return hex.EncodeToString(id[:]) }

// MarshalText and UnmarshalText are the id's form in the control topic.
func (id topicID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText takes what MarshalText gave.
func (id *topicID) UnmarshalText(text []byte) error {
	b, err := hex.DecodeString(string(text))
	if err != nil {
		return err
	}
	if len(b) != len(id) {
		return hex.ErrLength
	}
	copy(id[:], b)
	return nil
}
