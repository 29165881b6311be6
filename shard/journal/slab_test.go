package journal

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

func TestABusyLogsAppendsShareMemoryAndAnIdleOnesDoNot(t *testing.T) {
	var s slab
	of := &share{frames: 1}
	for range 200 {
		s.carve(of, 1000)
	}
	if s.size != slabAppends {
		t.Errorf("a busy log's slab is for %d", s.size)
	}
	for i := range int64(slabAppends + 3) { // what is left of the last one, and then one by one
		s.carve(of, 1000+i*slabMillis)
	}
	if s.size != 1 {
		t.Errorf("an idle log's slab is for %d", s.size)
	}
	s.carve(of, 0) // a clock that was set back
	if s.carve(of, 0); s.size > 2 {
		t.Errorf("after the clock was set back a slab is for %d", s.size)
	}
}

func TestFramesOfASlabDoNotOverlapAndLieTogether(t *testing.T) {
	var s slab
	var all share
	sizes := []int{100, slabFrame, 57, 900}
	var want []byte
	for i := range 1000 {
		s.carve(&all, 1000)
		size := sizes[i%len(sizes)]
		buf := append(s.room(size), bytes.Repeat([]byte{byte(i)}, size)...)
		want = append(want, buf...)
		all.add(&frameHeader{base: shard.Offset(i), count: 1}, buf, false, 0)
	}
	var got []byte
	for _, p := range all.parts {
		got = append(got, p.frames...)
	}
	if !bytes.Equal(got, want) {
		t.Error("a frame holds another's bytes")
	}
	if n := len(all.parts); n > 2*len(want)/slabBytes {
		t.Errorf("%d bytes lie in %d parts", len(want), n)
	}
	if all.bytes != int64(len(want)) || all.frames != 1000 || all.end != 1000 {
		t.Errorf("%d bytes, %d frames, to %d", all.bytes, all.frames, all.end)
	}
}

// Small appends, of which neighbors lie in one piece of memory, and big ones by many at once, read while they come.
func TestReadersSeeWhatWritersOfOneLogAppended(t *testing.T) {
	e := mustOpen(t, tinyOptions(vfs.NewMem()))
	defer e.Close()
	l := mustLog(t, e, "a")
	ctx := context.Background()
	const writers, each = 8, 60
	value := func(w, i int) []byte {
		return bytes.Repeat(fmt.Appendf(nil, "%d/%d ", w, i), 1+(w*i)%(slabFrame/8*2))[:min(3000, 4+(w*i)%3000)]
	}
	var offsets sync.Map // of values
	var work sync.WaitGroup
	for w := range writers {
		work.Go(func() {
			for i := range each {
				v := value(w, i)
				done, err := l.Append(ctx, []shard.Record{{Value: v}}).Wait(ctx)
				if err != nil {
					t.Error(err)
					return
				}
				offsets.Store(done.First, v)
			}
		})
	}
	work.Go(func() {
		for from := shard.Offset(0); from < writers*each; {
			if err := l.Wait(ctx, from); err != nil {
				t.Error(err)
				return
			}
			records, err := l.Read(ctx, from, shard.Limit{Records: 7})
			if err != nil {
				t.Error(err)
				return
			}
			from = records[len(records)-1].Offset + 1
		}
	})
	work.Wait()
	records, err := readEverything(ctx, l)
	if err != nil || len(records) != writers*each {
		t.Fatalf("%d records, %v", len(records), err)
	}
	for _, r := range records {
		if v, ok := offsets.Load(r.Offset); !ok || !bytes.Equal(v.([]byte), r.Value) {
			t.Errorf("offset %d is not what was appended", r.Offset)
		}
	}
}

func TestAShareWithOneFrameIsOnePieceOfMemory(t *testing.T) {
	var slab slab
	var got *pending
	frame := make([]byte, 100)
	if n := testing.AllocsPerRun(100, func() {
		s := &share{}
		s.add(&frameHeader{count: 1}, frame, false, 0)
		got = slab.carve(s, 1000)
		got.share = s
	}); n > 1 {
		t.Errorf("%v pieces", n)
	}
	s := got.share
	s.letGo()
	if s.parts != nil || s.part[0].frames != nil {
		t.Error("it keeps the frame of which it let go")
	}
}
