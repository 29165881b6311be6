package stream

import (
	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the streams' counters, under the names that CloudWatch gives them. Their number is bounded by
// the number of streams: they are not kept by shard, and go with their stream.
type metrics struct {
	registerer prometheus.Registerer
	counters   [6]*prometheus.CounterVec
	age        *prometheus.GaugeVec
}

// streamMetrics are one stream's.
type streamMetrics struct {
	incomingBytes, incomingRecords prometheus.Counter
	outgoingBytes, outgoingRecords prometheus.Counter
	writeThrottled, readThrottled  prometheus.Counter
	iteratorAge                    prometheus.Gauge
}

var metricLabels = []string{"account", "region", "stream"}

func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	m := &metrics{registerer: registerer}
	for i, c := range []struct{ name, help string }{
		{"incoming_bytes_total", "Bytes of data and partition keys written (CloudWatch: IncomingBytes)."},
		{"incoming_records_total", "Records written (CloudWatch: IncomingRecords)."},
		{"outgoing_bytes_total", "Bytes of data and partition keys read by GetRecords (CloudWatch: GetRecords.Bytes)."},
		{"outgoing_records_total", "Records read by GetRecords (CloudWatch: GetRecords.Records)."},
		{"write_throttled_total", "Records refused because their shard's write limit was used up (CloudWatch: WriteProvisionedThroughputExceeded)."},
		{"read_throttled_total", "Reads refused because their shard's read limit was used up (CloudWatch: ReadProvisionedThroughputExceeded)."},
	} {
		m.counters[i] = prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "sluice", Subsystem: "stream", Name: c.name, Help: c.help,
		}, metricLabels)
	}
	m.age = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Namespace: "sluice", Subsystem: "stream", Name: "get_records_iterator_age_milliseconds",
		Help: "Age of the last record that the latest GetRecords returned, 0 when it had caught up (CloudWatch: GetRecords.IteratorAgeMilliseconds).",
	}, metricLabels)
	if registerer == nil {
		return m, nil
	}
	for i, c := range m.collectors() {
		if err := registerer.Register(c); err != nil {
			for _, registered := range m.collectors()[:i] {
				registerer.Unregister(registered)
			}
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) collectors() []prometheus.Collector {
	all := make([]prometheus.Collector, 0, len(m.counters)+1)
	for _, c := range m.counters {
		all = append(all, c)
	}
	return append(all, m.age)
}

func (m *metrics) unregister() {
	if m.registerer == nil {
		return
	}
	for _, c := range m.collectors() {
		m.registerer.Unregister(c)
	}
}

// of gives a stream its metrics.
func (m *metrics) of(name Name) *streamMetrics {
	labels := []string{name.Account, name.Region, name.Name}
	counter := func(i int) prometheus.Counter { return m.counters[i].WithLabelValues(labels...) }
	return &streamMetrics{
		incomingBytes: counter(0), incomingRecords: counter(1),
		outgoingBytes: counter(2), outgoingRecords: counter(3),
		writeThrottled: counter(4), readThrottled: counter(5),
		iteratorAge: m.age.WithLabelValues(labels...),
	}
}

// drop removes a stream's metrics.
func (m *metrics) drop(name Name) {
	labels := []string{name.Account, name.Region, name.Name}
	for _, c := range m.counters {
		c.DeleteLabelValues(labels...)
	}
	m.age.DeleteLabelValues(labels...)
}
