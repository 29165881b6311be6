package journal

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/seed-462d9463/sluice/shard"
)

// recordsOf returns a record whose frame has so many bytes. Its value begins as told.
func recordsOf(size int, value []byte) []shard.Record {
	n := len(value)
	records := []shard.Record{{Value: append(value, bytes.Repeat(value[:1], size-n)...)}}
	for encodedSize(records) > size {
		records[0].Value = records[0].Value[:len(records[0].Value)-1]
	}
	return records
}

// frameOf returns a frame of so many bytes.
func frameOf(size int, log uint64, base shard.Offset, fill byte) []byte {
	records := recordsOf(size, []byte{fill})
	buf, sum := encodeRecords(make([]byte, 0, size), records)
	h := frameHeader{payload: sum, kind: frameRecords, count: 1, log: log, base: base, epoch: 1}
	h.seal(buf)
	return buf
}

// batchOf returns a batch of frames, padded.
func batchOf(generation uint64, at lsn, frames ...[]byte) []byte {
	all := slices.Concat(frames...)
	h := batchHeader{
		frames: uint32(len(frames)), journal: 3, generation: generation, at: at, durable: at, epoch: 1,
		length: int64(batchHeaderBytes + len(all)),
	}
	buf := make([]byte, h.padded())
	copy(buf[batchHeaderBytes:], all)
	h.seal(buf)
	return buf
}

// taken tells whether a scan takes what is there for a batch.
func taken(t *testing.T, b []byte) bool {
	t.Helper()
	n := 0
	err := scanBatches(bytes.NewReader(b), int64(len(b)), 3, func(_ *batchHeader, pos int64, _ []byte) error {
		if pos == 0 {
			n++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n > 0
}

func TestEveryFlippedBitOfABatchIsNoticed(t *testing.T) {
	batch := batchOf(1, 0, sampleFrame(), frameOf(700, 1, 5, 'x'), controlFrame(deleteChange{topic: 1}, &journal{epoch: 1}))
	if !taken(t, batch) {
		t.Fatal("the batch as it was written is not taken")
	}
	h, err := parseBatchHeader(batch)
	if err != nil {
		t.Fatal(err)
	}
	for i := range h.length {
		for bit := range 8 {
			batch[i] ^= 1 << bit
			if taken(t, batch) {
				t.Errorf("bit %d of byte %d of a batch is changed, and it is taken", bit, i)
			}
			batch[i] ^= 1 << bit
		}
	}
	for n := range h.length {
		if checkBatch(&h, batch[:n]) == nil {
			t.Errorf("%d bytes of %d are taken for a batch", n, h.length)
		}
	}
}

// A batch may be torn where frames begin, and what was there before may be whole frames at the same places.
func TestNoMixtureOfSectorsPassesForABatch(t *testing.T) {
	const sector = 512
	lengths := []int{sector - batchHeaderBytes, sector, 2 * sector, sector, sector / 2}
	contents := make([][]byte, 3) // the last is zeros
	for i := range contents[:2] {
		var frames [][]byte
		for k, n := range lengths {
			frames = append(frames, frameOf(n, 1, shard.Offset(10*i+k), byte('a'+i)))
		}
		contents[i] = batchOf(uint64(1+i), lsn(i)*blockBytes, frames...)
	}
	contents[2] = make([]byte, len(contents[0]))
	const sectors = 6 // that the batches are in
	mixtures := 1
	for range sectors {
		mixtures *= len(contents)
	}
	for m := range mixtures {
		mixture := make([]byte, len(contents[0]))
		from := map[int]bool{}
		for s, rest := 0, m; s < sectors; s, rest = s+1, rest/len(contents) {
			i := rest % len(contents)
			from[i] = true
			copy(mixture[s*sector:], contents[i][s*sector:(s+1)*sector])
		}
		if whole := len(from) == 1 && !from[2]; taken(t, mixture) != whole {
			t.Errorf("mixture %d, of %d contents, taken: %v", m, len(from), !whole)
		}
	}
}

func TestABatchIsNotTakenWithOtherFramesThanItHad(t *testing.T) {
	a, b, c := frameOf(300, 1, 5, 'a'), frameOf(300, 2, 5, 'b'), frameOf(600, 3, 5, 'c')
	batch := batchOf(1, 0, a, b, c)
	end := batchHeaderBytes + len(a) + len(b) + len(c)
	le := binary.LittleEndian
	for name, frames := range map[string][][]byte{
		"in another order":       {b, a, c},
		"one twice":              {a, a, c},
		"one instead of two":     {frameOf(600, 1, 5, 'a'), c},
		"two instead of one":     {a, b, frameOf(300, 3, 5, 'c'), frameOf(300, 3, 6, 'c')},
		"one that is newer":      {a, frameOf(300, 2, 6, 'b'), c},
		"one of another payload": {a, frameOf(300, 2, 5, 'x'), c},
		"a shorter one":          {a, b, frameOf(599, 3, 5, 'c')},
		"a longer one":           {a, b, frameOf(601, 3, 5, 'c')},
		"none":                   nil,
	} {
		other := bytes.Clone(batch)
		clear(other[batchHeaderBytes:end])
		copy(other[batchHeaderBytes:], slices.Concat(frames...))
		if taken(t, other) {
			t.Errorf("%s: taken", name)
		}
		if le.PutUint32(other[12:], uint32(len(frames))); taken(t, other) {
			t.Errorf("%s, their number made right: taken", name)
		}
	}
}

// More frames than are summed at one time.
func TestTheSumsOfManyFramesAreOfThisBatch(t *testing.T) {
	var frames [][]byte
	for i := range 3*len(batchSum{}.next)/4 + 1 {
		frames = append(frames, frameOf(60, 1, shard.Offset(i), 'x'))
	}
	batch := batchOf(1, 0, frames...)
	if !taken(t, batch) {
		t.Fatal("the batch as it was written is not taken")
	}
	for i := range frames {
		at := batch[batchHeaderBytes+60*i:]
		copy(at, frameOf(60, 1, shard.Offset(i), 'y'))
		if taken(t, batch) {
			t.Fatalf("another frame %d: taken", i)
		}
		copy(at, frames[i])
	}
}

// Who writes a batch has its frames in pieces that end between frames.
func TestABatchIsTheSameInPieces(t *testing.T) {
	var frames [][]byte
	for i := range 7 {
		frames = append(frames, frameOf(60+100*i, 1, shard.Offset(i), 'x'))
	}
	want := batchOf(1, 0, frames...)
	h, err := parseBatchHeader(want)
	if err != nil {
		t.Fatal(err)
	}
	for first := range len(frames) + 1 {
		for second := first; second <= len(frames); second++ {
			buf := append(make([]byte, batchHeaderBytes), slices.Concat(frames[:first]...)...)
			pieces := [][]byte{slices.Concat(frames[first:second]...), slices.Concat(frames[second:]...)}
			h.seal(buf, pieces...)
			if got := slices.Concat(buf, pieces[0], pieces[1]); !bytes.Equal(got, want[:h.length]) {
				t.Errorf("pieces that begin at frames %d and %d: another batch", first, second)
			}
		}
	}
}
