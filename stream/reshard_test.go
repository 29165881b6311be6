package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-462d9463/sluice/internal/catalog"
	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/shardtest"
)

func (w *world) describe(name Name) Description {
	w.t.Helper()
	d, err := w.Describe(name)
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

// middle of a shard's range.
func (w *world) middle(name Name, shardID string) HashKey {
	w.t.Helper()
	d := w.describe(name)
	sh, ok := d.Shard(shardID)
	if !ok {
		w.t.Fatalf("no shard %s", shardID)
	}
	return sh.Range.middle()
}

// summary tells of every shard its number, what it replaced and whether it is open.
func summary(d Description) (lines []string) {
	for i := range d.Shards {
		s := &d.Shards[i]
		lines = append(lines, fmt.Sprint(s.Index, s.parentIndexes(), s.Open()))
	}
	return lines
}

func TestSplitAndMergeReplaceShards(t *testing.T) {
	w := newWorld(t, nil, limitsOffIn)
	ctx := context.Background()
	name := w.create("s", CreateOptions{Shards: 2})
	if err := w.Split(ctx, name, "shardId-0", w.middle(name, ShardID(0))); err != nil {
		t.Fatal(err)
	}
	if err := w.Merge(ctx, name, ShardID(3), ShardID(1)); err != nil {
		t.Fatal(err)
	}
	want := []string{"0 [] false", "1 [] false", "2 [0] true", "3 [0] false", "4 [3 1] true"}
	for range 2 {
		if diff := cmp.Diff(want, summary(w.describe(name))); diff != "" {
			t.Error(diff)
		}
		w.put(name, text("a"), Entry{PartitionKey: "k", HashKey: &HashKey{}}, Entry{PartitionKey: "k", HashKey: &MaxHashKey})
		w.restart()
	}
}

func TestReshardingIsRefusedAsOnAWS(t *testing.T) {
	w := newWorld(t, nil, func(c *Config) { c.ShardQuota = 5 })
	ctx := context.Background()
	name := w.create("s", CreateOptions{Shards: 4})
	onDemand := w.create("d", CreateOptions{OnDemand: true})
	r := w.describe(name).Shards[1].Range
	for what, at := range map[string]HashKey{
		"first": r.Start, "second": r.Start.Next(), "last": r.End, "next shard's": r.End.Next(), "before": r.Start.Previous(), "far": MaxHashKey,
	} {
		var key *SplitKeyError
		if err := w.Split(ctx, name, ShardID(1), at); !errors.As(err, &key) || key.Range != r || key.ShardID != ShardID(1) {
			t.Errorf("split at the %s key: %v", what, err)
		}
	}
	is := func(what string, err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	is("split of no shard", w.Split(ctx, name, ShardID(9), r.middle()), ErrShardNotFound)
	is("split of no stream", w.Split(ctx, named("no"), ShardID(0), r.middle()), ErrNotFound)
	is("split on demand", w.Split(ctx, onDemand, ShardID(0), r.middle()), ErrOnDemand)
	is("merge on demand", w.Merge(ctx, onDemand, ShardID(0), ShardID(1)), ErrOnDemand)
	_, err := w.UpdateShardCount(ctx, onDemand, 5)
	is("count on demand", err, ErrOnDemand)
	is("merge of what is not adjacent", w.Merge(ctx, name, ShardID(0), ShardID(2)), ErrNotAdjacent)
	is("merge the wrong way", w.Merge(ctx, name, ShardID(1), ShardID(0)), ErrNotAdjacent)
	is("merge with itself", w.Merge(ctx, name, ShardID(3), ShardID(3)), ErrNotAdjacent)
	is("merge of the ring's ends", w.Merge(ctx, name, ShardID(3), ShardID(0)), ErrNotAdjacent)
	is("merge of no shard", w.Merge(ctx, name, ShardID(0), ShardID(8)), ErrShardNotFound)
	if err := w.Split(ctx, name, ShardID(1), r.middle()); err != nil {
		t.Fatal(err)
	}
	var quota *QuotaError
	if err := w.Split(ctx, name, ShardID(0), w.middle(name, ShardID(0))); !errors.As(err, &quota) || *quota != (QuotaError{name.Account, name.Region, 5, 5, 1}) {
		t.Errorf("beyond the quota: %v", err)
	}
	if _, err := w.UpdateShardCount(ctx, name, 6); !errors.Is(err, ErrLimitExceeded) {
		t.Errorf("beyond the quota: %v", err)
	}
	if err := w.Merge(ctx, name, ShardID(2), ShardID(3)); err != nil {
		t.Fatal(err)
	}
	is("split of a closed shard", w.Split(ctx, name, ShardID(1), r.middle()), ErrShardClosed)
	is("merge of a closed shard", w.Merge(ctx, name, ShardID(0), ShardID(1)), ErrShardClosed)
	if diff := cmp.Diff([]string{"0 [] true", "1 [] false", "2 [] false", "3 [] false", "4 [1] true", "5 [1] true", "6 [2 3] true"},
		summary(w.describe(name))); diff != "" {
		t.Error(diff)
	}
}

func TestTheNumberOfShardsIsUpdatedWithinAWSsBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, nil)
		ctx := context.Background()
		name := w.create("s", CreateOptions{Shards: 5})
		for target, want := range map[int]ScalingError{
			0: {5, 0, 1, MaxShards, true}, MaxShards + 1: {5, MaxShards + 1, 1, MaxShards, true}, 2: {5, 2, 3, 10, false}, 11: {5, 11, 3, 10, false},
		} {
			var scaling *ScalingError
			if _, err := w.UpdateShardCount(ctx, name, target); !errors.As(err, &scaling) || *scaling != want {
				t.Errorf("to %d: %v", target, err)
			}
		}
		if before, err := w.UpdateShardCount(ctx, name, 5); before != 5 || err != nil {
			t.Errorf("to what it is: %d, %v", before, err)
		}
		counts := []int{5, 3, 4, 7, 8, 9, 6, 3, 5, 10, 7}
		for i, target := range counts[1:] {
			if before, err := w.UpdateShardCount(ctx, name, target); before != counts[i] || err != nil {
				t.Fatalf("from %d to %d: %d, %v", counts[i], target, before, err)
			}
			time.Sleep(time.Hour)
		}
		_, err := w.UpdateShardCount(ctx, name, 8)
		if !errors.Is(err, ErrTooManyUpdates) {
			t.Errorf("an eleventh update within a day: %v", err)
		}
		w.restart()
		if _, err = w.UpdateShardCount(ctx, name, 8); !errors.Is(err, ErrTooManyUpdates) {
			t.Errorf("an eleventh update within a day, after a restart: %v", err)
		}
		time.Sleep(14 * time.Hour)
		if _, err = w.UpdateShardCount(ctx, name, 8); err != nil {
			t.Errorf("a day after the first: %v", err)
		}
		if _, err = w.UpdateShardCount(ctx, name, 9); !errors.Is(err, ErrTooManyUpdates) {
			t.Errorf("a day after the first, for the second time: %v", err)
		}
		free := w.create("free", CreateOptions{Shards: 1})
		w.config.Streams = map[string]StreamConfig{"free": {Limits: "off"}}
		w.restart()
		for _, target := range []int{9, 1, 9, 1, 9, 1, 9, 1, 9, 1, 9} {
			if _, err = w.UpdateShardCount(ctx, free, target); err != nil {
				t.Fatalf("with limits off: %v", err)
			}
		}
	})
}

func TestTheCapacityModeChangesTwiceADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, func(c *Config) { c.ShardQuota = 4 })
		ctx := context.Background()
		name := w.create("s", CreateOptions{Shards: 4})
		change := func(onDemand bool, want error) {
			t.Helper()
			if err := w.UpdateMode(ctx, name, onDemand, -1); !errors.Is(err, want) {
				t.Errorf("on demand %v: %v, want %v", onDemand, err, want)
			}
		}
		change(false, nil)
		if err := w.UpdateWarmThroughput(ctx, name, 5); !errors.Is(err, ErrProvisioned) {
			t.Errorf("warm throughput of a provisioned stream: %v", err)
		}
		change(true, nil)
		change(true, nil)
		change(false, nil)
		change(true, ErrTooManyUpdates)
		time.Sleep(UpdatePeriod)
		change(true, nil)
		if err := w.UpdateWarmThroughput(ctx, name, 9); err != nil {
			t.Error(err)
		}
		if d := w.describe(name); d.OpenShards != 9 || d.WarmMiBps != 9 || !d.OnDemand {
			t.Errorf("%d shards, warm %d, on demand %v", d.OpenShards, d.WarmMiBps, d.OnDemand)
		}
		if err := w.UpdateWarmThroughput(ctx, name, 2); err != nil {
			t.Error(err)
		}
		if d := w.describe(name); d.OpenShards != 9 || d.WarmMiBps != 2 {
			t.Errorf("%d shards, warm %d", d.OpenShards, d.WarmMiBps)
		}
		if err := w.UpdateWarmThroughput(ctx, name, 1+w.config.OnDemand.withDefaults().MaxShards); !errors.Is(err, ErrLimitExceeded) {
			t.Errorf("too much: %v", err)
		}
		change(false, ErrLimitExceeded)
	})
}

