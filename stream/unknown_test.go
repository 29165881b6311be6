package stream

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-462d9463/sluice/internal/catalog"
	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/shardtest"
)

// unwilling is a catalog's log that takes nothing, and does not say for sure that it has not, while it is told so.
type unwilling struct {
	shard.Log
	refuses *atomic.Bool
}

func (l unwilling) Append(ctx context.Context, records []shard.Record) shard.Pending {
	if l.refuses.Load() {
		return failed{errDisk}
	}
	return l.Log.Append(ctx, records)
}

// newUnwilling starts a service whose catalog can be made to refuse.
func newUnwilling(t *testing.T) (w *world, refuses *atomic.Bool) {
	refuses = new(atomic.Bool)
	return newWorld(t, &interposed{shardtest.NewMemory(), func(topic string, _ int, log shard.Log) shard.Log {
		if topic == catalog.Topic {
			return unwilling{log, refuses}
		}
		return log
	}}, limitsOffIn), refuses
}

func TestAnotherReshardWaitsUntilTheOutcomeOfTheOneBeforeIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, refuses := newUnwilling(t)
		name := w.create("s", CreateOptions{Shards: 1})
		at := w.middle(name, ShardID(0))
		refuses.Store(true)
		if err := w.Split(t.Context(), name, ShardID(0), at); !errors.Is(err, errDisk) {
			t.Fatalf("split: %v", err)
		}
		var again error
		var results []Result
		var calls sync.WaitGroup
		calls.Go(func() { again = w.Split(t.Context(), name, ShardID(0), at) })
		synctest.Wait()
		calls.Go(func() { results, _ = w.Put(t.Context(), name, []Entry{text("a")}) })
		synctest.Wait()
		if got := w.values(name, ShardID(0), StartAt{Type: TrimHorizon}); len(got) != 0 {
			t.Errorf("%q was written while nobody knows whether the shard is closed", got)
		}
		impatient, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := w.Split(impatient, name, ShardID(0), at); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("who waits with a deadline: %v", err)
		}
		refuses.Store(false)
		calls.Wait()
		if again != nil {
			t.Errorf("the second split: %v", again)
		}
		if len(results) != 1 || results[0].Err != nil {
			t.Fatalf("the put: %+v", results)
		}
		d := w.describe(name)
		if want := []string{"0 [] false", "1 [0] true", "2 [0] true"}; !slices.Equal(summary(d), want) {
			t.Errorf("shards %q", summary(d))
		}
		if got := w.values(name, results[0].ShardID, StartAt{Type: TrimHorizon}); !slices.Equal(got, []string{"a"}) {
			t.Errorf("%s has %q", results[0].ShardID, got)
		}
	})
}

func TestWritersAreNotKeptWaitingForLongByAnAppendThatIsNotDecided(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		w := newWorld(t, &interposed{shardtest.NewMemory(), func(topic string, partition int, log shard.Log) shard.Log {
			if topic == catalog.Topic || partition != 0 {
				return log
			}
			return slow{log, release}
		}}, limitsOffIn)
		name := w.create("s", CreateOptions{Shards: 2})
		low, high := HashKey{}, MaxHashKey
		var calls sync.WaitGroup
		calls.Go(func() { _, _ = w.Put(t.Context(), name, []Entry{{"k", &low, []byte("low")}}) })
		synctest.Wait()
		calls.Go(func() {
			if _, err := w.UpdateShardCount(t.Context(), name, 3); !errors.Is(err, errSlowWrites) {
				t.Errorf("update: %v", err)
			}
		})
		synctest.Wait()
		results := w.put(name, Entry{"k", &high, []byte("high")})
		if results[0].ShardID != ShardID(1) {
			t.Errorf("written to %s", results[0].ShardID)
		}
		close(release)
		calls.Wait()
		if _, err := w.UpdateShardCount(t.Context(), name, 3); err != nil {
			t.Errorf("when the append is decided: %v", err)
		}
	})
}

