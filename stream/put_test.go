package stream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/shardtest"
)

func TestEveryRecordIsInTheShardOfItsHashKeyInOrder(t *testing.T) {
	w := newWorld(t, nil, limitsOffIn)
	streams := 0
	rapid.Check(t, func(t *rapid.T) {
		streams++
		name := named(fmt.Sprintf("s%d", streams))
		shards := rapid.IntRange(1, 20).Draw(t, "shards")
		if err := w.Create(context.Background(), name, CreateOptions{Shards: shards}); err != nil {
			t.Fatal(err)
		}
		d, err := w.Describe(name)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string][]string{}
		last := map[string]SequenceNumber{}
		for range rapid.IntRange(1, 4).Draw(t, "puts") {
			var entries []Entry
			for i := range rapid.IntRange(1, 40).Draw(t, "records") {
				e := Entry{
					PartitionKey: rapid.StringN(1, 20, -1).Draw(t, "key"),
					Data:         fmt.Appendf(nil, "%d %s", i, rapid.String().Draw(t, "data")),
				}
				if rapid.Bool().Draw(t, "explicit") {
					k := genHashKey().Draw(t, "hash key")
					e.HashKey = &k
				}
				entries = append(entries, e)
			}
			results, err := w.Put(context.Background(), name, entries)
			if err != nil || len(results) != len(entries) {
				t.Fatalf("%d results, %v", len(results), err)
			}
			for i, r := range results {
				at := HashPartitionKey([]byte(entries[i].PartitionKey))
				if entries[i].HashKey != nil {
					at = *entries[i].HashKey
				}
				sh, ok := d.Shard(r.ShardID)
				if r.Err != nil || !ok || !sh.Range.Contains(at) {
					t.Fatalf("hash key %s: %+v", at, r)
				}
				if r.Sequence.Compare(last[r.ShardID]) <= 0 || r.Sequence.Compare(sh.Starting()) <= 0 {
					t.Fatalf("%s follows %s", r.Sequence, last[r.ShardID])
				}
				last[r.ShardID] = r.Sequence
				want[r.ShardID] = append(want[r.ShardID], entries[i].PartitionKey+" "+string(entries[i].Data))
			}
		}
		for _, sh := range d.Shards {
			p, err := w.Start(context.Background(), name, sh.ID, StartAt{Type: TrimHorizon})
			if err != nil {
				t.Fatal(err)
			}
			result, err := w.Read(context.Background(), name, p, 0, nil)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, r := range result.Records {
				got = append(got, string(r.Key)+" "+string(r.Value))
			}
			if !slices.Equal(got, want[sh.ID]) {
				t.Fatalf("%s holds %q, want %q", sh.ID, got, want[sh.ID])
			}
			if n := len(got); n > 0 {
				end := result.Records[n-1]
				if s := result.Shard.SequenceNumber(end.Offset, end.Time); s != last[sh.ID] {
					t.Fatalf("last record is read as %s, was written as %s", s, last[sh.ID])
				}
			}
		}
	})
}

func TestPutKeepsNothingOfItsEntries(t *testing.T) {
	w := newWorld(t, nil, limitsOffIn)
	name := w.create("s", CreateOptions{Shards: 1})
	data := []byte("first")
	w.put(name, Entry{PartitionKey: "k", Data: data})
	copy(data, "XXXXX")
	w.put(name, text("second"))
	if got := w.values(name, ShardID(0), StartAt{Type: TrimHorizon}); !slices.Equal(got, []string{"first", "second"}) {
		t.Error(got)
	}
}

func TestResultsAreAppended(t *testing.T) {
	w := newWorld(t, nil, limitsOffIn)
	name := w.create("s", CreateOptions{Shards: 1})
	results, err := w.PutInto(context.Background(), name, []Entry{text("a")}, []Result{{ShardID: "earlier"}})
	if err != nil || len(results) != 2 || results[0].ShardID != "earlier" || results[1].ShardID != ShardID(0) {
		t.Errorf("%+v, %v", results, err)
	}
	results, err = w.PutInto(context.Background(), named("none"), []Entry{text("a")}, results)
	if !errors.Is(err, ErrNotFound) || len(results) != 2 {
		t.Errorf("%+v, %v", results, err)
	}
}

// counted counts the appends to a log.
type counted struct {
	shard.Log
	appends *atomic.Int64
}

func (l counted) Append(ctx context.Context, records []shard.Record) shard.Pending {
	l.appends.Add(1)
	return l.Log.Append(ctx, records)
}

func TestAPutMakesOneAppendPerShard(t *testing.T) {
	var appends atomic.Int64
	engine := &interposed{shardtest.NewMemory(), func(topic string, _ int, log shard.Log) shard.Log {
		if strings.HasPrefix(topic, topicPrefix) {
			return counted{log, &appends}
		}
		return log
	}}
	w := newWorld(t, engine, limitsOffIn)
	name := w.create("s", CreateOptions{Shards: 8})
	shards := map[string]bool{}
	var entries []Entry
	for i := range MaxPutRecords {
		entries = append(entries, Entry{PartitionKey: fmt.Sprint(i)})
	}
	for _, r := range w.put(name, entries...) {
		shards[r.ShardID] = true
	}
	if len(shards) != 8 || appends.Load() != 8 {
		t.Errorf("%d appends to %d shards", appends.Load(), len(shards))
	}
}

