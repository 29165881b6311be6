package journal

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics is what the engine tells Prometheus. Without a registerer it is counted and never seen, which costs
// next to nothing.
type metrics struct {
	registerer prometheus.Registerer
	all, shown []prometheus.Collector

	batches, frames, bytes prometheus.Counter
	latency, checkpoint    prometheus.Histogram
	stalls                 prometheus.Counter
	flushes, flushBytes    prometheus.Counter
	freeBytes              prometheus.Gauge
}

func newMetrics(e *Engine) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "sluice", Subsystem: "journal", Name: name, Help: help})
	}
	histogram := func(name, help string, start float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "sluice", Subsystem: "journal", Name: name,
			Help: help, Buckets: prometheus.ExponentialBuckets(start, 2, 16)})
	}
	gauge := func(name, help string, f func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "sluice", Subsystem: "journal", Name: name, Help: help}, f)
	}
	m := &metrics{
		registerer: e.opts.Registerer,
		batches:    counter("commit_batches_total", "Batches that were made durable."),
		frames:     counter("commit_frames_total", "Appends and changes of the table that were made durable."),
		bytes:      counter("commit_bytes_total", "Bytes written to the journal, padding included."),
		latency:    histogram("commit_seconds", "Time to write and sync one batch.", 50e-6),
		stalls:     counter("commit_stall_seconds_total", "Time in which the committer waited for a free journal file."),
		flushes:    counter("flushes_total", "Writes to segments."),
		flushBytes: counter("flush_bytes_total", "Bytes written to segments."),
		checkpoint: histogram("checkpoint_seconds", "Time to sync the segments and write a snapshot.", 1e-3),
		freeBytes: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "sluice", Subsystem: "journal", Name: "free_bytes",
			Help: "Free disk space when it was last looked at."}),
	}
	m.all = []prometheus.Collector{
		m.batches, m.frames, m.bytes, m.latency, m.stalls, m.flushes, m.flushBytes, m.checkpoint, m.freeBytes,
		gauge("used_bytes", "Journal bytes after the last checkpoint.", func() float64 { return float64(e.journal.fill().needBytes) }),
		gauge("cache_bytes", "Memory for records that wait for the disk or are kept for readers.", func() float64 {
			used, _ := e.budget.state()
			return float64(used)
		}),
		gauge("open_files", "Open segment files.", func() float64 { return float64(e.files.count()) }),
		gauge("disk_full", "1 while appends are refused for lack of space.", func() float64 {
			if e.flusher.isFull.Load() {
				return 1
			}
			return 0
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

func (m *metrics) committed(frames, bytes int, took time.Duration) {
	m.batches.Inc()
	m.frames.Add(float64(frames))
	m.bytes.Add(float64(bytes))
	m.latency.Observe(took.Seconds())
}

// stall begins to measure a stall of the committer; what it returns ends it.
func (m *metrics) stall() (end func()) {
	start := time.Now()
	return func() { m.stalls.Add(time.Since(start).Seconds()) }
}

func (m *metrics) flushed(bytes int64) {
	m.flushes.Inc()
	m.flushBytes.Add(float64(bytes))
}

func (m *metrics) checkpointed(took time.Duration) { m.checkpoint.Observe(took.Seconds()) }

func (m *metrics) free(bytes int64) { m.freeBytes.Set(float64(bytes)) }
