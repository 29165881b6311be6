package shard

import "context"

// Scratch is memory for the reads of one goroutine, one after the other. The zero value is ready for use.
type Scratch struct {
	records []Record // what the last read returned; behind them there are none in their memory
	pieces  [][]byte // of memory, each as long as what of it is in use
	at      int      // the piece that is being used up
}

// scratchPiece is how long pieces become as a scratch grows. Longer ones are for what is longer by itself.
const scratchPiece = 1 << 20

// Begin lets a read use all memory again. It returns memory for its records.
func (s *Scratch) Begin() []Record {
	for i := range s.pieces {
		s.pieces[i] = s.pieces[i][:0]
	}
	s.at = 0
	return s.records[:0]
}

// End takes note of what the read returns, in memory from Begin or longer than that.
func (s *Scratch) End(records []Record) {
	if len(records) < len(s.records) {
		clear(s.records[len(records):])
	}
	s.records = records
}

// Room returns n bytes of memory that begin with held, which is empty or the end of what Room returned last.
func (s *Scratch) Room(held []byte, n int) []byte {
	if s.at < len(s.pieces) {
		p := s.pieces[s.at]
		if begin := len(p) - len(held); begin+n <= cap(p) {
			s.pieces[s.at] = p[:begin+n]
			return s.pieces[s.at][begin:]
		}
		s.at++
	}
	for ; s.at < len(s.pieces); s.at++ {
		if n <= cap(s.pieces[s.at]) {
			s.pieces[s.at] = s.pieces[s.at][:n]
			copy(s.pieces[s.at], held)
			return s.pieces[s.at]
		}
	}
	p := make([]byte, n, max(n, min(s.Size(), scratchPiece)))
	copy(p, held)
	for s.at > 0 && len(s.pieces[s.at-1]) == 0 { // too short, as it will be the next time
		s.at--
		s.pieces[s.at] = nil
	}
	s.pieces = append(s.pieces[:s.at], p)
	return p
}

// Size returns the bytes of memory, but for what records themselves take.
func (s *Scratch) Size() (n int) {
	for _, p := range s.pieces {
		n += cap(p)
	}
	return n
}

// Release forgets what the last read returned, and the memory beyond so many bytes and records.
func (s *Scratch) Release(bytes, records int) {
	if s.Size() > bytes {
		s.pieces, s.at = nil, 0
	}
	if cap(s.records) > records {
		s.records = nil
	}
	clear(s.records)
	s.records = s.records[:0]
}

// ReadInto is l.Read for who is done with the records before the next read: they, and what they point to, may be in
// scratch and are valid until it is used again. Where an engine can do so, and has a method ReadInto, no memory is made for
// them, and within max.Records they come by whole Appends, as far as they are at or after from: as many as max.Bytes allows,
// and at least one. Else it is Read.
func ReadInto(ctx context.Context, l Log, from Offset, max Limit, scratch *Scratch) ([]Record, error) {
	if l, ok := l.(interface {
		ReadInto(ctx context.Context, from Offset, max Limit, scratch *Scratch) ([]Record, error)
	}); ok {
		return l.ReadInto(ctx, from, max, scratch)
	}
	return l.Read(ctx, from, max)
}
