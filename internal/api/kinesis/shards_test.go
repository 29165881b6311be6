package kinesis

import (
	"strings"
	"testing"
	"time"

	"github.com/seed-462d9463/sluice/internal/api/wire"
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
