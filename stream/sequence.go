package stream

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"time"

	"github.com/seed-462d9463/sluice/shard"
)

// SequenceNumber names a record within its stream. It has the layout of AWS's version 2, 188 bits whose top
// two are zero, printed in decimal with 56 digits. From the most significant bit on:
//
//	bits  what                                             here
//	   4  version, 2
//	  36  when the shard was created, seconds since 1970   shift 20 in hi
//	   4  low four bits of the shard's number              shift 16 in hi
//	  64  index within the shard, at most 2^63−1           16 bits in hi, 48 at the top of mid
//	   8  zero, or one in a number that names no record    shift 8 in mid
//	      but the place behind one
//	  36  when the record arrived, seconds since 1970      8 bits in mid, 28 at the top of lo
//	  32  the shard's number, at most 2^31−1               shift 4 in lo
//	   4  version again, 2
//
// The index of a record is its offset in the shard's log plus one; index 0 stands for the shard's beginning,
// 2^63−1 for the end of a closed shard. So within a shard the order of numbers is the order of offsets, a
// number leads to its offset without a table, and a child shard, created later than its parents, has greater
// numbers than they have.
//
// A number of the place behind a record lies between that record's and the next one's, so that it means the same
// to who goes on at it and to who goes on after it.
//
// The zero value is no sequence number. Values may be compared with ==.
type SequenceNumber struct {
	hi, mid, lo uint64
}

const (
	sequenceVersion = 2
	sequenceDigits  = 56
	beginningIndex  = 0
	endIndex        = math.MaxInt64
	maxShardIndex   = math.MaxInt32
	secondsMask     = 1<<36 - 1
	behindMark      = 1 << 8 // in mid
)

// ErrInvalidSequence: the text is not a sequence number that a shard of this package ever had.
var ErrInvalidSequence = errors.New("invalid sequence number")

// newSequence puts a sequence number together. The times are seconds since 1970.
func newSequence(created int64, shardIndex int, index uint64, arrived int64) SequenceNumber {
	c, a, s := uint64(created)&secondsMask, uint64(arrived)&secondsMask, uint64(shardIndex)
	return SequenceNumber{
		hi:  sequenceVersion<<56 | c<<20 | (s&0xf)<<16 | index>>48,
		mid: index<<16 | a>>28,
		lo:  a<<36 | s<<4 | sequenceVersion,
	}
}

// ParseSequence reads a sequence number in decimal. Errors wrap ErrInvalidSequence.
func ParseSequence(text string) (SequenceNumber, error) {
	if len(text) != sequenceDigits || text[0] == '0' {
		return SequenceNumber{}, fmt.Errorf("%w: %q", ErrInvalidSequence, clip(text))
	}
	var n SequenceNumber
	for _, chunk := range []string{text[:18], text[18:37], text[37:]} {
		var v uint64
		for i := 0; i < len(chunk); i++ {
			digit := uint64(chunk[i]) - '0'
			if digit > 9 {
				return SequenceNumber{}, fmt.Errorf("%w: %q", ErrInvalidSequence, clip(text))
			}
			v = v*10 + digit
		}
		n = n.timesTenTo19Plus(v)
	}
	if !n.valid() {
		return SequenceNumber{}, fmt.Errorf("%w: %q", ErrInvalidSequence, text)
	}
	return n, nil
}

// timesTenTo19Plus is n·10^19 + v; the result must be below 2^192.
func (n SequenceNumber) timesTenTo19Plus(v uint64) SequenceNumber {
	carry1, lo := bits.Mul64(n.lo, tenTo19)
	carry2, mid := bits.Mul64(n.mid, tenTo19)
	hi := n.hi*tenTo19 + carry2
	lo, c := bits.Add64(lo, v, 0)
	mid, c = bits.Add64(mid, carry1, c)
	return SequenceNumber{hi + c, mid, lo}
}

// valid reports whether all fields are as newSequence leaves them.
func (n SequenceNumber) valid() bool {
	return n.hi>>56 == sequenceVersion && n.lo&0xf == sequenceVersion &&
		n.mid>>8&0xff <= 1 && n.index() <= endIndex &&
		n.lo>>4&math.MaxUint32 <= maxShardIndex && n.hi>>16&0xf == n.lo>>4&0xf
}

