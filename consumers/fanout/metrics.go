package fanout

import (
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed-462d9463/sluice/stream"
)

// metrics are the consumers' counters, close to the names that CloudWatch gives them. A consumer that has not
// subscribed since the start has none.
type metrics struct {
	service    *Service
	registerer prometheus.Registerer

	sharedReads, ownReads atomic.Int64

	mu        sync.Mutex // guards consumers
	consumers map[counted]*counters
}

// counted is what a consumer is called in the metrics, where each name may be there once.
type counted struct {
	stream   stream.Name
	consumer string
}

// counters are one consumer's.
type counters struct {
	id             string // the consumer's
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
	m := &metrics{service: s, registerer: registerer, consumers: map[counted]*counters{}}
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
	name := counted{c.Stream, c.Name}
	k := m.consumers[name]
	if k == nil || k.id != c.ID {
		k = &counters{id: c.ID}
		m.consumers[name] = k
	}
	return k
}

// drop removes the counters of a consumer that is gone.
func (m *metrics) drop(c *Consumer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	name := counted{c.Stream, c.Name}
	if k := m.consumers[name]; k != nil && k.id == c.ID {
		delete(m.consumers, name)
	}
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
	for name, k := range m.consumers {
		values := []string{name.stream.Account, name.stream.Region, name.stream.Name, name.consumer}
		for _, v := range []struct {
			desc  *prometheus.Desc
			kind  prometheus.ValueType
			value int64
		}{
			{subscriptionsDesc, prometheus.GaugeValue, subscriptions[k.id].count},
			{recordsDesc, prometheus.CounterValue, k.records.Load()},
			{bytesDesc, prometheus.CounterValue, k.bytes.Load()},
			{behindDesc, prometheus.GaugeValue, subscriptions[k.id].behind},
		} {
			out <- prometheus.MustNewConstMetric(v.desc, v.kind, float64(v.value), values...)
		}
	}
	out <- prometheus.MustNewConstMetric(readsDesc, prometheus.CounterValue, float64(m.sharedReads.Load()), "shared")
	out <- prometheus.MustNewConstMetric(readsDesc, prometheus.CounterValue, float64(m.ownReads.Load()), "single")
	out <- prometheus.MustNewConstMetric(windowDesc, prometheus.GaugeValue, float64(m.service.windows.Load()))
}
