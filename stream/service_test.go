package stream

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/seed-462d9463/sluice/internal/catalog"
	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/shardtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a service on an engine in memory, and what a test needs to play with it.
type world struct {
	*Service
	t        testing.TB
	engine   shard.Engine
	catalog  *catalog.Catalog
	registry *prometheus.Registry
	config   Config
	keys     Keys         // nil: none
	logger   *slog.Logger // nil: no logs

	// For tests under load.
	resharders int           // who change a stream's shards at a time
	expected   []error       // what may come of it
	pause      time.Duration // of writers
}

// newWorld starts a service, which ends with the test.
func newWorld(t testing.TB, engine shard.Engine, change func(*Config)) *world {
	t.Helper()
	if engine == nil {
		engine = shardtest.NewMemory()
	}
	w := &world{t: t, engine: engine, config: DefaultConfig(), resharders: 1}
	if change != nil {
		change(&w.config)
	}
	w.start()
	t.Cleanup(w.stopAll)
	return w
}

func limitsOffIn(c *Config) { c.Limits = limitsOff }

func (w *world) start() {
	w.t.Helper()
	var err error
	if w.catalog, err = catalog.Open(context.Background(), w.engine, catalog.Options{}); err != nil {
		w.t.Fatal(err)
	}
	w.registry = prometheus.NewRegistry()
	w.Service, err = New(context.Background(), Options{
		Engine: w.engine, Catalog: w.catalog, Config: w.config, Keys: w.keys, Logger: w.logger, Registerer: w.registry,
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) stopAll() {
	if err := w.Close(); err != nil {
		w.t.Error(err)
	}
	if err := w.catalog.Close(); err != nil {
		w.t.Error(err)
	}
}

// restart stops the service and starts another one on what is in the engine.
func (w *world) restart() {
	w.t.Helper()
	w.stopAll()
	w.start()
}

func named(name string) Name { return Name{Account: "123456789012", Region: "eu-west-1", Name: name} }

func (w *world) create(name string, options CreateOptions) Name {
	w.t.Helper()
	n := named(name)
	if err := w.Create(context.Background(), n, options); err != nil {
		w.t.Fatal(err)
	}
	return n
}

// put writes records and fails the test if any of them is not written.
func (w *world) put(name Name, entries ...Entry) []Result {
	w.t.Helper()
	results, err := w.Put(context.Background(), name, entries)
	if err != nil {
		w.t.Fatal(err)
	}
	for i, r := range results {
		if r.Err != nil {
			w.t.Fatalf("record %d: %v", i, r.Err)
		}
	}
	return results
}

func text(s string) Entry { return Entry{PartitionKey: "key", Data: []byte(s)} }

func (w *world) startAt(name Name, shardID string, at StartAt) Position {
	w.t.Helper()
	p, err := w.Start(context.Background(), name, shardID, at)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

func (w *world) read(name Name, from Position) ReadResult {
	w.t.Helper()
	result, err := w.Read(context.Background(), name, from, 0, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return result
}

// values reads everything in a shard from a place on.
func (w *world) values(name Name, shardID string, at StartAt) []string {
	w.t.Helper()
	values := []string{}
	for p := w.startAt(name, shardID, at); ; {
		result := w.read(name, p)
		for _, r := range result.Records {
			values = append(values, string(r.Value))
		}
		if result.Next == p {
			return values
		}
		p = result.Next
	}
}

// edit changes a stream's definition in the catalog, as another operation would.
func (w *world) edit(name Name, change func(*definition)) {
	w.t.Helper()
	entry, ok := w.catalog.Get(name.key())
	if !ok {
		w.t.Fatalf("no stream %s", name)
	}
	d, err := decodeDefinition(entry.Value)
	if err != nil {
		w.t.Fatal(err)
	}
	change(d)
	if _, err := w.catalog.Put(context.Background(), name.key(), d.document(), entry.Revision); err != nil {
		w.t.Fatal(err)
	}
}

// split splits a stream's shard in the middle.
func (w *world) split(name Name, index int) {
	w.t.Helper()
	if err := w.Split(context.Background(), name, ShardID(index), w.middle(name, ShardID(index))); err != nil {
		w.t.Fatal(err)
	}
}

// interposed is an engine whose logs a test replaces by its own.
type interposed struct {
	shard.Engine
	log func(topic string, partition int, log shard.Log) shard.Log
}

func (e *interposed) Open(ctx context.Context, topic string, partition int) (shard.Log, error) {
	log, err := e.Engine.Open(ctx, topic, partition)
	if err != nil {
		return nil, err
	}
	return e.log(topic, partition, log), nil
}

var errDisk = errors.New("disk on fire")

type failed struct{ err error }

func (f failed) Wait(context.Context) (shard.Appended, error) { return shard.Appended{}, f.err }
