package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

// bufferedOptions has frames of 1 to 16 KiB pass through buffers, of 64 KiB in all.
func bufferedOptions(fs vfs.FS) Options {
	opts := lazyOptions(fs)
	opts.bufferedFrame = 1 << 10
	return opts
}

// unfollow appends until nobody has been at the end of a log for as long as it takes.
func unfollow(t *testing.T, l shard.Log) [][]byte {
	t.Helper()
	values := make([][]byte, 0, 64)
	s := l.(*logState)
	for n := 0; s.followedNow(); n++ {
		values = append(values, longValue(n))
		if _, err := l.Append(t.Context(), []shard.Record{{Value: values[n]}}).Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return values
}

func longValue(n int) []byte { return bytes.Repeat(fmt.Appendf(nil, "%3d ", n), 3000) }

func cachedIn(l shard.Log) int {
	s := l.(*logState)
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.cache)
}

func (b *buffers) state() (spare int, lent, bytes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for s := range b.lists {
		spare += len(s.list)
	}
	return spare, b.lent.used.Load(), b.bytes
}

func TestLongFramesThatNobodyWaitsForTakeTheSameMemory(t *testing.T) {
	opts := bufferedOptions(vfs.NewMem())
	opts.lentShare = 1 << 20 // short ones stay in the cache
	e := mustOpen(t, opts)
	l := mustLog(t, e, "a")
	values := unfollow(t, l)
	for len(values) < 120 {
		v := longValue(len(values))
		if len(values)%3 == 0 { // a short one leaves the cache with the next long one
			v = v[:100]
		}
		values = append(values, v)
		if _, err := l.Append(t.Context(), []shard.Record{{Value: v}}).Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := cachedIn(l); len(v) > 100 && n > 0 {
			t.Fatalf("%d shares are cached behind a long one", n)
		}
	}
	spare, lent, size := e.buffers.state()
	if spare != 1 || lent != 0 || size != bufferBytes(len(values[100])+60) {
		t.Errorf("%d buffers of %d bytes, and %d lent", spare, size, lent)
	}
	readsAs(t, l, values, 7)
	closeAccounted(t, e)
}

func TestLongFramesOfALogThatIsFollowedStayInMemory(t *testing.T) {
	e := mustOpen(t, bufferedOptions(vfs.NewMem()))
	defer e.Close()
	ctx := t.Context()
	l := mustLog(t, e, "a")
	n := shard.Offset(len(unfollow(t, l)))
	for name, follow := range map[string]func(){
		"by who waits": func() {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			if err := l.Wait(ctx, n); !errors.Is(err, context.Canceled) {
				t.Errorf("wait: %v", err)
			}
		},
		"by who asks": func() {
			if got, err := l.Read(ctx, n, shard.Limit{}); err != nil || len(got) > 0 {
				t.Errorf("%d records: %v", len(got), err)
			}
		},
		"by who reads to the end": func() {
			if got, err := l.Read(ctx, n-1, shard.Limit{}); err != nil || len(got) != 1 {
				t.Errorf("%d records: %v", len(got), err)
			}
		},
	} {
		if _, err := l.Append(ctx, []shard.Record{{Value: longValue(0)}}).Wait(ctx); err != nil {
			t.Fatal(err)
		}
		if cachedIn(l) != 0 {
			t.Fatal("a long frame is cached though nobody follows the log")
		}
		n++
		follow()
		if _, err := l.Append(ctx, []shard.Record{{Value: longValue(1)}}).Wait(ctx); err != nil {
			t.Fatal(err)
		}
		if cachedIn(l) != 1 {
			t.Errorf("followed %s: %d shares are cached", name, cachedIn(l))
		}
		n++
		n += shard.Offset(len(unfollow(t, l)))
	}
}

