package shard

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

func TestWhatAReadPutsIntoScratchStaysUntilTheNextOne(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var s Scratch
	for range 200 {
		s.Begin()
		var kept, want [][]byte
		var held []byte
		for i := range 1 + rng.IntN(20) {
			b := s.Room(held, len(held)+rng.IntN(1<<rng.IntN(12)))
			if !bytes.HasPrefix(b, held) {
				t.Fatal("what was held is not at the beginning")
			}
			for k := len(held); k < len(b); k++ {
				b[k] = byte(i)
			}
			taken := rng.IntN(len(b) + 1)
			kept, want = append(kept, b[:taken]), append(want, bytes.Clone(b[:taken]))
			if held = b[taken:]; rng.IntN(3) == 0 {
				held = nil
			}
		}
		for i := range kept {
			if !bytes.Equal(kept[i], want[i]) {
				t.Fatal("memory of one read was given twice")
			}
		}
	}
}

func TestScratchKeepsNothingThatIsTooShort(t *testing.T) {
	var s Scratch
	longest := 0
	for n := 1 << 20; n < 4<<20; n += 64 << 10 {
		s.Begin()
		s.Room(nil, 100)
		s.Room(nil, n)
		longest = n
	}
	if s.Size() > 2*longest {
		t.Errorf("%d bytes for reads of %d at most", s.Size(), longest)
	}
}
