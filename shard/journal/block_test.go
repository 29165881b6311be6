package journal

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

func TestBlocksGiveBackWhatTheyWereMadeOf(t *testing.T) {
	enc := newEncoder()
	rapid.Check(t, func(t *rapid.T) {
		frames := bytes.Repeat(sampleFrame(), rapid.IntRange(1, 50).Draw(t, "repeats"))
		frames = append(frames, rapid.SliceOfN(rapid.Byte(), 0, 2000).Draw(t, "noise")...)
		want := blockHeader{pos: segmentHeaderBytes + rapid.Int64Range(0, 1<<30).Draw(t, "pos"),
			base: shard.Offset(rapid.Int64Range(0, 1<<60).Draw(t, "base")), millis: rapid.Int64().Draw(t, "millis")}
		b, err := appendBlock([]byte("before"), enc, want, frames)
		if err != nil {
			t.Fatal(err)
		}
		b = b[len("before"):]
		h, err := parseBlockHeader(b)
		if err != nil {
			t.Fatal(err)
		}
		if h.length() != int64(len(b)) || h.pos != want.pos || h.base != want.base || h.millis != want.millis {
			t.Fatalf("header %+v of %d bytes, made from %+v", h, len(b), want)
		}
		got, err := decodeBlock(&h, b[blockHeaderBytes:])
		if err != nil || !bytes.Equal(got, frames) {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
		i := rapid.IntRange(0, len(b)-1).Draw(t, "damaged byte")
		b[i] ^= 1
		if h, err = parseBlockHeader(b); err == nil {
			_, err = decodeBlock(&h, b[blockHeaderBytes:])
		}
		if err == nil {
			t.Fatalf("a flip of byte %d goes unnoticed", i)
		}
	})
}

// A small read in the middle unpacks one block, and who reads on in small steps never unpacks a block twice.
func TestReadsUnpackNoBlockTwice(t *testing.T) {
	mem := vfs.NewMem()
	opts := contractOptions(mem, "/data")
	opts.eager = true
	e := mustOpen(t, opts)
	l := mustLog(t, e, "a")
	ctx := context.Background()
	n := 0
	for range 40 { // 2 MiB in all
		var records []shard.Record
		for range 50 {
			records = append(records, shard.Record{Value: fmt.Appendf(nil, "record %d %s", n, strings.Repeat("y", 1000))})
			n++
		}
		if _, err := l.Append(ctx, records).Wait(ctx); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "compressed segments alone", func() bool { return compressedOnly(t, mem, 1) })
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	disk := vfs.Inject(mem)
	var reads atomic.Int64
	disk.Hook(func(c vfs.Call) error {
		if c.Op == vfs.OpRead && strings.HasSuffix(c.Name, compressedSuffix) {
			reads.Add(1)
		}
		return nil
	})
	opts.FS, opts.eager = disk, false
	e = mustOpen(t, opts)
	defer e.Close()
	l = mustLog(t, e, "a")
	if got, err := l.Read(ctx, 501, shard.Limit{Records: 1}); err != nil || len(got) != 1 {
		t.Fatal(got, err)
	}
	if n := reads.Swap(0); n != 2 {
		t.Errorf("%d reads of the file for one record, want the index and one block", n)
	}
	end := shard.Offset(n)
	if seg := e.table.topics["a"].logs[0].segments; !seg[len(seg)-1].compressed() {
		end = seg[len(seg)-1].base
	}
	for from := shard.Offset(0); from < end; from += 3 {
		if _, err := l.Read(ctx, from, shard.Limit{Records: int(min(3, end-from))}); err != nil {
			t.Fatal(err)
		}
	}
	blocks := 0
	for _, s := range e.table.topics["a"].logs[0].segments {
		if s.compressed() {
			blocks += int(s.bytes/targetBlockBytes) + 2 // and its index
		}
	}
	if n := int(reads.Load()); n > blocks+blocks/4 {
		t.Errorf("%d reads of compressed files with about %d blocks", n, blocks)
	}
}

func TestDamageOfACompressedSegmentIsNeverServed(t *testing.T) {
	mem, values := compressedDir(t, 120)
	name := "/data/" + compressedName(1, 0)
	info, err := mem.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	for pos := int64(0); pos < info.Size; pos++ {
		left := mem.CrashClone(0)
		flip(t, left, name, pos)
		checkDamaged(t, left, fmt.Sprintf("%s byte %d", name, pos), values)
	}
	for size := int64(0); size < info.Size; size++ {
		left := mem.CrashClone(0)
		f, err := left.Open(name, true)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Truncate(size); err != nil {
			t.Fatal(err)
		}
		f.Close()
		checkDamaged(t, left, fmt.Sprintf("%s cut at %d", name, size), values)
	}
}

func TestBigFramesAreBlocksOfTheirOwn(t *testing.T) {
	mem := vfs.NewMem()
	opts := contractOptions(mem, "/data")
	opts.eager = true
	e := mustOpen(t, opts)
	l := mustLog(t, e, "big")
	ctx := context.Background()
	big := bytes.Repeat([]byte("sixteen bytes.. "), shard.MaxAppendBytes/16-2)
	var values [][]byte
	for i := range 3 {
		v := slices.Concat(fmt.Appendf(nil, "%d", i), big)
		values = append(values, v)
		if _, err := l.Append(ctx, []shard.Record{{Value: v}}).Wait(ctx); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "compressed segments alone", func() bool { return compressedOnly(t, mem, 1) })
	for i := range values {
		got, err := l.Read(ctx, shard.Offset(i), shard.Limit{Records: 1})
		if err != nil || len(got) != 1 || !bytes.Equal(got[0].Value, values[i]) {
			t.Fatalf("record %d: %d records, %v", i, len(got), err)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}
