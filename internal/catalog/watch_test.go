package catalog_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-462d9463/sluice/internal/catalog"
	"github.com/seed-462d9463/sluice/shard/shardtest"
)

func next(t *testing.T, w *catalog.Watcher) string {
	t.Helper()
	e, err := w.Next(t.Context())
	if err != nil {
		t.Fatalf("next: %v", err)
	}
	if e.Deleted {
		return e.Entry.Key.Name + " deleted"
	}
	return fmt.Sprintf("%s %s", e.Entry.Key.Name, e.Entry.Value)
}

// rest takes what is there, without waiting for more.
func rest(t *testing.T, c *catalog.Catalog, w *catalog.Watcher) []string {
	t.Helper()
	// The end is a change of its own.
	e := put(t, c, key("end"), "end", 0)
	var out []string
	for {
		got := next(t, w)
		if got == `end "end"` {
			if err := c.Delete(t.Context(), e.Key, e.Revision); err != nil {
				t.Fatal(err)
			}
			if got := next(t, w); got != "end deleted" {
				t.Fatalf("got %s", got)
			}
			return out
		}
		out = append(out, got)
	}
}

func TestWatchBeginsWithWhatIsThereAndGoesOnInOrder(t *testing.T) {
	c := open(t, shardtest.NewMemory())
	b := put(t, c, key("b"), 1, 0)
	put(t, c, key("a"), 2, 0)
	put(t, c, key("b"), 3, b.Revision)
	other := key("a")
	other.Kind = "queue"
	put(t, c, other, "of another kind", 0)
	w := c.Watch("stream")
	defer w.Close()
	if diff := cmp.Diff([]string{"a 2", "b 3"}, rest(t, c, w)); diff != "" {
		t.Fatalf("beginning (-want +got):\n%s", diff)
	}
	put(t, c, key("c"), 4, 0)
	if got := next(t, w); got != "c 4" {
		t.Fatalf("got %s", got)
	}
	done := make(chan string)
	go func() { done <- next(t, w) }()
	put(t, c, key("d"), 5, 0)
	if got := <-done; got != "d 5" {
		t.Fatalf("got %s", got)
	}
}

func TestSlowWatcherGetsOneChangeForEachKey(t *testing.T) {
	c := open(t, shardtest.NewMemory())
	seen := put(t, c, key("seen"), 0, 0)
	w := c.Watch("stream")
	defer w.Close()
	if diff := cmp.Diff([]string{"seen 0"}, rest(t, c, w)); diff != "" {
		t.Fatal(diff)
	}
	a := put(t, c, key("a"), 1, 0)
	put(t, c, key("b"), 2, 0)
	if err := c.Delete(t.Context(), seen.Key, seen.Revision); err != nil {
		t.Fatal(err)
	}
	put(t, c, key("a"), 3, a.Revision)
	for i := range 1000 { // come and gone: never mentioned, nor kept
		e := put(t, c, key(fmt.Sprint("passing ", i)), i, 0)
		if err := c.Delete(t.Context(), e.Key, e.Revision); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"b 2", "seen deleted", "a 3"}, rest(t, c, w)); diff != "" {
		t.Fatalf("changes (-want +got):\n%s", diff)
	}
	// Deleted and created again before anyone looked is a change like any other.
	b, _ := c.Get(key("b"))
	if err := c.Delete(t.Context(), b.Key, b.Revision); err != nil {
		t.Fatal(err)
	}
	b = put(t, c, b.Key, 5, 0)
	if diff := cmp.Diff([]string{"b 5"}, rest(t, c, w)); diff != "" {
		t.Fatalf("changes (-want +got):\n%s", diff)
	}
	// … and its end is told, although the creation that made it was pending when it was seen last.
	b = put(t, c, b.Key, 6, b.Revision)
	if err := c.Delete(t.Context(), b.Key, b.Revision); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"b deleted"}, rest(t, c, w)); diff != "" {
		t.Fatalf("changes (-want +got):\n%s", diff)
	}
}

func TestWatchEndsWithCloseOrContext(t *testing.T) {
	c := open(t, shardtest.NewMemory())
	w := c.Watch("stream")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("next: %v", err)
	}
	ended := make(chan error)
	go func() {
		_, err := w.Next(t.Context())
		ended <- err
	}()
	w.Close()
	w.Close()
	if err := <-ended; !errors.Is(err, catalog.ErrClosed) {
		t.Errorf("next: %v", err)
	}
	put(t, c, key("a"), 1, 0)
	if _, err := w.Next(t.Context()); !errors.Is(err, catalog.ErrClosed) {
		t.Errorf("next after close: %v", err)
	}
}
