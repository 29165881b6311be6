package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/seed-462d9463/sluice/shard"
)

func TestReadingStartsWhereTheIteratorTypeSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, limitsOffIn)
		name := w.create("s", CreateOptions{Shards: 1})
		id := ShardID(0)
		begin := time.Now()
		var results []Result
		for _, value := range []string{"a", "b", "c", "d"} { // one a second
			results = append(results, w.put(name, text(value))...)
			time.Sleep(time.Second)
		}
		d, err := w.Describe(name)
		if err != nil {
			t.Fatal(err)
		}
		all := []string{"a", "b", "c", "d"}
		for _, test := range []struct {
			what string
			at   StartAt
			want []string
		}{
			{"TRIM_HORIZON", StartAt{Type: TrimHorizon}, all},
			{"LATEST", StartAt{Type: Latest}, nil},
			{"AT the shard's start", StartAt{Type: AtSequence, Sequence: d.Shards[0].Starting()}, all},
			{"AFTER the shard's start", StartAt{Type: AfterSequence, Sequence: d.Shards[0].Starting()}, all},
			{"AT the first", StartAt{Type: AtSequence, Sequence: results[0].Sequence}, all},
			{"AFTER the first", StartAt{Type: AfterSequence, Sequence: results[0].Sequence}, all[1:]},
			{"AT the last", StartAt{Type: AtSequence, Sequence: results[3].Sequence}, all[3:]},
			{"AFTER the last", StartAt{Type: AfterSequence, Sequence: results[3].Sequence}, nil},
			{"AT a time before all", StartAt{Type: AtTimestamp, Time: begin.Add(-time.Hour)}, all},
			{"AT the very time of one", StartAt{Type: AtTimestamp, Time: begin.Add(time.Second)}, all[1:]},
			{"AT a time between two", StartAt{Type: AtTimestamp, Time: begin.Add(1500 * time.Millisecond)}, all[2:]},
			{"AT a time after all", StartAt{Type: AtTimestamp, Time: begin.Add(3500 * time.Millisecond)}, nil},
			{"AT a time in the future", StartAt{Type: AtTimestamp, Time: begin.Add(time.Hour)}, nil},
		} {
			if got := w.values(name, id, test.at); !slices.Equal(got, test.want) {
				t.Errorf("%s: %q, want %q", test.what, got, test.want)
			}
		}
		// What is latest stays where it was when it was asked for.
		latest := w.startAt(name, id, StartAt{Type: Latest})
		future := w.startAt(name, id, StartAt{Type: AtTimestamp, Time: begin.Add(time.Hour)})
		w.put(name, text("e"))
		for _, p := range []Position{latest, future} {
			if got := w.read(name, p).Records; len(got) != 1 || string(got[0].Value) != "e" {
				t.Errorf("from latest: %v", got)
			}
		}
	})
}

func TestSequenceNumbersThatTheShardNeverGaveAreNoStart(t *testing.T) {
	w := newWorld(t, nil, limitsOffIn)
	name := w.create("s", CreateOptions{Shards: 2})
	low := HashKey{}
	given := w.put(name, Entry{"k", &low, nil})[0].Sequence
	d, err := w.Describe(name)
	if err != nil {
		t.Fatal(err)
	}
	sh := d.Shards[0]
	other := sh
	other.Created = sh.Created.Add(-time.Hour)
	closed := sh
	closed.Closed = time.Now()
	end, _ := closed.Ending()
	for _, test := range []struct {
		what     string
		shardID  string
		sequence SequenceNumber
		reason   PositionReason
	}{
		{"another shard's", ShardID(1), given, OtherShard},
		{"another stream's", ShardID(0), other.SequenceNumber(0, time.Now()), OtherStream},
		{"the next record's", ShardID(0), sh.SequenceNumber(1, time.Now()), NotYet},
		{"one far ahead", ShardID(0), sh.SequenceNumber(1<<50, time.Now()), NotYet},
		{"the end of an open shard", ShardID(0), end, NotYet},
	} {
		for _, at := range []StartType{AtSequence, AfterSequence} {
			_, err := w.Start(context.Background(), name, test.shardID, StartAt{Type: at, Sequence: test.sequence})
			var position *PositionError
			if !errors.Is(err, ErrInvalidPosition) || !errors.As(err, &position) || position.Reason != test.reason {
				t.Errorf("%s: %v", test.what, err)
			} else if position.Sequence != test.sequence || position.ShardID != test.shardID {
				t.Errorf("%s: %+v", test.what, position)
			}
		}
	}
	if _, err := w.Start(context.Background(), name, ShardID(0), StartAt{}); !errors.Is(err, ErrInvalidPosition) {
		t.Errorf("no type: %v", err)
	}
	if _, err := w.Start(context.Background(), name, ShardID(2), StartAt{Type: Latest}); !errors.Is(err, ErrShardNotFound) {
		t.Errorf("no such shard: %v", err)
	}
	if _, err := w.Start(context.Background(), named("none"), ShardID(0), StartAt{Type: Latest}); !errors.Is(err, ErrNotFound) {
		t.Errorf("no such stream: %v", err)
	}
}