// burning fails all appends.
type burning struct{ shard.Log }

func (burning) Append(context.Context, []shard.Record) shard.Pending { return failed{errDisk} }

func TestAShardThatFailsDoesNotHinderTheOthers(t *testing.T) {
	engine := &interposed{shardtest.NewMemory(), func(topic string, partition int, log shard.Log) shard.Log {
		if strings.HasPrefix(topic, topicPrefix) && partition == 1 {
			return burning{log}
		}
		return log
	}}
	w := newWorld(t, engine, limitsOffIn)
	name := w.create("s", CreateOptions{Shards: 3})
	var entries []Entry
	for i := range 60 {
		entries = append(entries, Entry{PartitionKey: fmt.Sprint(i), Data: []byte{byte(i)}})
	}
	results, err := w.Put(context.Background(), name, entries)
	if err != nil {
		t.Fatal(err)
	}
	failures := 0
	for i, r := range results {
		if r.ShardID == ShardID(1) {
			failures++
			if !errors.Is(r.Err, errDisk) || !r.Sequence.IsZero() {
				t.Errorf("record %d: %+v", i, r)
			}
		} else if r.Err != nil || r.Sequence.IsZero() {
			t.Errorf("record %d: %+v", i, r)
		}
	}
	if failures == 0 || failures == len(results) {
		t.Errorf("%d of %d records are in the shard that fails", failures, len(results))
	}
	written := len(w.values(name, ShardID(0), StartAt{Type: TrimHorizon})) + len(w.values(name, ShardID(2), StartAt{Type: TrimHorizon}))
	if written != len(results)-failures {
		t.Errorf("%d written, %d acknowledged", written, len(results)-failures)
	}
}

func TestOnlyWhatIsOverTheLimitIsThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, nil)
		name := w.create("s", CreateOptions{Shards: 2})
		low, high := HashKey{}, MaxHashKey
		half := make([]byte, 1<<19-1)
		entries := []Entry{
			{"k", &low, half}, {"k", &low, half}, {"k", &low, []byte("over")}, {"k", &low, nil},
			{"k", &high, half},
		}
		// What the first two leave is room for nothing but empty data with a key of 0 bytes, which there is
		// not; so the fourth is throttled too. The other shard has room.
		check := func(want ...error) {
			t.Helper()
			results, err := w.Put(context.Background(), name, entries)
			if err != nil {
				t.Fatal(err)
			}
			for i, r := range results {
				if !errors.Is(r.Err, want[i]) || (r.Err == nil) == r.Sequence.IsZero() || r.ShardID == "" {
					t.Errorf("record %d: %+v, want error %v", i, r, want[i])
				}
			}
		}
		check(nil, nil, ErrThroughputExceeded, ErrThroughputExceeded, nil)
		time.Sleep(500 * time.Millisecond) // of virtual time: half the limit is free again
		check(nil, ErrThroughputExceeded, ErrThroughputExceeded, ErrThroughputExceeded, nil)
	})
}

func TestLimitsOffLetEverythingPass(t *testing.T) {
	w := newWorld(t, nil, limitsOffIn)
	name := w.create("s", CreateOptions{Shards: 1})
	for range 5 {
		w.put(name, Entry{PartitionKey: "k", Data: make([]byte, 1<<20-1)})
	}
	p := w.startAt(name, ShardID(0), StartAt{Type: TrimHorizon})
	for range 20 {
		w.read(name, p)
	}
}

func TestRecordsThatBreakARuleFailThePutAsAWhole(t *testing.T) {
	w := newWorld(t, nil, limitsOffIn)
	name := w.create("s", CreateOptions{Shards: 1, MaxRecordBytes: 4 << 20})
	good := text("good")
	large := make([]byte, 4<<20-1)
	tests := map[string]struct {
		entries []Entry
		index   int // of the record to blame; −1 if it is the whole
	}{
		"no records":       {nil, -1},
		"too many records": {slices.Repeat([]Entry{good}, MaxPutRecords+1), -1},
		"no key":           {[]Entry{good, {Data: []byte("x")}}, 1},
		"a long key":       {[]Entry{good, good, {PartitionKey: strings.Repeat("k", 257)}}, 2},
		"a long wide key":  {[]Entry{{PartitionKey: strings.Repeat("ü", 257)}}, 0},
		"a byte too much":  {[]Entry{{PartitionKey: "kk", Data: large}}, 0},
		"too much in all":  {slices.Repeat([]Entry{{PartitionKey: "k", Data: large}}, 3), -1},
	}
	for what, test := range tests {
		results, err := w.Put(context.Background(), name, test.entries)
		var record *RecordError
		if !errors.Is(err, ErrInvalidArgument) || len(results) != 0 || errors.As(err, &record) != (test.index >= 0) {
			t.Errorf("%s: %d results, %v", what, len(results), err)
		} else if record != nil && record.Index != test.index {
			t.Errorf("%s: record %d is to blame", what, record.Index)
		}
	}
	if got := w.values(name, ShardID(0), StartAt{Type: TrimHorizon}); len(got) != 0 {
		t.Errorf("%d records were written", len(got))
	}
	// The longest that are allowed.
	w.put(name, Entry{PartitionKey: strings.Repeat("ü", 256)}, Entry{PartitionKey: strings.Repeat("k", 256)}, Entry{PartitionKey: "k", Data: large})
	w.put(name, slices.Repeat([]Entry{{PartitionKey: "k", Data: bytes.Repeat([]byte("x"), 20_000)}}, MaxPutRecords)...)
}

