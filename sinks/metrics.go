package sinks

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Classes of what becomes of a Put, as metrics and logs name them.
const (
	ClassOK        = "ok"
	ClassCanceled  = "canceled"  // the caller's context ended
	ClassPermanent = "permanent" // someone has to change something first
	ClassRetryable = "retryable" // may work by itself later
)

// Class tells the class of a Put's outcome.
func Class(err error) string {
	switch {
	case err == nil:
		return ClassOK
	case IsPermanent(err):
		return ClassPermanent
	case errors.Is(err, context.Canceled):
		return ClassCanceled
	default:
		return ClassRetryable
	}
}

// WithMetrics counts and times the Puts of all buckets of the opener. Several openers may share a registerer
// and then share the metrics. A nil registerer means no metrics.
func WithMetrics(opener Opener, registerer prometheus.Registerer) Opener {
	if registerer == nil {
		return opener
	}
	m := &metrics{
		puts: register(registerer, prometheus.NewCounter(prometheus.CounterOpts{
			Name: "sluice_sink_puts_total",
			Help: "Objects stored in buckets.",
		})),
		bytes: register(registerer, prometheus.NewCounter(prometheus.CounterOpts{
			Name: "sluice_sink_put_bytes_total",
			Help: "Bytes of the objects stored in buckets.",
		})),
		seconds: register(registerer, prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "sluice_sink_put_seconds",
			Help:    "Time that storing an object took, failures included.",
			Buckets: prometheus.ExponentialBuckets(0.005, 2, 15), // 5 ms to 82 s
		})),
		errors: register(registerer, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_sink_put_errors_total",
			Help: "Attempts to store an object that failed, by class: permanent, retryable or canceled.",
		}, []string{"class"})),
	}
	for _, class := range []string{ClassPermanent, ClassRetryable, ClassCanceled} {
		m.errors.WithLabelValues(class) // there from the start, at 0
	}
	return &measuredOpener{opener: opener, metrics: m}
}

type metrics struct {
	puts    prometheus.Counter
	bytes   prometheus.Counter
	seconds prometheus.Histogram
	errors  *prometheus.CounterVec
}

// register returns the collector of the same name that is registered already, if there is one.
func register[C prometheus.Collector](registerer prometheus.Registerer, c C) C {
	if err := registerer.Register(c); err != nil {
		if already, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
			return already.ExistingCollector.(C)
		}
		panic(err) // another metric has taken the name: a programming error
	}
	return c
}

type measuredOpener struct {
	opener  Opener
	metrics *metrics
}

func (o *measuredOpener) Open(bucket string) (Sink, error) {
	sink, err := o.opener.Open(bucket)
	if err != nil {
		return nil, err
	}
	return &measuredSink{Sink: sink, metrics: o.metrics}, nil
}

type measuredSink struct {
	Sink
	metrics *metrics
}

func (s *measuredSink) Put(ctx context.Context, object Object) error {
	body := &countedBody{body: object.Body}
	object.Body = body
	start := time.Now()
	err := s.Sink.Put(ctx, object)
	s.metrics.seconds.Observe(time.Since(start).Seconds())
	if err != nil {
		s.metrics.errors.WithLabelValues(Class(err)).Inc()
		return err
	}
	s.metrics.puts.Inc()
	s.metrics.bytes.Add(float64(body.n))
	return nil
}

// countedBody knows how long the content was when it was last written.
type countedBody struct {
	body io.WriterTo
	n    int64
}

func (b *countedBody) WriteTo(w io.Writer) (int64, error) {
	n, err := b.body.WriteTo(w)
	b.n = n
	return n, err
}
