package journal

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics is what the engine tells Prometheus. Without a registerer it is counted and never seen, which costs
// next to nothing.
type metrics struct {
	registerer prometheus.Registerer
	all, shown []prometheus.Collector

	batches, frames, bytes           prometheus.Counter
	latency, checkpoint              prometheus.Histogram
	batchRecords                     prometheus.Histogram
	batchBytes                       prometheus.Histogram
	stalls                           prometheus.Counter
	flushes, flushBytes              prometheus.Counter
	fromCache, fromJournal, fromFile prometheus.Counter
	dropped                          map[dropCause]droppedMetrics
	freeBytes                        prometheus.Gauge
	recovery                         prometheus.Gauge

	compressions, dense           prometheus.Counter
	compressInput, compressOutput prometheus.Counter
	compressSeconds               prometheus.Counter

	scrubBytes, scrubSegments, scrubDamaged prometheus.Counter
	gaps                                    prometheus.Counter
}

// dropCause is why records were dropped.
type dropCause string

const (
	byTrim   dropCause = "trim" // asked for by the layer above, which goes by time
	bySize   dropCause = "size" // the bound of the topic's settings
	byDelete dropCause = "delete"
)

// droppedMetrics count what was dropped for one cause: records when nobody sees them any more, segments and their
// bytes when they are removed.
type droppedMetrics struct{ records, segments, bytes prometheus.Counter }

