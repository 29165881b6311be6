package firehose

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-462d9463/sluice/shard"
)

func TestABatchIsDeliveredWhenItHasReachedTheSizeHint(t *testing.T) {
	inBubble(t, func(t *testing.T, e *env) {
		s, stop := e.start()
		defer stop()
		e.create(s, clicks, definition(buffering(1, 900)))
		all := lines(0, 2500, 999) // 1,000 bytes with the delimiter, counted before compression
		for part := range slices.Chunk(all, 100) {
			e.put(s, clicks, part...)
		}
		synctest.Wait()
		time.Sleep(time.Second) // virtual: far less than the interval
		synctest.Wait()
		objects := e.store.contents()
		if len(objects) != 2 {
			t.Fatalf("%d objects, want 2", len(objects))
		}
		for i, o := range objects {
			if len(o) < 1<<20 || len(o) >= 1<<20+1000 {
				t.Errorf("object %d has %d bytes: not the hint, or more than one record past it", i, len(o))
			}
		}
		stats := e.stats(s, clicks)
		if got := stats.BufferedRecords; got != 2500-2*1049 {
			t.Errorf("%d records are buffered, want %d", got, 2500-2*1049)
		}
		if stats.DeliveredObjects != 2 || stats.DeliveredRecords != 2*1049 || stats.DeliveredBytes != 2*1049*1000 {
			t.Errorf("delivered %+v", stats)
		}
	})
}

func TestABatchIsDeliveredWhenItsOldestRecordIsAnIntervalOld(t *testing.T) {
	inBubble(t, func(t *testing.T, e *env) {
		s, stop := e.start()
		defer stop()
		e.create(s, clicks, definition(buffering(5, 60)))
		e.put(s, clicks, "a")
		time.Sleep(59 * time.Second)
		e.put(s, clicks, "b")
		time.Sleep(999 * time.Millisecond)
		synctest.Wait()
		if n := len(e.store.keys()); n != 0 {
			t.Fatalf("%d objects before the interval's end", n)
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if got := e.store.contents(); !slices.Equal(got, []string{"a\nb\n"}) {
			t.Fatalf("objects at the interval's end: %q", got)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := len(e.store.keys()); n != 1 {
			t.Fatalf("%d objects after an hour without records", n)
		}
	})
}

func TestARestartDoesNotChangeWhenABatchIsDelivered(t *testing.T) {
	inBubble(t, func(t *testing.T, e *env) {
		s, stop := e.start()
		e.create(s, clicks, definition(buffering(5, 60)))
		e.put(s, clicks, "a")
		time.Sleep(30 * time.Second)
		stop()
		if n := len(e.store.keys()); n != 0 {
			t.Fatalf("closing flushed %d objects", n)
		}
		time.Sleep(10 * time.Second)
		s, stop = e.start()
		defer stop()
		e.put(s, clicks, "b")
		time.Sleep(19999 * time.Millisecond)
		synctest.Wait()
		if n := len(e.store.keys()); n != 0 {
			t.Fatalf("%d objects before the interval's end", n)
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if got := e.store.contents(); !slices.Equal(got, []string{"a\nb\n"}) {
			t.Fatalf("objects at the interval's end: %q", got)
		}
	})
}

func TestAnIntervalOfZeroDeliversAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, e *env) {
		s, stop := e.start()
		defer stop()
		e.create(s, clicks, definition(buffering(5, 0)))
		e.put(s, clicks, "a", "b")
		time.Sleep(zeroInterval)
		synctest.Wait()
		if got := e.store.contents(); !slices.Equal(got, []string{"a\nb\n"}) {
			t.Fatalf("objects: %q", got)
		}
	})
}

func TestABacklogBecomesFullObjectsHoweverOldItIs(t *testing.T) {
	inBubble(t, func(t *testing.T, e *env) {
		s, stop := e.start()
		e.create(s, clicks, definition(buffering(2, 60)))
		e.store.fail(errAway)
		for part := range slices.Chunk(lines(0, 20000, 999), 1000) {
			e.put(s, clicks, part...)
		}
		time.Sleep(5 * time.Hour)
		stop()
		e.store.fail(nil)
		_, stop = e.start()
		defer stop()
		time.Sleep(time.Minute)
		synctest.Wait()
		objects := e.store.contents()
		if len(objects) != 10 { // 20 MB in objects of 2 MiB
			t.Fatalf("%d objects, want 10", len(objects))
		}
		small := 0
		for _, o := range objects { // uploads end in any order
			if len(o) < 2<<20 {
				small++
			}
		}
		if small > 1 {
			t.Errorf("%d objects of a backlog are not full", small)
		}
	})
}