func TestAReadGoesOnWhereTheLastOneEnded(t *testing.T) {
	w := newWorld(t, nil, limitsOffIn)
	rapid.Check(t, func(t *rapid.T) {
		name := named("s" + newID())
		if err := w.Create(context.Background(), name, CreateOptions{Shards: 1}); err != nil {
			t.Fatal(err)
		}
		p, err := w.Start(context.Background(), name, ShardID(0), StartAt{Type: TrimHorizon})
		if err != nil {
			t.Fatal(err)
		}
		var want, got []string
		var scratch *shard.Scratch
		if rapid.Bool().Draw(t, "scratch") {
			scratch = new(shard.Scratch)
		}
		read := func(limit int) {
			result, err := w.Read(context.Background(), name, p, limit, scratch)
			if err != nil || len(result.Records) > limit || result.Closed {
				t.Fatalf("%d records, closed %v, %v", len(result.Records), result.Closed, err)
			}
			for _, r := range result.Records {
				got = append(got, string(r.Value))
			}
			if (result.MillisBehindLatest > 0) && len(got) == len(want) {
				t.Fatalf("%d ms behind at the tip", result.MillisBehindLatest)
			}
			p = result.Next
		}
		for i := range rapid.IntRange(0, 30).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "write") {
				var entries []Entry
				for j := range rapid.IntRange(1, 10).Draw(t, "records") {
					value := fmt.Sprint(i, ".", j)
					want, entries = append(want, value), append(entries, text(value))
				}
				if _, err := w.Put(context.Background(), name, entries); err != nil {
					t.Fatal(err)
				}
			} else {
				read(rapid.IntRange(1, 7).Draw(t, "limit"))
			}
		}
		for len(got) < len(want) {
			read(MaxReadRecords)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("read %q, written %q", got, want)
		}
	})
}

func TestAReadIsBoundedInRecordsAndBytes(t *testing.T) {
	w := newWorld(t, nil, limitsOffIn)
	name := w.create("s", CreateOptions{Shards: 2, MaxRecordBytes: 10 << 20})
	low, high := HashKey{}, MaxHashKey
	for range 21 {
		w.put(name, slices.Repeat([]Entry{{"k", &low, nil}}, MaxPutRecords)...)
	}
	for _, mebibytes := range [][]int{{4, 3}, {1, 4}, {10}} {
		var entries []Entry
		for _, n := range mebibytes {
			entries = append(entries, Entry{"k", &high, make([]byte, n<<20-1)})
		}
		w.put(name, entries...)
	}
	for what, scratch := range map[string]*shard.Scratch{"": nil, " into scratch": new(shard.Scratch)} {
		p := w.startAt(name, ShardID(0), StartAt{Type: TrimHorizon})
		for _, limit := range []int{0, MaxReadRecords, MaxReadRecords + 1, 1 << 40, -1, 700} {
			want := limit
			if limit <= 0 || limit > MaxReadRecords {
				want = MaxReadRecords
			}
			result, err := w.Read(context.Background(), name, p, limit, scratch)
			if err != nil || len(result.Records) != want || result.Next.Offset != shard.Offset(want) {
				t.Errorf("limit %d%s: %d records up to %d, %v", limit, what, len(result.Records), result.Next.Offset, err)
			}
		}
		var sizes []int
		for p := w.startAt(name, ShardID(1), StartAt{Type: TrimHorizon}); ; {
			result, err := w.Read(context.Background(), name, p, 0, scratch)
			if err != nil {
				t.Fatal(err)
			}
			if len(result.Records) == 0 {
				break
			}
			sizes = append(sizes, len(result.Records))
			p = result.Next
		}
		if !slices.Equal(sizes, []int{3, 1, 1}) {
			t.Errorf("reads%s of %v records, want 8 MiB, 4 MiB, 10 MiB", what, sizes)
		}
	}
}

func TestReadsAreThrottledByCallsAndByBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, func(c *Config) {
			none := 0
			c.Streams = map[string]StreamConfig{"s": {WriteBytes: &none}}
		})
		name := w.create("s", CreateOptions{Shards: 2, MaxRecordBytes: 10 << 20})
		low := HashKey{}
		w.put(name, Entry{"k", &low, make([]byte, 10<<20-1)})
		p := w.startAt(name, ShardID(0), StartAt{Type: TrimHorizon})
		idle := w.startAt(name, ShardID(1), StartAt{Type: TrimHorizon})
		blocked := func(p Position) bool {
			_, err := w.Read(context.Background(), name, p, 0, nil)
			if err != nil && !errors.Is(err, ErrThroughputExceeded) {
				t.Fatal(err)
			}
			return err != nil
		}
		for i := range 5 {
			if blocked(idle) {
				t.Errorf("read %d is throttled", i+1)
			}
		}
		if !blocked(idle) {
			t.Error("a sixth read within a second")
		}
		time.Sleep(200 * time.Millisecond)
		if blocked(idle) {
			t.Error("still throttled 200 ms later")
		}
		if blocked(p) {
			t.Fatal("one shard's reads throttle another's")
		}
		end := w.clock()
		for blocked(p) {
			time.Sleep(10 * time.Millisecond)
		}
		if waited := time.Duration(w.clock() - end); waited < 5*time.Second || waited > 5*time.Second+10*time.Millisecond {
			t.Errorf("a read of 10 MiB throttled for %v, want 5 s", waited)
		}
	})
}

