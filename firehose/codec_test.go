package firehose

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/seed-462d9463/sluice/shard"
)

var compareStates = cmp.Options{
	cmp.AllowUnexported(state{}, intent{}, sourceRange{}), cmpopts.EquateEmpty(),
}

// drawEntries makes up the entries that a delivery stream could have written.
func drawEntries(t *rapid.T) (entries [][]byte, s *state) {
	s = newState()
	partitions := rapid.IntRange(1, 4).Draw(t, "partitions")
	at := func(p int) source {
		return source{Generation: rapid.SampledFrom([]string{"", "input.1", "input.2"}).Draw(t, "generation"), Partition: p}
	}
	entries = append(entries, encodeSnapshot(s))
	for range rapid.IntRange(0, 20).Draw(t, "entries") {
		switch rapid.IntRange(0, 2).Draw(t, "kind") {
		case 0:
			in := &intent{
				Number: s.next, Version: rapid.IntRange(1, 9).Draw(t, "version"), Bucket: "clicks", Key: rapid.String().Draw(t, "key"),
				Compression: rapid.SampledFrom(compressionCodes).Draw(t, "compression"), Delimiter: "\n",
				Expand:  rapid.Bool().Draw(t, "expand"),
				Oldest:  time.UnixMilli(rapid.Int64Range(0, 1<<42).Draw(t, "oldest")).UTC(),
				Bytes:   rapid.Int64Range(0, 1<<40).Draw(t, "bytes"),
				Skipped: rapid.Int64Range(0, 10).Draw(t, "skipped"),
				Ranges:  []sourceRange{},
			}
			b := newBatch()
			for p := range partitions {
				src := at(p)
				from, _ := s.end(src)
				for i := range rapid.Int64Range(0, 3).Draw(t, "records") {
					b.add(src, from+shard.Offset(i), in.Oldest, 1)
				}
			}
			in.Ranges, in.Records = b.sorted(), b.records
			entries = append(entries, encodeIntent(in))
			if err := s.addIntent(in); err != nil {
				t.Fatal(err)
			}
		case 1:
			for _, in := range s.intents {
				if !in.done && rapid.Bool().Draw(t, "this one") {
					c := committed{Number: in.Number, Objects: 1, Records: in.Records, Bytes: in.Bytes, Lost: 0}
					entries = append(entries, encodeCommitted(c))
					if err := s.commit(c); err != nil {
						t.Fatal(err)
					}
					break
				}
			}
		case 2:
			entries = append(entries, encodeSnapshot(s))
		}
	}
	return entries, s
}

func TestTheStateIsWhatItsEntriesSay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		entries, want := drawEntries(t)
		replay := func(entries [][]byte) *state {
			got := newState()
			for i, e := range entries {
				if err := got.replay(e); err != nil {
					t.Fatalf("entry %d: %v", i, err)
				}
			}
			return got
		}
		got := replay(entries)
		if diff := cmp.Diff(want, got, compareStates); diff != "" {
			t.Fatalf("after all entries: %s", diff)
		}
		if diff := cmp.Diff(want, replay([][]byte{encodeSnapshot(got)}), compareStates); diff != "" {
			t.Fatalf("after a snapshot: %s", diff)
		}
	})
}

// What a version before this one has decided on is delivered as it had decided.
func TestEntriesOfTheFirstVersionAreRead(t *testing.T) {
	// version kind number version bucket key compression delimiter oldest bytes skipped generations ranges
	entry := []byte("\x01\x02" + "\x00\x03" + "\x06clicks" + "\x01k" + "\x01" + "\x01\n" + "\xe8\x07" + "\x0c\x00" + "\x01\x01g" + "\x01\x00\x02\x07\x05\x04")
	want := newState()
	if err := want.addIntent(&intent{
		Version: 3, Bucket: "clicks", Key: "k", Compression: GZIP, Delimiter: "\n", Oldest: time.UnixMilli(1000).UTC(), Records: 4, Bytes: 12,
		Ranges: []sourceRange{{source: source{Generation: "g", Partition: 2}, From: 7, To: 12, Records: 4}},
	}); err != nil {
		t.Fatal(err)
	}
	got := newState()
	if err := got.replay(entry); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, compareStates); diff != "" {
		t.Error(diff)
	}
}

