package fanout

import (
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the consumers' counters, close to the names that CloudWatch gives them. A consumer that has not
// subscribed since the start has none.
type metrics struct {
	service    *Service
	registerer prometheus.Registerer

	sharedReads, ownReads atomic.Int64

	mu        sync.Mutex           // guards consumers
	consumers map[string]*counters // by consumers' IDs; no two that are there have the same name
}

// counters are one consumer's.
type counters struct {
	labels         []string // values of labels
	records, bytes atomic.Int64
}

var (
	labels = []string{"account", "region", "stream", "consumer"}

	subscriptionsDesc = prometheus.NewDesc("sluice_fanout_subscriptions",
		"Subscriptions that are open.", labels, nil)
	recordsDesc = prometheus.NewDesc("sluice_fanout_event_records_total",
		"Records pushed to subscribers (CloudWatch: SubscribeToShardEvent.Records).", labels, nil)
	bytesDesc = prometheus.NewDesc("sluice_fanout_event_bytes_total",
		"Bytes of data and partition keys pushed to subscribers (CloudWatch: SubscribeToShardEvent.Bytes).", labels, nil)
	behindDesc = prometheus.NewDesc("sluice_fanout_event_behind_latest_milliseconds",
		"Greatest age of the last record pushed over the open subscriptions, 0 if all have caught up (CloudWatch: maximum of SubscribeToShardEvent.MillisBehindLatest).", labels, nil)
	readsDesc = prometheus.NewDesc("sluice_fanout_reads_total",
		"Reads of logs for subscribers, by whom they were for: all that have caught up (shared), or one that has not (single).", []string{"for"}, nil)
	windowDesc = prometheus.NewDesc("sluice_fanout_window_bytes",
		"Memory for records that were read and not taken by all subscribers yet.", nil, nil)
)

func newMetrics(s *Service, registerer prometheus.Registerer) (*metrics, error) {
	m := &metrics{service: s, registerer: registerer, consumers: map[string]*counters{}}
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

func (m *metrics) of(c *Consumer) *counters {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := m.consumers[c.ID]
	if k == nil {
		k = &counters{labels: []string{c.Stream.Account, c.Stream.Region, c.Stream.Name, c.Name}}
		m.consumers[c.ID] = k
	}
	return k
}

// drop removes the counters of a consumer that is gone.
func (m *metrics) drop(c *Consumer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.consumers, c.ID)
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(descriptions chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{subscriptionsDesc, recordsDesc, bytesDesc, behindDesc, readsDesc, windowDesc} {
		descriptions <- d
	}
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(out chan<- prometheus.Metric) {
	type open struct{ count, behind int64 }
	subscriptions := map[string]open{}
	m.service.mu.Lock()
	for at, u := range m.service.subscriptions {
		select {
		case <-u.ended:
		default:
			o := subscriptions[at.consumerID]
			subscriptions[at.consumerID] = open{o.count + 1, max(o.behind, u.behind.Load())}
		}
	}
	m.service.mu.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, k := range m.consumers {
		for _, v := range []struct {
			desc  *prometheus.Desc
			kind  prometheus.ValueType
			value int64
		}{
			{subscriptionsDesc, prometheus.GaugeValue, subscriptions[id].count},
			{recordsDesc, prometheus.CounterValue, k.records.Load()},
			{bytesDesc, prometheus.CounterValue, k.bytes.Load()},
			{behindDesc, prometheus.GaugeValue, subscriptions[id].behind},
		} {
			out <- prometheus.MustNewConstMetric(v.desc, v.kind, float64(v.value), k.labels...)
		}
	}
	out <- prometheus.MustNewConstMetric(readsDesc, prometheus.CounterValue, float64(m.sharedReads.Load()), "shared")
	out <- prometheus.MustNewConstMetric(readsDesc, prometheus.CounterValue, float64(m.ownReads.Load()), "single")
	out <- prometheus.MustNewConstMetric(windowDesc, prometheus.GaugeValue, float64(m.service.windows.Load()))
}
