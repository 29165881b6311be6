package catalog

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/shardtest"
)

func testKey(name string) Key { return Key{Account: "0", Region: "r", Kind: "k", Name: name} }

func testEntry(name string, revision int64, value string) Entry {
	return Entry{Key: testKey(name), Revision: revision, Value: []byte(value)}
}

// engineWith has a catalog's log with the given records, trimmed.
func engineWith(t *testing.T, trim shard.Offset, values ...[]byte) shard.Engine {
	t.Helper()
	engine := shardtest.NewMemory()
	if err := engine.Create(t.Context(), Topic, 1); err != nil {
		t.Fatal(err)
	}
	log, err := engine.Open(t.Context(), Topic, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range values {
		if _, err := log.Append(t.Context(), []shard.Record{{Value: b}}).Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Trim(t.Context(), trim); err != nil {
		t.Fatal(err)
	}
	return engine
}

func putRecord(name string, expected int64, value string) []byte {
	return appendProposal(nil, &proposal{key: testKey(name), expected: expected, value: []byte(value)})
}

func partRecord(writer uint64, through shard.Offset, index, parts int, entries ...Entry) []byte {
	return appendPart(nil, &part{writer: writer, number: 1, through: through, index: index, parts: parts, entries: entries})
}

func TestLogThatLostChangesIsRefused(t *testing.T) {
	a, b := testEntry("a", 1, "1"), testEntry("b", 2, "2")
	// The change of a between the snapshot's state and its record was trimmed away.
	engine := engineWith(t, 3, putRecord("a", 0, "1"), putRecord("b", 0, "2"), putRecord("a", 1, "3"), partRecord(1, 1, 0, 1, a, b))
	if _, err := Open(t.Context(), engine, Options{}); !errors.Is(err, errDamaged) || !strings.Contains(err.Error(), "missing") {
		t.Errorf("open: %v", err)
	}
}

// The log as crashed, slow and simultaneous writers may leave it.
func TestOpenFindsTheCompleteSnapshotThatReachesFurthest(t *testing.T) {
	put, snap, e := putRecord, partRecord, testEntry
	after := []Entry{e("a", 1, "1"), e("b", 2, "2")} // what the first two proposals make
	for _, c := range []struct {
		name string
		log  [][]byte
		trim shard.Offset
		want []Entry
	}{
		{"none", [][]byte{put("a", 0, "1"), put("b", 0, "2"), put("b", 0, "conflict")}, 0, after},
		{"empty log", nil, 0, nil},
		{"complete", [][]byte{put("a", 0, "1"), put("b", 0, "2"), snap(1, 1, 0, 1, after...), put("a", 1, "3")}, 1,
			[]Entry{e("a", 4, "3"), e("b", 2, "2")}},
		{"changes between the state and its record", [][]byte{put("a", 0, "1"), put("b", 0, "2"), put("a", 1, "3"), snap(1, 1, 0, 1, after...)}, 1,
			[]Entry{e("a", 3, "3"), e("b", 2, "2")}},
		{"incomplete, never believed", [][]byte{put("a", 0, "1"), put("b", 0, "2"), snap(1, 1, 0, 2, e("x", 1, "9"))}, 0, after},
		{"incomplete behind a complete one", [][]byte{
			put("a", 0, "1"), put("b", 0, "2"), snap(1, 1, 0, 1, after...), put("c", 0, "3"), snap(2, 3, 0, 2, e("x", 1, "9")),
		}, 1, append(after[:2:2], e("c", 4, "3"))},
		{"two at once, part by part", [][]byte{
			put("a", 0, "1"), put("b", 0, "2"), snap(1, 1, 0, 2, after[0]), snap(2, 1, 0, 2, after[0]), snap(2, 1, 1, 2, after[1]),
			put("c", 0, "3"), snap(1, 1, 1, 2, after[1]),
		}, 1, append(after[:2:2], e("c", 6, "3"))},
		{"an old one behind a newer one", [][]byte{
			put("a", 0, "1"), put("b", 0, "2"), put("a", 1, "3"), snap(1, 2, 0, 1, e("a", 3, "3"), e("b", 2, "2")), snap(2, 0, 0, 1, after[0]),
		}, 2, []Entry{e("a", 3, "3"), e("b", 2, "2")}},
		{"an older one whose beginning was trimmed", [][]byte{
			put("a", 0, "1"), snap(1, 0, 0, 2, e("x", 1, "9")), put("b", 0, "2"), snap(1, 0, 1, 2, e("y", 1, "9")), snap(2, 2, 0, 1, e("a", 1, "1"), e("b", 3, "2")),
		}, 2, []Entry{e("a", 1, "1"), e("b", 3, "2")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			engine := engineWith(t, c.trim, c.log...)
			for range 2 { // the second time after whatever the first has trimmed
				catalog, err := Open(t.Context(), engine, Options{})
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(c.want, catalog.All("k")); diff != "" {
					t.Errorf("entries differ (-want +got):\n%s", diff)
				}
				if err := catalog.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestSnapshotsAreCutIntoRecordsThatAnEngineTakes(t *testing.T) {
	var entries []Entry
	for range 10 {
		entries = append(entries, Entry{Key: someKey, Revision: 1<<63 - 1, Value: make([]byte, MaxValueBytes)})
	}
	for n := range entries {
		count := 0
		parts := split(entries[:n])
		for i, p := range parts {
			b := appendPart(nil, &part{writer: 1<<64 - 1, number: 1<<64 - 1, through: 1<<63 - 1, index: i, parts: len(parts), entries: p})
			if err := shard.CheckRecords([]shard.Record{{Value: b}}); err != nil {
				t.Fatal(err)
			}
			size := 0
			for j := range p {
				size += sizeOf(&p[j])
			}
			if len(b) > size+100 {
				t.Fatalf("a part of %d bytes was taken for %d", len(b), size)
			}
			count += len(p)
		}
		if count != n {
			t.Fatalf("parts have %d of %d entries", count, n)
		}
	}
}
