package kafka

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed-462d9463/sluice/shard"
)

// beginsAt has the brokers answer the next question where a topic begins with an offset.
func beginsAt(cluster *kfake.Cluster, topic string, offset int64) (asked *atomic.Bool) {
	asked = new(atomic.Bool)
	cluster.ControlKey(int16(kmsg.ListOffsets), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		r := request.(*kmsg.ListOffsetsRequest)
		if r.Topics[0].Topic != topic || r.Topics[0].Partitions[0].Timestamp != earliest || !asked.CompareAndSwap(false, true) {
			return nil, nil, false
		}
		p := kmsg.NewListOffsetsResponseTopicPartition()
		p.Offset = offset
		answer := request.ResponseKind().(*kmsg.ListOffsetsResponse)
		answer.Topics = []kmsg.ListOffsetsResponseTopic{{Topic: topic, Partitions: []kmsg.ListOffsetsResponseTopicPartition{p}}}
		return answer, nil, true
	})
	return asked
}

// awaitTrim waits until Kafka has dropped records of a log.
func awaitTrim(t *testing.T, l *logState, before shard.Offset) {
	t.Helper()
	ctx := within(t)
	for {
		begin, err := l.offsetAt(ctx, earliest)
		if err != nil {
			t.Fatal(err)
		}
		if begin >= before {
			return
		}
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			t.Fatalf("Kafka has not dropped what is before %d of %s: it begins at %d", before, l, begin)
		}
	}
}

// TestStartWhileTheControlTopicIsBeingTrimmed has what an earlier node wanted to be dropped be dropped between the
// question where the control topic begins and the first read.
func TestStartWhileTheControlTopicIsBeingTrimmed(t *testing.T) {
	cluster := fake(t, 1)
	opts := options(cluster.ListenAddrs())
	e := mustOpen(t, opts)
	mustAppend(t, makeLog(t, e, "log"), "a", "b")
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = mustOpen(t, opts) // its snapshot replaces what the first one wrote
	awaitTrim(t, e.control.logState, 2)
	e.kill()
	asked := beginsAt(cluster, controlName, 0)
	e = mustOpen(t, opts)
	t.Cleanup(func() { e.Close() })
	if !asked.Load() {
		t.Fatal("the control topic was read without the question where it begins")
	}
	if got := valuesOf(readAll(t, openLog(t, e, "log", 0))); !slices.Equal(got, []string{"a", "b"}) {
		t.Fatalf("read %q", got)
	}
}

// TestStartOfANodeThatIsSupersededMeanwhile has another node replace all that is in the control topic, this one's marker
// too, before this one reads it.
func TestStartOfANodeThatIsSupersededMeanwhile(t *testing.T) {
	cluster := fake(t, 1)
	beginsAt(cluster, controlName, 1000)
	e, err := Open(context.Background(), options(cluster.ListenAddrs()))
	if err == nil {
		e.Close()
	}
	if !errors.Is(err, ErrSuperseded) {
		t.Fatalf("open: %v, want %v", err, ErrSuperseded)
	}
}

// TestLogIsTakenOverWhileItIsBeingTrimmed has Kafka drop the first of a log's records between the question where it
// begins and the search for its last record.
func TestLogIsTakenOverWhileItIsBeingTrimmed(t *testing.T) {
	cluster := fake(t, 1)
	opts := options(cluster.ListenAddrs())
	e := mustOpen(t, opts)
	l := makeLog(t, e, "log").(*logState)
	at := mustAppend(t, l, "a", "b")
	if err := l.Trim(within(t), at.First+2); err != nil {
		t.Fatal(err)
	}
	awaitTrim(t, l, at.First+2)
	e.kill()
	e = mustOpen(t, opts)
	t.Cleanup(func() { e.Close() })
	asked := beginsAt(cluster, l.topic.kafka, 0)
	// As when the control topic did not say how much was trimmed: Kafka did it by itself.
	e.control.mu.Lock()
	e.control.state.topics["log"].Logs[0].First = 0
	e.control.mu.Unlock()
	taken := openLog(t, e, "log", 0)
	if !asked.Load() {
		t.Fatal("the log was opened without the question where it begins")
	}
	if got := readAll(t, taken); len(got) > 0 {
		t.Fatalf("read %q", valuesOf(got))
	}
}