func TestClosedShardsVanishWhenTheirRetentionEndsAndTheirNumbersNeverReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, limitsOffIn)
		ctx := context.Background()
		name := w.create("s", CreateOptions{Shards: 1})
		at := w.startAt(name, ShardID(0), StartAt{Type: TrimHorizon})
		w.put(name, text("a"))
		time.Sleep(time.Hour)
		if err := w.Split(ctx, name, ShardID(0), w.middle(name, ShardID(0))); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if err := w.Merge(ctx, name, ShardID(1), ShardID(2)); err != nil {
			t.Fatal(err)
		}
		_, changed, err := w.Logs(name)
		if err != nil {
			t.Fatal(err)
		}
		expect := func(want ...string) {
			t.Helper()
			synctest.Wait()
			if diff := cmp.Diff(want, summary(w.describe(name))); diff != "" {
				t.Error(diff)
			}
		}
		time.Sleep(23*time.Hour - time.Minute) // the record has gone, the shard is there
		expect("0 [] false", "1 [0] false", "2 [0] false", "3 [1 2] true")
		if result := w.read(name, at); !result.Closed || len(result.Records) != 0 || len(result.Children) != 2 {
			t.Errorf("a closed shard whose records are gone: %+v", result)
		}
		time.Sleep(2 * time.Minute)
		expect("1 [0] false", "2 [0] false", "3 [1 2] true")
		select {
		case <-changed:
		default:
			t.Error("nobody is told that a log is gone")
		}
		if _, err := w.Read(ctx, name, at, 0, nil); !errors.Is(err, ErrShardNotFound) {
			t.Errorf("read of a shard that is no more: %v", err)
		}
		w.restart()
		time.Sleep(time.Hour)
		expect("3 [1 2] true")
		w.restart()
		if err := w.Split(ctx, name, ShardID(3), w.middle(name, ShardID(3))); err != nil {
			t.Fatal(err)
		}
		expect("3 [1 2] false", "4 [3] true", "5 [3] true")
		w.put(name, text("b"), Entry{PartitionKey: "k", HashKey: &HashKey{}}, Entry{PartitionKey: "k", HashKey: &MaxHashKey})
		if d := w.describe(name); len(d.ShardsAfter(-1)) != 3 || len(d.ShardsAfter(0)) != 3 || len(d.ShardsAfter(3)) != 2 || len(d.ShardsAfter(5)) != 0 {
			t.Error("shards after a number are not those with greater ones")
		}
	})
}

// slow is a log whose appends become durable when the test says.
type slow struct {
	shard.Log
	release <-chan struct{}
}

type slowly struct {
	shard.Pending
	release <-chan struct{}
}

func (l slow) Append(ctx context.Context, records []shard.Record) shard.Pending {
	return slowly{l.Log.Append(ctx, records), l.release}
}

func (p slowly) Wait(ctx context.Context) (shard.Appended, error) {
	select {
	case <-p.release:
		return p.Pending.Wait(ctx)
	case <-ctx.Done():
		return shard.Appended{}, ctx.Err()
	}
}