func TestAServiceEndsThoughTheCatalogDoesNotAnswerAReshard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var stuck atomic.Bool
		release := make(chan struct{})
		w := newWorld(t, &interposed{shardtest.NewMemory(), func(topic string, _ int, log shard.Log) shard.Log {
			if topic == catalog.Topic {
				return sometimesSlow{log, &stuck, release}
			}
			return log
		}}, limitsOffIn)
		name := w.create("s", CreateOptions{Shards: 1})
		stuck.Store(true)
		at := w.middle(name, ShardID(0))
		var split error
		w.spawn(func() { split = w.Split(context.Background(), name, ShardID(0), at) })
		synctest.Wait()
		if err := w.Close(); err != nil || split == nil {
			t.Errorf("close: %v, split: %v", err, split)
		}
		close(release)
		if err := w.catalog.Close(); err != nil {
			t.Error(err)
		}
		w.start()
		w.put(name, text("a"))
	})
}

// sometimesSlow is slow while it is told so.
type sometimesSlow struct {
	shard.Log
	stuck   *atomic.Bool
	release <-chan struct{}
}

func (l sometimesSlow) Append(ctx context.Context, records []shard.Record) shard.Pending {
	if l.stuck.Load() {
		return slow{l.Log, l.release}.Append(ctx, records)
	}
	return l.Log.Append(ctx, records)
}

func TestAStreamThatIsReplacedWhileItsShardsAreChangedLeavesNoLogs(t *testing.T) {
	w := newWorld(t, nil, limitsOffIn)
	name := w.create("s", CreateOptions{Shards: 1})
	st, err := w.lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Delete(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	w.create("s", CreateOptions{Shards: 1})
	if err := w.makeLogs(t.Context(), name, st.definition); !errors.Is(err, ErrNotFound) {
		t.Errorf("logs of a stream that is no more: %v", err)
	}
	if got := w.topics(); len(got) != 1 {
		t.Errorf("topics %v", got)
	}
}

func TestAShardThatWasClosedBeforeItsStreamWasCreatedStaysClosed(t *testing.T) {
	now := time.Now()
	d := newDefinition(named("s"), CreateOptions{Shards: 1}, now)
	p := newPlan(d.Shards)
	p.widen(2)
	p.stamp(now.Add(-time.Millisecond)) // the clock was set back
	d.Shards = p.shards
	value, err := encodeLineage(d)
	if err != nil {
		t.Fatal(err)
	}
	again, err := decodeDefinition(value)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newShardMap(again.Shards); err != nil || again.Shards[0].Open() {
		t.Errorf("%v, open: %v", err, again.Shards[0].Open())
	}
}

func TestStreamsThatAreDeletedWhileTheirShardsChangeLeaveNothingBehind(t *testing.T) {
	w := newWorld(t, nil, limitsOffIn)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	name := named("s")
	var calls sync.WaitGroup
	expect := func(err error, allowed ...error) {
		if err != nil && !slices.ContainsFunc(allowed, func(e error) bool { return errors.Is(err, e) }) {
			t.Error(err)
		}
	}
	var count atomic.Int64
	for range 2 {
		calls.Go(func() {
			for n := 1; ctx.Err() == nil; n = n%7 + 1 {
				_, err := w.UpdateShardCount(t.Context(), name, n)
				expect(err, ErrNotFound)
				if err == nil {
					count.Add(1)
				}
			}
		})
		calls.Go(func() {
			for ctx.Err() == nil {
				results, err := w.Put(t.Context(), name, []Entry{{"a", nil, []byte("a")}, {"b", nil, []byte("b")}, {"c", nil, []byte("c")}})
				expect(err, ErrNotFound)
				for _, r := range results {
					expect(r.Err)
				}
			}
		})
	}
	for range 25 {
		w.create("s", CreateOptions{Shards: 3})
		for seen := count.Load(); count.Load() == seen; {
			runtime.Gosched()
		}
		expect(w.Delete(t.Context(), name))
	}
	cancel()
	calls.Wait()
	if got := w.topics(); len(got) != 0 {
		t.Errorf("topics %v", got)
	}
}
