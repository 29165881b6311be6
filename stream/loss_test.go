package stream

import (
	"context"
	"slices"
	"testing"

	"github.com/seed-462d9463/sluice/internal/catalog"
	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/shardtest"
)

// robbed is a log of which a repair has given up records.
type robbed struct{ shard.Log }

func (robbed) Lost() bool { return true }

func TestLogsOfUnknownStreamsAreKeptForGoodWhenTheCatalogHasLostRecords(t *testing.T) {
	ctx := context.Background()
	const unknown = topicPrefix + "000000000000.us-east-1.forgotten.id"
	for _, lost := range []bool{false, true} {
		memory := shardtest.NewMemory()
		damaged := lost
		engine := &interposed{memory, func(topic string, _ int, log shard.Log) shard.Log {
			if topic == catalog.Topic && damaged {
				return robbed{log}
			}
			return log
		}}
		w := newWorld(t, engine, limitsOffIn)
		w.stopAll()
		if err := memory.Create(ctx, unknown, 1); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second start finds a log that has forgotten its gap
			w.start()
			w.stopAll()
			damaged = false
		}
		topics, err := memory.Topics(ctx)
		if err != nil {
			t.Fatal(err)
		}
		kept := slices.ContainsFunc(topics, func(topic shard.Topic) bool { return topic.Name == unknown })
		if kept != lost {
			t.Errorf("records of the catalog lost: %v, logs that no stream has kept: %v", lost, kept)
		}
	}
}