func TestFloorsAdvanceInOrder(t *testing.T) {
	s := newState()
	src := source{Partition: 3}
	for i := range 3 {
		b := newBatch()
		b.add(src, shard.Offset(i), time.UnixMilli(0), 1)
		if err := s.addIntent(&intent{Number: uint64(i), Ranges: b.sorted(), Records: 1}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		number uint64
		floor  shard.Offset
	}{{1, 0}, {2, 0}, {0, 3}} {
		if err := s.commit(committed{Number: c.number}); err != nil {
			t.Fatal(err)
		}
		if got := s.floors[src]; got != c.floor {
			t.Errorf("floor %d after intent %d was committed, want %d", got, c.number, c.floor)
		}
	}
}

func TestContradictingEntriesAreRefused(t *testing.T) {
	b := newBatch()
	b.add(source{}, 5, time.UnixMilli(0), 1)
	first := &intent{Compression: GZIP, Ranges: b.sorted(), Records: 1}
	second := &intent{Number: 1, Compression: GZIP, Ranges: b.sorted(), Records: 1}
	for name, entries := range map[string][][]byte{
		"a gap in the numbers":      {encodeIntent(second)},
		"a number twice":            {encodeIntent(first), encodeIntent(first)},
		"records twice":             {encodeIntent(first), encodeIntent(second)},
		"a commit of nothing":       {encodeCommitted(committed{})},
		"a commit twice":            {encodeIntent(first), encodeCommitted(committed{}), encodeCommitted(committed{})},
		"an unknown kind":           {{stateVersion, 9}},
		"a later version":           {{stateVersion + 1, entryCommitted}},
		"an entry cut off":          {encodeIntent(first)[:9]},
		"an entry with an excess":   {append(encodeIntent(first), 0)},
		"nothing":                   {{}},
		"more ranges than bytes":    {append(encodeIntent(&intent{Compression: GZIP})[:13], 0xff, 0xff, 3)},
		"a done intent up front":    {encodeSnapshot(&state{next: 1, intents: []*intent{{Compression: GZIP, done: true}}})},
		"an intent from the future": {encodeSnapshot(&state{next: 1, intents: []*intent{{Number: 7, Compression: GZIP}}})},
	} {
		s := newState()
		var err error
		for _, e := range entries {
			if err = s.replay(e); err != nil {
				break
			}
		}
		if !errors.Is(err, errState) && !errors.Is(err, errEntry) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// FuzzStateEntry checks that no bytes make the decoder panic or take much memory, and that a state that it
// accepts is written and read again as the same.
func FuzzStateEntry(f *testing.F) {
	b := newBatch()
	b.add(source{Generation: "input.1", Partition: 2}, 7, time.UnixMilli(1000), 12)
	in := &intent{Version: 1, Bucket: "clicks", Key: "a/b.gz", Compression: GZIP, Delimiter: "\n", Oldest: time.UnixMilli(1000), Ranges: b.sorted(), Records: 1, Bytes: 12}
	s := newState()
	s.floors[source{Partition: 1}] = 99
	f.Add(encodeSnapshot(s), encodeIntent(in), encodeCommitted(committed{Objects: 1, Records: 1, Bytes: 12}))
	if err := s.addIntent(in); err != nil {
		f.Fatal(err)
	}
	f.Add(encodeSnapshot(s), encodeCommitted(committed{}), encodeSnapshot(newState()))
	f.Fuzz(func(t *testing.T, first, second, third []byte) {
		s := newState()
		for _, e := range [][]byte{first, second, third} {
			if s.replay(e) != nil {
				continue
			}
			again := newState()
			if err := again.replay(encodeSnapshot(s)); err != nil {
				t.Fatalf("the snapshot of a state that was read cannot be read: %v", err)
			}
			if diff := cmp.Diff(s, again, compareStates); diff != "" {
				t.Fatal(diff)
			}
			if !bytes.Equal(encodeSnapshot(s), encodeSnapshot(again)) {
				t.Fatal("the same state gives two snapshots")
			}
		}
	})
}
