package catalog_test

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/seed-462d9463/sluice/internal/catalog"
	"github.com/seed-462d9463/sluice/shard/shardtest"
)

// Random changes through one node, which restarts now and then and snapshots often, beside another node that
// only follows; all against a plain map.
func TestCatalogBehavesAsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &machine{engine: shardtest.NewMemory(), want: map[catalog.Key]catalog.Entry{}, seen: map[catalog.Key]catalog.Entry{}}
		m.node, m.follower = m.open(t), m.open(t)
		m.watcher = m.follower.Watch("stream")
		defer func() {
			m.watcher.Close()
			m.node.Close()
			m.follower.Close()
		}()
		t.Repeat(map[string]func(*rapid.T){
			"": m.check, "put": m.put, "putMore": m.put, "delete": m.delete, "list": m.list, "restart": m.restart, "follow": m.follow,
		})
		m.follow(t)
	})
}

type machine struct {
	engine         *shardtest.Memory
	node, follower *catalog.Catalog
	watcher        *catalog.Watcher
	want           map[catalog.Key]catalog.Entry
	seen           map[catalog.Key]catalog.Entry // by the watcher
	highest        int64                         // revision
}

func (m *machine) open(t *rapid.T) *catalog.Catalog {
	c, err := catalog.Open(t.Context(), m.engine, catalog.Options{SnapshotBytes: 500, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return c
}

func drawKey(t *rapid.T) catalog.Key {
	return catalog.Key{
		Account: rapid.SampledFrom([]string{"1", "2"}).Draw(t, "account"), Region: rapid.SampledFrom([]string{"r", "s"}).Draw(t, "region"),
		Kind: rapid.SampledFrom([]string{"stream", "queue"}).Draw(t, "kind"), Name: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "name"),
	}
}

// drawExpected draws a revision that is right more often than not.
func (m *machine) drawExpected(t *rapid.T, k catalog.Key) int64 {
	if rapid.IntRange(0, 3).Draw(t, "right") > 0 {
		return m.want[k].Revision
	}
	return rapid.Int64Range(0, m.highest+1).Draw(t, "expected")
}

func (m *machine) conflicts(t *rapid.T, err error, k catalog.Key, expected int64) bool {
	current := m.want[k].Revision
	var conflict *catalog.ConflictError
	switch {
	case current == expected && err == nil:
		return false
	case current != expected && errors.As(err, &conflict) && *conflict == catalog.ConflictError{Key: k, Expected: expected, Current: current}:
		return true
	}
	t.Fatalf("change of %s from revision %d, there is %d: error %v", k, expected, current, err)
	return true
}

func (m *machine) put(t *rapid.T) {
	k := drawKey(t)
	expected := m.drawExpected(t, k)
	value := rapid.StringN(0, 30, -1).Draw(t, "value")
	e, err := m.node.Put(t.Context(), k, value, expected)
	if m.conflicts(t, err, k, expected) {
		return
	}
	if e.Key != k || e.Revision <= m.highest {
		t.Fatalf("put of %s gave %+v after revision %d", k, e, m.highest)
	}
	m.highest = e.Revision
	m.want[k] = e
}

func (m *machine) delete(t *rapid.T) {
	k := drawKey(t)
	expected := m.drawExpected(t, k)
	if expected == 0 {
		t.Skip("nothing to delete")
	}
	if err := m.node.Delete(t.Context(), k, expected); !m.conflicts(t, err, k, expected) {
		delete(m.want, k)
	}
}

func (m *machine) entries(keep func(catalog.Key) bool) []catalog.Entry {
	var out []catalog.Entry
	for _, k := range slices.SortedFunc(maps.Keys(m.want), func(a, b catalog.Key) int {
		return slices.Compare([]string{a.Account, a.Region, a.Name}, []string{b.Account, b.Region, b.Name})
	}) {
		if keep(k) {
			out = append(out, m.want[k])
		}
	}
	return out
}

func (m *machine) list(t *rapid.T) {
	of := drawKey(t)
	after, limit := rapid.SampledFrom([]string{"", "a", "aa", "b", "c", "d"}).Draw(t, "after"), rapid.IntRange(0, 4).Draw(t, "limit")
	want := m.entries(func(k catalog.Key) bool {
		return k.Account == of.Account && k.Region == of.Region && k.Kind == of.Kind && k.Name > after
	})
	wantMore := limit > 0 && len(want) > limit
	if wantMore {
		want = want[:limit]
	}
	got, more := m.node.List(of.Account, of.Region, of.Kind, after, limit)
	if diff := cmp.Diff(want, got); diff != "" || more != wantMore {
		t.Fatalf("list of %s after %q, %d: more %v, want %v (-want +got):\n%s", of, after, limit, more, wantMore, diff)
	}
}

func (m *machine) restart(t *rapid.T) {
	if err := m.node.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	m.node = m.open(t)
}

// follow brings the follower up to date, and what it watches.
func (m *machine) follow(t *rapid.T) {
	k := catalog.Key{Account: "3", Region: "r", Kind: "stream", Name: "sync"}
	e, err := m.follower.Put(t.Context(), k, fmt.Sprint(m.highest), m.want[k].Revision)
	if err != nil {
		t.Fatalf("put through the follower: %v", err)
	}
	m.highest = e.Revision
	m.want[k] = e
	m.checkNode(t, "follower", m.follower)
	for m.seen[k].Revision != e.Revision {
		event, err := m.watcher.Next(t.Context())
		if err != nil {
			t.Fatalf("watch: %v", err)
		}
		if event.Deleted {
			if _, ok := m.seen[event.Entry.Key]; !ok {
				t.Fatalf("heard of the end of %s, which it had never seen", event.Entry.Key)
			}
			delete(m.seen, event.Entry.Key)
		} else {
			m.seen[event.Entry.Key] = event.Entry
		}
	}
	for _, want := range m.entries(func(k catalog.Key) bool { return k.Kind == "stream" }) {
		if diff := cmp.Diff(want, m.seen[want.Key]); diff != "" {
			t.Fatalf("the watcher knows something else (-want +got):\n%s", diff)
		}
	}
	// The node must have applied the follower's change before it is asked again.
	if _, err := m.node.Put(t.Context(), k, "never", e.Revision+1<<40); !errors.Is(err, catalog.ErrConflict) {
		t.Fatalf("put: %v", err)
	}
}

func (m *machine) check(t *rapid.T) { m.checkNode(t, "node", m.node) }

func (m *machine) checkNode(t *rapid.T, name string, c *catalog.Catalog) {
	for _, kind := range []string{"stream", "queue"} {
		want := m.entries(func(k catalog.Key) bool { return k.Kind == kind })
		if diff := cmp.Diff(want, c.All(kind)); diff != "" {
			t.Fatalf("%s, all of %s (-want +got):\n%s", name, kind, diff)
		}
		for _, e := range want {
			got, ok := c.Get(e.Key)
			if diff := cmp.Diff(e, got); !ok || diff != "" {
				t.Fatalf("%s, get (-want +got):\n%s", name, diff)
			}
		}
	}
}
