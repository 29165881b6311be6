package journal

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"reflect"
	"runtime"
	"testing"
	"time"

	"github.com/seed-462d9463/sluice/shard"
)

// The targets below make all sums right, so that what is behind them is reached: a sum is no proof. Each decoder must
// not panic, allocate in proportion to its input, and give back what an encoder would write the same way.

// frugal runs a decoder and bounds what it allocates by the size of its input.
func frugal(t *testing.T, input int, decode func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	decode()
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > uint64(1<<20+200*input) {
		t.Fatalf("%d bytes were allocated for %d", took, input)
	}
}

// sealSum puts a magic number, a version and the sum of the rest at the beginning of b, as most formats here have them.
func sealSum(b []byte, magic uint32, size int) []byte {
	b = append(bytes.Clone(b), make([]byte, max(0, size-len(b)))...)
	le := binary.LittleEndian
	le.PutUint32(b, magic)
	le.PutUint16(b[8:], 1)
	le.PutUint16(b[10:], 0)
	return b
}

func putSum(b []byte, end int) {
	binary.LittleEndian.PutUint32(b[4:], crc32.Checksum(b[8:end], castagnoli))
}

func FuzzSnapshotBehindItsSum(f *testing.F) {
	f.Add(sampleSnapshot())
	f.Fuzz(func(t *testing.T, b []byte) {
		b = sealSum(b, snapshotMagic, snapshotHeaderBytes)
		binary.LittleEndian.PutUint32(b[12:], uint32(len(b)))
		putSum(b, len(b))
		frugal(t, len(b), func() {
			s, err := decodeSnapshot(b)
			if err != nil {
				return
			}
			again, err := decodeSnapshot(s.encode())
			if err != nil || !reflect.DeepEqual(s, again) {
				t.Fatalf("%+v became %+v, %v", s, again, err)
			}
			for _, topic := range s.topics {
				for i := range topic.logs {
					_ = topic.logs[i].covered() // says whether it is sound, and must not panic
				}
			}
		})
	})
}

// soundFrames makes frames of bytes, with lengths as they happen to be there, and returns their number.
func soundFrames(b []byte) (n uint32) {
	for len(b) > 0 {
		length := len(b)
		if want := int(binary.LittleEndian.Uint32(b[4:])); want >= frameHeaderBytes && want <= len(b)-frameHeaderBytes {
			length = want
		}
		copy(b, resum(b[:length]))
		b = b[length:]
		n++
	}
	return n
}

func FuzzBatchBehindItsSum(f *testing.F) {
	f.Add(sampleBatch())
	f.Fuzz(func(t *testing.T, b []byte) {
		b = sealSum(b, batchMagic, batchHeaderBytes)
		if len(b) < batchHeaderBytes+frameHeaderBytes {
			b = b[:batchHeaderBytes]
		}
		le := binary.LittleEndian
		le.PutUint16(b[8:], batchVersion)
		le.PutUint32(b[12:], soundFrames(b[batchHeaderBytes:]))
		le.PutUint32(b[48:], uint32(len(b)))
		sum := sumHeader(b)
		sum.frames(b[batchHeaderBytes:])
		le.PutUint32(b[4:], sum.total())
		b = append(b, make([]byte, alignUp(int64(len(b)))-int64(len(b)))...)
		h, err := parseBatchHeader(b)
		if err != nil {
			return
		}
		again := bytes.Clone(b)
		h.seal(again)
		if now, err := parseBatchHeader(again); err != nil || now != h {
			t.Fatalf("%+v became %+v, %v", h, now, err)
		}
		frugal(t, len(b), func() {
			if err := checkBatch(&h, b); err != nil {
				t.Fatal(err)
			}
			at := int64(batchHeaderBytes)
			err := eachFrame(&h, b, func(fh frameHeader, frame []byte) error {
				if int64(len(frame)) != fh.length || !bytes.Equal(frame, b[at:at+fh.length]) {
					t.Fatalf("a frame of %d bytes at %d has %d", fh.length, at, len(frame))
				}
				at += fh.length
				return nil
			})
			if err != nil || at != h.length {
				t.Fatalf("%d bytes of %d are in frames: %v", at, h.length, err)
			}
		})
	})
}

