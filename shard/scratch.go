package shard

import "context"

// Scratch is memory for the reads of one goroutine, one after the other. The zero value is ready for use.
type Scratch struct {
	Records []Record // what the last read returned
	Memory  []byte   // what of it is in use since that read began
}

// Room returns n bytes of Memory that begin with held, which is empty or the end of what Room returned last.
func (s *Scratch) Room(held []byte, n int) []byte {
	at := len(s.Memory) - len(held)
	if at+n <= cap(s.Memory) {
		s.Memory = s.Memory[:at+n]
		return s.Memory[at:]
	}
	s.Memory = make([]byte, n, max(n, 2*cap(s.Memory))) // the records of this read keep the old one
	copy(s.Memory, held)
	return s.Memory
}

// ReadInto is l.Read for who is done with the records before the next read: they, and what they point to, may be in
// scratch and are valid until it is used again. Where an engine can do so, and has a method ReadInto, no memory is made for
// them, and they come by whole Appends, as far as they are at or after from: as many as the limit allows, and at least one.
// Else it is Read.
func ReadInto(ctx context.Context, l Log, from Offset, max Limit, scratch *Scratch) ([]Record, error) {
	if l, ok := l.(interface {
		ReadInto(ctx context.Context, from Offset, max Limit, scratch *Scratch) ([]Record, error)
	}); ok {
		return l.ReadInto(ctx, from, max, scratch)
	}
	return l.Read(ctx, from, max)
}
