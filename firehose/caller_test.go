package firehose

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-462d9463/sluice/internal/catalog"
	"github.com/seed-462d9463/sluice/shard"
)

// impatient is an engine on which the caller goes away at the moment that his change of the catalog is written.
type impatient struct {
	shard.Engine
	leave func() // nil: nobody goes away
}

func (e *impatient) Open(ctx context.Context, topic string, partition int) (shard.Log, error) {
	l, err := e.Engine.Open(ctx, topic, partition)
	if err != nil || topic != catalog.Topic {
		return l, err
	}
	return &impatientLog{l, e}, nil
}

// Delete takes a context that has ended at its word, as engines with a disk do.
func (e *impatient) Delete(ctx context.Context, topic string) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return e.Engine.Delete(ctx, topic)
}

type impatientLog struct {
	shard.Log
	engine *impatient
}

func (l *impatientLog) Append(ctx context.Context, records []shard.Record) shard.Pending {
	pending := l.Log.Append(ctx, records)
	if l.engine.leave != nil {
		l.engine.leave()
	}
	return crashPending(func(ctx context.Context) (shard.Appended, error) {
		if ctx.Err() != nil {
			return shard.Appended{}, ctx.Err()
		}
		return pending.Wait(ctx)
	})
}

func TestADeliveryStreamIsThereOrNotThoughItsCallerHasGoneAway(t *testing.T) {
	inBubble(t, func(t *testing.T, e *env) {
		engine := &impatient{Engine: e.engine}
		s, stop := e.startOn(engine, e.store)
		defer stop()
		gone := func(call func(ctx context.Context) error) {
			t.Helper()
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			engine.leave = leave
			defer func() { engine.leave = nil }()
			if err := call(ctx); err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			synctest.Wait()
		}
		gone(func(ctx context.Context) error { return s.Create(ctx, clicks, definition()) })
		e.put(s, clicks, "a")
		time.Sleep(time.Hour)
		if got := e.store.records(); len(got) != 1 {
			t.Errorf("delivered: %q", got)
		}
		gone(func(ctx context.Context) error { return s.Delete(ctx, clicks) })
		if _, err := s.Describe(clicks); !errors.Is(err, ErrNotFound) {
			t.Errorf("deleted, and described: %v", err)
		}
		if topics := deliveryTopics(t, e); len(topics) != 0 {
			t.Errorf("%q are left", topics)
		}
		e.create(s, clicks, definition())
	})
}

// refusing is an engine whose catalog takes nothing more.
type refusing struct{ shard.Engine }

func (e refusing) Open(ctx context.Context, topic string, partition int) (shard.Log, error) {
	l, err := e.Engine.Open(ctx, topic, partition)
	if err != nil || topic != catalog.Topic {
		return l, err
	}
	return refusingLog{l}, nil
}

type refusingLog struct{ shard.Log }

func (refusingLog) Append(context.Context, []shard.Record) shard.Pending {
	return crashPending(func(context.Context) (shard.Appended, error) { return shard.Appended{}, shard.ErrNoSpace })
}

func TestADeliveryStreamThatTheCatalogRefusesLeavesNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, e *env) {
		s, stop := e.startOn(refusing{e.engine}, e.store)
		defer stop()
		if err := s.Create(t.Context(), clicks, definition()); !errors.Is(err, shard.ErrNoSpace) {
			t.Errorf("create: %v", err)
		}
		if topics := deliveryTopics(t, e); len(topics) != 0 {
			t.Errorf("%q are left", topics)
		}
	})
}
