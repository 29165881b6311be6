package catalog_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-462d9463/sluice/internal/catalog"
	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/shardtest"
)

func catalogLog(t *testing.T, e shard.Engine) shard.Log {
	t.Helper()
	l, err := e.Open(t.Context(), catalog.Topic, 0)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func length(l shard.Log) int {
	first, next := l.Bounds()
	return int(next - first)
}

// churn changes one entry over and over until a condition holds, at least n times.
func churn(t *testing.T, c *catalog.Catalog, n int, until func() bool) {
	t.Helper()
	k := key("churn")
	for i := 0; i < n || !until(); i++ {
		now, _ := c.Get(k)
		put(t, c, k, strings.Repeat("x", i%100), now.Revision)
	}
}

func TestLogStaysShortUnderChurn(t *testing.T) {
	e := shardtest.NewMemory()
	c := openWith(t, e, catalog.Options{SnapshotBytes: 4000})
	for i := range 20 {
		put(t, c, key(fmt.Sprint(i)), i, 0)
	}
	log := catalogLog(t, e)
	churn(t, c, 3000, func() bool { return length(log) < 100 })
	if first, _ := log.Bounds(); first < 2000 {
		t.Fatalf("log begins at %d after 3000 changes", first)
	}
	want := c.All("stream")
	closeCatalog(t, c)
	if diff := cmp.Diff(want, open(t, e).All("stream")); diff != "" {
		t.Fatalf("after a restart (-before +after):\n%s", diff)
	}
}

func TestConflictsDoNotMakeTheLogLong(t *testing.T) {
	e := shardtest.NewMemory()
	c := openWith(t, e, catalog.Options{SnapshotBytes: 4000})
	a := put(t, c, key("a"), 1, 0)
	log := catalogLog(t, e)
	for i := 0; i < 1000 || length(log) > 150; i++ {
		if _, err := c.Put(t.Context(), key("a"), 2, 0); !errors.Is(err, catalog.ErrConflict) {
			t.Fatalf("put: %v", err)
		}
	}
	if got, _ := c.Get(key("a")); got.Revision != a.Revision {
		t.Fatalf("conflicts changed %+v", got)
	}
}

func TestEmptyCatalogShrinksToo(t *testing.T) {
	e := shardtest.NewMemory()
	c := openWith(t, e, catalog.Options{SnapshotBytes: 2000})
	log := catalogLog(t, e)
	for i := 0; i < 500 || length(log) > 80; i++ {
		a := put(t, c, key("a"), i, 0)
		if err := c.Delete(t.Context(), a.Key, a.Revision); err != nil {
			t.Fatal(err)
		}
	}
	closeCatalog(t, c)
	c = open(t, e)
	if got := c.All("stream"); got != nil {
		t.Fatalf("deleted entries came back: %v", got)
	}
	put(t, c, key("a"), 1, 0)
}

// A snapshot larger than one append takes several records, and comes back from them.
func TestLargeCatalogComesBackFromASnapshotInSeveralRecords(t *testing.T) {
	e := shardtest.NewMemory()
	c := openWith(t, e, catalog.Options{SnapshotBytes: 1000})
	log := catalogLog(t, e)
	large := strings.Repeat("x", 900_000)
	for i := range 20 {
		put(t, c, key(fmt.Sprint("large ", i)), fmt.Sprint(i, large), 0)
	}
	begun := func() bool { first, _ := log.Bounds(); return first > 20 }
	for i := 0; !begun(); i++ {
		now, _ := c.Get(key("large 0"))
		put(t, c, key("large 0"), fmt.Sprint(i, large), now.Revision)
	}
	want := c.All("stream")
	closeCatalog(t, c)
	records, err := log.Read(t.Context(), 0, shard.Limit{})
	if err != nil {
		t.Fatal(err)
	}
	parts := 0
	for _, r := range records {
		if r.Value[1] == 3 {
			parts++
		}
	}
	if parts < 4 {
		t.Fatalf("%d snapshot records for 18 MB", parts)
	}
	got := open(t, e).All("stream")
	if len(got) != len(want) {
		t.Fatalf("%d entries, want %d", len(got), len(want))
	}
	for i := range want {
		if want[i].Key != got[i].Key || want[i].Revision != got[i].Revision || string(want[i].Value) != string(got[i].Value) {
			t.Fatalf("%s differs", want[i].Key)
		}
	}
}

func TestCrashBetweenSnapshotAndTrimIsMadeGoodAtOpen(t *testing.T) {
	e := shardtest.NewMemory()
	g := newGate(e)
	g.failTrims(errors.New("crashed before the trim"))
	c := openWith(t, g, catalog.Options{SnapshotBytes: 4000})
	churn(t, c, 300, func() bool { return g.trimsTried() >= 3 })
	want := c.All("stream")
	log := catalogLog(t, e)
	if first, _ := log.Bounds(); first != 0 {
		t.Fatalf("log was trimmed to %d", first)
	}
	closeCatalog(t, c)
	c = open(t, e)
	if diff := cmp.Diff(want, c.All("stream")); diff != "" {
		t.Fatalf("after a restart (-before +after):\n%s", diff)
	}
	first, _ := log.Bounds()
	if first == 0 {
		t.Fatal("log was not trimmed by Open")
	}
	closeCatalog(t, c)
	if diff := cmp.Diff(want, open(t, e).All("stream")); diff != "" {
		t.Fatalf("after another restart (-before +after):\n%s", diff)
	}
}

func TestNodeThatFellBehindATrimCatchesUpFromTheSnapshot(t *testing.T) {
	e := shardtest.NewMemory()
	g := newGate(e)
	ahead, behind := openWith(t, e, catalog.Options{SnapshotBytes: 4000}), open(t, g)
	gone := put(t, ahead, key("gone"), 1, 0)
	kept := put(t, ahead, key("kept"), 2, 0)
	put(t, ahead, key("same"), 3, 0)
	w := behind.Watch("stream")
	defer w.Close()
	for _, want := range []string{"gone 1", "kept 2", "same 3"} {
		if got := next(t, w); got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
	}
	g.shut()
	if err := ahead.Delete(t.Context(), gone.Key, gone.Revision); err != nil {
		t.Fatal(err)
	}
	put(t, ahead, key("kept"), 4, kept.Revision)
	log := catalogLog(t, e)
	churn(t, ahead, 100, func() bool { first, _ := log.Bounds(); return first > 50 })
	g.open()
	put(t, behind, key("sync"), 2, 0)
	now, _ := ahead.Get(key("churn"))
	put(t, ahead, key("churn"), "end", now.Revision)
	seen := map[string]string{}
	for seen["churn"] != `"end"` {
		e, err := w.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		seen[e.Entry.Key.Name] = string(e.Entry.Value)
		if e.Deleted {
			seen[e.Entry.Key.Name] = "deleted"
		}
	}
	want := map[string]string{"gone": "deleted", "kept": "4", "churn": `"end"`, "sync": "2"}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Fatalf("changes seen (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(ahead.All("stream"), behind.All("stream")); diff != "" {
		t.Fatalf("nodes differ (-ahead +behind):\n%s", diff)
	}
}

func TestChangeThatANodeNeverSawDecidedIsOfUnknownOutcome(t *testing.T) {
	e := shardtest.NewMemory()
	g := newGate(e)
	ahead, behind := openWith(t, e, catalog.Options{SnapshotBytes: 4000}), open(t, g)
	g.shut()
	done := make(chan error)
	go func() {
		_, err := behind.Put(t.Context(), key("a"), 1, 0)
		done <- err
	}()
	log := catalogLog(t, e)
	if err := log.Wait(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	churn(t, ahead, 100, func() bool { first, _ := log.Bounds(); return first > 50 })
	g.open()
	if err := <-done; !errors.Is(err, catalog.ErrUnknown) {
		t.Fatalf("put: %v", err)
	}
	if got, ok := behind.Get(key("a")); !ok || string(got.Value) != "1" {
		t.Fatalf("get after an unknown outcome: %+v %v", got, ok)
	}
}
