package firehose

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/klauspost/compress/gzip"
	"go.uber.org/goleak"

	"github.com/seed-462d9463/sluice/internal/catalog"
	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/shardtest"
	"github.com/seed-462d9463/sluice/sinks"
	"github.com/seed-462d9463/sluice/stream/aggregate"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testRole   = "arn:aws:iam::000000000000:role/firehose"
	testBucket = "arn:aws:s3:::clicks"
)

var clicks = Name{Account: "000000000000", Region: "eu-west-1", Name: "clicks"}

// definition is a small delivery stream for direct puts: a MiB or a minute, one record a line.
func definition(change ...func(*Definition)) Definition {
	d := Definition{S3: S3Destination{
		RoleARN: testRole, BucketARN: testBucket,
		Buffering:  BufferingHints{SizeMB: new(1), IntervalSeconds: new(60)},
		Processing: &Processing{Enabled: true, Processors: []Processor{{Type: AppendDelimiterToRecord}}},
	}}
	for _, c := range change {
		c(&d)
	}
	return d
}

func fromStream(d *Definition) {
	d.Type = KinesisStreamAsSource
	d.Kinesis = &KinesisSource{StreamARN: "arn:aws:kinesis:eu-west-1:000000000000:stream/input", RoleARN: testRole}
}

func compressed(d *Definition) { d.S3.Compression = GZIP }

func buffering(sizeMB, seconds int) func(*Definition) {
	return func(d *Definition) { d.S3.Buffering = BufferingHints{SizeMB: &sizeMB, IntervalSeconds: &seconds} }
}

// env is what outlives a service: the logs, the bucket, the source streams.
type env struct {
	t       testing.TB
	engine  shard.Engine
	store   *store
	sources *fakeSources
	config  Config
	logs    *bytes.Buffer // what the service has logged
}

// newEnv is an engine on which a catalog has been opened once, as any has before there are source streams.
func newEnv(t testing.TB) *env {
	t.Helper()
	engine := shardtest.NewMemory()
	if err := engine.Create(t.Context(), catalog.Topic, 1); err != nil {
		t.Fatal(err)
	}
	return &env{t: t, engine: engine, store: newStore(t), sources: &fakeSources{}, logs: &bytes.Buffer{}}
}

// start begins a service on what is there. stop ends it, and may be called once more.
func (e *env) start() (s *Service, stop func()) {
	e.t.Helper()
	return e.startOn(e.engine, e.store)
}

func (e *env) startOn(engine shard.Engine, buckets sinks.Opener) (*Service, func()) {
	e.t.Helper()
	c, err := catalog.Open(e.t.Context(), engine, catalog.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		e.t.Fatal(err)
	}
	s, err := New(e.t.Context(), Options{
		Engine: engine, Catalog: c, Sources: e.sources, Buckets: buckets, Config: e.config,
		Logger: slog.New(slog.NewTextHandler(e.logs, nil)),
	})
	if err != nil {
		e.t.Fatal(err)
	}
	return s, sync.OnceFunc(func() {
		s.Close()
		if err := c.Close(); err != nil && !errors.Is(err, errCrashed) {
			e.t.Error(err)
		}
	})
}

func (e *env) create(s *Service, name Name, d Definition) {
	e.t.Helper()
	if err := s.Create(e.t.Context(), name, d); err != nil {
		e.t.Fatal(err)
	}
}

func (e *env) put(s *Service, name Name, records ...string) {
	e.t.Helper()
	var batch [][]byte
	for _, r := range records {
		batch = append(batch, []byte(r))
	}
	ids, err := s.Put(e.t.Context(), name, batch)
	if err != nil {
		e.t.Fatal(err)
	}
	if len(ids) != len(records) {
		e.t.Fatalf("%d ids for %d records", len(ids), len(records))
	}
}

func (e *env) stats(s *Service, name Name) Stats {
	e.t.Helper()
	stats, err := s.Stats(name)
	if err != nil {
		e.t.Fatal(err)
	}
	return stats
}

// lines are n records of the given size, all different.
func lines(from, n, size int) []string {
	out := make([]string, n)
	for i := range out {
		head := fmt.Sprintf("record %07d ", from+i)
		out[i] = head + strings.Repeat("x", max(0, size-len(head)))
	}
	return out
}