func TestMillisBehindLatestIsTheAgeOfTheLastRecordRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, limitsOffIn)
		name := w.create("s", CreateOptions{Shards: 1})
		p := w.startAt(name, ShardID(0), StartAt{Type: TrimHorizon})
		behind := func(limit int, want time.Duration) {
			t.Helper()
			result, err := w.Read(context.Background(), name, p, limit, nil)
			if err != nil || result.MillisBehindLatest != want.Milliseconds() {
				t.Errorf("%d ms behind, %v; want %v", result.MillisBehindLatest, err, want)
			}
			p = result.Next
		}
		behind(10, 0)
		w.put(name, text("a"))
		time.Sleep(time.Minute)
		w.put(name, text("b"), text("c"))
		time.Sleep(time.Minute)
		behind(1, 2*time.Minute)
		behind(1, time.Minute)
		behind(1, 0)
		behind(1, 0)
	})
}

func TestAClosedShardEndsWithItsChildren(t *testing.T) {
	w := newWorld(t, nil, limitsOffIn)
	name := w.create("s", CreateOptions{Shards: 1})
	last := w.put(name, text("a"), text("b"))[1].Sequence
	early := w.startAt(name, ShardID(0), StartAt{Type: TrimHorizon})
	w.split(name, 0)
	first, err := w.Read(context.Background(), name, early, 1, nil)
	if err != nil || first.Closed || len(first.Children) != 0 || len(first.Records) != 1 {
		t.Fatalf("before the end: %+v, %v", first, err)
	}
	end := w.read(name, first.Next)
	if !end.Closed || len(end.Records) != 1 || end.MillisBehindLatest != 0 {
		t.Fatalf("at the end: %+v", end)
	}
	if len(end.Children) != 2 || end.Children[0].ID != ShardID(1) || end.Children[1].ID != ShardID(2) ||
		!slices.Equal(end.Children[0].Parents(), []string{ShardID(0)}) {
		t.Errorf("children %+v", end.Children)
	}
	ending, ok := end.Shard.Ending()
	if !ok || ending.Compare(last) <= 0 || end.Children[0].Starting().Compare(ending) <= 0 {
		t.Errorf("last record %s, end %s, child from %s", last, ending, end.Children[0].Starting())
	}
	for _, at := range []StartAt{{Type: Latest}, {Type: AtSequence, Sequence: ending}, {Type: AfterSequence, Sequence: ending}, {Type: AfterSequence, Sequence: last}} {
		if result := w.read(name, w.startAt(name, ShardID(0), at)); !result.Closed || len(result.Records) != 0 {
			t.Errorf("from %+v: %+v", at, result)
		}
	}
	for _, r := range w.put(name, text("c"), text("d")) {
		if r.ShardID == ShardID(0) {
			t.Error("a closed shard takes records")
		}
	}
}

func TestPositionsInADeletedStreamAreNoneInItsSuccessor(t *testing.T) {
	w := newWorld(t, nil, limitsOffIn)
	name := w.create("s", CreateOptions{Shards: 1})
	w.put(name, text("old"))
	p := w.startAt(name, ShardID(0), StartAt{Type: TrimHorizon})
	if err := w.Delete(context.Background(), name); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Read(context.Background(), name, p, 0, nil); !errors.Is(err, ErrNotFound) {
		t.Errorf("deleted: %v", err)
	}
	w.create("s", CreateOptions{Shards: 1})
	w.put(name, text("new"))
	if _, err := w.Read(context.Background(), name, p, 0, nil); !errors.Is(err, ErrShardNotFound) {
		t.Errorf("created again: %v", err)
	}
	current := w.startAt(name, ShardID(0), StartAt{Type: TrimHorizon})
	for _, forged := range []Position{
		{}, {StreamID: current.StreamID, Shard: 1}, {StreamID: current.StreamID, Shard: -1},
	} {
		if _, err := w.Read(context.Background(), name, forged, 0, nil); !errors.Is(err, ErrShardNotFound) {
			t.Errorf("%+v: %v", forged, err)
		}
	}
	for _, odd := range []Position{
		{StreamID: current.StreamID, Offset: -5}, {StreamID: current.StreamID, Offset: 1 << 62},
	} {
		if _, err := w.Read(context.Background(), name, odd, 0, nil); err != nil {
			t.Errorf("%+v: %v", odd, err)
		}
	}
}
