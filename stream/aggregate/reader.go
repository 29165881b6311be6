package aggregate

import (
	"bytes"
	"crypto/md5"
	"iter"

	"google.golang.org/protobuf/encoding/protowire"
)

// magic is what every aggregated record begins with.
const magic = "\xf3\x89\x9a\xc2"

// maxCount bounds the user records, and the keys of each table, of one aggregated record. It is more than any producer
// writes: ten bytes for each in the largest record that a stream takes.
const maxCount = 1 << 20

// Record is one record as its user made it. The slices are parts of the aggregated record.
type Record struct {
	PartitionKey    []byte
	ExplicitHashKey []byte // in decimal; nil if there is none
	Data            []byte
	SubSequence     int // its place in the aggregated record, from 0
}

// Reader takes aggregated records apart, one after the other. It keeps memory for the next one: at most about three
// times the length of the longest that it has read. It must not be used by two goroutines at once.
type Reader struct {
	message []byte
	keys    []span // of message
	hashes  []span
	count   int
}

// span is a part of a message. A record's length fits 32 bits by far.
type span struct{ start, end uint32 }

func (s span) of(b []byte) []byte { return b[s.start:s.end:s.end] }

// Is tells at a glance whether data may be an aggregated record.
func Is(data []byte) bool {
	return len(data) > len(magic)+md5.Size && string(data[:len(magic)]) == magic
}

// Read takes up a record, and reports whether it is aggregated, wholly as the format demands and with at least one
// user record in it. Whatever else data is, it is to be passed on as it is. The reader refers to data until the next
// Read.
func (r *Reader) Read(data []byte) bool {
	r.message, r.keys, r.hashes, r.count = nil, r.keys[:0], r.hashes[:0], 0
	if !Is(data) || uint64(len(data)) > 1<<31 {
		return false
	}
	end := len(data) - md5.Size
	message := data[len(magic):end]
	if sum := md5.Sum(message); !bytes.Equal(sum[:], data[end:]) {
		return false
	}
	if !r.check(message) {
		r.keys, r.hashes, r.count = r.keys[:0], r.hashes[:0], 0
		return false
	}
	r.message = message
	return true
}

// Len is how many user records there are.
func (r *Reader) Len() int { return r.count }

// Records yields all user records, in order.
func (r *Reader) Records() iter.Seq[Record] { return r.Within(FullRange) }

// Within yields the user records that belong to a shard with the given range. The others were put with an older map
// of the shards in mind; their producer has seen in which shard they ended up, and puts them again. (The Kinesis
// Client Library leaves out the whole aggregated record as soon as one of its user records is outside.)
func (r *Reader) Within(shard HashRange) iter.Seq[Record] {
	everything := shard == FullRange
	return func(yield func(Record) bool) {
		place := 0
		for b := r.message; len(b) > 0; {
			number, kind, n := protowire.ConsumeTag(b)
			b = b[n:]
			if number != 3 || kind != protowire.BytesType {
				b = b[protowire.ConsumeFieldValue(number, kind, b):]
				continue
			}
			body, n := protowire.ConsumeBytes(b)
			b = b[n:]
			f, _ := parseRecord(body) // checked by Read
			u := Record{PartitionKey: r.keys[f.key].of(r.message), Data: f.data, SubSequence: place}
			if f.hasHash {
				u.ExplicitHashKey = r.hashes[f.hash].of(r.message)
			}
			place++
			if (everything || shard.Contains(u.hashKey())) && !yield(u) {
				return
			}
		}
	}
}

// hashKey is where the record belongs.
func (u *Record) hashKey() HashKey {
	if u.ExplicitHashKey != nil {
		k, _ := parseHashKey(u.ExplicitHashKey)
		return k
	}
	return md5.Sum(u.PartitionKey)
}

// check fills the tables and makes sure that Within will find nothing wrong. The tables may stand behind the records
// that use them, so the places are looked at when all is read.
func (r *Reader) check(message []byte) bool {
	var keys, hashes uint64 // one more than the largest place that a record names
	ok := fields(message, func(number protowire.Number, kind protowire.Type, end int, value []byte) bool {
		if kind != protowire.BytesType || number > 3 {
			return true
		}
		text := span{uint32(end - len(value)), uint32(end)}
		switch number {
		case 1:
			r.keys = append(r.keys, text)
			return len(r.keys) <= maxCount
		case 2:
			r.hashes = append(r.hashes, text)
			_, ok := parseHashKey(value)
			return ok && len(r.hashes) <= maxCount
		default:
			f, ok := parseRecord(value)
			if !ok || f.key >= maxCount || f.hash >= maxCount {
				return false
			}
			keys = max(keys, f.key+1)
			if f.hasHash {
				hashes = max(hashes, f.hash+1)
			}
			r.count++
			return r.count <= maxCount
		}
	})
	return ok && r.count > 0 && keys <= uint64(len(r.keys)) && hashes <= uint64(len(r.hashes))
}

// recordFields are the fields of a user record in the protocol buffer.
type recordFields struct {
	key, hash       uint64
	hasKey, hasHash bool
	data            []byte // not nil
}

func parseRecord(message []byte) (f recordFields, ok bool) {
	for b := message; len(b) > 0; {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 || number > protowire.MaxValidNumber {
			return f, false
		}
		b = b[n:]
		switch {
		case number == 1 && kind == protowire.VarintType:
			f.key, n = protowire.ConsumeVarint(b)
			f.hasKey = true
		case number == 2 && kind == protowire.VarintType:
			f.hash, n = protowire.ConsumeVarint(b)
			f.hasHash = true
		case number == 3 && kind == protowire.BytesType:
			f.data, n = protowire.ConsumeBytes(b)
			f.data = f.data[:len(f.data):len(f.data)]
		case number == 4 && kind == protowire.BytesType:
			var tag []byte
			if tag, n = protowire.ConsumeBytes(b); n >= 0 && !tagOK(tag) {
				return f, false
			}
		default:
			n = protowire.ConsumeFieldValue(number, kind, b)
		}
		if n < 0 {
			return f, false
		}
		b = b[n:]
	}
	return f, f.hasKey && f.data != nil
}

// tagOK checks a tag, which nobody uses, for being one.
func tagOK(message []byte) bool {
	key := false
	return fields(message, func(number protowire.Number, kind protowire.Type, _ int, _ []byte) bool {
		key = key || number == 1 && kind == protowire.BytesType
		return true
	}) && key
}

// fields calls f for each field of a message until it returns false. end is where the field ends in the message; value
// is its content if it is of a kind with a length. It reports whether the message is a protocol buffer and f liked it.
func fields(message []byte, f func(number protowire.Number, kind protowire.Type, end int, value []byte) bool) bool {
	for b := message; len(b) > 0; {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 || number > protowire.MaxValidNumber {
			return false
		}
		b = b[n:]
		var value []byte
		if kind == protowire.BytesType {
			value, n = protowire.ConsumeBytes(b)
		} else {
			n = protowire.ConsumeFieldValue(number, kind, b)
		}
		if n < 0 {
			return false
		}
		b = b[n:]
		if !f(number, kind, len(message)-len(b), value) {
			return false
		}
	}
	return true
}
