package stream

import (
	"encoding/json"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestUniformSplitIsAWSs(t *testing.T) {
	// DescribeStream of a stream with three shards.
	want := []struct{ start, end string }{
		{"0", "113427455640312821154458202477256070484"},
		{"113427455640312821154458202477256070485", "226854911280625642308916404954512140969"},
		{"226854911280625642308916404954512140970", "340282366920938463463374607431768211455"},
	}
	for i, r := range uniformSplit(3) {
		if r.Start.String() != want[i].start || r.End.String() != want[i].end {
			t.Errorf("shard %d takes %s to %s, want %s to %s", i, r.Start, r.End, want[i].start, want[i].end)
		}
	}
}

func TestUniformSplitCoversTheRing(t *testing.T) {
	ring := new(big.Int).Lsh(big.NewInt(1), 128)
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, MaxShards).Draw(t, "shards")
		size := new(big.Int).Div(ring, big.NewInt(int64(n)))
		ranges := uniformSplit(n)
		for i, r := range ranges {
			if want := new(big.Int).Mul(size, big.NewInt(int64(i))); r.Start.big().Cmp(want) != 0 {
				t.Fatalf("%d shards: number %d starts at %s, want %s", n, i, r.Start, want)
			}
			if i > 0 && ranges[i-1].End.Next() != r.Start {
				t.Fatalf("%d shards: gap before number %d", n, i)
			}
		}
		if ranges[n-1].End != MaxHashKey {
			t.Fatalf("%d shards end at %s", n, ranges[n-1].End)
		}
	})
}

// reshard makes a random history of splits and merges.
func genHistory() *rapid.Generator[[]Shard] {
	return rapid.Custom(func(t *rapid.T) []Shard {
		now := time.Unix(1_700_000_000, 0).UTC()
		var shards []Shard
		for i, r := range uniformSplit(rapid.IntRange(1, 6).Draw(t, "shards")) {
			shards = append(shards, Shard{ID: ShardID(i), Index: i, Range: r, Created: now, Opened: now})
		}
		for range rapid.IntRange(0, 8).Draw(t, "reshards") {
			now = now.Add(time.Minute)
			m, err := newShardMap(shards)
			if err != nil {
				t.Fatal(err)
			}
			place := rapid.IntRange(0, len(m.open)-1).Draw(t, "place")
			a := &shards[m.open[place]]
			add := func(r HashRange, parent, adjacent string) {
				i := len(shards)
				shards = append(shards, Shard{ID: ShardID(i), Index: i, Range: r, Created: now, Opened: now, Parent: parent, AdjacentParent: adjacent})
			}
			if place+1 < len(m.open) && rapid.Bool().Draw(t, "merge") {
				b := &shards[m.open[place+1]]
				a.Closed, b.Closed = now, now
				add(HashRange{a.Range.Start, b.Range.End}, a.ID, b.ID)
				continue
			}
			middle := genHashKey().Draw(t, "middle")
			if middle.Compare(a.Range.Start) <= 0 || middle.Compare(a.Range.End) > 0 {
				continue
			}
			a.Closed = now
			r, id := a.Range, a.ID
			add(HashRange{r.Start, middle.Previous()}, id, "")
			add(HashRange{middle, r.End}, id, "")
		}
		return shards
	})
}

func TestEveryHashKeyHasExactlyOneOpenShard(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shards := genHistory().Draw(t, "shards")
		m, err := newShardMap(shards)
		if err != nil {
			t.Fatal(err)
		}
		keys := []HashKey{{}, MaxHashKey, genHashKey().Draw(t, "key")}
		for _, s := range shards {
			keys = append(keys, s.Range.Start, s.Range.End)
		}
		for _, k := range keys {
			var takers []int
			for _, s := range shards {
				if s.Open() && s.Range.Contains(k) {
					takers = append(takers, s.Index)
				}
			}
			if got := m.route(k); len(takers) != 1 || takers[0] != got {
				t.Fatalf("%s goes to shard %d, those that take it are %v", k, got, takers)
			}
		}
		for _, s := range shards {
			for _, child := range m.children(s.Index) {
				if child.Parent != s.ID && child.AdjacentParent != s.ID {
					t.Fatalf("%s is said to be a child of %s", child.ID, s.ID)
				}
			}
			if s.Open() != (len(m.children(s.Index)) == 0) {
				t.Fatalf("%s has children %v", s.ID, m.children(s.Index))
			}
		}
	})
}