func newMetrics(e *Engine) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "sluice", Subsystem: "journal", Name: name, Help: help})
	}
	histogram := func(name, help string, start, factor float64, buckets int) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "sluice", Subsystem: "journal", Name: name,
			Help: help, Buckets: prometheus.ExponentialBuckets(start, factor, buckets)})
	}
	counters := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "sluice", Subsystem: "journal", Name: name, Help: help},
			[]string{label})
	}
	gauge := func(name, help string, f func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "sluice", Subsystem: "journal", Name: name, Help: help}, f)
	}
	m := &metrics{
		registerer:   e.opts.Registerer,
		batches:      counter("commit_batches_total", "Batches that were made durable."),
		frames:       counter("commit_frames_total", "Appends and changes of the table that were made durable."),
		bytes:        counter("commit_bytes_total", "Bytes written to the journal, padding included."),
		latency:      histogram("commit_seconds", "Time to write and sync one batch.", 50e-6, 2, 16),
		batchRecords: histogram("commit_batch_records", "Records that one write and sync made durable.", 1, 4, 9),
		batchBytes: histogram("commit_batch_bytes", "Bytes that one write and sync made durable, padding included.",
			blockBytes, 4, 8),
		stalls:     counter("commit_stall_seconds_total", "Time in which the committer waited for a free journal file."),
		flushes:    counter("flushes_total", "Writes to segments."),
		flushBytes: counter("flush_bytes_total", "Bytes written to segments."),
		checkpoint: histogram("checkpoint_seconds", "Time to sync the segments and write a snapshot.", 1e-3, 2, 16),
		gaps:       counter("gaps_passed_total", "Times that a reader passed over records that were lost and given up by sluice repair."),
		freeBytes: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "sluice", Subsystem: "journal", Name: "free_bytes",
			Help: "Free disk space when it was last looked at."}),
		recovery: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "sluice", Subsystem: "journal", Name: "recovery_seconds",
			Help: "Time that the last start took to recover what was acknowledged."}),

		compressions:    counter("compressed_segments_total", "Sealed segments that were compressed."),
		dense:           counter("compress_refused_segments_total", "Sealed segments that stay as they are because they do not shrink or cannot be read."),
		compressInput:   counter("compress_input_bytes_total", "Bytes of segments before they were compressed."),
		compressOutput:  counter("compress_output_bytes_total", "Bytes of the same segments after."),
		compressSeconds: counter("compress_seconds_total", "Time spent compressing segments, pauses included."),

		scrubBytes:    counter("scrub_bytes_total", "Bytes of sealed segments that the scrub has verified."),
		scrubSegments: counter("scrub_segments_total", "Sealed segments that the scrub has verified."),
		scrubDamaged:  counter("scrub_damaged_segments_total", "Damaged segments that the scrub has found, in each pass anew."),
	}
	reads := counters("reads_total", "Reads of records, by where they were: the cache, the journal or segment files. One read may need several.", "from")
	m.fromCache, m.fromJournal, m.fromFile = reads.WithLabelValues("cache"), reads.WithLabelValues("journal"), reads.WithLabelValues("segment")
	records := counters("dropped_records_total", "Records dropped, by cause.", "cause")
	segments := counters("dropped_segments_total", "Segments removed, by cause.", "cause")
	bytes := counters("dropped_bytes_total", "Bytes of removed segments, by cause.", "cause")
	m.dropped = map[dropCause]droppedMetrics{}
	for _, c := range []dropCause{byTrim, bySize, byDelete} {
		label := string(c)
		m.dropped[c] = droppedMetrics{records.WithLabelValues(label), segments.WithLabelValues(label), bytes.WithLabelValues(label)}
	}
	flag := func(name, help string, on *atomic.Bool) prometheus.Collector {
		return gauge(name, help, func() float64 {
			if on.Load() {
				return 1
			}
			return 0
		})
	}
	m.all = []prometheus.Collector{
		m.batches, m.frames, m.bytes, m.latency, m.batchRecords, m.batchBytes, m.stalls, m.flushes, m.flushBytes,
		m.checkpoint, m.freeBytes, m.recovery, reads, records, segments, bytes,
		m.compressions, m.dense, m.compressInput, m.compressOutput, m.compressSeconds, m.gaps,
		m.scrubBytes, m.scrubSegments, m.scrubDamaged,
		gauge("scrub_last_end_seconds", "When the last pass of the scrub ended, in seconds since 1970; 0 if there was none.", func() float64 {
			_, end := e.scrubber.lastPass()
			return float64(scrubMillis(end)) / 1000
		}),
		gauge("scrub_last_duration_seconds", "How long the last pass of the scrub took.", func() float64 {
			last, end := e.scrubber.lastPass()
			return end.Sub(last.begun).Seconds()
		}),
		gauge("scrub_last_damaged_segments", "Damaged segments that the last pass of the scrub found.", func() float64 {
			last, _ := e.scrubber.lastPass()
			return float64(last.damaged)
		}),
		gauge("used_bytes", "Journal bytes after the last checkpoint.", func() float64 { return float64(e.journal.fill().needBytes) }),
		gauge("cache_bytes", "Memory for records that wait for the disk or are kept for readers, and for where others are in the journal.", func() float64 {
			used, _ := e.budget.state()
			return float64(used)
		}),
		gauge("unflushed_bytes", "Bytes of records that are durable in the journal and not in segments yet.", func() float64 {
			return float64(e.flusher.waiting())
		}),
		gauge("open_files", "Open segment files.", func() float64 { return float64(e.files.count()) }),
		flag("disk_full", "1 while appends are refused for lack of space.", &e.flusher.isFull),
		flag("disk_low", "1 while less than warn_free_bytes are free.", &e.flusher.low),
		diskUse{e},
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

func (m *metrics) committed(records int64, frames, bytes int, took time.Duration) {
	m.batches.Inc()
	m.batchRecords.Observe(float64(records))
	m.batchBytes.Observe(float64(bytes))
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

func (m *metrics) recovered(took time.Duration) { m.recovery.Set(took.Seconds()) }

// drop counts records that nobody sees any more.
func (m *metrics) drop(c dropCause, records int64) { m.dropped[c].records.Add(float64(records)) }

// deleted counts a deleted log.
func (m *metrics) deleted(records int64, segments []segment) {
	m.drop(byDelete, records)
	for i := range segments {
		m.removed(byDelete, segments[i].diskBytes())
	}
}

// removed counts a segment that was removed.
func (m *metrics) removed(c dropCause, bytes int64) {
	m.dropped[c].segments.Inc()
	m.dropped[c].bytes.Add(float64(bytes))
}

// compressed counts a segment that the compressor is done with; stored is 0 if it stays as it is.
func (m *metrics) compressed(bytes, stored int64, took time.Duration) {
	m.compressSeconds.Add(took.Seconds())
	if stored == 0 {
		m.dense.Inc()
		return
	}
	m.compressions.Inc()
	m.compressInput.Add(float64(bytes))
	m.compressOutput.Add(float64(stored))
}

// scrubbed counts a segment that the scrub is done with.
func (m *metrics) scrubbed(damaged bool) {
	m.scrubSegments.Inc()
	if damaged {
		m.scrubDamaged.Inc()
	}
}