func TestAShardIsClosedOnlyWhenAllAppendsToItAreDecided(t *testing.T) {
	for _, leaves := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			release := make(chan struct{})
			engine := &interposed{shardtest.NewMemory(), func(topic string, partition int, log shard.Log) shard.Log {
				if topic == catalog.Topic || partition > 0 {
					return log
				}
				return slow{log, release}
			}}
			w := newWorld(t, engine, limitsOffIn)
			name := w.create("s", CreateOptions{Shards: 1})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var first, second []Result
			var calls sync.WaitGroup
			calls.Go(func() { first, _ = w.Put(ctx, name, []Entry{text("a")}) })
			synctest.Wait()
			if leaves { // the append goes on without him
				cancel()
				synctest.Wait()
			}
			var split error
			calls.Go(func() { split = w.Split(t.Context(), name, ShardID(0), w.middle(name, ShardID(0))) })
			synctest.Wait()
			calls.Go(func() { second, _ = w.Put(t.Context(), name, []Entry{text("b")}) })
			synctest.Wait()
			if d := w.describe(name); len(d.Shards) != 1 || second != nil {
				t.Errorf("shards %v, results %v while an append is undecided", summary(d), second)
			}
			close(release)
			calls.Wait()
			if split != nil {
				t.Fatal(split)
			}
			if len(first) != 1 || (first[0].Err != nil) != leaves {
				t.Errorf("the first: %+v", first)
			}
			if len(second) != 1 || second[0].Err != nil || second[0].ShardID == ShardID(0) {
				t.Errorf("the second: %+v", second)
			}
			if got := w.values(name, ShardID(0), StartAt{Type: TrimHorizon}); !slices.Equal(got, []string{"a"}) {
				t.Errorf("the parent has %q", got)
			}
		})
	}
}

func TestAWriterWhoLeavesAtAGateHasWrittenNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, limitsOffIn)
		name := w.create("s", CreateOptions{Shards: 2})
		st, err := w.lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		low, high := HashKey{}, MaxHashKey
		st.partitions[0].gate.shut()
		ctx, cancel := context.WithCancel(t.Context())
		var results []Result
		var call sync.WaitGroup
		call.Go(func() {
			results, _ = w.Put(ctx, name, []Entry{{"k", &low, []byte("low")}, {"k", &high, []byte("high")}, {"k", &low, []byte("low too")}})
		})
		synctest.Wait()
		if got := w.values(name, ShardID(1), StartAt{Type: TrimHorizon}); !slices.Equal(got, []string{"high"}) {
			t.Errorf("one shard's gate holds up another's records: %q", got)
		}
		cancel()
		call.Wait()
		if len(results) != 3 || !errors.Is(results[0].Err, context.Canceled) || results[1].Err != nil || !errors.Is(results[2].Err, context.Canceled) {
			t.Errorf("%+v", results)
		}
		st.partitions[0].gate.reopen()
		if got := w.values(name, ShardID(0), StartAt{Type: TrimHorizon}); len(got) != 0 {
			t.Errorf("written nevertheless: %q", got)
		}
	})
}

// unsure is a catalog's log whose appends get through and fail to say so.
type unsure struct {
	shard.Log
	fails *bool
}

func (l unsure) Append(ctx context.Context, records []shard.Record) shard.Pending {
	pending := l.Log.Append(ctx, records)
	if *l.fails {
		*l.fails = false
		_, _ = pending.Wait(ctx)
		return failed{errDisk}
	}
	return pending
}

func TestAReshardWhoseOutcomeIsUnknownIsFoundOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fails := false
		engine := &interposed{shardtest.NewMemory(), func(topic string, _ int, log shard.Log) shard.Log {
			if topic == catalog.Topic {
				return unsure{log, &fails}
			}
			return log
		}}
		w := newWorld(t, engine, limitsOffIn)
		name := w.create("s", CreateOptions{Shards: 1})
		at := w.middle(name, ShardID(0))
		fails = true
		if err := w.Split(t.Context(), name, ShardID(0), at); !errors.Is(err, errDisk) {
			t.Fatalf("split: %v", err)
		}
		results := w.put(name, text("a")) // waits until it is known
		d := w.describe(name)
		if len(d.Shards) != 3 || results[0].ShardID == ShardID(0) {
			t.Errorf("shards %v, written to %s", summary(d), results[0].ShardID)
		}
	})
}

func TestALineageThatIsTooLongIsRefused(t *testing.T) {
	d := newDefinition(named("s"), CreateOptions{Shards: MaxShards / 2}, time.Now())
	target := MaxShards
	for updates := 0; ; updates++ {
		p := newPlan(d.Shards)
		p.cover(uniformSplit(target))
		p.stamp(time.Now().Add(24 * time.Hour))
		d.Shards = p.shards
		value, err := encodeLineage(d)
		if err != nil {
			if !errors.Is(err, ErrLimitExceeded) || updates < 2 {
				t.Errorf("after %d updates: %v", updates, err)
			}
			return
		}
		if len(value) > maxLineageBytes || updates > 20 {
			t.Fatalf("%d bytes after %d updates", len(value), updates)
		}
		target = MaxShards/2 + MaxShards - target
	}
}
