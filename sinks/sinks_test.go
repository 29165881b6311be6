package sinks_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/seed-462d9463/sluice/sinks"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestKeysAreChecked(t *testing.T) {
	for key, want := range map[string]bool{
		"a": true, "/": true, "..": true, "grüße": true, strings.Repeat("k", 1024): true,
		"": false, strings.Repeat("k", 1025): false, "\xff": false, "a\x00b": false,
	} {
		err := sinks.CheckKey(key)
		if (err == nil) != want {
			t.Errorf("key %q: %v", key, err)
		}
		if err != nil && (!errors.Is(err, sinks.ErrInvalidKey) || !sinks.IsPermanent(err)) {
			t.Errorf("key %q: %v, want a permanent %q", key, err, sinks.ErrInvalidKey)
		}
	}
}

func TestBucketNamesAreChecked(t *testing.T) {
	for bucket, want := range map[string]bool{
		"abc": true, "my-bucket": true, "my.bucket.2026": true, "1.2.3": true, strings.Repeat("b", 63): true, "300.0.0.1": true,
		"": false, "ab": false, strings.Repeat("b", 64): false, "Abc": false, "a_c": false, "a/c": false, ".tmp": false, "-ab": false,
		"ab-": false, "ab.": false, "a..b": false, "10.0.0.1": false, "ab\n": false, "büro": false,
	} {
		err := sinks.CheckBucket(bucket)
		if (err == nil) != want {
			t.Errorf("bucket %q: %v", bucket, err)
		}
		if err != nil && (!errors.Is(err, sinks.ErrInvalidKey) || !sinks.IsPermanent(err)) {
			t.Errorf("bucket %q: %v, want a permanent %q", bucket, err, sinks.ErrInvalidKey)
		}
	}
}

func TestOutcomesHaveClasses(t *testing.T) {
	failure := errors.New("failure")
	for want, errs := range map[string][]error{
		sinks.ClassOK:        {nil},
		sinks.ClassPermanent: {sinks.Permanent(failure), fmt.Errorf("put: %w", sinks.Permanent(failure))},
		sinks.ClassRetryable: {failure, io.ErrUnexpectedEOF},
		sinks.ClassCanceled:  {context.Canceled, fmt.Errorf("put: %w", context.Canceled)},
	} {
		for _, err := range errs {
			if got := sinks.Class(err); got != want {
				t.Errorf("class of %v: %s, want %s", err, got, want)
			}
		}
	}
}

func TestBackoffGrowsToItsCapAndNoFurther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		attempt := rapid.Int().Draw(t, "attempt")
		random := rapid.Float64Range(0, 0.999999).Draw(t, "random")
		wait := sinks.Backoff(attempt, random)
		if wait < 0 || wait > 30*time.Second {
			t.Fatalf("attempt %d waits %s", attempt, wait)
		}
		if attempt < 1<<40 && sinks.Backoff(attempt+1, random) < wait {
			t.Fatalf("attempt %d waits longer than the next one", attempt)
		}
	})
	for attempt, want := range map[int]time.Duration{
		-1: 50 * time.Millisecond, 0: 50 * time.Millisecond, 1: 100 * time.Millisecond, 5: 1600 * time.Millisecond,
		8: 12800 * time.Millisecond, 9: 15 * time.Second, 1000: 15 * time.Second,
	} {
		if got := sinks.Backoff(attempt, 0.5); got != want {
			t.Errorf("attempt %d waits %s, want %s", attempt, got, want)
		}
	}
}

func TestWaitBackoffEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if err := sinks.WaitBackoff(t.Context(), 20); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for range 100 { // also when the wait that is drawn is very short
			if err := sinks.WaitBackoff(ctx, 0); err != nil && !errors.Is(err, context.Canceled) {
				t.Fatalf("wait: %v", err)
			}
		}
	})
}

// opener is a sink that does what the test says.
type opener func(ctx context.Context, object sinks.Object) error

func (o opener) Open(bucket string) (sinks.Sink, error) {
	if err := sinks.CheckBucket(bucket); err != nil {
		return nil, err
	}
	return o, nil
}

func (o opener) Put(ctx context.Context, object sinks.Object) error { return o(ctx, object) }

func (o opener) Stat(context.Context, string) (sinks.Info, error) { return sinks.Info{Size: 7}, nil }

