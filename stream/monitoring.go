package stream

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// ShardMetrics is a set of metrics that are kept for each shard of a stream.
type ShardMetrics uint8

// The metrics that there are, by the names that CloudWatch gives them.
const (
	IncomingBytes ShardMetrics = 1 << iota
	IncomingRecords
	OutgoingBytes
	OutgoingRecords
	WriteProvisionedThroughputExceeded
	ReadProvisionedThroughputExceeded
	IteratorAgeMilliseconds

	AllShardMetrics ShardMetrics = 1<<iota - 1
)

var shardMetricNames = []string{
	"IncomingBytes", "IncomingRecords", "OutgoingBytes", "OutgoingRecords",
	"WriteProvisionedThroughputExceeded", "ReadProvisionedThroughputExceeded", "IteratorAgeMilliseconds",
}

// ShardMetricsOf is the set of the named metrics, without names that are none.
func ShardMetricsOf(names []string) (set ShardMetrics) {
	for _, name := range names {
		if i := slices.Index(shardMetricNames, name); i >= 0 {
			set |= 1 << i
		}
	}
	return set
}

// Names are those of the metrics in the set, never nil.
func (m ShardMetrics) Names() []string {
	names := []string{}
	for i, name := range shardMetricNames {
		if m&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// shardCounters are one shard's, while its stream is monitored. They outlive the stream's revisions.
type shardCounters struct {
	incomingBytes, incomingRecords atomic.Int64
	outgoingBytes, outgoingRecords atomic.Int64
	writeThrottled, readThrottled  atomic.Int64
	iteratorAge                    recentMax
}

// maxMonitoredShards is how many shards there can be metrics of at a time. Those of streams that come later have none.
const maxMonitoredShards = 10_000

// monitored are the metrics of one stream's shards.
type monitored struct {
	set    ShardMetrics
	shards []monitoredShard
}

type monitoredShard struct {
	id       string
	counters *shardCounters
}

// shardMetrics are what Collect makes of a shard's counters, in the order of the bits of ShardMetrics. The last one is
// the iterator's age.
var shardMetrics = []struct {
	desc *prometheus.Desc
	of   func(*shardCounters) *atomic.Int64
}{
	{describeShard("incoming_bytes_total", "Bytes of data and partition keys written (CloudWatch: IncomingBytes)."),
		func(c *shardCounters) *atomic.Int64 { return &c.incomingBytes }},
	{describeShard("incoming_records_total", "Records written (CloudWatch: IncomingRecords)."),
		func(c *shardCounters) *atomic.Int64 { return &c.incomingRecords }},
	{describeShard("outgoing_bytes_total", "Bytes of data and partition keys read by GetRecords (CloudWatch: OutgoingBytes)."),
		func(c *shardCounters) *atomic.Int64 { return &c.outgoingBytes }},
	{describeShard("outgoing_records_total", "Records read by GetRecords (CloudWatch: OutgoingRecords)."),
		func(c *shardCounters) *atomic.Int64 { return &c.outgoingRecords }},
	{describeShard("write_provisioned_throughput_exceeded_total", "Records refused because the write limit was used up (CloudWatch: WriteProvisionedThroughputExceeded)."),
		func(c *shardCounters) *atomic.Int64 { return &c.writeThrottled }},
	{describeShard("read_provisioned_throughput_exceeded_total", "Reads refused because the read limit was used up (CloudWatch: ReadProvisionedThroughputExceeded)."),
		func(c *shardCounters) *atomic.Int64 { return &c.readThrottled }},
}

var shardIteratorAge = describeShard("iterator_age_milliseconds",
	"Greatest age of the last record that a GetRecords of the last one to two minutes returned, 0 if all had caught up (CloudWatch: maximum of IteratorAgeMilliseconds).")

func describeShard(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("sluice_shard_"+name, "Of a shard with enhanced monitoring: "+help,
		[]string{"account", "region", "stream", "shard"}, nil)
}

// monitor begins or ends to count for each open shard of a stream, as its settings say. What was counted goes with it.
func (m *metrics) monitor(name Name, st *stream) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.countedShards -= len(m.monitored[name].shards)
	delete(m.monitored, name)
	now := monitored{set: st.definition.Monitoring}
	for i, p := range st.partitions {
		sh := &st.definition.Shards[i]
		if now.set == 0 || !sh.Open() || m.countedShards+len(now.shards) >= maxMonitoredShards {
			p.counters.Store(nil)
			continue
		}
		counters := p.counters.Load()
		if counters == nil {
			counters = new(shardCounters)
			p.counters.Store(counters)
		}
		now.shards = append(now.shards, monitoredShard{sh.ID, counters})
	}
	if now.set == 0 {
		return
	}
	m.monitored[name] = now
	m.countedShards += len(now.shards)
}

// collectShards does Collect's work for shards; mu is held.
func (m *metrics) collectShards(out chan<- prometheus.Metric, now time.Time) {
	for name, stream := range m.monitored {
		for _, sh := range stream.shards {
			for i := range shardMetrics {
				if stream.set&(1<<i) != 0 {
					out <- prometheus.MustNewConstMetric(shardMetrics[i].desc, prometheus.CounterValue,
						float64(shardMetrics[i].of(sh.counters).Load()), name.Account, name.Region, name.Name, sh.id)
				}
			}
			if age, ok := sh.counters.iteratorAge.get(now); ok && stream.set&IteratorAgeMilliseconds != 0 {
				out <- prometheus.MustNewConstMetric(shardIteratorAge, prometheus.GaugeValue, float64(age),
					name.Account, name.Region, name.Name, sh.id)
			}
		}
	}
}
