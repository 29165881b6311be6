package kafka

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"
	"time"

	"github.com/segmentio/kafka-go/compress"

	"github.com/seed-462d9463/sluice/shard"
)

// someBatches are batches as engines and plain producers write them: one, several, compressed.
func someBatches(t testing.TB) [][]byte {
	records := []shard.Record{
		{Key: []byte("key"), Value: []byte("value"), Headers: []shard.Header{{Name: "h", Value: []byte("x")}, {Name: "none"}}},
		{}, {Value: bytes.Repeat([]byte("many "), 100)},
	}
	w := newBatchWriter(0)
	w.add(newPayload(records), time.UnixMilli(1_700_000_000_000).UnixMilli())
	w.add(newPayload(records[:1]), time.UnixMilli(1_700_000_000_007).UnixMilli())
	plain := w.seal(7, 3, 42)
	w = newBatchWriter(0)
	w.add(newPayload([]shard.Record{newMarker(7, 3)}), 1)
	marker := w.seal(7, 3, 0)
	out := [][]byte{plain, marker, append(bytes.Clone(marker), plain...), plain[:len(plain)-1], plain[:70]}
	for kind := compress.Gzip; kind <= compress.Zstd; kind++ {
		out = append(out, packed(t, plain, kind))
	}
	return out
}

// packed compresses the records of a batch.
func packed(t testing.TB, plain []byte, kind compress.Compression) []byte {
	var body bytes.Buffer
	c := kind.Codec().NewWriter(&body)
	if _, err := c.Write(plain[batchHeaderBytes:]); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	w := &batchWriter{b: append(bytes.Clone(plain[:batchHeaderBytes]), body.Bytes()...), count: 4, firstTime: 1_700_000_000_000, maxTime: 1_700_000_000_007}
	return sealAs(w, int16(kind))
}

func TestBatchesComeBackAsTheyWere(t *testing.T) {
	for i, raw := range someBatches(t) {
		b, _, err := cutBatch(raw)
		if i == 3 || i == 4 {
			if b != nil || err != nil {
				t.Fatalf("a part of a batch: %v, %v", b, err)
			}
			continue
		}
		if err != nil || b == nil {
			t.Fatalf("batch %d: %v", i, err)
		}
		if i == 1 || i == 2 {
			if !isMarker(b) {
				t.Errorf("batch %d is no marker", i)
			}
			b.pid++
			if isMarker(b) {
				t.Errorf("batch %d is a marker of another producer", i)
			}
			continue
		}
		var got []shard.Record
		if err := b.records(func(r shard.Record) bool { got = append(got, r); return true }); err != nil {
			t.Fatalf("batch %d: %v", i, err)
		}
		if len(got) != 4 || string(got[3].Value) != "value" || got[3].Offset != 3 || got[3].Time.UnixMilli() != 1_700_000_000_007 ||
			len(got[0].Headers) != 2 || got[0].Time.UnixMilli() != 1_700_000_000_000 {
			t.Errorf("batch %d: %+v", i, got)
		}
	}
}

// TestEveryFlippedBitOfABatchIsNoticed holds the checksum against what a disk or a wire may do.
func TestEveryFlippedBitOfABatchIsNoticed(t *testing.T) {
	good := someBatches(t)[0]
	for at := magicAt; at < len(good); at++ {
		for bit := range 8 {
			bad := bytes.Clone(good)
			bad[at] ^= 1 << bit
			if b, _, err := cutBatch(bad); b != nil || !errors.Is(err, errDamaged) {
				t.Fatalf("bit %d of byte %d: %v, %v", bit, at, b, err)
			}
		}
	}
}

func FuzzBatches(f *testing.F) {
	for _, b := range someBatches(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, set []byte) {
		set = repaired(set) // so that what is behind the checksum is reached
		for {
			b, rest, err := cutBatch(set)
			if err != nil || b == nil {
				return
			}
			isMarker(b)
			last := b.base - 1
			err = b.records(func(r shard.Record) bool {
				if r.Offset <= last || r.Offset > b.last {
					t.Fatalf("record at %d after %d in a batch to %d", r.Offset, last, b.last)
				}
				last = r.Offset
				return true
			})
			if err != nil && !errors.Is(err, errDamaged) {
				t.Fatalf("error %v", err)
			}
			set = rest
		}
	})
}

func FuzzAnswers(f *testing.F) {
	f.Add(uint8(0), []byte{})
	fetch := encoder{}
	fetch.i32(0)
	fetch.i16(0)
	fetch.i32(0)
	fetch.i32(1)
	fetch.str("topic")
	fetch.i32(1)
	fetch.i32(0)
	fetch.i16(0)
	fetch.i64(5)
	fetch.i64(5)
	fetch.i64(0)
	fetch.i32(-1)
	fetch.i32(-1)
	fetch.i32(3)
	fetch.b = append(fetch.b, "set"...)
	if got, err := parseFetched(fetch.b); err != nil || len(got) != 1 || string(got[0].set) != "set" || got[0].high != 5 {
		f.Fatalf("a good answer: %+v, %v", got, err)
	}
	f.Add(uint8(0), fetch.b)
	huge := bytes.Clone(fetch.b)
	copy(huge[10:], "\x7f\xff\xff\xff")
	f.Add(uint8(0), huge)
	meta, err := hex.DecodeString("00" + "00000000" + "02" + "00000001" + "0a" + "6c6f63616c686f7374"[:18] + "00002384" + "00" + "00" + "00" + "00000001" + "01" + "00")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint8(1), meta)
	for kind := range uint8(5) {
		f.Add(kind, bytes.Repeat([]byte{0}, 64))
	}
	f.Fuzz(func(_ *testing.T, kind uint8, answer []byte) {
		switch kind % 5 {
		case 0:
			_, _ = parseFetched(answer)
		case 1:
			_, _ = parseMetadata(answer)
		case 2:
			_, _ = parseProduced(answer)
		case 3:
			_, _ = parseCreateTopic(answer)
		case 4:
			_ = parseDeleteTopic(answer)
		}
	})
}

func FuzzChanges(f *testing.F) {
	s := newState()
	s.apply(change{Topic: &topicDoc{Name: "t", Kafka: "t", Partitions: 2}})
	s.apply(change{Log: &logChange{Topic: "t", Partition: 1, First: 7, Start: &start{Offset: 3, PID: 1}, Marks: []mark{{5, 6}}}})
	for _, c := range append(s.snapshot(map[int64]int{1: 1}), change{Kind: changeDrop, Drop: &dropDoc{Name: "t"}},
		change{Kind: changeLog, Log: &logChange{Topic: "t", First: 9}}) {
		r, err := c.encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(r.Key, r.Value)
	}
	f.Fuzz(func(t *testing.T, key, value []byte) {
		c, err := decodeChange(shard.Record{Key: key, Value: value})
		if err != nil {
			return
		}
		s := newState()
		s.apply(c)
		again, err := c.encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decodeChange(again); err != nil {
			t.Fatalf("%s is not read again: %v", again.Value, err)
		}
	})
}
