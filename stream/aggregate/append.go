package aggregate

import (
	"crypto/md5"
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// ErrInvalidRecord: a user record cannot be part of an aggregated one.
var ErrInvalidRecord = errors.New("invalid user record")

// Append appends an aggregated record made of the user records to dst. Keys that several have stand in it once. All
// should belong to one shard, and the aggregated record be put with a key that leads there: readers may leave out user
// records that lie outside the range of the shard that they are found in. An error, for no records or one without a
// partition key or with an explicit hash key that is none, wraps ErrInvalidRecord.
func Append(dst []byte, records []Record) ([]byte, error) {
	if len(records) == 0 || len(records) > maxCount {
		return dst, fmt.Errorf("%w: %d of them, must be 1 to %d", ErrInvalidRecord, len(records), maxCount)
	}
	e := encoder{places: map[key]uint64{}}
	for i := range records {
		if err := e.add(&records[i]); err != nil {
			return dst, fmt.Errorf("%w: number %d: %w", ErrInvalidRecord, i, err)
		}
	}
	dst = append(dst, magic...)
	start := len(dst)
	dst = append(dst, e.tables...)
	dst = append(dst, e.records...)
	sum := md5.Sum(dst[start:])
	return append(dst, sum[:]...), nil
}

type encoder struct {
	places          map[key]uint64
	counts          [3]uint64 // of keys, by the field of their table
	tables, records []byte
	record          []byte // memory for the one that is added
}

type key struct {
	table protowire.Number
	text  string
}

func (e *encoder) add(r *Record) error {
	if len(r.PartitionKey) == 0 {
		return errors.New("no partition key")
	}
	b := protowire.AppendTag(e.record[:0], 1, protowire.VarintType)
	b = protowire.AppendVarint(b, e.place(1, r.PartitionKey))
	if r.ExplicitHashKey != nil {
		if _, ok := parseHashKey(r.ExplicitHashKey); !ok {
			return fmt.Errorf("explicit hash key %.40q", r.ExplicitHashKey)
		}
		b = protowire.AppendTag(b, 2, protowire.VarintType)
		b = protowire.AppendVarint(b, e.place(2, r.ExplicitHashKey))
	}
	b = protowire.AppendTag(b, 3, protowire.BytesType)
	b = protowire.AppendBytes(b, r.Data)
	e.record = b
	e.records = protowire.AppendTag(e.records, 3, protowire.BytesType)
	e.records = protowire.AppendBytes(e.records, b)
	return nil
}

// place is where the key stands in its table.
func (e *encoder) place(table protowire.Number, text []byte) uint64 {
	if at, ok := e.places[key{table, string(text)}]; ok {
		return at
	}
	at := e.counts[table]
	e.counts[table]++
	e.places[key{table, string(text)}] = at
	e.tables = protowire.AppendTag(e.tables, table, protowire.BytesType)
	e.tables = protowire.AppendBytes(e.tables, text)
	return at
}
