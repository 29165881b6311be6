package fanout

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/seed-462d9463/sluice/stream"
)

func TestConsumersAreFoundByNameAndSurviveARestart(t *testing.T) {
	w := newWorld(t)
	name := w.create("s")
	tags := map[string]string{"team": "blue"}
	c, err := w.Register(t.Context(), name, "c", tags)
	if err != nil {
		t.Fatal(err)
	}
	tags["team"] = "changed by the caller"
	w.stopAll()
	w.start()
	again, err := w.Consumer(name, "c")
	if err != nil || again.ID != c.ID || !again.Created.Equal(c.Created) || !maps.Equal(again.Tags, map[string]string{"team": "blue"}) {
		t.Errorf("%+v, %v; was %+v", again, err, c)
	}
	if _, err := w.Consumer(name, "d"); !errors.Is(err, ErrNotFound) {
		t.Errorf("one that was never registered: %v", err)
	}
	if _, err := w.Consumer(stream.Name{Account: "1", Region: "r", Name: "s"}, "c"); !errors.Is(err, stream.ErrNotFound) {
		t.Errorf("of a stream that is not there: %v", err)
	}
}

func TestAStreamHasOneConsumerOfANameAndNoMoreThanItsQuota(t *testing.T) {
	w := newWorld(t, func(w *world) { w.config.ConsumerQuota = 3 })
	name, other := w.create("s"), w.create("s2")
	for i := range 3 {
		w.register(name, fmt.Sprint("c", i))
	}
	if _, err := w.Register(t.Context(), name, "c1", nil); !errors.Is(err, ErrExists) {
		t.Errorf("a second of the name: %v", err)
	}
	if _, err := w.Register(t.Context(), name, "c3", nil); !errors.Is(err, ErrQuota) {
		t.Errorf("one too many: %v", err)
	}
	for _, bad := range []string{"", "a/b", "ü"} {
		if _, err := w.Register(t.Context(), name, bad, nil); !errors.Is(err, ErrInvalidName) {
			t.Errorf("named %q: %v", bad, err)
		}
	}
	w.register(other, "c1")
	c, err := w.Consumer(name, "c0")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Deregister(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if err := w.Deregister(t.Context(), c); !errors.Is(err, ErrNotFound) {
		t.Errorf("deregistered twice: %v", err)
	}
	fresh := w.register(name, "c0")
	if err := w.Deregister(t.Context(), c); !errors.Is(err, ErrNotFound) || fresh.ID == c.ID {
		t.Errorf("by what an earlier one of the name was: %v", err)
	}
}

func TestConsumersAreListedByName(t *testing.T) {
	w := newWorld(t, func(w *world) { w.config.ConsumerQuota = 0 })
	name := w.create("s")
	var want []string
	for _, other := range []string{"r", "s-", "s.", "s0", "t"} { // around it in the order of the catalog
		w.register(w.create(other), "of-another-stream")
	}
	for i := range 105 {
		want = append(want, fmt.Sprintf("c%03d", i))
		w.register(name, want[i])
	}
	for _, limit := range []int{1, 50, 104, 105, 1000} {
		var got []string
		for after, more := "", true; more; {
			var page []Consumer
			var err error
			if page, more, err = w.Consumers(w.describe(name), after, limit); err != nil {
				t.Fatal(err)
			}
			if len(page) > limit || more && len(page) < limit {
				t.Fatalf("a page of %d, limit %d", len(page), limit)
			}
			for i := range page {
				got = append(got, page[i].Name)
			}
			after = got[len(got)-1]
		}
		if !slices.Equal(got, want) {
			t.Errorf("in pages of %d: %q", limit, got)
		}
	}
	if n, err := w.Count(w.describe(name)); n != 105 || err != nil {
		t.Errorf("counted %d, %v", n, err)
	}
}

func TestAStreamWithConsumersIsDeletedOnlyWhenThatIsMeant(t *testing.T) {
	w := newWorld(t)
	name := w.create("s")
	w.register(name, "c")
	if err := w.DeleteStream(t.Context(), name, false); !errors.Is(err, ErrHasConsumers) {
		t.Errorf("not meant: %v", err)
	}
	if err := w.DeleteStream(t.Context(), name, true); err != nil {
		t.Fatal(err)
	}
	if left := w.catalog.All(kind); len(left) != 0 {
		t.Errorf("%d consumers are left", len(left))
	}
	if err := w.DeleteStream(t.Context(), name, true); !errors.Is(err, stream.ErrNotFound) {
		t.Errorf("deleted twice: %v", err)
	}
	w.create("s")
	if err := w.DeleteStream(t.Context(), name, false); err != nil {
		t.Errorf("a later one without consumers: %v", err)
	}
}

func TestConsumersOfAnEarlierStreamOfTheNameAreNone(t *testing.T) {
	w := newWorld(t)
	name := w.create("s")
	old := w.register(name, "c")
	w.register(name, "d")
	if err := w.streams.Delete(t.Context(), name); err != nil { // as when a crash cut off the rest
		t.Fatal(err)
	}
	w.create("s")
	if n, err := w.Count(w.describe(name)); n != 0 || err != nil {
		t.Errorf("the new stream has %d consumers, %v", n, err)
	}
	if _, err := w.Consumer(name, "c"); !errors.Is(err, ErrNotFound) {
		t.Errorf("an old one is found: %v", err)
	}
	if c := w.register(name, "c"); c.ID == old.ID {
		t.Error("the new one is the old one")
	}
	w.stopAll()
	w.start()
	if left := w.catalog.All(kind); len(left) != 1 {
		t.Errorf("%d documents after a start, want that of the new consumer", len(left))
	}
}

func TestTagsAreSetOnTheConsumerThatIsMeant(t *testing.T) {
	w := newWorld(t)
	name := w.create("s")
	c := w.register(name, "c")
	add := func(tags map[string]string) (map[string]string, error) {
		more := maps.Clone(tags)
		if more == nil {
			more = map[string]string{}
		}
		more[fmt.Sprint(len(more))] = "x"
		return more, nil
	}
	for range 2 {
		if _, err := w.SetTags(t.Context(), c, add); err != nil {
			t.Fatal(err)
		}
	}
	got, err := w.Consumer(name, "c")
	if err != nil || len(got.Tags) != 2 || got.ID != c.ID {
		t.Errorf("%+v, %v", got, err)
	}
	if err := w.Deregister(t.Context(), got); err != nil {
		t.Fatal(err)
	}
	w.register(name, "c")
	if _, err := w.SetTags(t.Context(), c, add); !errors.Is(err, ErrNotFound) {
		t.Errorf("on one that is gone: %v", err)
	}
}

func TestWhoWaitsForACatalogThatDoesNotAnswerCanGiveUp(t *testing.T) {
	w := newWorld(t)
	name := w.create("s")
	w.registering <- struct{}{} // as if another one waited for the catalog
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.Register(ctx, name, "c", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("a registration: %v", err)
	}
	if err := w.DeleteStream(ctx, name, true); !errors.Is(err, context.Canceled) {
		t.Errorf("a deletion: %v", err)
	}
	<-w.registering
	w.register(name, "c")
}