func FuzzChange(f *testing.F) {
	for _, c := range []change{createChange{topic: 1, count: 2, firstLog: 1, name: "a"}, deleteChange{topic: 9}, trimChange{log: &logState{id: 7}, before: 3}} {
		log, payload := c.encode()
		f.Add(log, payload)
	}
	f.Fuzz(func(t *testing.T, log uint64, payload []byte) {
		known := &logState{id: log}
		find := func(id uint64) *logState {
			if id == log {
				return known
			}
			return nil
		}
		frugal(t, len(payload), func() {
			c, err := decodeChange(&frameHeader{log: log}, payload, find)
			if err != nil || c == nil {
				return
			}
			id, encoded := c.encode()
			if _, ok := c.(trimChange); ok && id != log {
				t.Fatalf("a trim of log %d became one of %d", log, id)
			}
			again, err := decodeChange(&frameHeader{log: log}, encoded, find)
			if err != nil || !reflect.DeepEqual(c, again) {
				t.Fatalf("%+v became %+v, %v", c, again, err)
			}
		})
	})
}

func FuzzFormat(f *testing.F) {
	f.Add(encodeFormat(1))
	f.Add([]byte("sluice-journal 1\nid 0000000000000001\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if id, err := parseFormat(b); err == nil && !bytes.Equal(encodeFormat(id), b) {
			t.Fatalf("%q was taken for %q", b, encodeFormat(id))
		}
	})
}

func FuzzSegmentHeaders(f *testing.F) {
	f.Add(segmentHeader(7, 5))
	h := compressedHeader{log: 7, base: 5, end: 9, bytes: 1000, stored: 300, blocks: 2}
	f.Add(h.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		plain := sealSum(b, segmentMagic, segmentHeaderBytes)
		putSum(plain, segmentHeaderBytes)
		if id, base, err := parseSegmentHeader(plain); err == nil {
			if again, at, err := parseSegmentHeader(segmentHeader(id, base)); err != nil || again != id || at != base {
				t.Fatalf("log %d at %d became %d at %d, %v", id, base, again, at, err)
			}
		}
		packed := sealSum(b, compressedMagic, segmentHeaderBytes)
		putSum(packed, segmentHeaderBytes)
		if h, err := parseCompressedHeader(packed); err == nil {
			if again, err := parseCompressedHeader(h.encode()); err != nil || again != h {
				t.Fatalf("%+v became %+v, %v", h, again, err)
			}
		}
	})
}

func FuzzIndexes(f *testing.F) {
	entries := []indexEntry{{base: 5, millis: 10, pos: segmentHeaderBytes, at: segmentHeaderBytes}, {base: 8, millis: 11, pos: 700, at: 300}}
	f.Add(encodeFooter(entries), int64(1000), int64(400))
	f.Add(encodeBlockIndex(entries), int64(1000), int64(400))
	f.Fuzz(func(t *testing.T, b []byte, bytesLen, stored int64) {
		le := binary.LittleEndian
		seal := func(magic uint32, entry int) []byte {
			b := sealSum(b, magic, footerHeaderBytes)
			n := (len(b) - footerHeaderBytes) / entry
			le.PutUint32(b[12:], uint32(n))
			putSum(b, footerHeaderBytes+n*entry)
			return b
		}
		frugal(t, len(b), func() {
			if index, err := decodeFooter(seal(footerMagic, indexEntryBytes), bytesLen); err == nil {
				if again, err := decodeFooter(encodeFooter(index), bytesLen); err != nil || !reflect.DeepEqual(index, again) {
					t.Fatalf("%+v became %+v, %v", index, again, err)
				}
			}
			if index, err := decodeBlockIndex(seal(blockIndexMagic, blockIndexEntryBytes), bytesLen, stored); err == nil {
				if again, err := decodeBlockIndex(encodeBlockIndex(index), bytesLen, stored); err != nil || !reflect.DeepEqual(index, again) {
					t.Fatalf("%+v became %+v, %v", index, again, err)
				}
			}
		})
	})
}

