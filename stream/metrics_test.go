package stream

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestMetricsCountWhatCloudWatchCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, nil)
		name := w.create("clicks", CreateOptions{Shards: 1})
		w.put(name, Entry{PartitionKey: "key", Data: make([]byte, 97)}, Entry{PartitionKey: "key", Data: make([]byte, 997)})
		if r, err := w.Put(context.Background(), name, []Entry{{PartitionKey: "key", Data: make([]byte, 1<<20-3)}}); err != nil || !errors.Is(r[0].Err, ErrThroughputExceeded) {
			t.Fatal(r, err)
		}
		time.Sleep(3 * time.Second)
		p := w.startAt(name, ShardID(0), StartAt{Type: TrimHorizon})
		if _, err := w.Read(context.Background(), name, p, 1, nil); err != nil {
			t.Fatal(err)
		}
		for range 6 {
			if _, err := w.Read(context.Background(), name, p, 1, nil); err != nil && !errors.Is(err, ErrThroughputExceeded) {
				t.Fatal(err)
			}
		}
		const labels = `{account="123456789012",region="eu-west-1",stream="clicks"}`
		var want strings.Builder
		for _, m := range []struct{ name, kind, help, value string }{
			{"get_records_iterator_age_milliseconds", "gauge", "Greatest age of the last record that a GetRecords of the last one to two minutes returned, 0 if all had caught up (CloudWatch: maximum of GetRecords.IteratorAgeMilliseconds).", "3000"},
			{"incoming_bytes_total", "counter", "Bytes of data and partition keys written (CloudWatch: IncomingBytes).", "1100"},
			{"incoming_records_total", "counter", "Records written (CloudWatch: IncomingRecords).", "2"},
			{"outgoing_bytes_total", "counter", "Bytes of data and partition keys read by GetRecords (CloudWatch: GetRecords.Bytes).", "500"},
			{"outgoing_records_total", "counter", "Records read by GetRecords (CloudWatch: GetRecords.Records).", "5"},
			{"read_throttled_total", "counter", "Reads refused because their shard's read limit was used up (CloudWatch: ReadProvisionedThroughputExceeded).", "2"},
			{"write_throttled_total", "counter", "Records refused because their shard's write limit was used up (CloudWatch: WriteProvisionedThroughputExceeded).", "1"},
		} {
			full := "sluice_stream_" + m.name
			want.WriteString("# HELP " + full + " " + m.help + "\n# TYPE " + full + " " + m.kind + "\n" + full + labels + " " + m.value + "\n")
		}
		if err := testutil.GatherAndCompare(w.registry, strings.NewReader(want.String())); err != nil {
			t.Error(err)
		}
		// Whoever has caught up does not hide who lags behind, for a while; without readers there is no age.
		if _, err := w.Read(context.Background(), name, w.startAt(name, ShardID(0), StartAt{Type: Latest}), 1, nil); err == nil {
			t.Error("a sixth read within a second")
		}
		time.Sleep(time.Second)
		w.read(name, w.startAt(name, ShardID(0), StartAt{Type: Latest}))
		age := func() (values []float64) {
			families, err := w.registry.Gather()
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range families {
				if strings.HasSuffix(f.GetName(), "iterator_age_milliseconds") {
					values = append(values, f.GetMetric()[0].GetGauge().GetValue())
				}
			}
			return values
		}
		if got := age(); !slices.Equal(got, []float64{3000}) {
			t.Errorf("iterator age %v", got)
		}
		time.Sleep(2 * time.Minute)
		if got := age(); len(got) != 0 {
			t.Errorf("iterator age %v long after the last read", got)
		}
		w.read(name, w.startAt(name, ShardID(0), StartAt{Type: Latest}))
		if got := age(); !slices.Equal(got, []float64{0}) {
			t.Errorf("iterator age %v when all have caught up", got)
		}
		if err := w.Delete(context.Background(), name); err != nil {
			t.Fatal(err)
		}
		if n, err := testutil.GatherAndCount(w.registry); n != 0 || err != nil {
			t.Errorf("%d series are left of a deleted stream, %v", n, err)
		}
	})
}
