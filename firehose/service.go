package firehose

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed-462d9463/sluice/internal/catalog"
	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/sinks"
)

// kind is what delivery streams are in the catalog.
const kind = "delivery-stream"

// documentFormat is the version of the document that this code writes and reads. One of another version is
// refused: what it asks for might be misunderstood.
const documentFormat = 1

// document is what the catalog keeps of a delivery stream.
type document struct {
	Format     int        `json:"format"`
	ID         string     `json:"id"`      // a UUID
	Version    int        `json:"version"` // of the definition
	Created    time.Time  `json:"created"`
	Updated    time.Time  `json:"updated"`
	Definition Definition `json:"definition"`
}

func decodeDocument(value []byte) (document, error) {
	var doc document
	if err := json.Unmarshal(value, &doc); err != nil {
		return document{}, fmt.Errorf("definition: %w", err)
	}
	if doc.Format != documentFormat {
		return document{}, fmt.Errorf("definition has format %d; this version of sluice reads format %d", doc.Format, documentFormat)
	}
	return doc, nil
}

// Options are what a service is made of. Engine, Catalog and Buckets are required.
type Options struct {
	Engine     shard.Engine
	Catalog    *catalog.Catalog
	Sources    Sources // nil if no delivery stream can read data streams
	Buckets    sinks.Opener
	Config     Config
	Logger     *slog.Logger          // nil: none
	Registerer prometheus.Registerer // nil: no metrics
}

// Service runs all delivery streams. Its methods may be called concurrently.
type Service struct {
	engine     shard.Engine
	catalog    *catalog.Catalog
	sources    Sources
	buckets    sinks.Opener
	config     Config
	log        *slog.Logger
	registerer prometheus.Registerer
	lanes      *lanes
	encoders   *encoders
	metrics    *collector

	mu         sync.RWMutex // guards what follows
	deliveries map[Name]*delivery
	busy       map[Name]bool // being created or deleted; a name that is busy is in deliveries or not
	closed     bool
	creating   sync.WaitGroup // Creates and Deletes under way
}

// New starts the service with all delivery streams of the catalog; their deliveries go on where they stood. It
// removes the logs of those that were not created or deleted to the end.
func New(ctx context.Context, o Options) (*Service, error) {
	if err := o.Config.Validate(); err != nil {
		return nil, err
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Sources == nil {
		o.Sources = noSources{}
	}
	s := &Service{
		engine: o.Engine, catalog: o.Catalog, sources: o.Sources, buckets: o.Buckets,
		config: o.Config.withDefaults(), log: o.Logger, registerer: o.Registerer,
		deliveries: map[Name]*delivery{}, busy: map[Name]bool{},
	}
	s.lanes = newLanes(s.config.Uploads)
	s.encoders = newEncoders(min(runtime.GOMAXPROCS(0), runtime.NumCPU()))
	entries := s.catalog.All(kind)
	if err := s.removeOrphans(ctx, entries); err != nil {
		return nil, err
	}
	// Nothing starts before all could be loaded.
	for _, e := range entries {
		d, err := s.load(ctx, e)
		if err != nil {
			return nil, fmt.Errorf("delivery stream %s/%s/%s: %w", e.Key.Account, e.Key.Region, e.Key.Name, err)
		}
		s.deliveries[d.name] = d
	}
	if err := s.register(); err != nil {
		return nil, err
	}
	for _, d := range s.deliveries {
		d.start()
	}
	return s, nil
}

type noSources struct{}

func (noSources) Logs(string, string, string) ([]Log, <-chan struct{}, error) {
	return nil, nil, ErrSourceNotFound
}

// Close ends all deliveries. Uploads are cut off, to be repeated by the next service on the same logs; buffers
// are not flushed.
func (s *Service) Close() {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.closed = true
	s.mu.Unlock()
	s.creating.Wait()
	s.unregister()
	for _, d := range s.deliveries {
		d.stop()
	}
	for _, d := range s.deliveries {
		d.done.Wait()
	}
}

// reserve keeps others from creating or deleting under a name until the returned function is called.
func (s *Service) reserve(name Name) (release func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	if s.busy[name] {
		return nil, fmt.Errorf("%w: %s", ErrInUse, name.Name)
	}
	s.busy[name] = true
	s.creating.Add(1)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.busy, name)
		s.creating.Done()
	}, nil
}

