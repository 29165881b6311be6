package firehose

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-462d9463/sluice/shard"
)

// ahead is a log whose records are a day ahead of the clock: it was set back. Times in a log never decrease.
type ahead struct{ shard.Log }

func (l ahead) Read(ctx context.Context, from shard.Offset, limit shard.Limit) ([]shard.Record, error) {
	records, err := l.Log.Read(ctx, from, limit)
	records = slices.Clone(records)
	for i := range records {
		records[i].Time = records[i].Time.Add(24 * time.Hour)
	}
	return records, err
}

func TestAClockThatWasSetBackDelaysNoDelivery(t *testing.T) {
	inBubble(t, func(t *testing.T, e *env) {
		shards := e.shards("input", 1)
		shards[0].Log = ahead{shards[0].Log}
		e.sources.set(nil, shards...)
		s, stop := e.start()
		defer stop()
		e.create(s, clicks, definition(fromStream, buffering(1, 60)))
		write(t, shards[0].Log, "a", "b")
		time.Sleep(61 * time.Second)
		synctest.Wait()
		if got := e.store.contents(); !slices.Equal(got, []string{"a\nb\n"}) {
			t.Errorf("objects after the buffering interval: %q", got)
		}
	})
}

// gapped is a log that ends in offsets without records, as a log in Kafka may.
type gapped struct {
	shard.Log
	reads *int
}

func (l gapped) Bounds() (first, next shard.Offset) {
	first, next = l.Log.Bounds()
	return first, next + 1
}

func (l gapped) Read(ctx context.Context, from shard.Offset, limit shard.Limit) ([]shard.Record, error) {
	if *l.reads++; *l.reads > 1000 {
		<-ctx.Done() // or the test would never end
		return nil, ctx.Err()
	}
	return l.Log.Read(ctx, from, limit)
}

func TestALogThatEndsInAGapIsNotReadInVain(t *testing.T) {
	inBubble(t, func(t *testing.T, e *env) {
		shards := e.shards("input", 1)
		reads := 0
		shards[0].Log = gapped{shards[0].Log, &reads}
		e.sources.set(nil, shards...)
		s, stop := e.start()
		defer stop()
		e.create(s, clicks, definition(fromStream, buffering(1, 60)))
		write(t, shards[0].Log, "a")
		write(t, shards[0].Log, "b")
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := e.store.records(); !slices.Equal(got, []string{"b"}) {
			t.Errorf("delivered: %q", got)
		}
		if reads > 10 {
			t.Errorf("%d reads for a record", reads)
		}
	})
}
