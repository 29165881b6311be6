package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

// lendingOptions has logs lend whose shares have a record as appendSmall appends them.
func lendingOptions(fs vfs.FS) Options {
	opts := lazyOptions(fs)
	opts.lentShare, opts.summedShare = 1<<10, 1<<10
	return opts
}

// appendSmall appends small records to logs, one to each in each round, each in a batch of its own, and returns what each
// log has been given.
func appendSmall(t *testing.T, rounds int, logs ...shard.Log) (values [][]byte) {
	t.Helper()
	for n := range rounds {
		v := bytes.Repeat(fmt.Appendf(nil, "%5d ", n), 250)
		values = append(values, v)
		for _, l := range logs {
			appendAlone(t, l, v)
		}
	}
	return values
}

// appendAlone appends a record in a batch of its own.
func appendAlone(t *testing.T, l shard.Log, value []byte) {
	t.Helper()
	if _, err := l.Append(t.Context(), []shard.Record{{Value: value}}).Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Millisecond) // of a bubble's
}

func spareIn(b *buffers) int {
	spare, _, _ := b.state()
	return spare
}

func lends(l shard.Log) bool { return l.(*logState).lends.Load() > 0 }

func TestSmallFramesThatNobodyWaitsForTakeTheSameMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := mustOpen(t, lendingOptions(vfs.NewMem()))
		l := mustLog(t, e, "a")
		values := append(unfollow(t, l), appendSmall(t, 500, l)...)
		if n := cachedIn(l); n != 0 {
			t.Errorf("%d shares are cached", n)
		}
		// Of some sizes, since shares were longer in the beginning.
		if spare, lent, size := e.buffers.state(); spare == 0 || spare > 4 || lent != 0 {
			t.Errorf("%d buffers of %d bytes, and %d lent", spare, size, lent)
		}
		readsAs(t, l, values, 7)
		closeAccounted(t, e)
	})
}

func TestSmallFramesOfALogThatIsFollowedStayInMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := mustOpen(t, lendingOptions(vfs.NewMem()))
		defer e.Close()
		l := mustLog(t, e, "a")
		unfollow(t, l)
		appendSmall(t, 100, l)
		if _, next := l.Bounds(); !lends(l) {
			t.Error("a log that nobody follows does not lend")
		} else if got, err := l.Read(t.Context(), next, shard.Limit{}); err != nil || len(got) > 0 {
			t.Errorf("%d records: %v", len(got), err)
		}
		appendSmall(t, 10, l)
		if n := cachedIn(l); n != 10 {
			t.Errorf("%d shares of 10 are cached", n)
		}
	})
}

func TestFramesOfShortSharesStayInMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := lendingOptions(vfs.NewMem())
		opts.lentShare, opts.summedShare = 2<<10, 2<<10
		e := mustOpen(t, opts)
		defer e.Close()
		l := mustLog(t, e, "a")
		unfollow(t, l)
		appendSmall(t, 100, l) // the mean is that of long ones in the beginning
		appendSmall(t, 10, l)
		if n := cachedIn(l); n < 10 || lends(l) {
			t.Errorf("%d shares of 10 are cached", n)
		}
	})
}

// Those of one log among so many that few of its shares are in the cache at one time are read one by one from the journal in
// any case.
func TestShortSharesOfARareLogPassThroughSlabs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := lendingOptions(vfs.NewMem())
		opts.lentShare, opts.summedShare = 8<<10, 8<<10
		e := mustOpen(t, opts)
		often, rare := mustLog(t, e, "often"), mustLog(t, e, "rare")
		values := unfollow(t, rare)
		for n := range 2000 { // 33 KiB for each of the rare ones: 15 would be in the cache
			appendAlone(t, often, longValue(n)[:3000])
			if n%10 == 0 {
				values = append(values, fmt.Appendf(nil, "%4d", n))
				appendAlone(t, rare, values[len(values)-1])
			}
		}
		if lends(often) || cachedIn(often) == 0 {
			t.Errorf("the log that is not rare lends: %v, and has %d shares in the cache", lends(often), cachedIn(often))
		}
		if !lends(rare) || cachedIn(rare) > 0 {
			t.Errorf("the rare log lends: %v, and has %d shares in the cache", lends(rare), cachedIn(rare))
		}
		readsAs(t, rare, values, 7)
		closeAccounted(t, e)
	})
}

// What passes through buffers, or slabs of a log that is not rare, is not in the cache, however much of the journal it takes.
func TestShortSharesBesideWhatIsNotCachedStayInMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := lendingOptions(vfs.NewMem())
		opts.bufferedFrame = 4 << 10
		e := mustOpen(t, opts)
		a, b, c, short := mustLog(t, e, "a"), mustLog(t, e, "b"), mustLog(t, e, "c"), mustLog(t, e, "short")
		for n := range 2000 { // 52 KiB of the journal for each of the short ones: 10 of them in 512 KiB of it
			for _, long := range []shard.Log{a, b, c} {
				appendAlone(t, long, longValue(n))
			}
			appendAlone(t, short, make([]byte, 300))
		}
		if n := cachedIn(short); lends(short) || n < 2*aheadShares || cachedIn(a) > 0 {
			t.Errorf("it lends: %v, and has %d shares in the cache beside %d long ones", lends(short), n, cachedIn(a))
		}
		closeAccounted(t, e)
	})
}

// See ahead.go: moving them from there would take a read for each.
func TestWhatIsMovedBeforeItLeavesTheCacheStaysThereUntilThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := vfs.Inject(vfs.NewMem())
		var m moves
		disk.Hook(m.count)
		e := mustOpen(t, lendingOptions(disk))
		logs := manyLogs(t, e, 4)
		appendSmall(t, 3000, logs...) // then the segments hold several times what the journal does
		m.reset()
		appendSmall(t, 1000, logs...)
		if reads, bytes := m.reads.Load(), m.written.Load(); reads > 0 || bytes < 4<<20 {
			t.Errorf("%d reads of the journal to move %d bytes", reads, bytes)
		}
		closeAccounted(t, e)
	})
}