func TestObjectsAreNamedAsOnAWS(t *testing.T) {
	inBubble(t, func(t *testing.T, e *env) { // virtual time begins 2000-01-01 00:00:00 UTC
		s, stop := e.start()
		defer stop()
		other := clicks
		other.Name = "other"
		e.create(s, clicks, definition(compressed))
		e.create(s, other, definition(compressed, func(d *Definition) {
			d.S3.Prefix = "year=!{timestamp:yyyy}/!{firehose:random-string}/"
			d.S3.ErrorOutputPrefix = "errors/!{firehose:error-output-type}/"
			d.S3.CustomTimeZone = "America/New_York"
			d.S3.FileExtension = ".json.gz"
		}))
		e.put(s, clicks, "a")
		e.put(s, other, "b")
		time.Sleep(time.Minute)
		synctest.Wait()
		keys := e.store.keys()
		slices.Sort(keys)
		const hex = "0123456789abcdef-"
		for i, want := range []struct{ before, after string }{
			{"2000/01/01/00/clicks-1-2000-01-01-00-00-00-", ".gz"},
			{"year=1999/", ".json.gz"},
		} {
			key := keys[i]
			if !strings.HasPrefix(key, want.before) || !strings.HasSuffix(key, want.after) {
				t.Fatalf("key %q, want %s<uuid>%s", key, want.before, want.after)
			}
			id := strings.TrimSuffix(key, want.after)
			id = id[len(id)-36:]
			if strings.Trim(id, hex) != "" || id[14] != '5' {
				t.Errorf("%q is not a UUID of version 5", id)
			}
		}
		if middle := strings.Split(keys[1], "/"); len(middle[1]) != 11 || !strings.HasPrefix(middle[2], "other-1-1999-12-31-19-00-00-") {
			t.Errorf("key %q", keys[1])
		}
	})
}

func TestRecordsOfAllShardsShareABuffer(t *testing.T) {
	inBubble(t, func(t *testing.T, e *env) {
		shards := e.shards("input", 3)
		e.sources.set(nil, shards...)
		write(t, shards[0].Log, "before the delivery stream was created")
		s, stop := e.start()
		defer stop()
		e.create(s, clicks, definition(fromStream, buffering(5, 60)))
		write(t, shards[2].Log, "c1", "c2")
		write(t, shards[0].Log, "a1")
		time.Sleep(10 * time.Second)
		write(t, shards[0].Log, "a2")
		time.Sleep(50 * time.Second)
		synctest.Wait()
		if got := e.store.contents(); !slices.Equal(got, []string{"a1\na2\nc1\nc2\n"}) {
			t.Fatalf("objects: %q", got)
		}
		if _, next := shards[0].Log.Bounds(); next != 3 {
			t.Fatalf("source has %d records", next)
		}
		if first, _ := shards[0].Log.Bounds(); first != 0 {
			t.Fatal("a source stream was trimmed by its reader")
		}
	})
}

