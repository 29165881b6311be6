package kafka

import (
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestTrimsDoNotGoBackWhenKafkaForgetsThem has a broker that does not do what DeleteRecords asks, as one that was killed
// has not done it.
func TestTrimsDoNotGoBackWhenKafkaForgetsThem(t *testing.T) {
	cluster := fake(t, 1)
	cluster.ControlKey(int16(kmsg.DeleteRecords), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		answer := request.ResponseKind().(*kmsg.DeleteRecordsResponse)
		for _, topic := range request.(*kmsg.DeleteRecordsRequest).Topics {
			for _, p := range topic.Partitions {
				failed := kmsg.NewDeleteRecordsResponseTopicPartition()
				failed.Partition, failed.ErrorCode = p.Partition, 7
				answer.Topics = append(answer.Topics, kmsg.DeleteRecordsResponseTopic{Topic: topic.Topic,
					Partitions: []kmsg.DeleteRecordsResponseTopicPartition{failed}})
			}
		}
		return answer, nil, true
	})
	opts := options(cluster.ListenAddrs())
	e := mustOpen(t, opts)
	l := makeLog(t, e, "log")
	at := mustAppend(t, l, "a", "b", "c")
	if err := l.Trim(within(t), at.First+1); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		e.kill()
		e = mustOpen(t, opts)
		l = openLog(t, e, "log", 0)
		if got := valuesOf(readAll(t, l)); !slices.Equal(got, []string{"b", "c"}) {
			t.Fatalf("read %q", got)
		}
		if first, _ := l.Bounds(); first != at.First+1 {
			t.Fatalf("the log begins at %d, was trimmed before %d", first, at.First+1)
		}
	}
	t.Cleanup(func() { e.Close() })
}