// What readers have been given stays what it was, whatever is appended after it.
func TestReadersNeverSeeMemoryThatIsUsedAgain(t *testing.T) {
	opts := tinyOptions(vfs.NewMem())
	opts.bufferedFrame, opts.lentShare = 1, 1<<20
	t.Run("buffers", func(t *testing.T) { readersSeeWhatWasAppended(t, opts) })
	opts = tinyOptions(vfs.NewMem())
	opts.lentShare = 1
	t.Run("slabs", func(t *testing.T) { readersSeeWhatWasAppended(t, opts) })
}

func readersSeeWhatWasAppended(t *testing.T, opts Options) {
	e := mustOpen(t, opts)
	logs := openLogs(t, e, 2)
	ctx := t.Context()
	const writers, each = 4, 80
	value := func(w, i int) []byte { return bytes.Repeat(fmt.Appendf(nil, "%d/%d ", w, i), 1+(7*w+i)%120) }
	var offsets [2]sync.Map // of values
	var got [2][]shard.Record
	var work sync.WaitGroup
	for k, l := range logs {
		for w := range writers {
			work.Go(func() {
				for i := range each {
					v := value(w, i)
					done, err := l.Append(ctx, []shard.Record{{Value: v}}).Wait(ctx)
					if err != nil {
						t.Error(err)
						return
					}
					offsets[k].Store(done.First, v)
				}
			})
		}
		work.Go(func() {
			for len(got[k]) < writers*each {
				from := shard.Offset(len(got[k]))
				if k == 0 { // the other one comes and goes
					if err := l.Wait(ctx, from); err != nil {
						t.Error(err)
						return
					}
				}
				records, err := l.Read(ctx, from, shard.Limit{Records: 20})
				if err != nil {
					t.Error(err)
					return
				}
				got[k] = append(got[k], records...)
			}
		})
	}
	work.Wait()
	for k := range logs {
		for _, r := range got[k] {
			if v, ok := offsets[k].Load(r.Offset); !ok || !bytes.Equal(v.([]byte), r.Value) {
				t.Errorf("offset %d is not what was appended", r.Offset)
			}
		}
	}
	closeAccounted(t, e)
}

// With a disk that stands still, so many buffers are lent and no more; who waits for one is told when it has failed.
func TestWhoWaitsForABufferWaitsNoLongerThanTheEngineLives(t *testing.T) {
	for name, end := range map[string]struct {
		do   func(*Engine)
		want error
	}{
		"closed": {func(e *Engine) { go e.Close() }, shard.ErrClosed},
		"failed": {func(e *Engine) { e.fail(errors.New("broken")) }, nil},
		"full":   {func(e *Engine) { e.flusher.setFull(errFull{errors.New("full")}) }, shard.ErrNoSpace},
	} {
		t.Run(name, func(t *testing.T) {
			disk := vfs.Inject(vfs.NewMem())
			e := mustOpen(t, bufferedOptions(disk))
			l := mustLog(t, e, "a")
			unfollow(t, l)
			gate := make(chan struct{})
			disk.Hook(func(c vfs.Call) error {
				if c.Op == vfs.OpDatasync {
					<-gate
				}
				return nil
			})
			refused := make(chan error, 1)
			var queued []shard.Pending
			go func() {
				for {
					p := l.Append(t.Context(), []shard.Record{{Value: longValue(1)}})
					if _, ok := p.(failedPending); ok {
						_, err := p.Wait(t.Context())
						refused <- err
						return
					}
					queued = append(queued, p)
				}
			}()
			for waiting := false; !waiting; {
				_, waiting = e.buffers.lent.state()
			}
			if _, lent, size := e.buffers.state(); lent > e.buffers.most || lent < e.buffers.most*3/4 || size > e.buffers.most-lent {
				t.Errorf("%d bytes lent, %d spare, of %d", lent, size, e.buffers.most)
			}
			end.do(e)
			err := <-refused
			if err == nil || end.want != nil && !errors.Is(err, end.want) {
				t.Errorf("refused with %v", err)
			}
			close(gate)
			for _, p := range queued {
				p.Wait(t.Context())
			}
			e.Close()
			if _, lent, _ := e.buffers.state(); lent != 0 {
				t.Errorf("%d bytes are lent in the end", lent)
			}
		})
	}
}

