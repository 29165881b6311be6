package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/segmentio/kafka-go/protocol"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/kafka/kafkatest"
)

// onBoth runs a test on a fake, which is quick, and on a real broker, which is right.
func onBoth(t *testing.T, prefix string, test func(t *testing.T, opts Options)) {
	t.Run("Fake", func(t *testing.T) {
		opts := options(fake(t, 2).ListenAddrs())
		opts.TopicPrefix = prefix
		test(t, opts)
	})
	t.Run("Real", func(t *testing.T) {
		opts := options(one.Cluster(t).Addresses(kafkatest.Plain))
		opts.TopicPrefix = prefix
		test(t, opts)
	})
}

func awaitFailure(t *testing.T, e *Engine, want error) {
	t.Helper()
	select {
	case <-e.Failed():
	case <-within(t).Done():
		t.Fatal("the engine did not fail")
	}
	if err := e.Err(); !errors.Is(err, want) {
		t.Fatalf("the engine failed with %v, want %v", err, want)
	}
}

func TestOlderNodeStepsDownAndNothingIsLost(t *testing.T) {
	onBoth(t, "older.", func(t *testing.T, opts Options) {
		old := mustOpen(t, opts)
		t.Cleanup(func() { old.Close() })
		l := keepLedgerUntilFailure(t, old, "ledger", 3)
		l.more(30)
		idle := mustOpen(t, opts) // it takes over at once
		t.Cleanup(func() { idle.Close() })
		var logs []shard.Log
		for p := range 3 {
			logs = append(logs, openLog(t, idle, "ledger", p))
		}
		awaitFailure(t, old, ErrSuperseded)
		l.done.Wait()
		for p := range logs {
			mustAppend(t, logs[p], fmt.Sprintf("%d/9/%06d", p, 0))
			l.sent[p][fmt.Sprintf("%d/9/%06d", p, 0)] = true
		}
		l.check(logs)
		if err := old.Create(within(t), "late", 1); !errors.Is(err, ErrSuperseded) {
			t.Errorf("create on the older node: %v", err)
		}
	})
}

