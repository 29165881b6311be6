package edge

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of the edge. Without a registerer they count for nobody.
type metrics struct {
	requests *prometheus.CounterVec // by service, operation and code
	seconds  *prometheus.HistogramVec
	received *prometheus.CounterVec
	sent     *prometheus.CounterVec
	inFlight prometheus.Gauge
	panics   prometheus.Counter
}

func newMetrics(registerer prometheus.Registerer, requests, answers *Budget) (*metrics, error) {
	labels := []string{"service", "operation"}
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_api_requests_total",
			Help: "Requests answered, by AWS error code, or OK.",
		}, append(labels, "code")),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "sluice_api_request_duration_seconds",
			Help:    "Time from a request's headers to its answer, or to the beginning of an answer that goes on.",
			Buckets: prometheus.ExponentialBuckets(0.00025, 4, 10),
		}, labels),
		received: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_api_received_bytes_total",
			Help: "Bytes of request bodies.",
		}, labels),
		sent: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_api_sent_bytes_total",
			Help: "Bytes of response bodies.",
		}, labels),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "sluice_api_requests_in_flight",
			Help: "Requests being served.",
		}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "sluice_api_panics_total",
			Help: "Requests that failed by a defect in Sluice; the log has the stack.",
		}),
	}
	if registerer == nil {
		return m, nil
	}
	reserved := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "sluice_api_memory_reserved_bytes",
		Help: "Memory that requests and answers in flight hold.",
	}, func() float64 { return float64(requests.Used() + answers.Used()) })
	for _, c := range []prometheus.Collector{m.requests, m.seconds, m.received, m.sent, m.inFlight, m.panics, reserved} {
		if err := registerer.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// operationMetrics are the metrics of one operation, looked up once.
type operationMetrics struct {
	metrics            *metrics
	service, operation string
	ok                 prometheus.Counter
	seconds            prometheus.Observer
	received, sent     prometheus.Counter
	faults             sync.Map // code → prometheus.Counter
}

func (m *metrics) of(service, operation string) *operationMetrics {
	return &operationMetrics{
		metrics: m, service: service, operation: operation,
		ok:       m.requests.WithLabelValues(service, operation, "OK"),
		seconds:  m.seconds.WithLabelValues(service, operation),
		received: m.received.WithLabelValues(service, operation),
		sent:     m.sent.WithLabelValues(service, operation),
	}
}

// done counts an answer. Codes come from our own tables, so there are few of them.
func (o *operationMetrics) done(code string, took time.Duration, received, sent int) {
	o.seconds.Observe(took.Seconds())
	o.received.Add(float64(received))
	o.sent.Add(float64(sent))
	if code == "" {
		o.ok.Inc()
		return
	}
	counter, found := o.faults.Load(code)
	if !found {
		counter, _ = o.faults.LoadOrStore(code, o.metrics.requests.WithLabelValues(o.service, o.operation, code))
	}
	counter.(prometheus.Counter).Inc()
}
