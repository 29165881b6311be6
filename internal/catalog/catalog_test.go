package catalog_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/seed-462d9463/sluice/internal/catalog"
	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/shardtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func key(name string) catalog.Key {
	return catalog.Key{Account: "000000000000", Region: "eu-central-1", Kind: "stream", Name: name}
}

func open(t *testing.T, e shard.Engine) *catalog.Catalog {
	t.Helper()
	return openWith(t, e, catalog.Options{})
}

func openWith(t *testing.T, e shard.Engine, o catalog.Options) *catalog.Catalog {
	t.Helper()
	o.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	c, err := catalog.Open(t.Context(), e, o)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() { closeCatalog(t, c) })
	return c
}

func closeCatalog(t *testing.T, c *catalog.Catalog) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

func put(t *testing.T, c *catalog.Catalog, k catalog.Key, value any, expected int64) catalog.Entry {
	t.Helper()
	e, err := c.Put(t.Context(), k, value, expected)
	if err != nil {
		t.Fatalf("put %s: %v", k, err)
	}
	return e
}

func wantConflict(t *testing.T, err error, expected, current int64) {
	t.Helper()
	var conflict *catalog.ConflictError
	if !errors.Is(err, catalog.ErrConflict) || !errors.As(err, &conflict) {
		t.Fatalf("error %v, want a conflict", err)
	}
	if conflict.Expected != expected || conflict.Current != current {
		t.Fatalf("conflict %+v, want expected %d and current %d", conflict, expected, current)
	}
}

func TestWhatPutReturnedIsSeenByGet(t *testing.T) {
	c := open(t, shardtest.NewMemory())
	if _, ok := c.Get(key("a")); ok {
		t.Fatal("an empty catalog has an entry")
	}
	for i := range 100 {
		var before catalog.Entry
		if i > 0 {
			before, _ = c.Get(key("a"))
		}
		e := put(t, c, key("a"), map[string]int{"n": i}, before.Revision)
		got, ok := c.Get(key("a"))
		if diff := cmp.Diff(e, got); !ok || diff != "" {
			t.Fatalf("get differs from what put returned (-put +get):\n%s", diff)
		}
		want := catalog.Entry{Key: key("a"), Revision: e.Revision, Value: json.RawMessage(fmt.Sprintf(`{"n":%d}`, i))}
		if diff := cmp.Diff(want, got); diff != "" || e.Revision <= before.Revision {
			t.Fatalf("after revision %d (-want +got):\n%s", before.Revision, diff)
		}
	}
}

func TestChangesOfAnotherRevisionConflict(t *testing.T) {
	c := open(t, shardtest.NewMemory())
	_, err := c.Put(t.Context(), key("a"), 1, 7)
	wantConflict(t, err, 7, 0)
	wantConflict(t, c.Delete(t.Context(), key("a"), 7), 7, 0)
	first := put(t, c, key("a"), 1, 0)
	_, err = c.Put(t.Context(), key("a"), 2, 0)
	wantConflict(t, err, 0, first.Revision)
	second := put(t, c, key("a"), 2, first.Revision)
	_, err = c.Put(t.Context(), key("a"), 3, first.Revision)
	wantConflict(t, err, first.Revision, second.Revision)
	wantConflict(t, c.Delete(t.Context(), key("a"), first.Revision), first.Revision, second.Revision)
	if got, _ := c.Get(key("a")); string(got.Value) != "2" {
		t.Fatalf("a conflict left %s", got.Value)
	}
	if err := c.Delete(t.Context(), key("a"), second.Revision); err != nil {
		t.Fatalf("delete: %v", err)
	}
	if _, ok := c.Get(key("a")); ok {
		t.Fatal("deleted, but there")
	}
	// A revision never comes twice: who still has an old one must not hit the entry's successor.
	again := put(t, c, key("a"), 4, 0)
	if again.Revision <= second.Revision {
		t.Fatalf("revision %d after %d", again.Revision, second.Revision)
	}
}

