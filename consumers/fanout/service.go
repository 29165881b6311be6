package fanout

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed-462d9463/sluice/internal/catalog"
	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/stream"
)

// Streams is what fan-out needs of package stream, whose Service has it; the comments are there.
type Streams interface {
	Describe(name stream.Name) (stream.Description, error)
	Delete(ctx context.Context, name stream.Name) error
	Limits(name stream.Name) (stream.Limits, error)
	Start(ctx context.Context, name stream.Name, shardID string, at stream.StartAt) (stream.Position, error)
	Fetch(ctx context.Context, name stream.Name, from stream.Position, most shard.Limit, scratch *shard.Scratch) (stream.ReadResult, error)
	Wait(ctx context.Context, name stream.Name, from stream.Position) error
}

var _ Streams = (*stream.Service)(nil)

// Options are what a service is made of. Streams and Catalog are required and stay the caller's, who closes them
// after the service.
type Options struct {
	Streams    Streams
	Catalog    *catalog.Catalog
	Config     Config
	Logger     *slog.Logger          // nil: no logs
	Registerer prometheus.Registerer // nil: no metrics
}

// Service keeps consumers and their subscriptions. All methods may be called concurrently.
type Service struct {
	streams Streams
	catalog *catalog.Catalog
	config  Config
	logger  *slog.Logger
	metrics *metrics

	background context.Context // ends with Close
	stop       context.CancelFunc
	owned      sync.WaitGroup // the feeds

	// registering holds an element while a consumer is registered or a stream deleted. No mutex: the catalog may not
	// answer, and who waits for his turn can give up.
	registering chan struct{}

	windows atomic.Int64 // bytes that the windows of all feeds hold

	// mu guards what follows. It is taken before the lock of a feed.
	mu            sync.Mutex
	closed        bool
	feeds         map[shardKey]*feed
	subscriptions map[place]*Subscription // the last one of each, for Exclusive at least
}

// shardKey names a shard.
type shardKey struct {
	streamID string
	shard    int
}

// place is what there is one subscription for.
type place struct {
	consumerID string
	shard      int
}

// New starts a service. It removes consumers of streams that are gone. ctx bounds the start alone.
func New(ctx context.Context, o Options) (*Service, error) {
	if err := o.Config.Validate(); err != nil {
		return nil, err
	}
	s := &Service{
		streams: o.Streams, catalog: o.Catalog, config: o.Config, logger: o.Logger,
		registering: make(chan struct{}, 1), feeds: map[shardKey]*feed{}, subscriptions: map[place]*Subscription{},
	}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	if err := s.adopt(ctx); err != nil {
		return nil, fmt.Errorf("consumers: %w", err)
	}
	var err error
	if s.metrics, err = newMetrics(s, o.Registerer); err != nil {
		return nil, fmt.Errorf("consumer metrics: %w", err)
	}
	s.background, s.stop = context.WithCancel(context.Background())
	return s, nil
}

// Close ends all subscriptions, as if their time were up.
func (s *Service) Close() error {
	s.mu.Lock()
	s.closed = true
	for _, u := range s.subscriptions {
		u.end(io.EOF)
	}
	s.mu.Unlock()
	s.stop()
	s.owned.Wait()
	s.metrics.unregister()
	return nil
}

// Subscribe begins to push the records of a shard to a consumer. The subscription must be closed. Errors:
// stream.ErrNotFound, ErrNotFound, ErrSubscribed, and those of stream.Service.Start.
func (s *Service) Subscribe(ctx context.Context, c Consumer, shardID string, at stream.StartAt) (*Subscription, error) {
	position, err := s.streams.Start(ctx, c.Stream, shardID, at)
	if err != nil {
		return nil, err
	}
	limits, err := s.streams.Limits(c.Stream)
	if err != nil {
		return nil, err
	}
	u := newSubscription(s, c, position, limits.ConsumerBytes)
	if err := s.enter(u); err != nil {
		return nil, err
	}
	// Who removes a consumer ends the subscriptions that he finds; this one may have come after that.
	current, err := s.Consumer(c.Stream, c.Name)
	if err == nil && (current.ID != c.ID || current.StreamID != position.StreamID) {
		err = notFound(c.Stream, c.Name)
	}
	if err != nil {
		u.Close()
		return nil, err
	}
	u.counters = s.metrics.of(&c)
	return u, nil
}

// enter gives a subscription its place, and ends the one that has it.
func (s *Service) enter(u *Subscription) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	if before := s.subscriptions[u.place]; before != nil {
		if u.started.Sub(before.started) < Exclusive {
			return fmt.Errorf("%w: %s of stream %s, shard %s", ErrSubscribed, u.consumer.Name, u.consumer.Stream,
				stream.ShardID(u.place.shard))
		}
		before.end(ErrTakenOver)
	}
	s.subscriptions[u.place] = u
	return nil
}

// leave takes the place of a subscription that has been closed from it, though not before another one may have it.
func (s *Service) leave(u *Subscription) {
	free := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.subscriptions[u.place] == u {
			delete(s.subscriptions, u.place)
		}
	}
	if rest := Exclusive - time.Since(u.started); rest > 0 {
		time.AfterFunc(rest, free)
		return
	}
	free()
}

// drop ends the subscriptions of a consumer that is gone. (Those on another node end by themselves, at the next event.)
func (s *Service) drop(c *Consumer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for at, u := range s.subscriptions {
		if at.consumerID == c.ID {
			u.end(notFound(c.Stream, c.Name))
			delete(s.subscriptions, at)
		}
	}
	s.metrics.drop(c)
}
