package stream

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the streams' counters, under the names that CloudWatch gives them. Their number is bounded by
// the number of streams, and by maxMonitoredShards; they go with their stream. A stream that was not used
// since the start has none, so that idle streams cost nothing in memory or at a scrape.
type metrics struct {
	registerer prometheus.Registerer

	mu            sync.Mutex // guards what follows
	streams       map[Name]*streamMetrics
	monitored     map[Name]monitored // streams with metrics for each shard
	countedShards int                // in all of them
}

// streamMetrics are one stream's. They outlive its revisions.
type streamMetrics struct {
	incomingBytes, incomingRecords atomic.Int64
	outgoingBytes, outgoingRecords atomic.Int64
	writeThrottled, readThrottled  atomic.Int64
	iteratorAge                    recentMax

	onDemand                                        atomic.Bool // it scales by itself
	onDemandSplits, onDemandMerges, onDemandHotKeys atomic.Int64
}

// onDemandCounters are what Collect makes of the counters of on-demand streams.
var onDemandCounters = []struct {
	desc *prometheus.Desc
	of   func(*streamMetrics) *atomic.Int64
}{
	{describe("on_demand_splits_total", "Shards that an on-demand stream split by itself."),
		func(m *streamMetrics) *atomic.Int64 { return &m.onDemandSplits }},
	{describe("on_demand_merges_total", "Pairs of shards that an on-demand stream merged by itself."),
		func(m *streamMetrics) *atomic.Int64 { return &m.onDemandMerges }},
	{describe("on_demand_hot_keys_total", "Partition keys that alone asked for more than half of what a shard of an on-demand stream may take, each once an hour."),
		func(m *streamMetrics) *atomic.Int64 { return &m.onDemandHotKeys }},
}

// counters are what Collect makes of a stream's counters.
var counters = []struct {
	desc *prometheus.Desc
	of   func(*streamMetrics) *atomic.Int64
}{
	{describe("incoming_bytes_total", "Bytes of data and partition keys written (CloudWatch: IncomingBytes)."),
		func(m *streamMetrics) *atomic.Int64 { return &m.incomingBytes }},
	{describe("incoming_records_total", "Records written (CloudWatch: IncomingRecords)."),
		func(m *streamMetrics) *atomic.Int64 { return &m.incomingRecords }},
	{describe("outgoing_bytes_total", "Bytes of data and partition keys read by GetRecords (CloudWatch: GetRecords.Bytes)."),
		func(m *streamMetrics) *atomic.Int64 { return &m.outgoingBytes }},
	{describe("outgoing_records_total", "Records read by GetRecords (CloudWatch: GetRecords.Records)."),
		func(m *streamMetrics) *atomic.Int64 { return &m.outgoingRecords }},
	{describe("write_throttled_total", "Records refused because their shard's write limit was used up (CloudWatch: WriteProvisionedThroughputExceeded)."),
		func(m *streamMetrics) *atomic.Int64 { return &m.writeThrottled }},
	{describe("read_throttled_total", "Reads refused because their shard's read limit was used up (CloudWatch: ReadProvisionedThroughputExceeded)."),
		func(m *streamMetrics) *atomic.Int64 { return &m.readThrottled }},
}

var iteratorAge = describe("get_records_iterator_age_milliseconds",
	"Greatest age of the last record that a GetRecords of the last one to two minutes returned, 0 if all had caught up (CloudWatch: maximum of GetRecords.IteratorAgeMilliseconds).")

func describe(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("sluice_stream_"+name, help, []string{"account", "region", "stream"}, nil)
}

// newMetrics registers the metrics; a nil registerer means that nobody reads them.
func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	m := &metrics{registerer: registerer, streams: map[Name]*streamMetrics{}, monitored: map[Name]monitored{}}
	if registerer == nil {
		return m, nil
	}
	return m, registerer.Register(m)
}

func (m *metrics) unregister() {
	if m.registerer != nil {
		m.registerer.Unregister(m)
	}
}

// of gives a stream its metrics.
func (m *metrics) of(name Name) *streamMetrics {
	m.mu.Lock()
	defer m.mu.Unlock()
	sm := m.streams[name]
	if sm == nil {
		sm = new(streamMetrics)
		m.streams[name] = sm
	}
	return sm
}

// drop removes a stream's metrics. Whoever still counts in them counts for nobody.
func (m *metrics) drop(name Name) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.streams, name)
	m.countedShards -= len(m.monitored[name].shards)
	delete(m.monitored, name)
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(descriptions chan<- *prometheus.Desc) {
	for _, c := range counters {
		descriptions <- c.desc
	}
	for _, c := range onDemandCounters {
		descriptions <- c.desc
	}
	descriptions <- iteratorAge
	for _, c := range shardMetrics {
		descriptions <- c.desc
	}
	descriptions <- shardIteratorAge
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(out chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	m.collectShards(out, now)
	for name, sm := range m.streams {
		var values [6]float64
		used := false
		for i, c := range counters {
			values[i] = float64(c.of(sm).Load())
			used = used || values[i] != 0
		}
		if used {
			for i, c := range counters {
				out <- prometheus.MustNewConstMetric(c.desc, prometheus.CounterValue, values[i], name.Account, name.Region, name.Name)
			}
		}
		if used && sm.onDemand.Load() {
			for _, c := range onDemandCounters {
				out <- prometheus.MustNewConstMetric(c.desc, prometheus.CounterValue, float64(c.of(sm).Load()), name.Account, name.Region, name.Name)
			}
		}
		if age, ok := sm.iteratorAge.get(now); ok {
			out <- prometheus.MustNewConstMetric(iteratorAge, prometheus.GaugeValue, float64(age), name.Account, name.Region, name.Name)
		}
	}
}

// recentMax is the greatest of the values of this minute and the last one. A stream's readers report in turn,
// and whoever looks now and then wants to see the one that lags behind, not the one that came last.
type recentMax struct {
	mu               sync.Mutex
	minute           int64 // that current is of
	current, earlier int64 // none if negative; earlier is of the minute before
}

const none = -1

func (r *recentMax) put(now time.Time, value int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn(now)
	r.current = max(r.current, value)
}

// get returns the greatest value; ok is false if there was none.
func (r *recentMax) get(now time.Time) (value int64, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn(now)
	value = max(r.current, r.earlier)
	return value, value != none
}

// turn moves on to the present minute. The zero value stands at the minute 0, long ago.
func (r *recentMax) turn(now time.Time) {
	minute := now.Unix() / 60
	switch minute {
	case r.minute:
		return
	case r.minute + 1:
		r.earlier = r.current
	default:
		r.earlier = none
	}
	r.minute, r.current = minute, none
}
