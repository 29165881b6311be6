package catalog_test

import (
	"errors"
	"testing"

	"go.uber.org/goleak"

	"github.com/seed-462d9463/sluice/internal/catalog"
	"github.com/seed-462d9463/sluice/shard/shardtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func key(name string) catalog.Key {
	return catalog.Key{Account: "000000000000", Region: "eu-central-1", Kind: "stream", Name: name}
}

func open(t *testing.T, e *shardtest.Memory) *catalog.Catalog {
	t.Helper()
	c, err := catalog.Open(t.Context(), e, catalog.Options{})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestWhatPutReturnedIsSeenByGet(t *testing.T) {
	c := open(t, shardtest.NewMemory())
	e, err := c.Put(t.Context(), key("a"), map[string]int{"shards": 2}, 0)
	if err != nil {
		t.Fatalf("put: %v", err)
	}
	got, ok := c.Get(key("a"))
	if !ok || got.Revision != e.Revision || string(got.Value) != `{"shards":2}` {
		t.Fatalf("get: %+v %v, put gave %+v", got, ok, e)
	}
	_, err = c.Put(t.Context(), key("a"), 1, 0)
	var conflict *catalog.ConflictError
	if !errors.Is(err, catalog.ErrConflict) || !errors.As(err, &conflict) || conflict.Current != e.Revision {
		t.Fatalf("put of what exists: %v", err)
	}
	if err := c.Delete(t.Context(), key("a"), e.Revision); err != nil {
		t.Fatalf("delete: %v", err)
	}
	if _, ok := c.Get(key("a")); ok {
		t.Fatal("deleted, but there")
	}
}
