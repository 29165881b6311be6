package catalog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/seed-462d9463/sluice/shard"
)

// The bytes of a record's value. FORMAT.md describes them.
const (
	formatVersion = 1

	kindPut      = 1
	kindDelete   = 2
	kindSnapshot = 3
)

// maxRecordBytes is far above what this package writes, and keeps a damaged length from being believed.
const maxRecordBytes = shard.MaxAppendBytes

// proposal is a change that is up for decision: it takes effect if the key has the expected revision when the
// proposal's turn comes in the log.
type proposal struct {
	writer   uint64 // the Catalog that proposes, a random number
	number   uint64 // the writer's own count
	expected int64  // 0: the key must not exist
	key      Key
	delete   bool
	value    []byte // nil when deleting
}

// part is one of the records that together hold a snapshot.
type part struct {
	writer  uint64
	number  uint64       // the writer's own count of snapshots
	through shard.Offset // the record after which the state was this
	index   int          // 0 … parts−1
	parts   int
	entries []Entry
}

// record is what one record of the log holds: either of the two.
type record struct {
	proposal *proposal
	part     *part
}

func appendProposal(b []byte, p *proposal) []byte {
	kind := byte(kindPut)
	if p.delete {
		kind = kindDelete
	}
	b = append(b, formatVersion, kind)
	b = binary.BigEndian.AppendUint64(b, p.writer)
	b = binary.AppendUvarint(b, p.number)
	b = binary.AppendUvarint(b, uint64(p.expected))
	b = appendKey(b, p.key)
	if !p.delete {
		b = appendBytes(b, p.value)
	}
	return b
}

func appendPart(b []byte, p *part) []byte {
	b = append(b, formatVersion, kindSnapshot)
	b = binary.BigEndian.AppendUint64(b, p.writer)
	b = binary.AppendUvarint(b, p.number)
	b = binary.AppendUvarint(b, uint64(p.through))
	b = binary.AppendUvarint(b, uint64(p.index))
	b = binary.AppendUvarint(b, uint64(p.parts))
	b = binary.AppendUvarint(b, uint64(len(p.entries)))
	for i := range p.entries {
		e := &p.entries[i]
		b = appendKey(b, e.Key)
		b = binary.AppendUvarint(b, uint64(e.Revision))
		b = appendBytes(b, e.Value)
	}
	return b
}

func appendKey(b []byte, k Key) []byte {
	for _, s := range []string{k.Account, k.Region, k.Kind, k.Name} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	return b
}

func appendBytes(b, v []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(v)))
	return append(b, v...)
}

// sizeOf is at least what an entry takes in a snapshot.
func sizeOf(e *Entry) int {
	const lengths = 5*2 + binary.MaxVarintLen64 + 4
	return len(e.Key.Account) + len(e.Key.Region) + len(e.Key.Kind) + len(e.Key.Name) + len(e.Value) + lengths
}

// decode reads a record's value. It refuses what this version of Sluice does not know: passing over a change
// would let nodes disagree. The result shares nothing with b. A snapshot's entries are left out unless
// wanted.
func decode(b []byte, withEntries bool) (record, error) {
	if len(b) < 2 {
		return record{}, fmt.Errorf("%w: %d bytes", errDamaged, len(b))
	}
	if len(b) > maxRecordBytes {
		return record{}, fmt.Errorf("%w: %d bytes, at most %d", errDamaged, len(b), maxRecordBytes)
	}
	if b[0] != formatVersion {
		return record{}, fmt.Errorf("%w: format version %d, this Sluice knows %d: it was written by another version", ErrFormat, b[0], formatVersion)
	}
	r := reader{b: b[2:]}
	var out record
	switch kind := b[1]; kind {
	case kindPut, kindDelete:
		out.proposal = r.proposal(kind == kindDelete)
	case kindSnapshot:
		out.part = r.part(withEntries)
		if !withEntries {
			r.b = nil
		}
	default:
		return record{}, fmt.Errorf("%w: record of the kind %d, this Sluice knows 1 to 3: it was written by another version", ErrFormat, kind)
	}
	if r.err == nil && len(r.b) > 0 {
		r.fail("%d bytes too many", len(r.b))
	}
	if r.err != nil {
		return record{}, r.err
	}
	return out, nil
}

var errDamaged = errors.New("damaged catalog record")

// reader takes fields off b until one is wrong; from then on all are zero.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: "+format, append([]any{errDamaged}, args...)...)
	}
	r.b = nil
}

func (r *reader) proposal(del bool) *proposal {
	p := &proposal{writer: r.fixed64(), number: r.uvarint(), expected: r.int63(), delete: del}
	if del && r.err == nil && p.expected == 0 {
		r.fail("deletion of what must not exist")
	}
	p.key = r.key()
	if !del {
		p.value = r.bytes(MaxValueBytes)
	}
	return p
}

func (r *reader) part(withEntries bool) *part {
	p := &part{writer: r.fixed64(), number: r.uvarint(), through: shard.Offset(r.int63())}
	index, parts, count := r.int63(), r.int63(), r.int63()
	// A part is a record of its own, so that there are never near as many as this.
	if r.err == nil && (parts < 1 || parts > 1<<31-1 || index >= parts) {
		r.fail("part %d of %d", index, parts)
	}
	p.index, p.parts = int(index), int(parts)
	if !withEntries {
		return p
	}
	for ; count > 0 && r.err == nil; count-- {
		e := Entry{Key: r.key(), Revision: r.int63(), Value: r.bytes(MaxValueBytes)}
		if r.err == nil && e.Revision == 0 {
			r.fail("%s has no revision", e.Key)
		}
		p.entries = append(p.entries, e)
	}
	return p
}

func (r *reader) key() Key {
	k := Key{
		Account: string(r.raw(maxPart)), Region: string(r.raw(maxPart)), Kind: string(r.raw(maxPart)), Name: string(r.raw(maxName)),
	}
	if r.err == nil {
		if err := k.check(); err != nil {
			r.fail("%v", err)
		}
	}
	return k
}

func (r *reader) fixed64() uint64 {
	if len(r.b) < 8 {
		r.fail("too short")
		return 0
	}
	v := binary.BigEndian.Uint64(r.b)
	r.b = r.b[8:]
	return v
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail("too short")
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) int63() int64 {
	v := r.uvarint()
	if v > 1<<63-1 {
		r.fail("the number %d is too large", v)
		return 0
	}
	return int64(v)
}

func (r *reader) bytes(limit int) []byte { return bytes.Clone(r.raw(limit)) }

// raw shares b.
func (r *reader) raw(limit int) []byte {
	n := r.uvarint()
	if n > uint64(limit) || n > uint64(len(r.b)) {
		r.fail("a length of %d", n)
		return nil
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}