func TestAPutThatTheCallerGivesUpEndsWithItsContext(t *testing.T) {
	engine := &interposed{shardtest.NewMemory(), func(topic string, _ int, log shard.Log) shard.Log {
		if strings.HasPrefix(topic, topicPrefix) {
			return stuck{log}
		}
		return log
	}}
	w := newWorld(t, engine, nil)
	name := w.create("s", CreateOptions{Shards: 1})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	results, err := w.Put(ctx, name, []Entry{text("a")})
	if err != nil || !errors.Is(results[0].Err, context.Canceled) {
		t.Errorf("%+v, %v", results, err)
	}
}

// stuck takes records and never makes them durable.
type stuck struct{ shard.Log }

type stuckPending struct{}

func (stuck) Append(context.Context, []shard.Record) shard.Pending { return stuckPending{} }

func (stuckPending) Wait(ctx context.Context) (shard.Appended, error) {
	<-ctx.Done()
	return shard.Appended{}, ctx.Err()
}

func TestPutsDuringDeleteAreAcknowledgedOrFindNoStream(t *testing.T) {
	w := newWorld(t, nil, limitsOffIn)
	for round := range 20 {
		name := w.create(fmt.Sprintf("s%d", round), CreateOptions{Shards: 4})
		var ready, done sync.WaitGroup
		for writer := range 4 {
			ready.Add(1)
			done.Go(func() {
				for i := 0; ; i++ {
					if i == 10 {
						ready.Done()
					}
					results, err := w.Put(context.Background(), name, []Entry{
						{PartitionKey: fmt.Sprint(writer, i)}, {PartitionKey: fmt.Sprint(i, writer)},
					})
					if errors.Is(err, ErrNotFound) && i >= 10 {
						return
					}
					if err != nil {
						t.Errorf("put %d: %v", i, err)
						return
					}
					for _, r := range results {
						if r.Err != nil {
							t.Errorf("put %d: %v", i, r.Err)
						}
					}
				}
			})
		}
		ready.Wait()
		if err := w.Delete(context.Background(), name); err != nil {
			t.Fatal(err)
		}
		done.Wait()
	}
}

func BenchmarkPut(b *testing.B) {
	for _, records := range []int{1, 500} {
		b.Run(fmt.Sprint(records), func(b *testing.B) {
			engine := &interposed{shardtest.NewMemory(), func(topic string, _ int, log shard.Log) shard.Log {
				if strings.HasPrefix(topic, topicPrefix) {
					return sunk{log}
				}
				return log
			}}
			w := newWorld(b, engine, func(c *Config) {
				plenty := maxLimit
				c.Streams = map[string]StreamConfig{"s": {WriteBytes: &plenty, WriteRecords: &plenty}}
			})
			name := w.create("s", CreateOptions{Shards: 16})
			entries := make([]Entry, records)
			for i := range entries {
				entries[i] = Entry{PartitionKey: fmt.Sprintf("customer-%d", i), Data: make([]byte, 1024)}
			}
			var results []Result
			b.SetBytes(int64(records) * 1024)
			b.ReportAllocs()
			for b.Loop() {
				var err error
				if results, err = w.PutInto(context.Background(), name, entries, results[:0]); err != nil || results[0].Err != nil {
					b.Fatal(err, results[0].Err)
				}
			}
		})
	}
}

// sunk forgets what is appended to it, so that a benchmark shows what lies above the log.
type sunk struct{ shard.Log }

type sunkPending struct{}

func (sunk) Append(context.Context, []shard.Record) shard.Pending { return sunkPending{} }

func (sunkPending) Wait(context.Context) (shard.Appended, error) {
	return shard.Appended{First: 1, Time: time.Unix(1_700_000_000, 0)}, nil
}

func (sunk) Bounds() (first, next shard.Offset) { return 0, 2 }

func (sunk) Read(context.Context, shard.Offset, shard.Limit) ([]shard.Record, error) {
	return []shard.Record{{Offset: 1, Time: time.Now()}}, nil
}