func open(t *testing.T, o sinks.Opener, bucket string) sinks.Sink {
	t.Helper()
	sink, err := o.Open(bucket)
	if err != nil {
		t.Fatal(err)
	}
	return sink
}

func TestABadBucketIsRefusedThroughTheDecorator(t *testing.T) {
	o := sinks.WithMetrics(opener(nil), prometheus.NewRegistry())
	if _, err := o.Open("NO"); !errors.Is(err, sinks.ErrInvalidKey) {
		t.Errorf("open: %v, want %v", err, sinks.ErrInvalidKey)
	}
}

func TestPutsAreCounted(t *testing.T) {
	registry := prometheus.NewRegistry()
	var result error
	o := opener(func(ctx context.Context, object sinks.Object) error {
		// A sink that repeats the content: it counts once.
		for range 2 {
			if _, err := sinks.CopyBody(ctx, io.Discard, object.Body); err != nil {
				return err
			}
		}
		return result
	})
	// Two openers share the metrics.
	put := func() {
		for _, o := range []sinks.Opener{sinks.WithMetrics(o, registry), sinks.WithMetrics(o, registry)} {
			err := open(t, o, "bucket").Put(t.Context(), sinks.Object{Key: "key", Body: twice{}})
			if !errors.Is(err, result) {
				t.Fatalf("put: %v, want %v", err, result)
			}
		}
	}
	put()
	result = errors.New("failure")
	put()
	result = sinks.Permanent(result)
	put()
	want := `
		# HELP sluice_sink_put_bytes_total Bytes of the objects stored in buckets.
		# TYPE sluice_sink_put_bytes_total counter
		sluice_sink_put_bytes_total 20
		# HELP sluice_sink_put_errors_total Attempts to store an object that failed, by class: permanent, retryable or canceled.
		# TYPE sluice_sink_put_errors_total counter
		sluice_sink_put_errors_total{class="canceled"} 0
		sluice_sink_put_errors_total{class="permanent"} 2
		sluice_sink_put_errors_total{class="retryable"} 2
		# HELP sluice_sink_puts_total Objects stored in buckets.
		# TYPE sluice_sink_puts_total counter
		sluice_sink_puts_total 2
	`
	err := testutil.GatherAndCompare(registry, strings.NewReader(want),
		"sluice_sink_put_bytes_total", "sluice_sink_put_errors_total", "sluice_sink_puts_total")
	if err != nil {
		t.Error(err)
	}
	if o := opener(nil); fmt.Sprintf("%T", sinks.WithMetrics(o, nil)) != fmt.Sprintf("%T", o) {
		t.Error("without a registerer there is something between caller and sink")
	}
}

// twice is ten bytes, any number of times.
type twice struct{}

func (twice) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(make([]byte, 10))
	return int64(n), err
}

// short is a writer that takes less than it is given and says nothing.
type short struct{}

func (short) Write(p []byte) (int, error) { return len(p) / 2, nil }

// blind is a body that does not look at what its writes return.
type blind struct{}

func (blind) WriteTo(w io.Writer) (int64, error) {
	_, _ = w.Write(make([]byte, 10))
	_, _ = w.Write(make([]byte, 10))
	return 20, nil
}

func TestACopyIsWholeOrAnError(t *testing.T) {
	var whole bytes.Buffer
	if n, err := sinks.CopyBody(t.Context(), &whole, blind{}); n != 20 || err != nil || whole.Len() != 20 {
		t.Errorf("copied %d, %v", n, err)
	}
	if n, err := sinks.CopyBody(t.Context(), short{}, blind{}); !errors.Is(err, io.ErrShortWrite) || n != 5 {
		t.Errorf("into a writer that takes half: %d, %v", n, err)
	}
	failure := errors.New("failure")
	_, err := sinks.CopyBody(t.Context(), &whole, failing{failure})
	if _, ok := errors.AsType[*sinks.BodyError](err); !ok || !errors.Is(err, failure) {
		t.Errorf("from a body that fails: %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(failure)
	for _, body := range []io.WriterTo{blind{}, bytes.NewReader(nil)} {
		if _, err := sinks.CopyBody(ctx, &whole, body); !errors.Is(err, failure) || !errors.Is(err, context.Canceled) {
			t.Errorf("after the end of the context: %v", err)
		}
	}
}

type failing struct{ err error }

func (b failing) WriteTo(io.Writer) (int64, error) { return 0, b.err }
