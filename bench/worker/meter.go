package worker

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-462d9463/sluice/bench/loadgen"
)

// meter counts what many goroutines do while it is on.
type meter struct {
	on    atomic.Bool
	began time.Time     // set before on
	some  chan struct{} // closed when something has been counted
	once  sync.Once     // of closing it
	parts [16]meterPart
}

// meterPart is shared by a few goroutines: one for each of a thousand would take 32 MiB, and a single one is a lock that
// all of them meet at.
type meterPart struct {
	mu      sync.Mutex // guards what follows
	latency loadgen.Histogram
	records int64
	bytes   int64
	_       [64]byte // keeps the locks apart
}

func newMeter() *meter { return &meter{some: make(chan struct{})} }

func (m *meter) start() {
	m.began = time.Now()
	m.on.Store(true)
}

// count takes note of records that took from a moment until now. who spreads the goroutines over the parts.
func (m *meter) count(who int, from time.Time, records, bytes int) {
	if !m.on.Load() {
		return
	}
	took := time.Since(from)
	p := &m.parts[who%len(m.parts)]
	p.mu.Lock()
	p.latency.Record(took)
	p.records += int64(records)
	p.bytes += int64(bytes)
	p.mu.Unlock()
	m.once.Do(func() { close(m.some) })
}

func (m *meter) stop() Result {
	m.on.Store(false)
	elapsed := time.Since(m.began)
	var latency loadgen.Histogram
	var r Result
	for i := range m.parts {
		p := &m.parts[i]
		p.mu.Lock()
		latency.Merge(&p.latency)
		r.Records += float64(p.records)
		r.Bytes += float64(p.bytes)
		p.mu.Unlock()
	}
	r.Seconds = elapsed.Seconds()
	r.P50, r.P99, r.P999 = microseconds(&latency, 0.5), microseconds(&latency, 0.99), microseconds(&latency, 0.999)
	return r
}