func TestDefinitionsSurviveTheCatalog(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := &definition{
			ID: newID(), Topic: "stream.x", Created: time.Unix(1_700_000_000, 0).UTC(), OnDemand: rapid.Bool().Draw(t, "onDemand"),
			RetentionHours: 25, MaxRecordBytes: 1 << 21, Tags: map[string]string{"a": "ä", "b": ""},
			WarmMiBps: 7, CountUpdates: []time.Time{time.UnixMilli(1_700_000_000_123).UTC()}, ModeUpdates: []time.Time{time.UnixMilli(5).UTC()},
			Shards: genHistory().Draw(t, "shards"),
		}
		dropped := rapid.IntRange(0, len(d.Shards)).Draw(t, "shards that are no more")
		d.Shards = slices.DeleteFunc(d.Shards, func(s Shard) bool { return s.Index < dropped && !s.Open() })
		d.setOpened()
		value, err := json.Marshal(d.document())
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeDefinition(value)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(d, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestDocumentsOfTheFormatBeforeAreRead(t *testing.T) {
	const text = `{"format":1,"id":"i","topic":"t","created":1700000000500,"retentionHours":24,"maxRecordBytes":1048576,` +
		`"keys":["00000000000000000000000000000000","80000000000000000000000000000000"],"shards":[` +
		`{"f":0,"t":2,"c":1700000000,"x":1700000007250},{"f":0,"t":1,"c":1700000008,"p":[0]},{"f":1,"t":2,"c":1700000008,"p":[0]}]}`
	got, err := decodeDefinition([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	middle := HashKey{1 << 63, 0}
	created, split, second := time.UnixMilli(1_700_000_000_500).UTC(), time.UnixMilli(1_700_000_007_250).UTC(), time.Unix(1_700_000_008, 0).UTC()
	want := &definition{
		ID: "i", Topic: "t", Created: created, RetentionHours: 24, MaxRecordBytes: 1 << 20,
		Shards: []Shard{
			{ID: ShardID(0), Range: HashRange{End: MaxHashKey}, Created: created.Truncate(time.Second), Opened: created, Closed: split},
			{ID: ShardID(1), Index: 1, Range: HashRange{End: middle.Previous()}, Created: second, Opened: split, Parent: ShardID(0)},
			{ID: ShardID(2), Index: 2, Range: HashRange{Start: middle, End: MaxHashKey}, Created: second, Opened: split, Parent: ShardID(0)},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestTheLargestStreamFitsTheCatalog(t *testing.T) {
	d := newDefinition(Name{"123456789012", "us-east-1", "s"}, CreateOptions{Shards: MaxShards}, time.Now())
	value, err := json.Marshal(d.document())
	if err != nil {
		t.Fatal(err)
	}
	if limit := 512 << 10; len(value) > limit {
		t.Errorf("%d shards take %d bytes, want at most %d", MaxShards, len(value), limit)
	}
}

func TestDamagedDocumentsAreRefused(t *testing.T) {
	for _, text := range []string{
		``, `[]`, `{}`, `{"format":3}`, `{"format":2,"keys":["x"]}`, `{"format":2,"shards":[[0,0,1]]}`,
		`{"format":2,"keys":["00000000000000000000000000000000"],"shards":[[0,0,1,0,0,1]]}`,
		`{"format":2,"keys":["00000000000000000000000000000000"],"shards":[[1,0,1,0,0,0,1]]}`,
		`{"format":2,"keys":["00000000000000000000000000000000"],"shards":[[-1,0,1]]}`,
		`{"format":2,"keys":["00000000000000000000000000000000"],"shards":[[2147483648,0,1]]}`,
		`{"format":2,"keys":["00000000000000000000000000000000"],"shards":[[0,0,9223372036854775807]]}`,
		`{"format":2,"keys":["00000000000000000000000000000000"],"shards":[[0,0,1,9223372036854775807]]}`,
		`{"format":2,"keys":["00000000000000000000000000000000"],"shards":[[0,0,1,0,0,0,0,0]]}`, `{"format":1,"keys":["x"]}`, `{"format":1,"shards":[{"f":0,"t":1}]}`,
		`{"format":1,"keys":["00000000000000000000000000000000"],"shards":[{"f":0,"t":1,"p":[0]}]}`,
		`{"format":1,"keys":["00000000000000000000000000000000"],"shards":[{"f":0,"t":0}]}`,
		`{"format":1,"keys":["00000000000000000000000000000000"],"shards":[{"f":-1,"t":1}]}`,
	} {
		if d, err := decodeDefinition([]byte(text)); err == nil {
			t.Errorf("%s is decoded as %+v", text, d)
		}
	}
	// What can be decoded and is no shard map is refused there.
	whole := uniformSplit(1)[0]
	for what, shards := range map[string][]Shard{
		"none":         nil,
		"all closed":   {{Range: whole, Closed: time.Unix(1, 0)}},
		"overlapping":  {{Range: whole}, {Index: 1, Range: whole}},
		"a gap":        {{Range: HashRange{Start: HashKey{0, 1}, End: MaxHashKey}}},
		"cut short":    {{Range: HashRange{End: HashKey{1, 1}}}},
		"out of order": {{Index: 1, Range: whole, Closed: time.Unix(1, 0)}, {Range: whole}},
		"own parent":   {{Range: whole, Parent: ShardID(0)}},
	} {
		if _, err := newShardMap(shards); err == nil {
			t.Errorf("shards %s make a map", what)
		}
	}
}

func FuzzDecodeDefinition(f *testing.F) {
	d := newDefinition(Name{"a", "r", "n"}, CreateOptions{Shards: 3}, time.Unix(1_700_000_000, 0))
	value, _ := json.Marshal(d.document())
	f.Add(value)
	f.Add([]byte(`{"format":1,"keys":["00000000000000000000000000000000"],"shards":[{"f":0,"t":1,"x":5},{"f":0,"t":1,"p":[0]}]}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		d, err := decodeDefinition(value)
		if err != nil {
			return
		}
		m, err := newShardMap(d.Shards)
		if err != nil {
			return
		}
		for _, i := range m.open {
			if got := m.route(d.Shards[i].Range.Start); got != i {
				t.Fatalf("start of shard %d goes to %d", i, got)
			}
		}
	})
}

func TestShardsAreFoundByNumberLikeOnAWS(t *testing.T) {
	for id, want := range map[string]int{
		"shardId-000000000000": 0, "shardId-000000000012": 12, "shardId-7": 7, "7": 7, "x-7": 7, "shardId-002147483647": maxShardIndex,
		"": -1, "shardId-": -1, "shardId": -1, "shardId--1": -1, "shardId-1-2": -1, "shardId-2147483648": -1,
		"shardId-+1": -1, "shardId-99999999999999999999999": -1,
	} {
		got, ok := ParseShardID(id)
		if !ok {
			got = -1
		}
		if got != want {
			t.Errorf("%q is shard %d, want %d", id, got, want)
		}
	}
	if got := ShardID(12); got != "shardId-000000000012" {
		t.Error(got)
	}
}

func BenchmarkRoute(b *testing.B) {
	d := newDefinition(Name{"a", "r", "n"}, CreateOptions{Shards: 1000}, time.Now())
	m, err := newShardMap(d.Shards)
	if err != nil {
		b.Fatal(err)
	}
	key := []byte("a partition key")
	b.ReportAllocs()
	for b.Loop() {
		m.route(HashPartitionKey(key))
	}
}