// store is a bucket, or several, in memory.
type store struct {
	t testing.TB

	mu      sync.Mutex
	objects map[string][]byte // by bucket/key
	order   []string          // keys as they came
	err     error             // every Put fails with it
	before  func(ctx context.Context, bucket, key string) error
	after   func(bucket, key string) error // the object is stored, the answer lost
	puts    int
}

func newStore(t testing.TB) *store { return &store{t: t, objects: map[string][]byte{}} }

func (s *store) Open(bucket string) (sinks.Sink, error) { return &storeBucket{s, bucket}, nil }

func (s *store) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// hook sets what happens before an upload, and after it.
func (s *store) hook(before func(ctx context.Context, bucket, key string) error, after func(bucket, key string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before, s.after = before, after
}

type storeBucket struct {
	*store
	bucket string
}

func (b *storeBucket) Put(ctx context.Context, o sinks.Object) error {
	b.mu.Lock()
	err, before, after := b.err, b.before, b.after
	b.puts++
	b.mu.Unlock()
	if err != nil {
		return err
	}
	if before != nil {
		if err := before(ctx, b.bucket, o.Key); err != nil {
			return err
		}
	}
	var content bytes.Buffer
	if _, err := sinks.CopyBody(ctx, &content, o.Body); err != nil {
		return err
	}
	b.mu.Lock()
	id := b.bucket + "/" + o.Key
	if old, ok := b.objects[id]; !ok {
		b.order = append(b.order, o.Key)
	} else if !bytes.Equal(old, content.Bytes()) {
		b.t.Errorf("%s was overwritten by other content", id)
	}
	b.objects[id] = content.Bytes()
	b.mu.Unlock()
	if after != nil {
		return after(b.bucket, o.Key)
	}
	return nil
}

func (b *storeBucket) Stat(ctx context.Context, key string) (sinks.Info, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return sinks.Info{}, b.err
	}
	o, ok := b.objects[b.bucket+"/"+key]
	if !ok {
		return sinks.Info{}, sinks.ErrNotFound
	}
	return sinks.Info{Size: int64(len(o))}, nil
}

// keys are those of all objects, in the order in which they came.
func (s *store) keys() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.order)
}

// contents are the decoded objects, in the order in which they came.
func (s *store) contents() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, key := range s.order {
		for _, id := range slices.Sorted(maps.Keys(s.objects)) {
			if strings.HasSuffix(id, "/"+key) {
				out = append(out, decode(s.t, id, s.objects[id]))
			}
		}
	}
	return out
}

func decode(t testing.TB, key string, content []byte) string {
	t.Helper()
	if !strings.HasSuffix(key, ".gz") {
		return string(content)
	}
	r, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(plain)
}

// records are the lines of all objects, sorted.
func (s *store) records() []string {
	var out []string
	for _, c := range s.contents() {
		out = append(out, strings.Split(strings.TrimSuffix(c, "\n"), "\n")...)
	}
	slices.Sort(out)
	return out
}

// fakeSources is one data stream.
type fakeSources struct {
	mu      sync.Mutex
	logs    []Log
	err     error
	changed chan struct{}
}

func (f *fakeSources) Logs(account, region, name string) ([]Log, <-chan struct{}, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.changed == nil {
		f.changed = make(chan struct{})
	}
	return slices.Clone(f.logs), f.changed, f.err
}

func (f *fakeSources) set(err error, logs ...Log) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.logs, f.err = logs, err
	if f.changed != nil {
		close(f.changed)
		f.changed = nil
	}
}

// shards creates a topic and returns its logs.
func (e *env) shards(generation string, n int) []Log {
	e.t.Helper()
	if err := e.engine.Create(e.t.Context(), generation, n); err != nil {
		e.t.Fatal(err)
	}
	var out []Log
	for i := range n {
		l, err := e.engine.Open(e.t.Context(), generation, i)
		if err != nil {
			e.t.Fatal(err)
		}
		out = append(out, Log{Generation: generation, Partition: i, Range: aggregate.FullRange, Log: l})
	}
	return out
}

func write(t testing.TB, l shard.Log, records ...string) {
	t.Helper()
	var batch []shard.Record
	for _, r := range records {
		batch = append(batch, shard.Record{Value: []byte(r)})
	}
	if _, err := l.Append(t.Context(), batch).Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// inBubble runs a test in virtual time with its own surroundings.
func inBubble(t *testing.T, f func(t *testing.T, e *env)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newEnv(t)) })
}
