package stream

import (
	"cmp"
	"crypto/md5"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strconv"
)

// tenTo19 is the largest power of ten that fits a word: numbers wider than a word are printed and parsed in
// chunks of 19 digits.
const tenTo19 = 10_000_000_000_000_000_000

// maxHashKeyDigits is the length of 2^128−1 in decimal.
const maxHashKeyDigits = 39

// HashKey is a point on the ring that shards divide among them: an unsigned 128-bit number.
type HashKey struct {
	Hi, Lo uint64
}

// MaxHashKey is 2^128−1, where the last shard ends.
var MaxHashKey = HashKey{math.MaxUint64, math.MaxUint64}

// ErrInvalidHashKey: the text is not a decimal number from 0 to 2^128−1 without leading zeros.
var ErrInvalidHashKey = errors.New("invalid hash key")

// HashPartitionKey is where a partition key's records go: the MD5 of its UTF-8 bytes, the first byte being
// the most significant (Amazon Kinesis Data Streams Developer Guide, "Partition key").
func HashPartitionKey(key []byte) HashKey {
	sum := md5.Sum(key)
	return HashKey{binary.BigEndian.Uint64(sum[:8]), binary.BigEndian.Uint64(sum[8:])}
}

// ParseHashKey reads a hash key as AWS writes it, in decimal. Errors wrap ErrInvalidHashKey.
func ParseHashKey(text string) (HashKey, error) {
	if text == "" || len(text) > maxHashKeyDigits || (text[0] == '0' && len(text) > 1) {
		return HashKey{}, fmt.Errorf("%w: %q", ErrInvalidHashKey, clip(text))
	}
	var k HashKey
	for i := 0; i < len(text); i++ {
		digit := uint64(text[i]) - '0'
		if digit > 9 {
			return HashKey{}, fmt.Errorf("%w: %q", ErrInvalidHashKey, clip(text))
		}
		high, low := bits.Mul64(k.Lo, 10)
		top, hi := bits.Mul64(k.Hi, 10)
		lo, carry := bits.Add64(low, digit, 0)
		hi, carry = bits.Add64(hi, high, carry)
		if top != 0 || carry != 0 {
			return HashKey{}, fmt.Errorf("%w: %q is beyond 2^128-1", ErrInvalidHashKey, clip(text))
		}
		k = HashKey{hi, lo}
	}
	return k, nil
}

// Compare is negative, zero or positive as k is below, at or above other.
func (k HashKey) Compare(other HashKey) int {
	if c := cmp.Compare(k.Hi, other.Hi); c != 0 {
		return c
	}
	return cmp.Compare(k.Lo, other.Lo)
}

// String is the key in decimal.
func (k HashKey) String() string { return string(k.Append(nil)) }

// Append appends the key in decimal.
func (k HashKey) Append(dst []byte) []byte {
	// 2^128 has 39 digits: one, and two chunks of 19.
	high, rest := bits.Div64(0, k.Hi, tenTo19)
	middle, low := bits.Div64(rest, k.Lo, tenTo19)
	// The quotient is high·2^64 + middle, below 2^128/10^19 < 2^65.
	top, middle := bits.Div64(high, middle, tenTo19)
	return appendChunks(dst, top, middle, low)
}

// Bytes is the key as 16 bytes, the most significant first.
func (k HashKey) Bytes() (b [16]byte) {
	binary.BigEndian.PutUint64(b[:8], k.Hi)
	binary.BigEndian.PutUint64(b[8:], k.Lo)
	return b
}

// Next is the key after k; the one after the last is 0.
func (k HashKey) Next() HashKey {
	lo, carry := bits.Add64(k.Lo, 1, 0)
	hi, _ := bits.Add64(k.Hi, 0, carry)
	return HashKey{hi, lo}
}

// Previous is the key before k; the one before 0 is the last.
func (k HashKey) Previous() HashKey {
	lo, borrow := bits.Sub64(k.Lo, 1, 0)
	hi, _ := bits.Sub64(k.Hi, 0, borrow)
	return HashKey{hi, lo}
}

// minus is k − other, modulo 2^128.
func (k HashKey) minus(other HashKey) HashKey {
	lo, borrow := bits.Sub64(k.Lo, other.Lo, 0)
	hi, _ := bits.Sub64(k.Hi, other.Hi, borrow)
	return HashKey{hi, lo}
}

// plus is k + other, modulo 2^128.
func (k HashKey) plus(other HashKey) HashKey {
	lo, carry := bits.Add64(k.Lo, other.Lo, 0)
	hi, _ := bits.Add64(k.Hi, other.Hi, carry)
	return HashKey{hi, lo}
}

// half is k/2, rounded down.
func (k HashKey) half() HashKey { return HashKey{k.Hi >> 1, k.Hi<<63 | k.Lo>>1} }

// appendChunks appends top·10^38 + middle·10^19 + low in decimal.
func appendChunks(dst []byte, top, middle, low uint64) []byte {
	switch {
	case top != 0:
		dst = strconv.AppendUint(dst, top, 10)
		dst = appendChunk(dst, middle)
		return appendChunk(dst, low)
	case middle != 0:
		dst = strconv.AppendUint(dst, middle, 10)
		return appendChunk(dst, low)
	}
	return strconv.AppendUint(dst, low, 10)
}

// pairs are the numbers 00 to 99, so that two digits cost one division.
const pairs = "00010203040506070809" +
	"10111213141516171819" +
	"20212223242526272829" +
	"30313233343536373839" +
	"40414243444546474849" +
	"50515253545556575859" +
	"60616263646566676869" +
	"70717273747576777879" +
	"80818283848586878889" +
	"90919293949596979899"

// appendChunk appends v < 10^19 as 19 digits, leading zeros included.
func appendChunk(dst []byte, v uint64) []byte {
	var digits [19]byte
	for i := 17; i > 0; i -= 2 {
		rest := v / 100
		two := (v - rest*100) * 2
		digits[i], digits[i+1] = pairs[two], pairs[two+1]
		v = rest
	}
	digits[0] = byte('0' + v)
	return append(dst, digits[:]...)
}

// clip keeps what others sent short enough for an error message.
func clip(text string) string {
	const most = 140
	if len(text) <= most {
		return text
	}
	return text[:most] + "…"
}
