package stream

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-462d9463/sluice/internal/catalog"
	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/shardtest"
)

// departure is a log whose caller goes away when his records are on their way to the disk, where they arrive.
type departure struct {
	shard.Log
	leave *context.CancelFunc // nil: nobody goes away
}

func (l departure) Append(ctx context.Context, records []shard.Record) shard.Pending {
	pending := l.Log.Append(ctx, records)
	if *l.leave != nil {
		(*l.leave)()
	}
	return departed{pending}
}

type departed struct{ pending shard.Pending }

func (p departed) Wait(ctx context.Context) (shard.Appended, error) {
	if ctx.Err() != nil {
		return shard.Appended{}, ctx.Err()
	}
	return p.pending.Wait(ctx)
}

// newDepartures starts a service, and returns what makes one call's caller go away while it writes to a topic
// whose name starts so.
func newDepartures(t *testing.T, topic string) (w *world, gone func(call func(ctx context.Context) error) error) {
	var leave context.CancelFunc
	engine := &interposed{shardtest.NewMemory(), func(name string, _ int, log shard.Log) shard.Log {
		if !strings.HasPrefix(name, topic) {
			return log
		}
		return departure{log, &leave}
	}}
	w = newWorld(t, engine, limitsOffIn)
	return w, func(call func(ctx context.Context) error) error {
		ctx, cancel := context.WithCancel(t.Context())
		leave = cancel
		defer func() { leave = nil }()
		defer cancel()
		return call(ctx)
	}
}

func TestStreamsAreCreatedAndDeletedToTheEndThoughTheCallerGoesAway(t *testing.T) {
	w, gone := newDepartures(t, catalog.Topic)
	name := named("s")
	if err := gone(func(ctx context.Context) error { return w.Create(ctx, name, CreateOptions{Shards: 2}) }); err != nil {
		t.Fatal(err)
	}
	w.put(name, text("a"))
	if err := gone(func(ctx context.Context) error { return w.Delete(ctx, name) }); err != nil {
		t.Fatal(err)
	}
	if topics := w.topics(); len(topics) != 0 {
		t.Errorf("the logs %v are left", topics)
	}
}

func TestRecordsOfACallerWhoWentAwayDoNotOutliveTheirRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, gone := newDepartures(t, topicPrefix)
		name := w.create("s", CreateOptions{Shards: 1})
		synctest.Wait() // the log has been found empty
		err := gone(func(ctx context.Context) error {
			results, err := w.Put(ctx, name, []Entry{text("a")})
			if err != nil {
				return err
			}
			return results[0].Err
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("put: %v", err)
		}
		logs, _, err := w.Logs(name)
		if err != nil {
			t.Fatal(err)
		}
		if first, next := logs[0].Log.Bounds(); next != first+1 {
			t.Fatalf("the log holds %d to %d", first, next)
		}
		time.Sleep(25 * time.Hour)
		synctest.Wait()
		if first, next := logs[0].Log.Bounds(); first != next {
			t.Errorf("a day later the log still holds %d to %d", first, next)
		}
	})
}
