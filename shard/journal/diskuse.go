package journal

import "github.com/prometheus/client_golang/prometheus"

// diskUse tells what the files take, by kind. It adds up the table when somebody looks, a few milliseconds for ten
// thousand logs, so that nothing need be counted while records are written.
type diskUse struct{ e *Engine }

var diskUseDesc = prometheus.NewDesc("sluice_journal_disk_bytes",
	"Bytes of files by kind: journal, active, sealed and compressed segments, snapshots.", []string{"kind"}, nil)

// Describe implements prometheus.Collector.
func (d diskUse) Describe(out chan<- *prometheus.Desc) { out <- diskUseDesc }

// Collect implements prometheus.Collector.
func (d diskUse) Collect(out chan<- prometheus.Metric) {
	for kind, bytes := range d.byKind() {
		out <- prometheus.MustNewConstMetric(diskUseDesc, prometheus.GaugeValue, float64(bytes), kind)
	}
}

func (d diskUse) byKind() map[string]int64 {
	active, sealed, compressed := int64(0), int64(0), int64(0)
	t := d.e.table
	t.mu.RLock()
	for _, tp := range t.topics {
		for _, l := range tp.logs {
			l.mu.Lock()
			for i := range l.segments {
				switch s := &l.segments[i]; {
				case !s.sealed:
					active += s.diskBytes()
				case s.compressed():
					compressed += s.diskBytes()
				default:
					sealed += s.diskBytes()
				}
			}
			l.mu.Unlock()
		}
	}
	t.mu.RUnlock()
	return map[string]int64{
		"journal": d.e.journal.bytes(), "active": active, "sealed": sealed, "compressed": compressed, "snapshot": d.e.flusher.snapshotBytes.Load(),
	}
}
