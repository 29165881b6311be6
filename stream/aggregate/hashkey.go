package aggregate

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// HashKey is a point on the ring that shards divide among them: an unsigned 128-bit number, the most significant byte
// first.
type HashKey [16]byte

// HashRange is the part of the ring that a shard takes, both ends included.
type HashRange struct{ Start, End HashKey }

// FullRange is the whole ring.
var FullRange = HashRange{End: HashKey{
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
}}

// Contains reports whether the key lies in the range.
func (r HashRange) Contains(k HashKey) bool {
	return bytes.Compare(r.Start[:], k[:]) <= 0 && bytes.Compare(k[:], r.End[:]) <= 0
}

// ParseHashKey reads a hash key in decimal, as AWS writes it: from 0 to 2^128−1, without sign or leading zeros.
func ParseHashKey(text string) (HashKey, bool) { return parseHashKey([]byte(text)) }

func parseHashKey(text []byte) (k HashKey, ok bool) {
	if len(text) == 0 || text[0] == '0' && len(text) > 1 {
		return k, false
	}
	var hi, lo uint64
	for _, c := range text {
		digit := uint64(c) - '0'
		if digit > 9 {
			return k, false
		}
		carry, low := bits.Mul64(lo, 10)
		top, high := bits.Mul64(hi, 10)
		var over uint64
		lo, over = bits.Add64(low, digit, 0)
		hi, over = bits.Add64(high, carry, over)
		if top != 0 || over != 0 {
			return k, false
		}
	}
	binary.BigEndian.PutUint64(k[:8], hi)
	binary.BigEndian.PutUint64(k[8:], lo)
	return k, true
}
