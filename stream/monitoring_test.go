package stream

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// shardSeries are the metrics of shards that there are now, by name and shard.
func (w *world) shardSeries() map[string]float64 {
	w.t.Helper()
	families, err := w.registry.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	series := map[string]float64{}
	for _, f := range families {
		name, ok := strings.CutPrefix(f.GetName(), "sluice_shard_")
		if !ok {
			continue
		}
		for _, m := range f.Metric {
			for _, l := range m.Label {
				if l.GetName() == "shard" {
					series[name+" "+l.GetValue()] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
				}
			}
		}
	}
	return series
}

func TestShardsHaveMetricsWhileTheirStreamIsMonitored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, nil)
		name := w.create("clicks", CreateOptions{Shards: 2})
		first := HashKey{}
		w.put(name, Entry{PartitionKey: "key", Data: make([]byte, 97), HashKey: &first})
		if series := w.shardSeries(); len(series) != 0 {
			t.Errorf("without monitoring: %v", series)
		}
		w.amend(name, func(s *Settings) { s.Monitoring = AllShardMetrics })
		w.put(name, Entry{PartitionKey: "key", Data: make([]byte, 97), HashKey: &first})
		p := w.startAt(name, ShardID(0), StartAt{Type: TrimHorizon})
		time.Sleep(2 * time.Second)
		for range 6 {
			_, _ = w.Read(context.Background(), name, p, 1, nil)
		}
		_, _ = w.Put(context.Background(), name, []Entry{{PartitionKey: "k", Data: make([]byte, 1<<20-1), HashKey: &first}, {PartitionKey: "k", HashKey: &first}})
		series := w.shardSeries()
		for what, want := range map[string]float64{
			"incoming_bytes_total":                        100 + 1<<20,
			"incoming_records_total":                      2,
			"outgoing_bytes_total":                        500,
			"outgoing_records_total":                      5,
			"write_provisioned_throughput_exceeded_total": 1,
			"read_provisioned_throughput_exceeded_total":  1,
			"iterator_age_milliseconds":                   2000,
		} {
			if got, ok := series[what+" "+ShardID(0)]; !ok || got != want {
				t.Errorf("%s is %v, want %v", what, got, want)
			}
			if got, ok := series[what+" "+ShardID(1)]; got != 0 || !ok && what != "iterator_age_milliseconds" {
				t.Errorf("%s of the other shard is %v", what, got)
			}
		}
		w.amend(name, func(s *Settings) { s.Monitoring &^= IncomingBytes })
		series = w.shardSeries()
		if _, there := series["incoming_bytes_total "+ShardID(0)]; there || series["incoming_records_total "+ShardID(0)] != 2 {
			t.Errorf("without one metric: %v", series)
		}
		w.amend(name, func(s *Settings) { s.Monitoring = 0 })
		if series := w.shardSeries(); len(series) != 0 {
			t.Errorf("no longer monitored: %v", series)
		}
		w.amend(name, func(s *Settings) { s.Monitoring = IncomingRecords })
		if err := w.Delete(context.Background(), name); err != nil {
			t.Fatal(err)
		}
		if series := w.shardSeries(); len(series) != 0 {
			t.Errorf("of a deleted stream: %v", series)
		}
		w.stopAll()
	})
}

func TestMetricsOfShardsAreBounded(t *testing.T) {
	w := newWorld(t, nil, nil)
	for _, name := range []string{"a", "b", "c"} {
		w.amend(w.create(name, CreateOptions{Shards: 4000}), func(s *Settings) { s.Monitoring = IncomingBytes })
	}
	counted := 0
	for _, m := range w.metrics.monitored {
		counted += len(m.shards)
	}
	if counted != maxMonitoredShards || counted != w.metrics.countedShards {
		t.Errorf("%d shards have metrics, %d counted", counted, w.metrics.countedShards)
	}
}