func TestShardsThatAppearLaterAreReadFromTheirStart(t *testing.T) {
	inBubble(t, func(t *testing.T, e *env) {
		shards := e.shards("input", 3)
		e.sources.set(nil, shards[0])
		s, stop := e.start()
		e.create(s, clicks, definition(fromStream))
		write(t, shards[0].Log, "a")
		write(t, shards[1].Log, "b")
		synctest.Wait()
		e.sources.set(nil, shards[0], shards[1]) // a reshard while it runs
		time.Sleep(time.Minute)
		synctest.Wait()
		stop()
		write(t, shards[2].Log, "c")
		e.sources.set(nil, shards...) // and one while it does not
		_, stop = e.start()
		defer stop()
		time.Sleep(time.Minute)
		synctest.Wait()
		if diff := cmp.Diff([]string{"a", "b", "c"}, e.store.records()); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestAShardIsReadAfterThoseThatItReplaced(t *testing.T) {
	inBubble(t, func(t *testing.T, e *env) {
		shards := e.shards("input", 4)
		slow := &damagedLog{Log: shards[1].Log}
		shards[1].Log = slow
		e.sources.set(nil, shards[0], shards[1])
		s, stop := e.start()
		e.create(s, clicks, definition(fromStream))
		slow.damaged.Store(true)
		write(t, shards[0].Log, "a")
		write(t, slow, "b")
		// 0 and 1 are merged into 2, and that is replaced by 3.
		shards[0].Closed, shards[1].Closed, shards[2].Closed = true, true, true
		shards[2].Parents, shards[3].Parents = []int{0, 1}, []int{2}
		write(t, shards[2].Log, "c")
		write(t, shards[3].Log, "d")
		e.sources.set(nil, shards...)
		expect := func(want ...string) {
			t.Helper()
			time.Sleep(time.Hour)
			synctest.Wait()
			if got := e.store.contents(); !slices.Equal(got, want) {
				t.Fatalf("objects: %q, want %q", got, want)
			}
		}
		expect("a\n")
		if got := e.stats(s, clicks).BufferedRecords; got != 3 { // b cannot be read, c and d wait for it
			t.Errorf("%d records are told to wait for delivery", got)
		}
		stop()
		_, stop = e.start() // knows no more than before
		expect("a\n")
		slow.damaged.Store(false)
		expect("a\n", "b\nc\nd\n")
		write(t, shards[3].Log, "e")
		stop()
		e.sources.set(nil, shards[3]) // the others' retention is over
		_, stop = e.start()
		defer stop()
		expect("a\n", "b\nc\nd\n", "e\n")
	})
}

func TestAParentThatIsGoneHoldsNobodyUp(t *testing.T) {
	inBubble(t, func(t *testing.T, e *env) {
		shards := e.shards("input", 3)
		e.sources.set(nil, shards[0])
		s, stop := e.start()
		defer stop()
		e.create(s, clicks, definition(fromStream))
		damaged := &damagedLog{Log: shards[1].Log}
		damaged.damaged.Store(true)
		shards[1].Log = damaged
		shards[1].Closed = true
		shards[2].Parents = []int{1}
		write(t, damaged, "never read")
		write(t, shards[2].Log, "child")
		e.sources.set(nil, shards...)
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := e.store.contents(); len(got) != 0 {
			t.Fatalf("objects: %q", got)
		}
		trim(t, shards[1], 1)
		e.sources.set(nil, shards[0], shards[2])
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := e.store.contents(); !slices.Equal(got, []string{"child\n"}) {
			t.Fatalf("objects: %q", got)
		}
		if got := e.stats(s, clicks); got.LostRecords != 1 || got.DeliveredRecords != 1 {
			t.Errorf("%+v", got)
		}
	})
}

// waitedFor counts those who wait for a log.
type waitedFor struct {
	shard.Log
	waiting atomic.Int64
}

func (l *waitedFor) Wait(ctx context.Context, from shard.Offset) error {
	l.waiting.Add(1)
	defer l.waiting.Add(-1)
	return l.Log.Wait(ctx, from)
}

func TestNobodyWaitsForAShardThatHasBeenReadToItsEnd(t *testing.T) {
	inBubble(t, func(t *testing.T, e *env) {
		shards := e.shards("input", 2)
		log := &waitedFor{Log: shards[0].Log}
		shards[0].Log = log
		shards[1].Parents = []int{0}
		e.sources.set(nil, shards[0])
		s, stop := e.start()
		defer stop()
		e.create(s, clicks, definition(fromStream))
		write(t, log, "parent")
		time.Sleep(time.Hour)
		if n := log.waiting.Load(); n != 1 {
			t.Errorf("%d wait for an open shard", n)
		}
		shards[0].Closed = true
		e.sources.set(nil, shards...)
		write(t, shards[1].Log, "child")
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := log.waiting.Load(); n != 0 {
			t.Errorf("%d wait for a closed shard", n)
		}
		if got := e.store.contents(); !slices.Equal(got, []string{"parent\n", "child\n"}) {
			t.Errorf("objects: %q", got)
		}
	})
}

func TestTheOwnLogIsTrimmedAfterDeliveryAndOnlyThen(t *testing.T) {
	inBubble(t, func(t *testing.T, e *env) {
		s, stop := e.start()
		defer stop()
		e.create(s, clicks, definition())
		e.store.fail(errAway)
		e.put(s, clicks, "a", "b")
		time.Sleep(time.Hour)
		d, err := s.delivery(clicks)
		if err != nil {
			t.Fatal(err)
		}
		if first, next := d.own.Bounds(); first != 0 || next != 2 {
			t.Fatalf("log holds %d to %d while nothing was delivered", first, next)
		}
		e.store.fail(nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		if first, next := d.own.Bounds(); first != 2 || next != 2 {
			t.Fatalf("log holds %d to %d when all was delivered", first, next)
		}
	})
}

func TestTheStateLogStaysShort(t *testing.T) {
	inBubble(t, func(t *testing.T, e *env) {
		s, stop := e.start()
		e.create(s, clicks, definition(buffering(1, 0)))
		for range 1000 {
			e.put(s, clicks, "a")
			time.Sleep(time.Second)
		}
		synctest.Wait()
		d, err := s.delivery(clicks)
		if err != nil {
			t.Fatal(err)
		}
		if first, next := d.journal.log.Bounds(); next-first > snapshotEvery+10 {
			t.Fatalf("%d entries are kept", next-first)
		}
		stop()
		s, stop = e.start()
		defer stop()
		if got := e.stats(s, clicks); got.DeliveredObjects != 1000 || got.DeliveredRecords != 1000 || got.BufferedRecords != 0 {
			t.Fatalf("after a restart: %+v", got)
		}
	})
}
