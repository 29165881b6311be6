package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed-462d9463/sluice/internal/catalog"
	"github.com/seed-462d9463/sluice/shard"
)

// Options are what a service is made of. Engine and Catalog are required and stay the caller's, who closes
// them after the service.
type Options struct {
	Engine     shard.Engine
	Catalog    *catalog.Catalog
	Config     Config
	Keys       Keys                  // nil: no keys are configured, and nothing can be encrypted
	Logger     *slog.Logger          // nil: no logs
	Registerer prometheus.Registerer // nil: no metrics
}

// Service keeps streams. All methods may be called concurrently.
type Service struct {
	engine    shard.Engine
	catalog   *catalog.Catalog
	config    Config
	keys      Keys
	logger    *slog.Logger
	metrics   *metrics
	retention *retention
	scaler    *scaler
	started   time.Time // what the limits' clock counts from; its monotonic part is what matters

	background context.Context // ends with Close
	stop       context.CancelFunc
	spawning   sync.Mutex     // held while owned gets more, or is about to get none any more
	owned      sync.WaitGroup // the goroutines that Close waits for
	closed     atomic.Bool

	// creating is held from counting an account's shards to creating more, so that two creations cannot
	// share the same room under the quota.
	creating sync.Mutex

	// reshaping has the streams whose shards are being changed, one change at a time each.
	reshaping turns

	// refreshing is held while the catalog is read and its answer put into streams, so that an older answer
	// never replaces a newer one.
	refreshing sync.Mutex

	mu      sync.RWMutex     // guards streams
	streams map[Name]*stream // as the catalog had them when last looked at; checked by revision at every use
}

// New starts a service on what the engine and the catalog hold. It removes the topics of streams whose
// creation or deletion was cut off; no other service may be creating streams on the same engine meanwhile.
// ctx bounds the start alone.
func New(ctx context.Context, options Options) (*Service, error) {
	if err := options.Config.Validate(); err != nil {
		return nil, fmt.Errorf("stream configuration: %w", err)
	}
	options.Config.OnDemand = options.Config.OnDemand.withDefaults()
	logger := options.Logger
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	s := &Service{
		engine: options.Engine, catalog: options.Catalog, config: options.Config, keys: options.Keys, logger: logger,
		started: time.Now(), streams: map[Name]*stream{},
	}
	s.retention, s.scaler = newRetention(logger, s.dropExpired), newScaler(s)
	err := s.adoptLogs(ctx)
	if err != nil {
		return nil, err
	}
	if s.metrics, err = newMetrics(options.Registerer); err != nil {
		return nil, fmt.Errorf("stream metrics: %w", err)
	}
	s.background, s.stop = context.WithCancel(context.Background())
	s.owned.Go(func() { s.retention.run(s.background) })
	s.owned.Go(func() { s.watch(s.background) })
	s.owned.Go(func() { s.scaler.run(s.background) })
	return s, nil
}

// Close stops what runs in the background. Methods called later fail with ErrClosed; those under way finish.
func (s *Service) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	s.spawning.Lock()
	s.stop()
	s.spawning.Unlock()
	s.owned.Wait()
	s.metrics.unregister()
	return nil
}

// adoptLogs tells the logs of the streams in the catalog their settings, which the engine forgets when it ends, and
// deletes the topics that no stream has, if the catalog is complete. A document that cannot be read is an error: its
// topic must not be taken for an orphan.
func (s *Service) adoptLogs(ctx context.Context) error {
	owned := map[string]shard.Settings{}
	for _, e := range s.catalog.All(kind) {
		d, err := decodeDefinition(e.Value)
		if err != nil {
			return fmt.Errorf("stream %s: %w", nameOf(e.Key), err)
		}
		owned[d.Topic] = s.config.settingsFor(e.Key.Name)
		s.checkKeys(nameOf(e.Key), d)
	}
	topics, err := s.engine.Topics(ctx)
	if err != nil {
		return fmt.Errorf("list the logs' topics: %w", err)
	}
	for _, t := range topics {
		if !strings.HasPrefix(t.Name, topicPrefix) {
			continue
		}
		if settings, ok := owned[t.Name]; ok {
			if err := s.engine.Configure(ctx, t.Name, settings); err != nil {
				return fmt.Errorf("configure the logs of topic %s: %w", t.Name, err)
			}
			continue
		}
		if !s.catalog.Complete() {
			s.logger.Warn("keeping the logs of an unknown stream: its definition may be one of those that were lost", "topic", t.Name)
			continue
		}
		s.logger.Info("removing the logs of a stream whose creation or deletion was cut off", "topic", t.Name)
		if err := s.engine.Delete(ctx, t.Name); err != nil {
			return fmt.Errorf("remove orphan topic %s: %w", t.Name, err)
		}
	}
	return nil
}