// String is the number in decimal.
func (n SequenceNumber) String() string {
	return string(n.Append(make([]byte, 0, sequenceDigits)))
}

// Append appends the number in decimal.
func (n SequenceNumber) Append(dst []byte) []byte {
	// hi is below 10^19, so that the quotient by 10^19 fits two words, and that by 10^38 one.
	q1, rest := bits.Div64(n.hi, n.mid, tenTo19)
	q0, low := bits.Div64(rest, n.lo, tenTo19)
	top, middle := bits.Div64(q1, q0, tenTo19)
	return appendChunks(dst, top, middle, low)
}

// Compare is negative, zero or positive as n is below, at or above other.
func (n SequenceNumber) Compare(other SequenceNumber) int {
	if c := cmp.Compare(n.hi, other.hi); c != 0 {
		return c
	}
	if c := cmp.Compare(n.mid, other.mid); c != 0 {
		return c
	}
	return cmp.Compare(n.lo, other.lo)
}

// IsZero reports whether n is the zero value.
func (n SequenceNumber) IsZero() bool { return n == SequenceNumber{} }

// ShardIndex is the number of the shard that n belongs to.
func (n SequenceNumber) ShardIndex() int { return int(n.lo >> 4 & math.MaxUint32) }

// ShardCreated is when the shard that n belongs to was created, in whole seconds.
func (n SequenceNumber) ShardCreated() time.Time {
	return time.Unix(int64(n.hi>>20&secondsMask), 0).UTC()
}

// Arrived is when the record arrived, in whole seconds.
func (n SequenceNumber) Arrived() time.Time {
	return time.Unix(int64((n.mid&0xff)<<28|n.lo>>36), 0).UTC()
}

// behind reports whether n names the place behind a record.
func (n SequenceNumber) behind() bool { return n.mid&behindMark != 0 }

func (n SequenceNumber) index() uint64 { return n.hi&0xffff<<48 | n.mid>>16 }

// SequenceNumber names the record with the given offset and arrival time in the shard's log.
func (s *Shard) SequenceNumber(offset shard.Offset, arrived time.Time) SequenceNumber {
	return newSequence(s.Created.Unix(), s.Index, uint64(offset)+1, arrived.Unix())
}

// Behind is the sequence number of the place between the record before the given offset, which arrived at the given
// time if that is known, and the one at it: who reads at it or after it begins at the offset.
func (s *Shard) Behind(offset shard.Offset, arrived time.Time) SequenceNumber {
	if offset <= 0 {
		return s.Starting()
	}
	if arrived.IsZero() {
		arrived = s.Created
	}
	n := s.SequenceNumber(offset-1, arrived)
	n.mid |= behindMark
	return n
}

// Starting is the sequence number of the shard's beginning, below those of all its records.
func (s *Shard) Starting() SequenceNumber {
	return newSequence(s.Created.Unix(), s.Index, beginningIndex, s.Created.Unix())
}

// Ending is the sequence number of a closed shard's end, above those of all its records. ok is false while
// the shard is open.
func (s *Shard) Ending() (end SequenceNumber, ok bool) {
	if s.Open() {
		return SequenceNumber{}, false
	}
	return newSequence(s.Created.Unix(), s.Index, endIndex, s.Closed.Unix()), true
}

// offset is where a sequence number stands in the shard's log, which ends at next. It never asks whether the
// record is there: positions mean "at or after".
func (s *Shard) offset(n SequenceNumber, next shard.Offset) (shard.Offset, error) {
	failure := func(reason PositionReason) error {
		return &PositionError{Sequence: n, ShardID: s.ID, Reason: reason}
	}
	switch {
	case n.ShardIndex() != s.Index:
		return 0, failure(OtherShard)
	case !n.ShardCreated().Equal(s.Created):
		return 0, failure(OtherStream)
	case n.index() == beginningIndex:
		return 0, nil
	case n.index() == endIndex && !s.Open():
		return next, nil
	}
	offset := shard.Offset(n.index() - 1)
	if offset >= next {
		return 0, failure(NotYet)
	}
	return offset, nil
}
