package catalog_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/seed-462d9463/sluice/internal/catalog"
	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/shardtest"
)

func TestClosedCatalogSaysSo(t *testing.T) {
	c := open(t, shardtest.NewMemory())
	put(t, c, key("a"), 1, 0)
	w := c.Watch("stream")
	defer w.Close()
	if _, err := w.Next(t.Context()); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() {
		_, err := w.Next(t.Context())
		ended <- err
	}()
	closeCatalog(t, c)
	closeCatalog(t, c)
	if err := <-ended; !errors.Is(err, catalog.ErrClosed) {
		t.Errorf("watch: %v", err)
	}
	if _, err := c.Put(t.Context(), key("b"), 1, 0); !errors.Is(err, catalog.ErrClosed) {
		t.Errorf("put: %v", err)
	}
	if err := c.Delete(t.Context(), key("a"), 1); !errors.Is(err, catalog.ErrClosed) {
		t.Errorf("delete: %v", err)
	}
	if _, ok := c.Get(key("a")); !ok {
		t.Error("get forgot what was known")
	}
}

func TestAMissingCatalogBesideOtherLogsIsRefused(t *testing.T) {
	e := shardtest.NewMemory()
	closeCatalog(t, open(t, e))
	if err := e.Create(t.Context(), "stream.of.somebody", 1); err != nil {
		t.Fatal(err)
	}
	closeCatalog(t, open(t, e))
	if err := e.Delete(t.Context(), catalog.Topic); err != nil {
		t.Fatal(err)
	}
	_, err := catalog.Open(t.Context(), e, catalog.Options{})
	if !errors.Is(err, catalog.ErrMissing) || !strings.Contains(err.Error(), "stream.of.somebody") {
		t.Fatalf("%v", err)
	}
	topics, err := e.Topics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(topics) != 1 {
		t.Errorf("topics after the refusal: %v", topics)
	}
}

func TestFailedEngineGivesItsError(t *testing.T) {
	e := shardtest.NewMemory()
	c := open(t, e)
	put(t, c, key("a"), 1, 0)
	cause := errors.New("the disk is on fire")
	e.Fail(cause)
	if _, err := c.Put(t.Context(), key("b"), 1, 0); !errors.Is(err, cause) {
		t.Errorf("put: %v", err)
	}
	<-c.Failed()
	if err := c.Err(); !errors.Is(err, cause) {
		t.Errorf("Err is %v", err)
	}
	w := c.Watch("stream")
	defer w.Close()
	if _, err := w.Next(t.Context()); !errors.Is(err, cause) {
		t.Errorf("watch: %v", err)
	}
	if _, err := catalog.Open(t.Context(), e, catalog.Options{}); !errors.Is(err, cause) {
		t.Errorf("open: %v", err)
	}
}

func TestUnknownRecordsAreRefused(t *testing.T) {
	for name, value := range map[string][]byte{"version": {2, 1}, "kind": {1, 9}} {
		t.Run(name, func(t *testing.T) {
			e := shardtest.NewMemory()
			c := open(t, e)
			put(t, c, key("a"), 1, 0)
			log, err := e.Open(t.Context(), catalog.Topic, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := log.Append(t.Context(), []shard.Record{{Value: value}}).Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			<-c.Failed()
			if _, err := c.Put(t.Context(), key("b"), 1, 0); !errors.Is(err, catalog.ErrFormat) {
				t.Errorf("put: %v", err)
			}
			_, err = catalog.Open(t.Context(), e, catalog.Options{})
			if !errors.Is(err, catalog.ErrFormat) || !strings.Contains(err.Error(), "@1") {
				t.Errorf("open: %v", err)
			}
		})
	}
}

func TestPutEndsWithItsContext(t *testing.T) {
	e := shardtest.NewMemory()
	stuck := newGate(e)
	c := open(t, stuck)
	stuck.shut() // the change is written, but this node does not come to apply it
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := c.Put(ctx, key("a"), 1, 0)
		done <- err
	}()
	log, err := e.Open(t.Context(), catalog.Topic, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Wait(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("put: %v", err)
	}
	stuck.open()
	// It takes effect all the same, in its place.
	if _, err := c.Put(t.Context(), key("a"), 2, 0); !errors.Is(err, catalog.ErrConflict) {
		t.Errorf("put: %v", err)
	}
}
