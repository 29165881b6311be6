package kinesis

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-462d9463/sluice/internal/api/wire"
	"github.com/seed-462d9463/sluice/internal/catalog"
	"github.com/seed-462d9463/sluice/shard/shardtest"
	"github.com/seed-462d9463/sluice/stream"
)

// A stream with a history: shard 0 was split at 100 s into 1 and 2, and 1 and 2 were merged at 200 s into 3. The
// records of shard 0 have left the retention.
func TestEveryFilterSelectsByWhenShardsWereOpen(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	start := now.Add(-24*time.Hour - 150*time.Second) // so that the horizon is at 150 s
	at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
	d := &stream.Description{Created: start, RetentionHours: 24, Shards: []stream.Shard{
		{ID: "0", Index: 0, Created: at(0), Opened: at(0), Closed: at(100)},
		{ID: "1", Index: 1, Created: at(100), Opened: at(100), Closed: at(200), Parent: "0"},
		{ID: "2", Index: 2, Created: at(100), Opened: at(100), Closed: at(200), Parent: "0"},
		{ID: "3", Index: 3, Created: at(200), Opened: at(200), Parent: "1", AdjacentParent: "2"},
	}}
	for _, c := range []struct {
		f    filter
		want string
	}{
		{filter{}, "123"},
		{filter{kind: atTrimHorizon}, "12"},
		{filter{kind: fromTrimHorizon}, "123"},
		{filter{kind: atLatest}, "3"},
		{filter{kind: atTimestamp, at: at(160)}, "12"},
		{filter{kind: atTimestamp, at: at(200)}, "123"},
		{filter{kind: atTimestamp, at: at(201)}, "3"},
		{filter{kind: fromTimestamp, at: at(0)}, "123"},
		{filter{kind: atTimestamp, at: at(0)}, "12"},
		{filter{kind: atTimestamp, at: at(-1)}, ""},
		{filter{kind: fromTimestamp, at: at(201)}, "3"},
	} {
		shards, more := selectShards(d, c.f, -1, 10, now)
		got := ""
		for i := range shards {
			got += shards[i].ShardId
		}
		if got != c.want || more {
			t.Errorf("filter %+v: %q, %v, want %q", c.f, got, more, c.want)
		}
	}
	closed := shapeOf(&d.Shards[1])
	if closed.SequenceNumberRange.EndingSequenceNumber <= closed.SequenceNumberRange.StartingSequenceNumber {
		t.Errorf("a closed shard: %+v", closed)
	}
}

// covers tells whether the shards' ranges take every hash key, and how often one is taken twice.
func covers(t *testing.T, shards []Shard) (whole bool, twice int) {
	t.Helper()
	type part struct{ start, end stream.HashKey }
	var parts []part
	for _, s := range shards {
		start, err := stream.ParseHashKey(s.HashKeyRange.StartingHashKey)
		if err != nil {
			t.Fatal(err)
		}
		end, err := stream.ParseHashKey(s.HashKeyRange.EndingHashKey)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, part{start, end})
	}
	slices.SortFunc(parts, func(a, b part) int { return a.start.Compare(b.start) })
	next := stream.HashKey{} // the first key that none of the parts so far takes, unless they take all
	for _, p := range parts {
		switch {
		case whole || p.start.Compare(next) < 0:
			twice++
		case p.start != next:
			return false, twice
		}
		after := p.end.Next()
		if whole = whole || after == (stream.HashKey{}); after.Compare(next) > 0 {
			next = after
		}
	}
	return whole, twice
}

