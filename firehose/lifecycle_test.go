package firehose

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed-462d9463/sluice/internal/catalog"
	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/sinks/file"
)

func named(name string) Name { return Name{Account: "000000000000", Region: "eu-west-1", Name: name} }

func TestADeliveryStreamIsDescribedAsItWasDefined(t *testing.T) {
	inBubble(t, func(t *testing.T, e *env) {
		s, stop := e.start()
		created := time.Now().UTC()
		e.create(s, clicks, Definition{
			S3:   S3Destination{RoleARN: testRole, BucketARN: testBucket},
			Tags: map[string]string{"team": "web"},
		})
		if err := s.Create(t.Context(), clicks, definition()); !errors.Is(err, ErrExists) {
			t.Errorf("created twice: %v", err)
		}
		describe := func() Description {
			d, err := s.Describe(clicks)
			if err != nil {
				t.Fatal(err)
			}
			return d
		}
		got := describe()
		if _, err := uuid.Parse(got.ID); err != nil {
			t.Error(err)
		}
		want := Description{
			Name: clicks, ID: got.ID, Version: 1, Created: created, Updated: created,
			Definition: Definition{
				Type: DirectPut,
				S3: S3Destination{
					RoleARN: testRole, BucketARN: testBucket, Compression: Uncompressed,
					Buffering: BufferingHints{SizeMB: new(5), IntervalSeconds: new(300)},
				},
				Tags: map[string]string{"team": "web"},
			},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		stop()
		s, stop = e.start()
		defer stop()
		if diff := cmp.Diff(want, describe()); diff != "" {
			t.Errorf("after a restart: %s", diff)
		}
	})
}

func TestDeliveryStreamsAreListedByName(t *testing.T) {
	inBubble(t, func(t *testing.T, e *env) {
		e.sources.set(nil, e.shards("input", 1)...)
		s, stop := e.start()
		defer stop()
		for _, n := range []string{"c", "a", "b"} {
			e.create(s, named(n), definition())
		}
		e.create(s, named("k"), definition(fromStream))
		e.create(s, Name{Account: "000000000000", Region: "us-east-1", Name: "elsewhere"}, definition())
		e.create(s, Name{Account: "111111111111", Region: "eu-west-1", Name: "others"}, definition())
		for _, c := range []struct {
			of    SourceType
			after string
			limit int
			want  string
			more  bool
		}{
			{"", "", 10, "a b c k", false},
			{"", "", 2, "a b", true},
			{"", "b", 2, "c k", false},
			{"", "aa", 1, "b", true},
			{DirectPut, "", 3, "a b c", false},
			{KinesisStreamAsSource, "", 3, "k", false},
			{"", "z", 3, "", false},
		} {
			list, more := s.List("000000000000", "eu-west-1", c.of, c.after, c.limit)
			var names []string
			for _, d := range list {
				names = append(names, d.Name.Name)
			}
			if got := strings.Join(names, " "); got != c.want || more != c.more {
				t.Errorf("%s after %q, at most %d: %q and more %v, want %q and %v", c.of, c.after, c.limit, got, more, c.want, c.more)
			}
		}
	})
}

func TestPutSaysWhatIsWrong(t *testing.T) {
	inBubble(t, func(t *testing.T, e *env) {
		e.sources.set(nil, e.shards("input", 1)...)
		s, stop := e.start()
		defer stop()
		e.create(s, clicks, definition())
		e.create(s, named("k"), definition(fromStream))
		ctx := t.Context()
		if _, err := s.Put(ctx, named("none"), [][]byte{{1}}); !errors.Is(err, ErrNotFound) {
			t.Errorf("no such delivery stream: %v", err)
		}
		if _, err := s.Put(ctx, named("k"), [][]byte{{1}}); !errors.Is(err, ErrInvalidSource) {
			t.Errorf("put to one with a data stream: %v", err)
		}
		_, err := s.Put(ctx, clicks, [][]byte{{1}, make([]byte, MaxRecordBytes+1)})
		if e, ok := errors.AsType[*RecordTooLargeError](err); !ok || e.Index != 1 || e.Bytes != MaxRecordBytes+1 {
			t.Errorf("a large record: %v", err)
		}
		if _, err := s.Put(ctx, clicks, [][]byte{make([]byte, MaxRecordBytes), {}}); err != nil {
			t.Errorf("records of the greatest and the least size: %v", err)
		}
		if ids, err := s.Put(ctx, clicks, nil); err != nil || ids != nil {
			t.Errorf("nothing: %v, %v", ids, err)
		}
	})
}

func TestRecordIDsTellDeliveryStreamAndOffset(t *testing.T) {
	inBubble(t, func(t *testing.T, e *env) {
		s, stop := e.start()
		defer stop()
		e.create(s, clicks, definition())
		e.put(s, clicks, "a")
		ids, err := s.Put(t.Context(), clicks, [][]byte{[]byte("b"), []byte("c")})
		if err != nil {
			t.Fatal(err)
		}
		d, err := s.Describe(clicks)
		if err != nil {
			t.Fatal(err)
		}
		for i, id := range ids {
			b, err := base64.RawURLEncoding.DecodeString(id)
			if err != nil || len(b) != 24 {
				t.Fatalf("id %q: %v", id, err)
			}
			if stream := uuid.UUID(b[:16]).String(); stream != d.ID {
				t.Errorf("id %q is of %s, not of %s", id, stream, d.ID)
			}
			if at := binary.BigEndian.Uint64(b[16:]); at != uint64(1+i) {
				t.Errorf("id %q is of offset %d, not of %d", id, at, 1+i)
			}
		}
	})
}

func TestDeletingADeliveryStreamRemovesItsLogsAndStopsItsUploads(t *testing.T) {
	inBubble(t, func(t *testing.T, e *env) {
		uploading := make(chan struct{})
		e.store.before = func(ctx context.Context, _, _ string) error {
			close(uploading)
			<-ctx.Done()
			return ctx.Err()
		}
		s, stop := e.start()
		defer stop()
		e.create(s, clicks, definition(buffering(1, 0)))
		e.put(s, clicks, "a")
		<-uploading
		if err := s.Delete(t.Context(), clicks); err != nil {
			t.Fatal(err)
		}
		if got := deliveryTopics(t, e); len(got) != 0 {
			t.Errorf("topics %q are left", got)
		}
		for what, err := range map[string]error{
			"delete again": s.Delete(t.Context(), clicks),
			"describe":     second(s.Describe(clicks)),
			"put":          second(s.Put(t.Context(), clicks, [][]byte{{1}})),
			"stats":        second(s.Stats(clicks)),
		} {
			if !errors.Is(err, ErrNotFound) {
				t.Errorf("%s: %v", what, err)
			}
		}
		e.store.hook(nil, nil)
		e.create(s, clicks, definition(buffering(1, 0)))
		e.put(s, clicks, "b")
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := e.store.contents(); !slices.Equal(got, []string{"b\n"}) {
			t.Errorf("objects of the new one: %q", got)
		}
	})
}

func second[T any](_ T, err error) error { return err }

func deliveryTopics(t *testing.T, e *env) (names []string) {
	t.Helper()
	topics, err := e.engine.Topics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, topic := range topics {
		if strings.HasPrefix(topic.Name, topicPrefix) {
			names = append(names, topic.Name)
		}
	}
	return names
}

func TestLogsThatNoDeliveryStreamHasAreRemovedAtTheStart(t *testing.T) {
	inBubble(t, func(t *testing.T, e *env) {
		s, stop := e.start()
		e.create(s, clicks, definition())
		stop()
		doc := document{ID: uuid.NewString(), Definition: definition()}
		if err := s.makeLogs(t.Context(), named("half-made"), doc); err != nil {
			t.Fatal(err)
		}
		_, stop = e.start()
		defer stop()
		got := deliveryTopics(t, e)
		if len(got) != 2 || !strings.Contains(got[0], ".clicks.") || !strings.Contains(got[1], ".clicks.") {
			t.Errorf("topics %q", got)
		}
	})
}

func TestADeliveryStreamThatCannotBeDeletedGoesOn(t *testing.T) {
	inBubble(t, func(t *testing.T, e *env) {
		full := &fullDisk{Engine: e.engine}
		s, stop := e.startOn(full, e.store)
		defer stop()
		e.create(s, clicks, definition(buffering(1, 0)))
		full.set(true)
		if err := s.Delete(t.Context(), clicks); !errors.Is(err, shard.ErrNoSpace) {
			t.Fatalf("error %v", err)
		}
		full.set(false)
		e.put(s, clicks, "a")
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := e.store.contents(); !slices.Equal(got, []string{"a\n"}) {
			t.Errorf("objects: %q", got)
		}
	})
}

func TestCreatingNeedsTheSourceStream(t *testing.T) {
	inBubble(t, func(t *testing.T, e *env) {
		e.sources.set(ErrSourceNotFound)
		s, stop := e.start()
		defer stop()
		if err := s.Create(t.Context(), clicks, definition(fromStream)); !errors.Is(err, ErrSourceNotFound) {
			t.Errorf("error %v", err)
		}
		if got := deliveryTopics(t, e); len(got) != 0 {
			t.Errorf("topics %q are left", got)
		}
	})
}

func TestOneOfManyConcurrentCreatesSucceeds(t *testing.T) {
	inBubble(t, func(t *testing.T, e *env) {
		s, stop := e.start()
		defer stop()
		var wg sync.WaitGroup
		errs := make(chan error, 20)
		for range cap(errs) {
			wg.Go(func() { errs <- s.Create(t.Context(), clicks, definition()) })
		}
		wg.Wait()
		close(errs)
		created := 0
		for err := range errs {
			switch {
			case err == nil:
				created++
			case !errors.Is(err, ErrExists) && !errors.Is(err, ErrInUse):
				t.Error(err)
			}
		}
		if created != 1 || len(deliveryTopics(t, e)) != 2 {
			t.Errorf("%d created, topics %q", created, deliveryTopics(t, e))
		}
	})
}

func TestClosingEndsEverything(t *testing.T) {
	inBubble(t, func(t *testing.T, e *env) {
		e.store.before = func(ctx context.Context, _, _ string) error { <-ctx.Done(); return ctx.Err() }
		s, stop := e.start()
		for i := range 5 {
			e.create(s, named(fmt.Sprint("s", i)), definition(buffering(1, 0)))
			e.put(s, named(fmt.Sprint("s", i)), "a")
		}
		time.Sleep(time.Second)
		stop()
		s.Close() // again
		if err := s.Create(t.Context(), clicks, definition()); !errors.Is(err, ErrClosed) {
			t.Errorf("create after close: %v", err)
		}
	})
}

func TestMetricsComeAndGoWithTheirDeliveryStream(t *testing.T) {
	inBubble(t, func(t *testing.T, e *env) {
		c, err := catalog.Open(t.Context(), e.engine, catalog.Options{})
		if err != nil {
			t.Fatal(err)
		}
		registry := prometheus.NewPedanticRegistry()
		s, err := New(t.Context(), Options{Engine: e.engine, Catalog: c, Buckets: e.store, Registerer: registry})
		if err != nil {
			t.Fatal(err)
		}
		gather := func() map[string]float64 {
			families, err := registry.Gather()
			if err != nil {
				t.Fatal(err)
			}
			out := map[string]float64{}
			for _, f := range families {
				for _, m := range f.Metric {
					out[strings.TrimPrefix(f.GetName(), "sluice_firehose_")] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
				}
			}
			return out
		}
		e.create(s, clicks, definition())
		e.put(s, clicks, "a", "bc")
		time.Sleep(30 * time.Second)
		got := gather()
		for name, want := range map[string]float64{
			"incoming_put_requests_total": 1, "incoming_records_total": 2, "incoming_bytes_total": 3,
			"buffered_records": 2, "buffered_bytes": 5, "delivery_to_s3_data_freshness_seconds": 30,
			"delivery_to_s3_success_total": 0, "delivery_to_s3_last_success_seconds": 30,
		} {
			if v, ok := got[name]; !ok || v != want {
				t.Errorf("%s is %v, want %v", name, v, want)
			}
		}
		time.Sleep(30 * time.Second)
		synctest.Wait()
		got = gather()
		for name, want := range map[string]float64{
			"delivery_to_s3_success_total": 1, "delivery_to_s3_records_total": 2, "delivery_to_s3_bytes_total": 5,
			"delivery_to_s3_data_freshness_seconds": 0, "buffered_records": 0, "open_objects": 0,
		} {
			if v, ok := got[name]; !ok || v != want {
				t.Errorf("%s is %v, want %v", name, v, want)
			}
		}
		if err := s.Delete(t.Context(), clicks); err != nil {
			t.Fatal(err)
		}
		if got := gather(); len(got) != 0 {
			t.Errorf("metrics of a deleted delivery stream: %v", got)
		}
		s.Close()
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestAPrefixThatTheStoreCouldNotTakeAllYearIsRefused(t *testing.T) {
	buckets, err := file.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) { // it is January there
		e := newEnv(t)
		s, stop := e.startOn(e.engine, buckets)
		defer stop()
		for length, want := range map[int]bool{50: true, 183: false} {
			// File names have 255 bytes at most; with the month January there were some bytes to spare.
			err := s.Create(t.Context(), clicks, definition(func(d *Definition) {
				d.S3.Prefix = strings.Repeat("p", length) + "!{timestamp:MMMM}"
				d.S3.ErrorOutputPrefix = "errors"
			}))
			if _, refused := errors.AsType[*InvalidError](err); refused == want {
				t.Errorf("prefix of %d bytes: %v", length, err)
			}
		}
	})
}

func TestADefinitionOfAnotherFormatIsNotGuessedAt(t *testing.T) {
	inBubble(t, func(t *testing.T, e *env) {
		s, stop := e.start()
		e.create(s, clicks, definition())
		entry, _ := s.catalog.Get(catalogKey(clicks))
		later := strings.Replace(string(entry.Value), `"format":1`, `"format":2`, 1)
		if _, err := s.catalog.Put(t.Context(), entry.Key, json.RawMessage(later), entry.Revision); err != nil {
			t.Fatal(err)
		}
		stop()
		c, err := catalog.Open(t.Context(), e.engine, catalog.Options{Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		_, err = New(t.Context(), Options{Engine: e.engine, Catalog: c, Sources: e.sources, Buckets: e.store})
		if err == nil || !strings.Contains(err.Error(), "format 2") || len(deliveryTopics(t, e)) != 2 {
			t.Errorf("start on another format: %v", err)
		}
	})
}
