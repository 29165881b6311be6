package kafka

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics is what the engine tells Prometheus. Without a registerer it is counted and never seen, which costs next to
// nothing.
type metrics struct {
	registerer prometheus.Registerer
	all, shown []prometheus.Collector

	requests, retries prometheus.Counter
	batches, records  prometheus.Counter
	bytes, fetched    prometheus.Counter
	latency           prometheus.Histogram
	retainedBy        prometheus.Counter
}

func newMetrics(e *Engine) *metrics {
	const namespace, subsystem = "sluice", "kafka"
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help})
	}
	gauge := func(name, help string, f func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help}, f)
	}
	m := &metrics{
		registerer: e.opts.Registerer,
		requests:   counter("produce_requests_total", "Requests with batches that were sent, repetitions included."),
		retries:    counter("produce_retries_total", "Batches that had to be sent again."),
		batches:    counter("produce_batches_total", "Batches that Kafka acknowledged."),
		records:    counter("produce_records_total", "Records that Kafka acknowledged."),
		bytes:      counter("produce_bytes_total", "Bytes of the batches that Kafka acknowledged."),
		fetched:    counter("fetch_bytes_total", "Bytes of batches that were read from Kafka."),
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: namespace, Subsystem: subsystem, Name: "produce_seconds",
			Help: "Time from the first sending of a batch to its acknowledgement.", Buckets: prometheus.ExponentialBuckets(500e-6, 2, 17)}),
		retainedBy: counter("retention_trims_total", "Trims of logs that had become bigger than their bound."),
	}
	m.all = []prometheus.Collector{
		m.requests, m.retries, m.batches, m.records, m.bytes, m.fetched, m.latency, m.retainedBy,
		gauge("in_flight_bytes", "Memory for records that wait for Kafka's acknowledgement.", func() float64 { return float64(e.inFlight.Load()) }),
		gauge("in_flight_appends", "Appends that wait for Kafka's acknowledgement.", func() float64 { return float64(e.pending.count()) }),
		gauge("watched_logs", "Logs that somebody waits for.", func() float64 {
			e.poller.mu.Lock()
			defer e.poller.mu.Unlock()
			return float64(len(e.poller.watched))
		}),
	}
	return m
}

// register shows them. Before, the engine must be complete: the gauges look into it.
func (m *metrics) register() error {
	if m.registerer == nil {
		return nil
	}
	for _, c := range m.all {
		if err := m.registerer.Register(c); err != nil {
			return fmt.Errorf("register metrics: %w", err)
		}
		m.shown = append(m.shown, c)
	}
	return nil
}

func (m *metrics) close() {
	for _, c := range m.shown {
		m.registerer.Unregister(c)
	}
}

func (m *metrics) acknowledged(f *flight) {
	m.batches.Inc()
	m.records.Add(float64(f.count))
	m.bytes.Add(float64(len(f.bytes)))
	m.latency.Observe(time.Since(f.sent).Seconds())
}