// Create makes a delivery stream, durably, and starts it. A source stream is read from its latest records on,
// as they are at the time of the call.
func (s *Service) Create(ctx context.Context, name Name, def Definition) error {
	def, err := check(name, def)
	if err != nil {
		return err
	}
	if err := s.checkKeys(ctx, name, def); err != nil {
		return err
	}
	release, err := s.reserve(name)
	if err != nil {
		return err
	}
	defer release()
	if _, err := s.delivery(name); err == nil {
		return fmt.Errorf("%w: %s", ErrExists, name.Name)
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	doc := document{Format: documentFormat, ID: uuid.NewString(), Version: 1, Created: now, Updated: now, Definition: def}
	if err := s.makeLogs(ctx, name, doc); err != nil {
		return errors.Join(err, s.deleteLogs(ctx, name, doc))
	}
	// From here on it is carried through though the caller may go away: a delivery stream that is in the catalog
	// and not among those that run would be neither there nor not there.
	ctx = context.WithoutCancel(ctx)
	entry, err := s.catalog.Put(ctx, catalogKey(name), doc, 0)
	switch {
	case errors.Is(err, catalog.ErrConflict):
		return errors.Join(fmt.Errorf("%w: %s", ErrExists, name.Name), s.deleteLogs(ctx, name, doc))
	case errors.Is(err, shard.ErrNoSpace), errors.Is(err, catalog.ErrInvalid): // certainly not taken
		return errors.Join(fmt.Errorf("create delivery stream %s: %w", name.Name, err), s.deleteLogs(ctx, name, doc))
	case err != nil:
		// It may be in the catalog or not: its logs stay, to be removed at the next start if it is not.
		return fmt.Errorf("create delivery stream %s: %w", name.Name, err)
	}
	d, err := s.load(ctx, entry)
	if err != nil {
		return fmt.Errorf("delivery stream %s: %w", name.Name, err)
	}
	s.log.Info("delivery stream created", "delivery_stream", name.Name, "account", name.Account,
		"region", name.Region, "source", def.Type, "bucket", def.S3.bucket())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deliveries[name] = d
	d.start()
	return nil
}

// checkKeys refuses what the kind of sink that is configured could never store: an object that is refused later
// would be tried for ever.
func (s *Service) checkKeys(ctx context.Context, name Name, def Definition) error {
	sink, err := s.buckets.Open(def.S3.bucket())
	if err != nil {
		return invalid("BucketARN", "%s", err)
	}
	p, err := objectPrefix(def.S3.Prefix)
	if err != nil {
		return err
	}
	key := p.evaluate(longestTime) + objectName(name.Name, math.MaxInt32, longestTime, uuid.Nil, def.S3.extension())
	// A sink looks at the key first. That the context has ended keeps it from asking the store: whether the
	// bucket is there now does not matter.
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := sink.Stat(ended, key); errors.Is(err, sinks.ErrInvalidKey) {
		return invalid("Prefix", "objects could not be stored: %s", err)
	}
	return nil
}

// load reads a delivery stream from the catalog and its logs. It starts nothing.
func (s *Service) load(ctx context.Context, e catalog.Entry) (*delivery, error) {
	name := Name{Account: e.Key.Account, Region: e.Key.Region, Name: e.Key.Name}
	d := &delivery{
		service: s, name: name, signals: make(chan *input), uploaded: make(chan committed),
		batch: newBatch(), inputs: map[source]*input{},
	}
	var err error
	if d.doc, err = decodeDocument(e.Value); err != nil {
		return nil, err
	}
	s3 := &d.doc.Definition.S3
	if d.id, err = uuid.Parse(d.doc.ID); err != nil {
		return nil, fmt.Errorf("definition: %w", err)
	}
	if d.prefix, err = objectPrefix(s3.Prefix); err != nil {
		return nil, err
	}
	if d.zone, err = s3.location(); err != nil {
		return nil, err
	}
	d.expander.expand = d.doc.Definition.Type == KinesisStreamAsSource
	if d.expander.delimiter, err = s3.delimiter(); err != nil {
		return nil, err
	}
	d.log = s.log.With("delivery_stream", name.Name, "account", name.Account, "region", name.Region)
	if l := s3.Logging; l != nil && l.Enabled {
		d.log = d.log.With("log_group", l.LogGroup, "log_stream", l.LogStream)
	}
	d.uploads, d.reads = newHealth(d.log, "Delivery"), newHealth(d.log, "Reading the source")
	if d.doc.Definition.Type == DirectPut {
		if d.own, err = s.engine.Open(ctx, topic(name, d.doc.ID, ""), 0); err != nil {
			return nil, fmt.Errorf("open log: %w", err)
		}
	}
	// On a full disk the state must go on, so that what it says has been delivered can go.
	log, err := s.engine.Open(shard.Essential(ctx), topic(name, d.doc.ID, stateSuffix), 0)
	if err != nil {
		return nil, fmt.Errorf("open state log: %w", err)
	}
	d.journal = &stateLog{log: log, logger: d.log}
	d.state, err = d.journal.load(ctx)
	return d, err
}

// Delete stops a delivery stream and removes it with all records that it has not delivered.
func (s *Service) Delete(ctx context.Context, name Name) error {
	release, err := s.reserve(name)
	if err != nil {
		return err
	}
	defer release()
	d, err := s.delivery(name)
	if err != nil {
		return err
	}
	entry, ok := s.catalog.Get(catalogKey(name))
	if !ok {
		return notFound(name)
	}
	// Carried through though the caller may go away: else it could go on here while the catalog forgets it, and what
	// is put to it would be gone after the next start.
	ctx = context.WithoutCancel(ctx)
	d.halt()
	if err := s.catalog.Delete(ctx, entry.Key, entry.Revision); err != nil {
		return errors.Join(fmt.Errorf("delete delivery stream %s: %w", name.Name, err), s.revive(ctx, entry))
	}
	s.mu.Lock()
	delete(s.deliveries, name)
	s.mu.Unlock()
	s.log.Info("delivery stream deleted", "delivery_stream", name.Name, "account", name.Account, "region", name.Region)
	if err := s.deleteLogs(ctx, name, d.doc); err != nil {
		s.log.Warn("the logs of a deleted delivery stream are removed at the next start",
			"delivery_stream", name.Name, "error", err)
	}
	return nil
}

// revive starts a delivery stream again that was stopped and could not be deleted.
func (s *Service) revive(ctx context.Context, entry catalog.Entry) error {
	d, err := s.load(ctx, entry)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deliveries[d.name] = d
	d.start()
	return nil
}

// Describe tells what a delivery stream is.
func (s *Service) Describe(name Name) (Description, error) {
	d, err := s.delivery(name)
	if err != nil {
		return Description{}, err
	}
	return d.describe(), nil
}

func (d *delivery) describe() Description {
	return Description{
		Name: d.name, ID: d.doc.ID, Version: d.doc.Version, Created: d.doc.Created, Updated: d.doc.Updated,
		Definition: d.doc.Definition,
	}
}

// List returns the delivery streams of an account and region by name: those after the given name, at most limit
// of them, of one source type or, if it is "", of all. It reports whether there are more.
func (s *Service) List(account, region string, of SourceType, after string, limit int) ([]Description, bool) {
	s.mu.RLock()
	var found []*delivery
	for name, d := range s.deliveries {
		if name.Account == account && name.Region == region && name.Name > after &&
			(of == "" || of == d.doc.Definition.Type) {
			found = append(found, d)
		}
	}
	s.mu.RUnlock()
	slices.SortFunc(found, func(a, b *delivery) int { return cmp.Compare(a.name.Name, b.name.Name) })
	more := limit > 0 && len(found) > limit
	if more {
		found = found[:limit]
	}
	out := make([]Description, len(found))
	for i, d := range found {
		out[i] = d.describe()
	}
	return out, more
}

func (s *Service) delivery(name Name) (*delivery, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	d := s.deliveries[name]
	if d == nil {
		return nil, notFound(name)
	}
	return d, nil
}

func notFound(name Name) error { return fmt.Errorf("%w: %s", ErrNotFound, name.Name) }

func catalogKey(name Name) catalog.Key {
	return catalog.Key{Account: name.Account, Region: name.Region, Kind: kind, Name: name.Name}
}
