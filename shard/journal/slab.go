package journal

// Small appends of one log that stay in the cache lie in memory that they share with those that come after: two thirds of
// what an append of a few hundred bytes costs would otherwise be the allocator's and the garbage collector's work. Only one
// log's share: its shares leave the cache in order, and so the memory is free again when the last one of a slab has gone.
// Who keeps a record keeps its slab, no more than slabBytes.
//
// A slab is for as many appends as came in the last slabMillis at most: a log with little to do has one for each.
const (
	slabBytes   = 28 << 10 // a size that the allocator has ready; 32 KiB are a big part to it
	slabAppends = 64
	// slabFrame is the longest frame that lies in a slab. It is encoded under the log's lock.
	slabFrame = 2 << 10
	// slabMillis is how soon a slab must be used up for the next one to be twice as big.
	slabMillis = 100
)

// slab is what is left for the next appends of one log. Its lock guards it.
type slab struct {
	begun   int64 // when left was last size, in milliseconds
	size    int32 // for how many appends a slab is
	left    int32 // of them
	pending []pending
	frames  []byte // of length 0; the capacity is what is left
}

// carve returns the memory for the outcome of the append whose frame is the last of a share. now is in milliseconds.
func (s *slab) carve(to *share, now int64) *pending {
	if s.left == 0 {
		if age := now - s.begun; age >= 0 && age < slabMillis {
			s.size = min(max(2*s.size, 1), slabAppends)
		} else {
			s.size = 1
		}
		s.begun, s.left = now, s.size
	}
	s.left--
	if to.frames == 1 {
		return &to.first
	}
	if len(s.pending) == 0 {
		s.pending = make([]pending, s.left+1)
	}
	p := &s.pending[0]
	s.pending = s.pending[1:]
	return p
}

// room returns room for a small frame, right behind the one before where there is some. Whoever has the one before may
// grow it to take this one in.
func (s *slab) room(size int) []byte {
	if cap(s.frames) < size {
		s.frames = make([]byte, 0, max(size, min((int(s.left)+1)*size, slabBytes)))
	}
	buf := s.frames[:0]
	s.frames = s.frames[size:size]
	return buf
}