// watch follows the catalog, for what nobody asks about: retention of streams that no request touches,
// readers of Logs that wait for a change, metrics of deleted streams.
func (s *Service) watch(ctx context.Context) {
	w := s.catalog.Watch(kind)
	defer w.Close()
	for {
		event, err := w.Next(ctx)
		if err != nil {
			if ctx.Err() == nil {
				s.logger.Error("following the catalog ended", "error", err)
			}
			return
		}
		name := nameOf(event.Entry.Key)
		if _, err := s.refresh(name); err != nil && !errors.Is(err, ErrNotFound) {
			s.logger.Error("stream cannot be used", "stream", name.String(), "error", err)
		}
	}
}

// lookup is the stream as the catalog has it now.
func (s *Service) lookup(name Name) (*stream, error) {
	if s.closed.Load() {
		return nil, ErrClosed
	}
	entry, ok := s.catalog.Get(name.key())
	if !ok {
		return nil, notFound(name)
	}
	s.mu.RLock()
	st := s.streams[name]
	s.mu.RUnlock()
	if st != nil && st.revision == entry.Revision {
		return st, nil
	}
	return s.refresh(name)
}

// refresh makes streams hold what the catalog has under the name, and returns it.
func (s *Service) refresh(name Name) (*stream, error) {
	s.refreshing.Lock()
	defer s.refreshing.Unlock()
	s.mu.RLock()
	old := s.streams[name]
	s.mu.RUnlock()
	entry, ok := s.catalog.Get(name.key())
	if !ok {
		if old != nil {
			s.replace(name, old, nil)
		}
		return nil, notFound(name)
	}
	if old != nil && old.revision == entry.Revision {
		return old, nil
	}
	d, err := decodeDefinition(entry.Value)
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", name, err)
	}
	st, err := s.newStream(name, entry.Revision, d, old)
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", name, err)
	}
	s.replace(name, old, st)
	return st, nil
}

// replace puts next, or nothing if it is nil, in the place of old, which may be nil too. refreshing is held.
func (s *Service) replace(name Name, old, next *stream) {
	s.mu.Lock()
	if next == nil {
		delete(s.streams, name)
	} else {
		s.streams[name] = next
	}
	s.mu.Unlock()
	if old != nil {
		for i, p := range old.partitions {
			if next != nil && next.definition.ID == old.definition.ID {
				if _, kept := placeOf(next.definition.Shards, old.definition.Shards[i].Index); kept {
					continue
				}
			}
			s.retention.forget(p)
		}
		close(old.changed)
	}
	if next == nil {
		s.scaler.drop(name)
		s.metrics.drop(name)
		return
	}
	s.metrics.monitor(name, next)
	s.scaler.prepare(next)
	for i, p := range next.partitions {
		changed := p.keep.Swap(int64(next.retention)) != int64(next.retention)
		changed = !p.examined.Swap(true) || changed
		if sh := &next.definition.Shards[i]; !sh.Open() {
			changed = p.closed.Swap(sh.Closed.UnixMilli()) == 0 || changed
		}
		if changed {
			s.retention.examine(p)
		}
	}
}

func (n Name) key() catalog.Key {
	return catalog.Key{Account: n.Account, Region: n.Region, Kind: kind, Name: n.Name}
}

func nameOf(k catalog.Key) Name { return Name{Account: k.Account, Region: k.Region, Name: k.Name} }

func notFound(name Name) error { return fmt.Errorf("%w: %s", ErrNotFound, name) }

// clock is the time that limits go by: nanoseconds that never step back.
func (s *Service) clock() int64 { return int64(time.Since(s.started)) }
