package journal

// A small append's entry and frame lie in memory that they share with those that come after it in the same log: two
// thirds of what an append of a few hundred bytes costs would otherwise be the allocator's and the garbage collector's
// work. Only one log's share: its entries leave the cache in order, and so the memory is free again when the last one
// of a slab has gone. Who keeps a record keeps its slab, no more than slabBytes.
//
// A slab is for as many appends as came in the last slabMillis at most: a log with little to do has one for each.
const (
	slabBytes   = 28 << 10 // a size that the allocator has ready; 32 KiB are a big piece to it
	slabEntries = 64
	// slabFrame is the longest frame that lies in a slab. It is encoded under the log's lock.
	slabFrame = 2 << 10
	// slabMillis is how soon a slab must be used up for the next one to be twice as big.
	slabMillis = 100
)

// slab is what is left for the next appends of one log. Its lock guards it.
type slab struct {
	entries []entry
	frames  []byte // of length 0; the capacity is what is left
	begun   int64  // when the entries were made, in milliseconds
	size    int    // for how many
}

// carve returns an entry with room for a small frame. now is in milliseconds.
func (s *slab) carve(log *logState, size int, now int64) *entry {
	if len(s.entries) == 0 {
		if age := now - s.begun; age >= 0 && age < slabMillis {
			s.size = min(max(2*s.size, 1), slabEntries)
		} else {
			s.size = 1
		}
		s.begun = now
		s.entries = make([]entry, s.size)
	}
	if cap(s.frames) < size {
		s.frames = make([]byte, 0, max(size, min(len(s.entries)*size, slabBytes)))
	}
	en := &s.entries[0]
	s.entries = s.entries[1:]
	en.log, en.buf = log, s.frames[:0:size]
	s.frames = s.frames[size:size]
	return en
}
