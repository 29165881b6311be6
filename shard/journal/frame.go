package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/seed-462d9463/sluice/shard"
)

// A frame is what one append leaves, the same bytes in the journal and in a segment. FORMAT.md has the layout.
//
// There are two checksums because the payload is encoded and summed by the appending goroutine, without any
// lock, while offset and time are known only under the log's lock; the header's own sum is all that is left to
// do there. It covers the payload's, so together they cover every byte. Where small appends are many (lend.go), both are left
// to the committer.
const (
	frameHeaderBytes = 56
	frameVersion     = 1

	frameRecords = 1 // payload: records
	frameControl = 2 // payload: a change of the table
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// maxFrameBytes bounds the frame of an append of so many bytes. Encoding takes less than what Record.Size adds
// for each record, but a header may cost 6 bytes more than its name and value; half as much again leaves
// room for any records but such as have little else than many empty headers.
func maxFrameBytes(appendBytes int) int64 {
	return frameHeaderBytes + int64(appendBytes) + int64(appendBytes)/2 + 4096
}

// frameHeader is the decoded fixed part of a frame.
type frameHeader struct {
	length  int64 // with the header
	payload uint32
	kind    byte
	count   int64
	dir     uint32 // of the directory; see journal.dir
	log     uint64
	base    shard.Offset
	millis  int64
	epoch   uint64
}

func (h *frameHeader) end() shard.Offset { return h.base + shard.Offset(h.count) }

// seal writes the header before the payload that is in buf already.
func (h *frameHeader) seal(buf []byte) {
	h.put(buf)
	sumHeaderOf(buf)
}

// sumHeaderOf completes a frame whose header has all but its own sum.
func sumHeaderOf(frame []byte) {
	binary.LittleEndian.PutUint32(frame, crc32.Checksum(frame[4:frameHeaderBytes], castagnoli))
}

// sealRaw completes frames that lie back to back and lack nothing but their sums.
func sealRaw(frames []byte) {
	le := binary.LittleEndian
	for len(frames) > 0 {
		n := le.Uint32(frames[4:])
		le.PutUint32(frames[8:], crc32.Checksum(frames[frameHeaderBytes:n], castagnoli))
		sumHeaderOf(frames)
		frames = frames[n:]
	}
}

// put writes all of the header but its own sum.
func (h *frameHeader) put(buf []byte) {
	le := binary.LittleEndian
	le.PutUint32(buf[4:], uint32(len(buf)))
	le.PutUint32(buf[8:], h.payload)
	buf[12] = frameVersion
	buf[13] = h.kind
	le.PutUint16(buf[14:], 0)
	le.PutUint32(buf[16:], uint32(h.count))
	le.PutUint32(buf[20:], h.dir)
	le.PutUint64(buf[24:], h.log)
	le.PutUint64(buf[32:], uint64(h.base))
	le.PutUint64(buf[40:], uint64(h.millis))
	le.PutUint64(buf[48:], h.epoch)
}

// errShort says that bytes end in the middle of something; what is there may be fine.
var errShort = errors.New("cut short")

// parseFrameHeader checks and decodes the header at the start of b.
func parseFrameHeader(b []byte) (frameHeader, error) {
	if _, err := checkHeader(b); err != nil {
		return frameHeader{}, err
	}
	h := decodeHeader(b)
	return h, h.makesSense(b)
}

// checkHeader checks the header at the start of b against its sum, and returns the frame's length.
func checkHeader(b []byte) (length int64, err error) {
	if len(b) < frameHeaderBytes {
		return 0, errShort
	}
	if binary.LittleEndian.Uint32(b) != crc32.Checksum(b[4:frameHeaderBytes], castagnoli) {
		return 0, errors.New("frame header: checksum does not match")
	}
	length = int64(binary.LittleEndian.Uint32(b[4:]))
	if length < frameHeaderBytes {
		return 0, fmt.Errorf("frame length %d is too small", length)
	}
	return length, nil
}

// decodeHeader decodes a header that has been checked.
func decodeHeader(b []byte) frameHeader {
	le := binary.LittleEndian
	return frameHeader{
		length:  int64(le.Uint32(b[4:])),
		payload: le.Uint32(b[8:]),
		kind:    b[13],
		count:   int64(le.Uint32(b[16:])),
		dir:     le.Uint32(b[20:]),
		log:     le.Uint64(b[24:]),
		base:    shard.Offset(le.Uint64(b[32:])),
		millis:  int64(le.Uint64(b[40:])),
		epoch:   le.Uint64(b[48:]),
	}
}

// makesSense tells what is wrong with a frame whose header is right.
func (h *frameHeader) makesSense(frame []byte) error {
	switch {
	case frame[12] != frameVersion:
		return fmt.Errorf("frame version %d is not known", frame[12])
	case h.kind != frameRecords && h.kind != frameControl:
		return fmt.Errorf("frame kind %d is not known", h.kind)
	case h.base < 0 || h.kind == frameRecords && h.count == 0:
		return errors.New("frame without records or with a negative offset")
	}
	return nil
}

// frameAt decodes what places need of a header that has been checked, or made here.
func frameAt(b []byte) frameHeader {
	le := binary.LittleEndian
	return frameHeader{
		length: int64(le.Uint32(b[4:])), count: int64(le.Uint32(b[16:])),
		base: shard.Offset(le.Uint64(b[32:])), millis: int64(le.Uint64(b[40:])),
	}
}

// checkFrame decodes the header at the start of b, and checks the payload, which must be there wholly.
func checkFrame(b []byte) (frameHeader, error) {
	h, err := parseFrameHeader(b)
	if err != nil {
		return h, err
	}
	if h.length > int64(len(b)) {
		return h, errShort
	}
	return h, checkPayload(b[:h.length])
}

// checkPayload checks the payload of a frame whose header is right.
func checkPayload(frame []byte) error {
	if crc32.Checksum(frame[frameHeaderBytes:], castagnoli) != binary.LittleEndian.Uint32(frame[8:]) {
		return errors.New("frame payload: checksum does not match")
	}
	return nil
}

// Lengths are stored plus one, so that nil and empty stay apart (Kafka tells them apart too).

func bytesSize(b []byte) int {
	if b == nil {
		return 1
	}
	return uvarintSize(uint64(len(b))+1) + len(b)
}

func uvarintSize(v uint64) int {
	n := 1
	for ; v >= 0x80; v >>= 7 {
		n++
	}
	return n
}

// encodedSize returns how long the frame of the records is.
func encodedSize(records []shard.Record) int {
	n := frameHeaderBytes
	for i := range records {
		r := &records[i]
		n += bytesSize(r.Key) + bytesSize(r.Value) + uvarintSize(uint64(len(r.Headers)))
		for j := range r.Headers {
			name := len(r.Headers[j].Name)
			n += uvarintSize(uint64(name)) + name + bytesSize(r.Headers[j].Value)
		}
	}
	return n
}

// sumPiece is how much of a long frame is copied before it is summed: then it is still near the processor, which it would not
// be at the end. (Go itself copies a MiB and more past all caches.)
const sumPiece = 64 << 10

// encodeRecords lays a frame out in an empty buffer, which has room for it: space for the header, then the payload, and
// returns the payload's sum.
func encodeRecords(buf []byte, records []shard.Record) (frame []byte, sum uint32) {
	e := frameEncoder{buf: buf[:cap(buf)], n: frameHeaderBytes, summed: frameHeaderBytes}
	e.records(records)
	e.sumUp()
	return buf[:e.n], e.sum
}

// encodeRaw is encodeRecords for a small frame that is summed later.
func encodeRaw(buf []byte, records []shard.Record) (frame []byte) {
	e := frameEncoder{buf: buf[:cap(buf)], n: frameHeaderBytes, summed: frameHeaderBytes}
	e.records(records)
	return buf[:e.n]
}

// frameEncoder fills a frame, and sums what it puts there now and then.
type frameEncoder struct {
	buf    []byte
	n      int // of buf that is filled
	summed int // of that
	sum    uint32
}

func (e *frameEncoder) records(records []shard.Record) {
	for i := range records {
		r := &records[i]
		e.bytes(r.Key)
		e.uvarint(uint64(len(r.Headers)))
		for j := range r.Headers {
			e.uvarint(uint64(len(r.Headers[j].Name)))
			e.n += copy(e.buf[e.n:], r.Headers[j].Name)
			e.bytes(r.Headers[j].Value)
		}
		e.bytes(r.Value)
	}
}

func (e *frameEncoder) uvarint(v uint64) { e.n += binary.PutUvarint(e.buf[e.n:], v) }

// bytes puts bytes behind their length, as bytesSize has it.
func (e *frameEncoder) bytes(b []byte) {
	if b == nil {
		e.uvarint(0)
		return
	}
	e.uvarint(uint64(len(b)) + 1)
	for len(b) > sumPiece {
		e.n += copy(e.buf[e.n:], b[:sumPiece])
		e.sumUp()
		b = b[sumPiece:]
	}
	e.n += copy(e.buf[e.n:], b)
	if e.n-e.summed >= sumPiece {
		e.sumUp()
	}
}

func (e *frameEncoder) sumUp() {
	e.sum, e.summed = crc32.Update(e.sum, castagnoli, e.buf[e.summed:e.n]), e.n
}

const errPayload = badFrame("frame payload does not decode")

// payloadReader walks a payload whose sum has been checked. It must still not panic on anything: a sum is no
// proof.
type payloadReader struct {
	b   []byte
	bad bool
}

func (p *payloadReader) uvarint() uint64 {
	v, n := binary.Uvarint(p.b)
	if n <= 0 {
		p.bad, p.b = true, nil
		return 0
	}
	p.b = p.b[n:]
	return v
}

// take returns the next n bytes, not to be appended to.
func (p *payloadReader) take(n uint64) []byte {
	if n > uint64(len(p.b)) {
		p.bad, p.b = true, nil
		return nil
	}
	b := p.b[:n:n]
	p.b = p.b[n:]
	return b
}

func (p *payloadReader) bytes() []byte {
	n := p.uvarint()
	if n == 0 {
		return nil
	}
	return p.take(n - 1)
}

func (p *payloadReader) record(r *shard.Record) {
	r.Key = p.bytes()
	n := p.uvarint()
	if n > shard.MaxHeaders {
		p.bad = true
		return
	}
	if n > 0 {
		r.Headers = make([]shard.Header, n)
		for i := range r.Headers {
			r.Headers[i] = shard.Header{Name: string(p.take(p.uvarint())), Value: p.bytes()}
		}
	}
	r.Value = p.bytes()
}

// skip passes over a record without allocating.
func (p *payloadReader) skip() {
	p.bytes()
	n := p.uvarint()
	if n > shard.MaxHeaders {
		p.bad = true
		return
	}
	for range n {
		p.take(p.uvarint())
		p.bytes()
	}
	p.bytes()
}

// collector gathers records up to a limit.
type collector struct {
	out   []shard.Record
	left  int   // records that may still be added
	bytes int   // of Size, that may still be added
	there int64 // records that there are from here on, if that is known
	full  bool

	scratch *shard.Scratch // memory for what is read from files, if it is set; frames are then taken wholly, or as far as left lets
}

// expectRecords bounds what is set aside for a long read by the size of its first frame.
const expectRecords = 16 << 10

func newCollector(max shard.Limit) *collector {
	c := &collector{left: max.Records, bytes: max.Bytes}
	if max.Records <= 0 {
		c.left = int(^uint(0) >> 1)
	}
	if max.Bytes <= 0 {
		c.bytes = maxReadBytes
	}
	return c
}

// room returns memory for frames that are read from a file.
func (c *collector) room(n int) []byte {
	if c.scratch != nil {
		return c.scratch.Room(nil, n)
	}
	return make([]byte, n)
}

// add takes the frame's records from an offset on. The payload has been checked against its sum.
func (c *collector) add(h *frameHeader, frame []byte, from shard.Offset) error {
	p := payloadReader{b: frame[frameHeaderBytes:h.length]}
	at := h.base
	for ; at < from && at < h.end() && !p.bad; at++ {
		p.skip()
	}
	when := time.UnixMilli(h.millis).UTC()
	if c.out == nil {
		n := min(int64(h.end()-at), h.length/3) // no record takes less
		// Behind them come others, as many as there is room for if they are like these.
		n = max(n, min(int64(c.bytes)/(h.length/max(h.count, 1)+1), c.there, expectRecords))
		c.out = make([]shard.Record, 0, max(min(n, int64(c.left), int64(c.bytes)/16), 1)) // none counts less
	}
	whole := false
	for ; at < h.end() && (!c.full || whole) && !p.bad; at++ {
		r := shard.Record{Offset: at, Time: when}
		p.record(&r)
		if p.bad {
			break
		}
		size := r.Size()
		if len(c.out) > 0 && (c.left <= 0 || size > c.bytes) && !whole {
			c.full = true
			return nil
		}
		c.out = append(c.out, r)
		c.left--
		whole = c.scratch != nil && c.left > 0
		c.bytes -= size
		c.full = c.left <= 0 || c.bytes <= 0
	}
	if p.bad || at == h.end() && len(p.b) > 0 && !c.full {
		return errPayload
	}
	return nil
}
