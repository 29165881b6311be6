package kafka

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/segmentio/kafka-go/compress"
)

// What a compressed batch claims to become is not believed: a few bytes can claim gigabytes.

// unpack returns the bytes of a batch's records, which another client has compressed.
func unpack(kind compress.Compression, packed []byte) ([]byte, error) {
	var out []byte
	var err error
	switch kind {
	case compress.Gzip:
		var r *gzip.Reader
		if r, err = gzip.NewReader(bytes.NewReader(packed)); err == nil {
			out, err = readBounded(r)
		}
	case compress.Snappy:
		out, err = unpackSnappy(packed)
	case compress.Lz4:
		r := kind.Codec().NewReader(bytes.NewReader(packed))
		out, err = readBounded(r)
		r.Close()
	case compress.Zstd:
		var d *zstd.Decoder
		if d, err = zstdDecoder(); err == nil {
			out, err = d.DecodeAll(packed, nil)
		}
	default:
		return nil, fmt.Errorf("%w: compression %d is not known", errDamaged, kind)
	}
	if err == nil && len(out) > maxUnpackedBytes {
		err = fmt.Errorf("more than %d bytes when unpacked", maxUnpackedBytes)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", errDamaged, kind, err)
	}
	return out, nil
}

// zstdDecoder is one for all: it may be used concurrently.
var zstdDecoder = sync.OnceValues(func() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxUnpackedBytes), zstd.WithDecoderConcurrency(0))
})

func readBounded(r io.Reader) ([]byte, error) {
	return io.ReadAll(io.LimitReader(r, maxUnpackedBytes+1))
}

// xerial is how Kafka's Java client frames snappy: this, two versions, then blocks with their length before them.
var xerial = []byte("\x82SNAPPY\x00")

const xerialHeader = 16

func unpackSnappy(packed []byte) (out []byte, err error) {
	if !bytes.HasPrefix(packed, xerial) || len(packed) < xerialHeader {
		return appendSnappy(nil, packed)
	}
	for rest := packed[xerialHeader:]; len(rest) > 0; {
		if len(rest) < 4 || uint64(binary.BigEndian.Uint32(rest)) > uint64(len(rest)-4) {
			return nil, io.ErrUnexpectedEOF
		}
		size := int(binary.BigEndian.Uint32(rest))
		if out, err = appendSnappy(out, rest[4:4+size]); err != nil {
			return nil, err
		}
		rest = rest[4+size:]
	}
	return out, nil
}

// snappyGain is more than snappy can make of a byte: a copy of 64 bytes takes two or three.
const snappyGain = 64

func appendSnappy(out, block []byte) ([]byte, error) {
	size, err := s2.DecodedLen(block)
	if err != nil {
		return nil, err
	}
	if size > snappyGain*len(block)+snappyGain || size+len(out) > maxUnpackedBytes {
		return nil, fmt.Errorf("a block of %d bytes claims to become %d", len(block), size)
	}
	unpacked, err := s2.Decode(nil, block)
	return append(out, unpacked...), err
}
