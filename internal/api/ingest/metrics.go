package ingest

import "github.com/prometheus/client_golang/prometheus"

// metrics count what was written, by key. There are as many as keys and codes.
type metrics struct {
	records, bytes *prometheus.CounterVec
	failures       *prometheus.CounterVec
}

// senderMetrics are those of one key, looked up once.
type senderMetrics struct {
	records, bytes prometheus.Counter
	failures       map[string]prometheus.Counter // by code
}

func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		records: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_ingest_records_total",
			Help: "Records written by HTTP ingestion, by the API key's name.",
		}, []string{"key"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_ingest_bytes_total",
			Help: "Bytes of the data of the records written by HTTP ingestion.",
		}, []string{"key"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_ingest_failures_total",
			Help: "Records that HTTP ingestion refused, by the reason that the sender was told.",
		}, []string{"key", "reason"}),
	}
	if registerer == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.records, m.bytes, m.failures} {
		if err := registerer.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) of(key string) *senderMetrics {
	s := &senderMetrics{records: m.records.WithLabelValues(key), bytes: m.bytes.WithLabelValues(key), failures: map[string]prometheus.Counter{}}
	for _, code := range lineCodes {
		s.failures[code] = m.failures.WithLabelValues(key, code)
	}
	return s
}
