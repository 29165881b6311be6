package fanout

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/seed-462d9463/sluice/internal/catalog"
	"github.com/seed-462d9463/sluice/shard/shardtest"
	"github.com/seed-462d9463/sluice/stream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a service on streams whose log is in memory.
type world struct {
	*Service
	t       *testing.T
	engine  *shardtest.Memory
	catalog *catalog.Catalog
	streams *stream.Service
	config  Config
	limits  string
}

func newWorld(t *testing.T, change ...func(*world)) *world {
	t.Helper()
	w := &world{t: t, engine: shardtest.NewMemory(), config: DefaultConfig(), limits: "off"}
	for _, c := range change {
		c(w)
	}
	w.start()
	t.Cleanup(w.stopAll)
	return w
}

func (w *world) start() {
	w.t.Helper()
	var err error
	if w.catalog, err = catalog.Open(context.Background(), w.engine, catalog.Options{}); err != nil {
		w.t.Fatal(err)
	}
	w.streams, err = stream.New(context.Background(), stream.Options{
		Engine: w.engine, Catalog: w.catalog, Config: stream.Config{Limits: w.limits},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.Service, err = New(context.Background(), Options{
		Streams: w.streams, Catalog: w.catalog, Config: w.config, Registerer: prometheus.NewRegistry(),
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) stopAll() {
	if err := errors.Join(w.Close(), w.streams.Close(), w.catalog.Close()); err != nil {
		w.t.Error(err)
	}
}

func (w *world) create(name string) stream.Name {
	w.t.Helper()
	n := stream.Name{Account: "123456789012", Region: "eu-west-1", Name: name}
	if err := w.streams.Create(context.Background(), n, stream.CreateOptions{Shards: 1}); err != nil {
		w.t.Fatal(err)
	}
	return n
}

func (w *world) register(name stream.Name, consumer string) Consumer {
	w.t.Helper()
	c, err := w.Register(context.Background(), name, consumer, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func (w *world) describe(name stream.Name) *stream.Description {
	w.t.Helper()
	d, err := w.streams.Describe(name)
	if err != nil {
		w.t.Fatal(err)
	}
	return &d
}

func (w *world) put(name stream.Name, values ...string) []stream.Result {
	w.t.Helper()
	var entries []stream.Entry
	for _, v := range values {
		entries = append(entries, stream.Entry{PartitionKey: "key", Data: []byte(v)})
	}
	results, err := w.streams.Put(context.Background(), name, entries)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, r := range results {
		if r.Err != nil {
			w.t.Fatal(r.Err)
		}
	}
	return results
}

// split replaces the stream's first shard by two.
func (w *world) split(name stream.Name) {
	w.t.Helper()
	if err := w.streams.Split(context.Background(), name, stream.ShardID(0), stream.HashKey{Hi: 1 << 63}); err != nil {
		w.t.Fatal(err)
	}
}

// subscriber takes events as they come, in a goroutine of its own.
type subscriber struct {
	*Subscription
	w    *world
	done chan struct{}

	mu     sync.Mutex // guards what follows
	events []Event
	times  []time.Time
	err    error
	// gate is held by a test that wants the subscriber to be slow. (Who waits for a mutex is not idle to synctest.)
	gate chan struct{}
}

var latest = stream.StartAt{Type: stream.Latest}
var oldest = stream.StartAt{Type: stream.TrimHorizon}

func (w *world) subscribe(c Consumer, at stream.StartAt) *subscriber {
	w.t.Helper()
	u, err := w.Subscribe(context.Background(), c, stream.ShardID(0), at)
	if err != nil {
		w.t.Fatal(err)
	}
	s := &subscriber{Subscription: u, w: w, done: make(chan struct{}), gate: make(chan struct{}, 1)}
	go s.run()
	w.t.Cleanup(func() {
		u.end(errors.New("the test is over"))
		<-s.done
	})
	return s
}

func (s *subscriber) run() {
	defer close(s.done)
	defer s.Subscription.Close()
	for {
		err := s.Wait(context.Background())
		var e Event
		var some bool
		if err == nil {
			some, err = s.Next(context.Background(), &e)
		}
		s.mu.Lock()
		if err != nil {
			s.err = err
			s.mu.Unlock()
			return
		}
		if some {
			s.events, s.times = append(s.events, e), append(s.times, time.Now())
		}
		s.mu.Unlock()
		s.gate <- struct{}{}
		<-s.gate
	}
}

// values are those of the records that have come.
func (s *subscriber) values() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	values := []string{}
	for _, e := range s.events {
		for _, r := range e.Records {
			values = append(values, string(r.Value))
		}
	}
	return values
}

func (s *subscriber) last() Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.events[len(s.events)-1]
}

func (s *subscriber) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *subscriber) want(what string, values ...string) {
	s.w.t.Helper()
	if got := s.values(); !slices.Equal(got, values) {
		s.w.t.Errorf("%s: %d records %.100q, want %d %.100q", what, len(got), got, len(values), values)
	}
}