// TestOlderNodeStepsDownThoughBrokersDoNotFenceIt has two nodes with different producer ids, as when Kafka has forgotten
// the older one's: its appends are taken by the brokers, and must not be acknowledged.
func TestOlderNodeStepsDownThoughBrokersDoNotFenceIt(t *testing.T) {
	onBoth(t, "unfenced.", func(t *testing.T, opts Options) {
		for round := range 5 {
			topic := fmt.Sprint("ledger", round)
			opts.identity = fmt.Sprint("unfenced", 2*round)
			old := mustOpen(t, opts)
			t.Cleanup(func() { old.Close() })
			l := keepLedgerUntilFailure(t, old, topic, 3)
			for p := range l.logs { // readers see the new node's markers, too, and may be first
				l.done.Go(func() {
					for from := shard.Offset(0); l.logs[p].Wait(t.Context(), from) == nil; _, from = l.logs[p].Bounds() {
					}
				})
			}
			l.more(20)
			opts.identity = fmt.Sprint("unfenced", 2*round+1)
			e := mustOpen(t, opts)
			var logs []shard.Log
			for p := range 3 {
				logs = append(logs, openLog(t, e, topic, p))
			}
			awaitFailure(t, old, ErrSuperseded)
			l.done.Wait()
			l.check(logs)
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestIdleNodeNoticesThatItIsSuperseded has a node that does nothing, and would go on doing nothing.
func TestIdleNodeNoticesThatItIsSuperseded(t *testing.T) {
	onBoth(t, "idle.", func(t *testing.T, opts Options) {
		old := mustOpen(t, opts)
		t.Cleanup(func() { old.Close() })
		l := makeLog(t, old, "log")
		waiting := make(chan error, 1)
		go func() { waiting <- l.Wait(within(t), 1<<40) }()
		e := mustOpen(t, opts)
		t.Cleanup(func() { e.Close() })
		awaitFailure(t, old, ErrSuperseded)
		if err := <-waiting; !errors.Is(err, ErrSuperseded) {
			t.Errorf("wait: %v", err)
		}
	})
}

// rawBatch sends a batch of any producer to a log's partition, as a node could that knows nothing of us.
func rawBatch(t *testing.T, e *Engine, l *logState, pid int64, epoch int16, sequence int32, records ...shard.Record) produced {
	t.Helper()
	w := newBatchWriter(0)
	w.add(newPayload(records), time.Now().UnixMilli())
	batch := w.seal(pid, epoch, sequence)
	ctx := within(t)
	var out produced
	err := e.cluster.atLeader(ctx, "produce", l.topic.kafka, l.topic.id, l.partition, func(n *node) error {
		answer, err := n.raw(ctx, protocol.Produce, false, 0, encodeProduce([]batchToSend{{l.topic.kafka, int32(l.partition), batch}}, 10_000)...)
		if err != nil {
			return err
		}
		results, err := parseProduced(answer)
		if err == nil {
			out = results[0]
			if isRetriable(out.code) {
				err = asError(out.code, out.detail)
			}
		}
		return err
	})
	if err != nil {
		t.Fatalf("produce: %v", err)
	}
	return out
}

// TestWhatAnEarlierNodeWritesTooLateDoesNotCount plays a node whose producer id Kafka has forgotten, so that the brokers
// take its batch: only the places of the markers tell that it came too late.
func TestWhatAnEarlierNodeWritesTooLateDoesNotCount(t *testing.T) {
	onBoth(t, "late.", func(t *testing.T, opts Options) {
		e := mustOpen(t, opts)
		t.Cleanup(func() { e.Close() })
		const gone = 1 << 40 // a producer id of an earlier node
		e.control.mu.Lock()
		order := map[int64]int{gone: 1}
		for pid, n := range e.writers.all() {
			order[pid] = n + 1
		}
		e.writers.set(order)
		_, err := e.control.queueSnapshot()
		e.control.mu.Unlock()
		if err != nil {
			t.Fatal(err)
		}
		empty := makeLog(t, e, "empty")
		rawBatch(t, e, empty.(*logState), gone, 3, 0, shard.Record{Value: []byte("too late")})
		l := makeLog(t, e, "log")
		mustAppend(t, l, "a")
		for n := range 2 {
			if r := rawBatch(t, e, l.(*logState), gone, 3, int32(n), shard.Record{Value: []byte("too late")}); r.code != 0 {
				t.Fatalf("the broker did not take it: %v", asError(r.code, r.detail))
			}
		}
		at := mustAppend(t, l, "b")
		want := []string{"a", "b"}
		check := func() {
			t.Helper()
			records := readAll(t, l)
			if got := valuesOf(records); !slices.Equal(got, want) {
				t.Fatalf("read %q, want %q", got, want)
			}
			if got, err := l.Read(within(t), at.First-1, shard.Limit{}); err != nil || len(got) == 0 || string(got[0].Value) != "b" {
				t.Fatalf("read from what came too late: %q, %v", valuesOf(got), err)
			}
			if first, next := l.Bounds(); first != records[0].Offset || next != records[len(records)-1].Offset+1 {
				t.Fatalf("bounds are %d and %d", first, next)
			}
		}
		check()
		// The last word in the log is one that does not count.
		rawBatch(t, e, l.(*logState), gone, 3, 2, shard.Record{Value: []byte("too late")})
		for range 2 {
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
			e = mustOpen(t, opts)
			t.Cleanup(func() { e.Close() })
			l = openLog(t, e, "log", 0)
			check()
			empty = openLog(t, e, "empty", 0)
			first, next := empty.Bounds()
			if got := valuesOf(readAll(t, empty)); len(got) != 0 || first != next {
				t.Fatalf("the empty log has %q, and bounds %d and %d", got, first, next)
			}
		}
	})
}

func keepLedgerUntilFailure(t *testing.T, e *Engine, topic string, logs int) *ledger {
	l := keepLedger(t, e, topic, logs)
	l.failing = func(err error) bool { return errors.Is(err, ErrSuperseded) }
	return l
}

// TestStartMayEndAnywhere ends a start, and the opening of a log, at each of its reads and writes.
func TestStartMayEndAnywhere(t *testing.T) {
	opts := options(fake(t, 1).ListenAddrs())
	e := mustOpen(t, opts)
	l := makeLog(t, e, "log")
	at := mustAppend(t, l, "a", "b")
	if err := l.Trim(within(t), at.First+1); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	w := &wires{}
	broken := opts
	broken.dial = w.dial
	opened := 0
	for n := 1; opened < 3; n++ {
		ctx, cancel := context.WithCancel(t.Context())
		w.limit(n, cancel)
		e, err := Open(ctx, broken)
		if err == nil {
			_, err = e.Open(ctx, "log", 0)
			w.limit(0, nil)
			if err == nil {
				opened++
			}
			e.kill()
		}
		cancel()
		w.limit(0, nil)
	}
	e = mustOpen(t, opts)
	t.Cleanup(func() { e.Close() })
	if got := valuesOf(readAll(t, openLog(t, e, "log", 0))); !slices.Equal(got, []string{"b"}) {
		t.Fatalf("read %q", got)
	}
}
