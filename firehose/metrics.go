package firehose

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// collector gives the metrics of all delivery streams, under CloudWatch's names for Firehose in Prometheus's
// spelling. It asks for Stats when it is asked, so that no delivery pays for it, and a delivery stream that is
// deleted takes its metrics along.
type collector struct {
	service *Service
	all     []metric
}

type metric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(s Stats, now time.Time) float64
}

func newCollector(s *Service) *collector {
	c := &collector{service: s}
	add := func(name, help string, kind prometheus.ValueType, value func(Stats, time.Time) float64) {
		desc := prometheus.NewDesc("sluice_firehose_"+name, help, []string{"account", "region", "delivery_stream"}, nil)
		c.all = append(c.all, metric{desc: desc, kind: kind, value: value})
	}
	counter := func(name, help string, value func(Stats) int64) {
		add(name, help, prometheus.CounterValue, func(s Stats, _ time.Time) float64 { return float64(value(s)) })
	}
	gauge := func(name, help string, value func(Stats, time.Time) float64) {
		add(name, help, prometheus.GaugeValue, value)
	}
	counter("incoming_put_requests_total", "Direct puts acknowledged.", func(s Stats) int64 { return s.IncomingRequests })
	counter("incoming_records_total", "Records of direct puts acknowledged.", func(s Stats) int64 { return s.IncomingRecords })
	counter("incoming_bytes_total", "Bytes of direct puts acknowledged.", func(s Stats) int64 { return s.IncomingBytes })
	counter("delivery_to_s3_success_total", "Objects delivered, since the delivery stream was created.", func(s Stats) int64 { return s.DeliveredObjects })
	counter("delivery_to_s3_records_total", "Records delivered, since the delivery stream was created.", func(s Stats) int64 { return s.DeliveredRecords })
	counter("delivery_to_s3_bytes_total", "Bytes delivered before compression, since the delivery stream was created.", func(s Stats) int64 { return s.DeliveredBytes })
	counter("delivery_to_s3_failures_total", "Attempts to deliver an object that failed.", func(s Stats) int64 { return s.Failures })
	counter("lost_records_total", "Records that their source dropped before they were delivered, since the delivery stream was created.", func(s Stats) int64 { return s.LostRecords })
	gauge("delivery_to_s3_data_freshness_seconds", "Age of the oldest record that is not delivered.",
		func(s Stats, now time.Time) float64 { return s.Lag(now).Seconds() })
	gauge("delivery_to_s3_last_success_seconds", "Time since the last delivery, or since the start.",
		func(s Stats, now time.Time) float64 { return max(0, now.Sub(s.LastSuccess).Seconds()) })
	gauge("buffered_records", "Records that are not delivered.",
		func(s Stats, _ time.Time) float64 { return float64(s.BufferedRecords) })
	gauge("buffered_bytes", "Bytes of those among them that have been scanned.",
		func(s Stats, _ time.Time) float64 { return float64(s.BufferedBytes) })
	gauge("open_objects", "Objects that are decided on and not in their bucket yet.",
		func(s Stats, _ time.Time) float64 { return float64(s.OpenObjects) })
	return c
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(descs chan<- *prometheus.Desc) {
	for _, m := range c.all {
		descs <- m.desc
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(metrics chan<- prometheus.Metric) {
	c.service.mu.RLock()
	deliveries := make([]*delivery, 0, len(c.service.deliveries))
	for _, d := range c.service.deliveries {
		deliveries = append(deliveries, d)
	}
	c.service.mu.RUnlock()
	now := time.Now()
	for _, d := range deliveries {
		stats := d.stats()
		for _, m := range c.all {
			metrics <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value(stats, now), d.name.Account, d.name.Region, d.name.Name)
		}
	}
}

func (s *Service) register() error {
	if s.registerer == nil {
		return nil
	}
	s.metrics = newCollector(s)
	if err := s.registerer.Register(s.metrics); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	return nil
}

func (s *Service) unregister() {
	if s.metrics != nil {
		s.registerer.Unregister(s.metrics)
	}
}