func FuzzBlockBehindItsSum(f *testing.F) {
	f.Add([]byte("stored"), uint32(100), true)
	f.Add(newEncoder().EncodeAll(bytes.Repeat(sampleFrame(), 3), nil), uint32(3*len(sampleFrame())), true)
	f.Fuzz(func(t *testing.T, stored []byte, decoded uint32, packed bool) {
		h := blockHeader{stored: int64(len(stored)), decoded: int64(decoded % (1 << 18)), sum: crc32.Checksum(stored, castagnoli), pos: segmentHeaderBytes}
		if packed {
			h.codec = codecZstd
		}
		b := make([]byte, blockHeaderBytes, blockHeaderBytes+len(stored))
		h.put(b)
		again, err := parseBlockHeader(b)
		if err != nil {
			return
		}
		if again != h {
			t.Fatalf("%+v became %+v", h, again)
		}
		frames, err := decodeBlock(&h, stored)
		if err == nil && int64(len(frames)) != h.decoded {
			t.Fatalf("%d bytes, not %d", len(frames), h.decoded)
		}
		if damaged := decodeDamaged(&h, stored); int64(len(damaged)) > h.decoded {
			t.Fatalf("%d bytes of a damaged block of %d", len(damaged), h.decoded)
		}
		_ = eachBlock(bytes.NewReader(append(b, stored...)), h.length(), 0, func(*blockHeader, int64, []byte) {}, func(int64, error) {})
	})
}

func FuzzRecordsRoundTrip(f *testing.F) {
	f.Add([]byte("k"), []byte("v"), "h", []byte("x"), true)
	f.Add([]byte{}, []byte{}, "", []byte{}, false)
	f.Fuzz(func(t *testing.T, key, value []byte, name string, header []byte, some bool) {
		records := []shard.Record{{Key: key, Value: value}, {Headers: []shard.Header{{Name: name, Value: header}, {Name: name}}}, {Value: key}}
		if !some {
			records[0].Key, records[2].Value = nil, nil
		}
		buf, sum := encodeRecords(make([]byte, 0, encodedSize(records)), records)
		h := frameHeader{payload: sum, kind: frameRecords, count: int64(len(records)), log: 3, base: 8, millis: 1}
		h.seal(buf)
		got, err := checkFrame(buf)
		if err != nil || countRecords(&got, buf) != nil {
			t.Fatalf("%v, %v", err, countRecords(&got, buf))
		}
		c := newCollector(shard.Limit{})
		if err := c.add(&got, buf, 0); err != nil {
			t.Fatal(err)
		}
		for i, r := range c.out {
			want := records[i]
			want.Offset, want.Time = h.base+shard.Offset(i), time.UnixMilli(1).UTC()
			if !reflect.DeepEqual(r, want) {
				t.Fatalf("record %d is %+v, want %+v", i, r, want)
			}
		}
	})
}

// What a repair finds among damage is in order, whole and of its own directory.
func FuzzSalvage(f *testing.F) {
	f.Add(append([]byte("damage"), sampleFrame()...))
	f.Add(append(sampleFrame()[:70], sampleFrame()...))
	f.Fuzz(func(t *testing.T, b []byte) {
		at := int64(0)
		s := salvage{frame: func(h *frameHeader, frame []byte, pos int64) {
			if pos < at || h.dir != 0 || !bytes.Equal(frame, b[pos:pos+h.length]) {
				t.Fatalf("a frame of %d bytes at %d after %d", h.length, pos, at)
			}
			at = pos + h.length
		}}
		if err := s.scan(bytes.NewReader(b), int64(len(b)), 0, int64(len(b))); err != nil {
			t.Fatal(err)
		}
	})
}
