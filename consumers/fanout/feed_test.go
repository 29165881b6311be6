package fanout

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-462d9463/sluice/stream"
)

func TestOneReadServesAllWhoHaveCaughtUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		name := w.create("s")
		var subscribers []*subscriber
		for i := range 20 {
			subscribers = append(subscribers, w.subscribe(w.register(name, fmt.Sprint("c", i)), latest))
		}
		synctest.Wait()
		own := w.metrics.ownReads.Load()
		var want []string
		for i := range 50 {
			want = append(want, fmt.Sprint(i))
			w.put(name, want[i])
			synctest.Wait()
		}
		for _, s := range subscribers {
			s.want(s.consumer.Name, want...)
		}
		if shared := w.metrics.sharedReads.Load(); shared != 50 {
			t.Errorf("%d reads for 50 records and 20 consumers", shared)
		}
		if more := w.metrics.ownReads.Load() - own; more != 0 {
			t.Errorf("%d reads for single consumers", more)
		}
		if held := w.windows.Load(); held != 0 {
			t.Errorf("all have taken everything, and the windows hold %d bytes", held)
		}
	})
}

func TestASlowFollowerHoldsUpNobodyAndMissesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		name := w.create("s")
		slow, fast := w.subscribe(w.register(name, "slow"), latest), w.subscribe(w.register(name, "fast"), latest)
		synctest.Wait()
		slow.gate <- struct{}{}
		filler := strings.Repeat("x", 100<<10)
		var want []string
		for i := range 100 { // ten windows
			want = append(want, fmt.Sprint(i, filler))
			w.put(name, want[i])
			synctest.Wait()
			if held := w.windows.Load(); held > 2*windowBytes {
				t.Fatalf("the window holds %d bytes", held)
			}
		}
		fast.want("fast", want...)
		if n := len(slow.values()); n > 1 {
			t.Fatalf("the slow one has %d", n)
		}
		<-slow.gate
		synctest.Wait()
		slow.want("slow", want...)
		if slow.feed == nil {
			t.Error("having caught up it does not follow again")
		}
		w.put(name, "z")
		synctest.Wait()
		slow.want("slow", append(want, "z")...)
	})
}

func TestMemoryThatIsUsedUpCostsReadsAndNoRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		name := w.create("s")
		s := w.subscribe(w.register(name, "c"), latest)
		synctest.Wait()
		w.windows.Add(MemoryBytes)
		var want []string
		for i := range 10 {
			want = append(want, fmt.Sprint(i))
			w.put(name, want[i])
			synctest.Wait()
		}
		s.want("without a window", want...)
		if held := w.windows.Add(-MemoryBytes); held != 0 {
			t.Errorf("the windows hold %d bytes", held)
		}
	})
}

func TestNobodyReadsMoreThanHeSaysThatTakesMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		name := w.create("s")
		u, err := w.Subscribe(t.Context(), w.register(name, "c"), stream.ShardID(0), latest)
		if err != nil {
			t.Fatal(err)
		}
		defer u.Close()
		var e Event
		next := func() bool {
			t.Helper()
			if err := u.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			most, reads := u.MaxBytes(), w.metrics.ownReads.Load()
			some, err := u.Next(t.Context(), &e)
			if err != nil {
				t.Fatal(err)
			}
			if w.metrics.ownReads.Load() > reads && most == 0 {
				t.Error("it has read, and had said that it would take no memory")
			}
			return some
		}
		if !next() || u.feed == nil {
			t.Fatal("it does not follow")
		}
		w.windows.Add(MemoryBytes) // so that the window moves on at once
		defer w.windows.Add(-MemoryBytes)
		w.put(name, "a")
		synctest.Wait()
		for range 3 {
			if next() {
				break
			}
		}
		if len(e.Records) != 1 || string(e.Records[0].Value) != "a" {
			t.Errorf("%d records", len(e.Records))
		}
	})
}

func TestNobodyReadsAShardThatNobodyFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		name := w.create("s")
		a, b := w.subscribe(w.register(name, "a"), latest), w.subscribe(w.register(name, "b"), latest)
		synctest.Wait()
		for _, s := range []*subscriber{a, b} {
			if len(w.feeds) != 1 {
				t.Fatalf("%d feeds", len(w.feeds))
			}
			s.end(ErrTakenOver)
			<-s.done
		}
		synctest.Wait()
		before := w.metrics.sharedReads.Load()
		w.put(name, "x")
		synctest.Wait()
		if len(w.feeds) != 0 || w.metrics.sharedReads.Load() != before || w.windows.Load() != 0 {
			t.Errorf("%d feeds, %d reads, %d bytes", len(w.feeds), w.metrics.sharedReads.Load()-before, w.windows.Load())
		}
	})
}

// Followers come, lag and go while records are written: each gets every record from where it began, once and in order.
func TestEveryFollowerGetsEveryRecordOnce(t *testing.T) {
	w := newWorld(t)
	name := w.create("s")
	const records = 3000
	filler := strings.Repeat("x", 2<<10)
	var consumers []Consumer
	for i := range 8 {
		consumers = append(consumers, w.register(name, fmt.Sprint("c", i)))
	}
	var group sync.WaitGroup
	for i, c := range consumers {
		u, err := w.Subscribe(t.Context(), c, stream.ShardID(0), oldest)
		if err != nil {
			t.Fatal(err)
		}
		group.Go(func() {
			defer u.Close()
			next := 0
			for round := 0; next < records; round++ {
				if err := u.Wait(t.Context()); err != nil {
					t.Error(err)
					return
				}
				var e Event
				if _, err := u.Next(t.Context(), &e); err != nil {
					t.Error(err)
					return
				}
				for _, r := range e.Records {
					var n int
					if _, err := fmt.Sscan(string(r.Value), &n); err != nil || n != next {
						t.Errorf("%s: record %d came where %d was expected", c.Name, n, next)
						return
					}
					next++
				}
				if i%2 == 1 && round%8 == 0 {
					<-time.After(time.Millisecond) // these are slow
				}
			}
		})
	}
	for i := range records {
		w.put(name, fmt.Sprint(i, " ", filler))
	}
	group.Wait()
	if held := w.windows.Load(); held != 0 {
		t.Errorf("the windows hold %d bytes", held)
	}
}