func TestALogLendsThatIsTrimmedBeforeItIsMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := vfs.Inject(vfs.NewMem())
		var m moves
		disk.Hook(m.count)
		e := mustOpen(t, lendingOptions(disk))
		logs := manyLogs(t, e, 1)
		if err := e.Configure(t.Context(), "many", shard.Settings{RetentionBytes: 1 << 20}); err != nil {
			t.Fatal(err)
		}
		appendSmall(t, 2000, logs...)
		synctest.Wait()
		if !lends(logs[0]) || cachedIn(logs[0]) > 0 || m.written.Load() > 0 {
			t.Errorf("it lends: %v; %d shares are cached, %d bytes were moved", lends(logs[0]), cachedIn(logs[0]), m.written.Load())
		}
		closeAccounted(t, e)
	})
}

// With a disk that stands still, so much is lent and no more, and the rest goes the ordinary way; all of it is given back when
// the disk turns out to be full, the engine fails, or all goes well in the end.
func TestSlabsAreGivenBackWhateverBecomesOfTheirFrames(t *testing.T) {
	for name, end := range map[string]func(*Engine){
		"durable": func(*Engine) {},
		"closed":  func(e *Engine) { go e.Close() },
		"failed":  func(e *Engine) { e.fail(errors.New("broken")) },
		"full":    func(e *Engine) { e.flusher.setFull(errFull{errors.New("full")}) },
		"deleted": func(e *Engine) { go e.Delete(context.Background(), "a") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk := vfs.Inject(vfs.NewMem())
				e := mustOpen(t, lendingOptions(disk))
				l := mustLog(t, e, "a")
				unfollow(t, l)
				appendSmall(t, 100, l)
				gate := make(chan struct{})
				disk.Hook(func(c vfs.Call) error {
					if c.Op == vfs.OpDatasync {
						<-gate
					}
					return nil
				})
				var queued []shard.Pending
				for range 100 {
					queued = append(queued, l.Append(t.Context(), []shard.Record{{Value: make([]byte, 1500)}}))
				}
				if _, lent, size := e.buffers.state(); lent > e.buffers.most || lent < e.buffers.most*3/4 || size > e.buffers.most-lent {
					t.Errorf("%d bytes lent, %d spare, of %d", lent, size, e.buffers.most)
				}
				end(e)
				close(gate)
				for _, p := range queued {
					if _, err := p.Wait(t.Context()); err != nil && name == "durable" {
						t.Error(err)
					}
				}
				if err := e.Close(); err != nil && name != "failed" {
					t.Error(err)
				}
				if _, lent, _ := e.buffers.state(); lent != 0 {
					t.Errorf("%d bytes are lent in the end", lent)
				}
				if name == "failed" {
					return
				}
				if err := accounted(e); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestWhatIsNotAtHandIsNotWaitedFor(t *testing.T) {
	memory := &budget{limit: 64 << 10, wanted: func() {}}
	b := newBuffers(memory)
	bufs := make([][]byte, 0, 8)
	for buf := b.atHand(1<<10, 512); buf != nil; buf = b.atHand(1<<10, 512) {
		bufs = append(bufs, buf)
	}
	if len(bufs) != 8 || memory.used.Load() != 12<<10 || b.lent.used.Load() != b.most {
		t.Errorf("%d buffers are lent, %d bytes counted", len(bufs), memory.used.Load())
	}
	b.give(bufs...)
	if buf := b.atHand(2<<10, 0); buf != nil || b.lent.used.Load() != 0 {
		t.Errorf("a buffer of %d bytes beside as many as there may be; %d are lent", cap(buf), b.lent.used.Load())
	}
	memory.used.Store(memory.limit - 500)
	if buf := b.atHand(1<<10, 512); buf != nil || b.lent.used.Load() != 0 || spareIn(b) != 8 {
		t.Errorf("a buffer without room for what is charged beside; %d are lent, %d spare", b.lent.used.Load(), spareIn(b))
	}
	if buf := b.atHand(1<<10, 500); buf == nil || memory.used.Load() != memory.limit {
		t.Errorf("there is room, but no buffer; %d bytes are counted", memory.used.Load())
	}
	memory.stop(errors.New("closed"))
	if buf := b.atHand(1<<10, 0); buf != nil {
		t.Error("a buffer after all is refused")
	}
}

func TestThousandsOfSlabsDoNotHideLongBuffers(t *testing.T) {
	b := newBuffers(&budget{limit: 64 << 20, wanted: func() {}})
	long, err := b.get(t.Context(), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	b.give(long)
	slabs := make([][]byte, 1000)
	for i := range slabs {
		slabs[i] = b.atHand(leastSlab<<(i%3), 0)
	}
	b.give(slabs...)
	for range 3 { // and idle slabs do not outlive it
		again, err := b.get(t.Context(), 1<<20)
		if err != nil || &again[:1][0] != &long[:1][0] {
			t.Fatalf("another buffer was made: %v", err)
		}
		b.give(again)
		b.trim()
		again, err = b.get(t.Context(), 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		b.give(again)
	}
	if spareIn(b) != 1 {
		t.Errorf("%d are spare", spareIn(b))
	}
	b.drop()
	if spareIn(b) != 0 || b.bytes != 0 || b.memory.used.Load() != 0 {
		t.Errorf("%d are spare, of %d bytes; %d are counted", spareIn(b), b.bytes, b.memory.used.Load())
	}
}
