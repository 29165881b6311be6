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

// refuseTrims has brokers not do what DeleteRecords asks.
func refuseTrims(cluster *kfake.Cluster) {
	const notLeader = 6
	cluster.ControlKey(int16(kmsg.DeleteRecords), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		answer := request.ResponseKind().(*kmsg.DeleteRecordsResponse)
		for _, topic := range request.(*kmsg.DeleteRecordsRequest).Topics {
			for _, p := range topic.Partitions {
				failed := kmsg.NewDeleteRecordsResponseTopicPartition()
				failed.Partition, failed.ErrorCode = p.Partition, notLeader
				answer.Topics = append(answer.Topics, kmsg.DeleteRecordsResponseTopic{Topic: topic.Topic,
					Partitions: []kmsg.DeleteRecordsResponseTopicPartition{failed}})
			}
		}
		return answer, nil, true
	})
}

// outOfRange answers a Fetch of the control topic: there is no such offset.
func outOfRange(request kmsg.Request) kmsg.Response {
	p := kmsg.NewFetchResponseTopicPartition()
	p.ErrorCode = codeOffsetOutOfRange
	answer := request.ResponseKind().(*kmsg.FetchResponse)
	answer.Topics = []kmsg.FetchResponseTopic{{Topic: controlName, Partitions: []kmsg.FetchResponseTopicPartition{p}}}
	return answer
}

// TestStartForgetsWhatItReadBeforeATrim has what is before the second node's snapshot be dropped when the third one has read the
// first one's marker only. The nodes have different producer ids.
func TestStartForgetsWhatItReadBeforeATrim(t *testing.T) {
	cluster := fake(t, 1)
	refuseTrims(cluster)
	opts := options(cluster.ListenAddrs())
	opts.identity = "first"
	e := mustOpen(t, opts)
	makeLog(t, e, "old")
	e.kill()
	opts.identity = "second"
	e = mustOpen(t, opts)
	mustAppend(t, makeLog(t, e, "log"), "a", "b")
	snapshot, _ := e.control.Bounds()
	e.kill()
	var fetches atomic.Int32
	cluster.ControlKey(int16(kmsg.Fetch), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		r := request.(*kmsg.FetchRequest)
		if len(r.Topics) != 1 || r.Topics[0].Topic != controlName {
			return nil, nil, false
		}
		switch fetches.Add(1) {
		case 1: // a single batch
			r.MaxBytes, r.Topics[0].Partitions[0].PartitionMaxBytes = 1, 1
		case 2:
			beginsAt(cluster, controlName, int64(snapshot)) // for load, and then for loadBefore
			beginsAt(cluster, controlName, int64(snapshot))
			return outOfRange(request), nil, true
		}
		return nil, nil, false
	})
	opts.identity = "third"
	e = mustOpen(t, opts)
	t.Cleanup(func() { e.Close() })
	if got := valuesOf(readAll(t, openLog(t, e, "log", 0))); !slices.Equal(got, []string{"a", "b"}) {
		t.Fatalf("read %q", got)
	}
}

// TestStartFailsWhenTheControlTopicIsCut has Kafka refuse an offset though nothing has been dropped.
func TestStartFailsWhenTheControlTopicIsCut(t *testing.T) {
	cluster := fake(t, 1)
	opts := options(cluster.ListenAddrs())
	e := mustOpen(t, opts)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	cluster.ControlKey(int16(kmsg.Fetch), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		return outOfRange(request), nil, true
	})
	e, err := Open(within(t), opts)
	if err == nil {
		e.Close()
	}
	if !errors.Is(err, errOutside) {
		t.Fatalf("open: %v, want %v", err, errOutside)
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