func TestInvalidChangesAreRefused(t *testing.T) {
	e := shardtest.NewMemory()
	c := open(t, e)
	good := key("a")
	bad := func(change func(*catalog.Key)) catalog.Key {
		k := good
		change(&k)
		return k
	}
	for _, k := range []catalog.Key{
		{},
		bad(func(k *catalog.Key) { k.Account = "" }), bad(func(k *catalog.Key) { k.Region = "eu/1" }),
		bad(func(k *catalog.Key) { k.Kind = "a b" }), bad(func(k *catalog.Key) { k.Kind = strings.Repeat("k", 129) }),
		bad(func(k *catalog.Key) { k.Name = "" }), bad(func(k *catalog.Key) { k.Name = strings.Repeat("n", 513) }),
		bad(func(k *catalog.Key) { k.Name = "a\nb" }), bad(func(k *catalog.Key) { k.Name = "\xff" }),
	} {
		if _, err := c.Put(t.Context(), k, 1, 0); !errors.Is(err, catalog.ErrInvalid) {
			t.Errorf("put %q: %v", k, err)
		}
		if err := c.Delete(t.Context(), k, 1); !errors.Is(err, catalog.ErrInvalid) {
			t.Errorf("delete %q: %v", k, err)
		}
	}
	for _, value := range []any{make(chan int), strings.Repeat("v", catalog.MaxValueBytes-1), json.RawMessage("{")} {
		if _, err := c.Put(t.Context(), good, value, 0); !errors.Is(err, catalog.ErrInvalid) {
			t.Errorf("put of %T: %v", value, err)
		}
	}
	if _, err := c.Put(t.Context(), good, 1, -1); !errors.Is(err, catalog.ErrInvalid) {
		t.Errorf("put of revision -1: %v", err)
	}
	if err := c.Delete(t.Context(), good, 0); !errors.Is(err, catalog.ErrInvalid) {
		t.Errorf("delete of revision 0: %v", err)
	}
	log, err := e.Open(t.Context(), catalog.Topic, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, next := log.Bounds(); next != 0 {
		t.Errorf("%d records were written", next)
	}
	put(t, c, bad(func(k *catalog.Key) { k.Name = "arn:aws:sns:eu:0:grüße/" + strings.Repeat("n", 400) }), strings.Repeat("v", catalog.MaxValueBytes-2), 0)
}

func TestListPagesByName(t *testing.T) {
	c := open(t, shardtest.NewMemory())
	names := []string{"A", "a", "a-1", "a.1", "b", "ä"}
	for _, i := range []int{3, 0, 5, 1, 4, 2} {
		put(t, c, key(names[i]), i, 0)
		other := key(names[i])
		other.Region = "eu-west-1"
		put(t, c, other, i, 0)
	}
	for limit := range 8 {
		var got []string
		after, pages := "", 0
		for more := true; more; pages++ {
			var entries []catalog.Entry
			entries, more = c.List("000000000000", "eu-central-1", "stream", after, limit)
			for _, e := range entries {
				got = append(got, e.Key.Name)
			}
			after = got[len(got)-1]
		}
		if diff := cmp.Diff(names, got); diff != "" {
			t.Fatalf("pages of %d (-want +got):\n%s", limit, diff)
		}
		if want := (len(names) + limit - 1) / max(limit, 1); limit > 0 && pages != want {
			t.Fatalf("%d pages of %d, want %d", pages, limit, want)
		}
	}
	if entries, more := c.List("000000000000", "eu-central-1", "stream", "a-5", 1); more != true || entries[0].Key.Name != "a.1" {
		t.Fatalf("after a name that is not there: %v %v", entries, more)
	}
	if entries, more := c.List("1", "eu-central-1", "stream", "", 5); entries != nil || more {
		t.Fatalf("another account: %v %v", entries, more)
	}
	if got := len(c.All("stream")); got != 12 {
		t.Fatalf("all has %d entries, want 12", got)
	}
	if got := c.All("queue"); got != nil {
		t.Fatalf("all of another kind: %v", got)
	}
}

// Several nodes on one log, and several goroutines on each, want to make the same change.
func TestOfConcurrentChangesExactlyOneWins(t *testing.T) {
	e := shardtest.NewMemory()
	nodes := []*catalog.Catalog{open(t, e), open(t, e), open(t, e)}
	var revision int64
	for round := range 30 {
		var mu sync.Mutex
		var won []catalog.Entry
		var lost []int64
		var racing sync.WaitGroup
		for n, c := range nodes {
			for g := range 4 {
				racing.Go(func() {
					entry, err := c.Put(t.Context(), key("a"), fmt.Sprint(round, n, g), revision)
					mu.Lock()
					defer mu.Unlock()
					var conflict *catalog.ConflictError
					switch {
					case err == nil:
						won = append(won, entry)
					case errors.As(err, &conflict):
						lost = append(lost, conflict.Current)
					default:
						t.Errorf("put: %v", err)
					}
				})
			}
		}
		racing.Wait()
		if len(won) != 1 || len(lost) != 11 {
			t.Fatalf("round %d: %d won, %d lost", round, len(won), len(lost))
		}
		revision = won[0].Revision
		for _, current := range lost {
			if current != revision {
				t.Fatalf("a loser heard of revision %d, the winner has %d", current, revision)
			}
		}
		for _, c := range nodes { // each has put something, and so has applied the winner
			got, _ := c.Get(key("a"))
			if diff := cmp.Diff(won[0], got); diff != "" {
				t.Fatalf("nodes disagree (-winner +got):\n%s", diff)
			}
		}
	}
}

func TestCountersLoseNoIncrement(t *testing.T) {
	e := shardtest.NewMemory()
	nodes := []*catalog.Catalog{openWith(t, e, catalog.Options{SnapshotBytes: 2000}), openWith(t, e, catalog.Options{SnapshotBytes: 3000})}
	const writers, each = 6, 40
	var counting sync.WaitGroup
	for w := range writers {
		counting.Go(func() {
			c := nodes[w%len(nodes)]
			for done := 0; done < each; {
				now, _ := c.Get(key("counter"))
				count := map[string]int{}
				if now.Value != nil {
					if err := json.Unmarshal(now.Value, &count); err != nil {
						t.Error(err)
						return
					}
				}
				count[fmt.Sprint(w)] = done + 1
				_, err := c.Put(t.Context(), key("counter"), count, now.Revision)
				switch {
				case err == nil:
					done++
				case errors.Is(err, catalog.ErrConflict):
				case errors.Is(err, catalog.ErrUnknown):
					// It may have been done: what this writer wrote is its own to compare.
					now, _ = c.Get(key("counter"))
					var is map[string]int
					if err := json.Unmarshal(now.Value, &is); err == nil && is[fmt.Sprint(w)] == done+1 {
						done++
					}
				default:
					t.Errorf("put: %v", err)
					return
				}
			}
		})
	}
	counting.Wait()
	late := open(t, e)
	got, _ := late.Get(key("counter"))
	want := `{"0":40,"1":40,"2":40,"3":40,"4":40,"5":40}`
	if string(got.Value) != want {
		t.Fatalf("counters are %s, want %s", got.Value, want)
	}
}

func TestRestartFindsEverythingWithItsRevisions(t *testing.T) {
	e := shardtest.NewMemory()
	c := open(t, e)
	for i := range 50 {
		entry := put(t, c, key(fmt.Sprint("name ", i)), i, 0)
		if i%3 == 0 {
			put(t, c, entry.Key, -i, entry.Revision)
		}
		if i%3 == 1 {
			if err := c.Delete(t.Context(), entry.Key, entry.Revision); err != nil {
				t.Fatalf("delete: %v", err)
			}
		}
	}
	want := c.All("stream")
	closeCatalog(t, c)
	if diff := cmp.Diff(want, open(t, e).All("stream")); diff != "" {
		t.Fatalf("after a restart (-before +after):\n%s", diff)
	}
}

func BenchmarkGet(b *testing.B) {
	c, err := catalog.Open(b.Context(), shardtest.NewMemory(), catalog.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	for i := range 1000 {
		if _, err := c.Put(b.Context(), key(fmt.Sprint(i)), time.Now(), 0); err != nil {
			b.Fatal(err)
		}
	}
	k := key("500")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, ok := c.Get(k); !ok {
				b.Error("not there")
			}
		}
	})
}