func TestAnIdleEngineKeepsNoBuffers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := mustOpen(t, bufferedOptions(vfs.NewMem()))
		defer e.Close()
		l := mustLog(t, e, "a")
		unfollow(t, l)
		used := func() int64 { return e.budget.used.Load() }
		if _, err := l.Append(t.Context(), []shard.Record{{Value: longValue(1)}}).Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		before := used()
		if spare, _, _ := e.buffers.state(); spare != 1 {
			t.Fatalf("%d buffers", spare)
		}
		time.Sleep(2 * markAfter)
		synctest.Wait()
		if spare, _, size := e.buffers.state(); spare != 0 || size != 0 || used() >= before {
			t.Errorf("%d buffers of %d bytes; %d bytes of memory, %d before", spare, size, used(), before)
		}
	})
}

func TestBuffersThatAreNotNeededAnyMoreAreDropped(t *testing.T) {
	memory := &budget{limit: 64 << 10, wanted: func() {}}
	b := newBuffers(memory)
	take := func(sizes ...int) (bufs [][]byte) {
		for _, n := range sizes {
			buf, err := b.get(t.Context(), n)
			if err != nil || len(buf) != 0 || cap(buf) < n || cap(buf) > n+n/8 {
				t.Fatalf("buffer for %d bytes: %d of %d, %v", n, len(buf), cap(buf), err)
			}
			bufs = append(bufs, buf)
		}
		return bufs
	}
	holds := func(spare int) {
		t.Helper()
		n, lent, size := b.state()
		if n != spare || memory.used.Load() != lent+size || lent+size > b.most {
			t.Errorf("%d spare buffers, want %d; %d bytes and %d lent, %d counted, %d at most", n, spare, size, lent, memory.used.Load(), b.most)
		}
	}
	bufs := take(1000, 1000, 1000)
	holds(0)
	b.give(bufs...)
	holds(3)
	b.trim() // all three have been in use since the last time
	holds(3)
	b.give(take(1000)...)
	b.trim()
	holds(1)
	b.trim()
	holds(0)
	b.give(take(1000, 1000, 1000, 1000, 1000, 1000, 1000)...)
	holds(7)
	b.give(take(2000, 2000)...) // for which others must go
	holds(6)
	b.drop()
	holds(0)
}

func TestSumsOfPiecesAreTheSumOfAllOfThem(t *testing.T) {
	for _, sizes := range [][]int{
		{sumPiece - 1}, {sumPiece}, {sumPiece + 1}, {5*sumPiece + 3}, {100, 3 * sumPiece, 7, sumPiece}, make([]int, 3*sumPiece),
	} {
		records := make([]shard.Record, len(sizes))
		for i, n := range sizes {
			records[i] = shard.Record{Key: []byte("key"), Value: bytes.Repeat([]byte{byte(i), 1, 2}, n/3+1)[:n]}
		}
		size := encodedSize(records)
		buf, sum := encodeRecords(make([]byte, 0, size), records)
		h := frameHeader{payload: sum, kind: frameRecords, count: int64(len(records))}
		h.seal(buf)
		if got, err := checkFrame(buf); err != nil || len(buf) != size {
			t.Fatalf("%d bytes, want %d: %v", len(buf), size, err)
		} else {
			h = got
		}
		c := newCollector(shard.Limit{})
		if err := c.add(&h, buf, 0); err != nil || len(c.out) != len(records) {
			t.Fatalf("%d records: %v", len(c.out), err)
		}
		for i := range records {
			if !bytes.Equal(c.out[i].Value, records[i].Value) {
				t.Errorf("record %d of %d bytes differs", i, sizes[i])
			}
		}
	}
}