func TestAtAnyTimeTheFiltersSelectShardsForEveryHashKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		engine := shardtest.NewMemory()
		definitions, err := catalog.Open(ctx, engine, catalog.Options{})
		if err != nil {
			t.Fatal(err)
		}
		config := stream.DefaultConfig()
		config.Limits = "off"
		streams, err := stream.New(ctx, stream.Options{Engine: engine, Catalog: definitions, Config: config})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := errors.Join(streams.Close(), definitions.Close()); err != nil {
				t.Error(err)
			}
		}()
		name := stream.Name{Account: "123456789012", Region: "eu-central-1", Name: "s"}
		if err := streams.Create(ctx, name, stream.CreateOptions{Shards: 2}); err != nil {
			t.Fatal(err)
		}
		begin, rng := time.Now(), rand.New(rand.NewPCG(5, 6))
		time.Sleep(time.Second)
		for range 60 { // two and a half days, so that shards vanish, too
			for range 1 + rng.IntN(3) { // some within one second
				if _, err := streams.UpdateShardCount(ctx, name, 1+rng.IntN(7)); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(time.Duration(rng.IntN(int(2 * time.Hour))))
			d, err := streams.Describe(name)
			if err != nil {
				t.Fatal(err)
			}
			now := time.Now()
			check := func(f filter, once bool) {
				t.Helper()
				shards, _ := selectShards(&d, f, -1, 10_000, now)
				if whole, twice := covers(t, shards); !whole || once && twice > 0 {
					t.Fatalf("filter %+v, %s after the creation: every key %v, some twice %d: %+v", f, now.Sub(begin), whole, twice, shards)
				}
			}
			check(filter{kind: atLatest}, true)
			check(filter{kind: atTrimHorizon}, true)
			check(filter{kind: fromTrimHorizon}, false)
			for range 20 {
				at := begin.Add(time.Duration(rng.Int64N(int64(now.Sub(begin)) + 1)))
				check(filter{kind: atTimestamp, at: at}, true)
				check(filter{kind: fromTimestamp, at: at}, false)
			}
			// At the very time of a change both sides count.
			for i := range d.Shards {
				if !d.Shards[i].Open() {
					check(filter{kind: atTimestamp, at: d.Shards[i].Closed}, false)
				}
			}
		}
	})
}

func TestTokensAreForOneStreamAndCallerOnly(t *testing.T) {
	now := time.Now()
	caller := wire.Caller{Account: "123456789012", Region: "eu-central-1"}
	name := strings.Repeat("n", stream.MaxNameLength)
	token := sealShardsToken(name, filter{kind: atTimestamp, at: time.UnixMilli(5)}, 7, caller, "id", now)
	if got, err := shardsTokenName(token); err != nil || got != name {
		t.Errorf("%q, %v", got, err)
	}
	f, after, err := openShardsToken(token, caller, "id", now)
	if err != nil || after != 7 || f.kind != atTimestamp || f.at.UnixMilli() != 5 {
		t.Errorf("%+v, %d, %v", f, after, err)
	}
	for what, open := range map[string]func() error{
		"another stream": func() error { _, _, err := openShardsToken(token, caller, "other", now); return err },
		"another account": func() error {
			_, _, err := openShardsToken(token, wire.Caller{Account: "x", Region: caller.Region}, "id", now)
			return err
		},
		"another region": func() error {
			_, _, err := openShardsToken(token, wire.Caller{Account: caller.Account}, "id", now)
			return err
		},
		"an iterator": func() error { _, err := parseIterator(token); return err },
	} {
		if open() == nil {
			t.Errorf("%s: the token was accepted", what)
		}
	}
	iterator := sealIterator(name, stream.Position{StreamID: "id", Shard: 1<<31 - 1, Offset: 1 << 62}, caller, now)
	if len(iterator) > 512 {
		t.Errorf("an iterator has %d characters", len(iterator))
	}
	it, err := parseIterator(iterator)
	if err != nil {
		t.Fatal(err)
	}
	p, err := it.open(caller, "id", now)
	if want := (stream.Position{StreamID: "id", Shard: 1<<31 - 1, Offset: 1 << 62}); err != nil || p != want {
		t.Errorf("%+v, %v", p, err)
	}
}

func FuzzNoTokenBreaksTheServer(f *testing.F) {
	caller := wire.Caller{Account: "123456789012", Region: "eu-central-1"}
	f.Add(sealIterator("s", stream.Position{StreamID: "id"}, caller, time.Unix(0, 0)))
	f.Add(sealShardsToken("s", filter{}, 1, caller, "id", time.Unix(0, 0)))
	f.Add(sealStreamsToken("s", time.Unix(0, 0)))
	f.Fuzz(func(t *testing.T, text string) {
		now := time.Unix(0, 0)
		if it, err := parseIterator(text); err == nil {
			_, _ = it.open(caller, "id", now)
		}
		_, _ = shardsTokenName(text)
		_, _, _ = openShardsToken(text, caller, "id", now)
		if after, err := openStreamsToken(text, now); err == nil && !isName(after) {
			t.Errorf("a token leads to %q", after)
		}
	})
}
