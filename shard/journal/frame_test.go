package journal

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/seed-462d9463/sluice/shard"
)

func anyBytes(t *rapid.T, label string) []byte {
	if rapid.Bool().Draw(t, label+" is nil") {
		return nil
	}
	return append([]byte{}, rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, label)...)
}

func anyRecords(t *rapid.T) []shard.Record {
	records := make([]shard.Record, rapid.IntRange(1, 8).Draw(t, "records"))
	for i := range records {
		r := &records[i]
		r.Key, r.Value = anyBytes(t, "key"), anyBytes(t, "value")
		for range rapid.IntRange(0, 3).Draw(t, "headers") {
			r.Headers = append(r.Headers, shard.Header{Name: rapid.StringN(0, 20, 255).Draw(t, "name"), Value: anyBytes(t, "header")})
		}
	}
	return records
}

func TestFramesThatTheCommitterSumsAreThoseThatWhoAppendsSums(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var want, raw []byte
		for i := range rapid.IntRange(1, 4).Draw(t, "frames") {
			records := anyRecords(t)
			size := encodedSize(records)
			buf, sum := encodeRecords(make([]byte, 0, size), records)
			h := frameHeader{payload: sum, kind: frameRecords, count: int64(len(records)), log: 3, base: shard.Offset(i), epoch: 1}
			h.seal(buf)
			want = append(want, buf...)
			buf = encodeRaw(bytes.Repeat([]byte{0xa5}, size)[:0], records)
			h.payload = 0
			h.put(buf)
			raw = append(raw, buf...)
		}
		sealRaw(raw)
		if !bytes.Equal(raw, want) {
			t.Fatalf("sealed %x, want %x", raw, want)
		}
	})
}

func TestFramesGiveBackWhatTheyWereMadeOf(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records := anyRecords(t)
		size := encodedSize(records)
		buf, sum := encodeRecords(make([]byte, 0, size), records)
		if len(buf) != size {
			t.Fatalf("frame of %d bytes, %d were foretold", len(buf), size)
		}
		total := 0
		for i := range records {
			total += records[i].Size()
		}
		if int64(size) > maxFrameBytes(total) {
			t.Fatalf("frame of %d bytes for records of %d", size, total)
		}
		h := frameHeader{
			payload: sum, kind: frameRecords, count: int64(len(records)), log: rapid.Uint64().Draw(t, "log"),
			base: shard.Offset(rapid.Int64Range(0, 1<<62).Draw(t, "base")), millis: rapid.Int64Range(0, 1<<45).Draw(t, "time"),
			epoch: rapid.Uint64().Draw(t, "epoch"),
		}
		h.seal(buf)
		got, err := checkFrame(buf)
		if err != nil {
			t.Fatal(err)
		}
		h.length = int64(size)
		if got != h {
			t.Fatalf("header %+v, want %+v", got, h)
		}
		skip := rapid.IntRange(0, len(records)).Draw(t, "skip")
		c := newCollector(shard.Limit{})
		if err := c.add(&got, buf, h.base+shard.Offset(skip)); err != nil {
			t.Fatal(err)
		}
		var want []shard.Record
		for i, r := range records[skip:] {
			r.Offset, r.Time = h.base+shard.Offset(skip+i), time.UnixMilli(h.millis).UTC()
			want = append(want, r)
		}
		if diff := cmp.Diff(want, append([]shard.Record(nil), c.out...)); diff != "" {
			t.Fatalf("records differ (-want +got):\n%s", diff)
		}
	})
}

func TestEveryFlippedBitOfAFrameIsNoticed(t *testing.T) {
	frame := sampleFrame()
	for i := range frame {
		for bit := range 8 {
			frame[i] ^= 1 << bit
			if h, err := checkFrame(frame); err == nil {
				t.Fatalf("bit %d of byte %d: taken as %+v", bit, i, h)
			}
			frame[i] ^= 1 << bit
		}
		if _, err := checkFrame(frame[:i]); err == nil {
			t.Fatalf("frame cut at byte %d is taken", i)
		}
	}
}
