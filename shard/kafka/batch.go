package kafka

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/segmentio/kafka-go/compress"

	"github.com/seed-462d9463/sluice/shard"
)

// A record batch as Kafka keeps it, version 2 (Apache Kafka's documentation, "Message Format"). Numbers are big-endian:
//
//	 0 base offset 8, 8 length of what follows 4, 12 leader epoch 4, 16 magic 1, 17 crc32c of what follows 4,
//	21 attributes 2, 23 last offset delta 4, 27 first time 8, 35 greatest time 8, 43 producer id 8,
//	51 producer epoch 2, 53 first sequence 4, 57 number of records 4, 61 records
const (
	magicAt = 16
	crcAt   = 17
	attrsAt = 21

	attrCompression = 0x07
	attrAppendTime  = 0x08
	attrControl     = 0x20

	// maxUnpackedBytes bounds what a compressed batch may become: a plain producer's, as ours are not compressed.
	maxUnpackedBytes = 128 << 20

	// maxBatchHeaders bounds their number: in memory an empty one takes twenty times what it takes in a batch. A
	// batch of ours has less: no more go into 24 MiB.
	maxBatchHeaders = 16 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// batch is one record batch of a log.
type batch struct {
	base, last shard.Offset // last may be greater than that of its last record: compaction leaves it
	attrs      int16
	firstTime  int64
	maxTime    int64
	pid        int64
	epoch      int16
	count      int
	body       []byte // its records, compressed as attrs says
	bytes      int    // with the header
}

// errDamaged says that a batch is not what its checksum is for.
var errDamaged = errors.New("damaged record batch")

// cutBatch takes the first batch from a record set. It returns nil without an error if the rest of the set is the
// beginning of a batch only: brokers cut where their limit is.
func cutBatch(set []byte) (*batch, []byte, error) {
	if len(set) < batchHeaderBytes {
		return nil, nil, nil
	}
	length := int64(int32(binary.BigEndian.Uint32(set[8:])))
	if set[magicAt] != 2 {
		return nil, nil, fmt.Errorf("%w: message format %d, only 2 is known", errDamaged, set[magicAt])
	}
	if length < batchHeaderBytes-12 {
		return nil, nil, fmt.Errorf("%w: length %d", errDamaged, length)
	}
	if int64(len(set)) < 12+length {
		return nil, nil, nil
	}
	raw := set[: 12+length : 12+length]
	if crc32.Checksum(raw[attrsAt:], castagnoli) != binary.BigEndian.Uint32(raw[crcAt:]) {
		return nil, nil, fmt.Errorf("%w: its checksum is wrong", errDamaged)
	}
	d := decoder{b: raw}
	b := &batch{bytes: len(raw)}
	b.base = shard.Offset(d.i64())
	d.take(13)
	b.attrs = d.i16()
	b.last = b.base + shard.Offset(d.i32())
	b.firstTime, b.maxTime = d.i64(), d.i64()
	b.pid, b.epoch = d.i64(), d.i16()
	d.i32()
	b.count = int(d.i32())
	b.body = d.b
	if b.base < 0 || b.last < b.base || b.count < 0 {
		return nil, nil, fmt.Errorf("%w: %d records from offset %d to %d", errDamaged, b.count, b.base, b.last)
	}
	return b, set[len(raw):], nil
}

func (b *batch) isControl() bool { return b.attrs&attrControl != 0 }

// unpacked returns the records' bytes.
func (b *batch) unpacked() ([]byte, error) {
	kind := b.attrs & attrCompression
	if kind == 0 {
		return b.body, nil
	}
	return unpack(compress.Compression(kind), b.body)
}

// records calls yield with one record after the other, until it returns false.
func (b *batch) records(yield func(shard.Record) bool) error {
	body, err := b.unpacked()
	if err != nil {
		return err
	}
	d := decoder{b: body}
	previous := b.base - 1
	room := int64(maxBatchHeaders)
	for n := range b.count {
		length := d.varint()
		if length < 0 || length > int64(len(d.b)) {
			return fmt.Errorf("%w: record %d of %d is not whole", errDamaged, n, b.count)
		}
		in := decoder{b: d.take(int(length))}
		in.i8()
		millis := b.firstTime + in.varint()
		if b.attrs&attrAppendTime != 0 {
			millis = b.maxTime
		}
		r := shard.Record{Offset: b.base + shard.Offset(in.varint()), Time: time.UnixMilli(millis).UTC()}
		r.Key, r.Value = in.varBytes(), in.varBytes()
		headers := in.varint()
		if room -= headers; headers < 0 || headers > int64(len(in.b)/2) {
			in.bad = true
		} else if room < 0 {
			return fmt.Errorf("%w: more than %d headers", errDamaged, maxBatchHeaders)
		} else if headers > 0 {
			r.Headers = make([]shard.Header, headers)
			for i := range r.Headers {
				r.Headers[i] = shard.Header{Name: string(in.varBytes()), Value: in.varBytes()}
			}
		}
		if in.bad || r.Offset <= previous || r.Offset > b.last {
			return fmt.Errorf("%w: record %d of %d has no sense", errDamaged, n, b.count)
		}
		previous = r.Offset
		if !yield(r) {
			return nil
		}
	}
	return nil
}

// A payload is records as an append queues them: each without what depends on its place in a batch.
type payload struct {
	bytes []byte // of all records: what follows the offset delta
	ends  []int32
}

func varintLen(v int64) int {
	u := uint64(v<<1) ^ uint64(v>>63)
	n := 1
	for u >= 0x80 {
		u >>= 7
		n++
	}
	return n
}

func appendVarBytes(b, v []byte) []byte {
	if v == nil {
		return binary.AppendVarint(b, -1)
	}
	b = binary.AppendVarint(b, int64(len(v)))
	return append(b, v...)
}

func newPayload(records []shard.Record) payload {
	size := 0
	for i := range records {
		r := &records[i]
		size += 9 + len(r.Key) + len(r.Value) + 2
		for j := range r.Headers {
			size += 6 + len(r.Headers[j].Name) + len(r.Headers[j].Value)
		}
	}
	p := payload{bytes: make([]byte, 0, size), ends: make([]int32, len(records))}
	for i := range records {
		r := &records[i]
		p.bytes = appendVarBytes(p.bytes, r.Key)
		p.bytes = appendVarBytes(p.bytes, r.Value)
		p.bytes = binary.AppendVarint(p.bytes, int64(len(r.Headers)))
		for j := range r.Headers {
			p.bytes = binary.AppendVarint(p.bytes, int64(len(r.Headers[j].Name)))
			p.bytes = append(p.bytes, r.Headers[j].Name...)
			p.bytes = appendVarBytes(p.bytes, r.Headers[j].Value)
		}
		p.ends[i] = int32(len(p.bytes))
	}
	return p
}

// size is the most that the records take in a batch.
func (p *payload) size() int { return len(p.bytes) + len(p.ends)*(5+1+10+5) }

// batchWriter builds one batch. All numbers of a writer's batches are known before it is sent but the base offset,
// which is the broker's to give.
type batchWriter struct {
	b         []byte
	count     int32
	firstTime int64
	maxTime   int64
}

func newBatchWriter(size int) *batchWriter {
	return &batchWriter{b: make([]byte, batchHeaderBytes, batchHeaderBytes+size)}
}

func (w *batchWriter) add(p payload, millis int64) {
	if w.count == 0 {
		w.firstTime = millis
	}
	w.maxTime = max(w.maxTime, millis)
	start := int32(0)
	for _, end := range p.ends {
		rest := p.bytes[start:end]
		start = end
		delta := millis - w.firstTime
		length := 1 + varintLen(delta) + varintLen(int64(w.count)) + len(rest)
		w.b = binary.AppendVarint(w.b, int64(length))
		w.b = append(w.b, 0)
		w.b = binary.AppendVarint(w.b, delta)
		w.b = binary.AppendVarint(w.b, int64(w.count))
		w.b = append(w.b, rest...)
		w.count++
	}
}

// seal writes the header and returns the batch.
func (w *batchWriter) seal(pid int64, epoch int16, sequence int32) []byte {
	h := encoder{b: w.b[:0]}
	h.i64(0)
	h.i32(int32(len(w.b) - 12))
	h.i32(-1)
	h.i8(2)
	h.i32(0)
	h.i16(0)
	h.i32(w.count - 1)
	h.i64(w.firstTime)
	h.i64(w.maxTime)
	h.i64(pid)
	h.i16(epoch)
	h.i32(sequence)
	h.i32(w.count)
	binary.BigEndian.PutUint32(w.b[crcAt:], crc32.Checksum(w.b[attrsAt:], castagnoli))
	return w.b
}
