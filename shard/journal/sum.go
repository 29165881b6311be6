package journal

import (
	"encoding/binary"
	"hash/crc32"
	"math/bits"
)

// sumBehind returns the sum of bytes that follow others, going by the sums of both and the length of the latter: the sum of
// a polynomial times x^8n, plus that of another one, modulo Castagnoli's (as zlib's crc32_combine has it). It costs about
// what it costs to sum 4 KiB.
func sumBehind(before, sum uint32, n int64) uint32 {
	return multiply(powerOfX(n), before) ^ sum
}

// The polynomials here have their coefficients in reverse: bit 31 is that of x^0.
const castagnoliReversed = crc32.Castagnoli

// multiply multiplies polynomials modulo Castagnoli's.
func multiply(a, b uint32) (product uint32) {
	for ; a != 0; a <<= 1 {
		if a&(1<<31) != 0 {
			product ^= b
		}
		b = b>>1 ^ castagnoliReversed&-(b&1)
	}
	return product
}

// squares holds x^(2^i) modulo Castagnoli's polynomial, in which the exponents go round.
var squares = func() (s [32]uint32) {
	s[0] = 1 << 30
	for i := 1; i < len(s); i++ {
		s[i] = multiply(s[i-1], s[i-1])
	}
	return s
}()

// powerOfX returns x^8n modulo Castagnoli's polynomial.
func powerOfX(n int64) uint32 {
	p := uint32(1 << 31)
	for rest := uint64(n); rest != 0; rest &= rest - 1 {
		p = multiply(squares[(bits.TrailingZeros64(rest)+3)%len(squares)], p)
	}
	return p
}

// longFrame is how long a frame must be for its own sum to be used for that of what it is in.
const longFrame = 16 << 10

// sumFrames continues a sum with frames that were made here, each with its sums.
func sumFrames(sum uint32, frames []byte) uint32 {
	if len(frames) < longFrame || int(binary.LittleEndian.Uint32(frames[4:])) != len(frames) {
		return crc32.Update(sum, castagnoli, frames)
	}
	sum = crc32.Update(sum, castagnoli, frames[:frameHeaderBytes])
	return sumBehind(sum, binary.LittleEndian.Uint32(frames[8:]), int64(len(frames)-frameHeaderBytes))
}
