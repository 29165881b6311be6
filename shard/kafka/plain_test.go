package kafka

import (
	"context"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/kafka/kafkatest"
)

// plainClient is any other Kafka client.
func plainClient(t *testing.T) *kafkago.Client { return one.Cluster(t).Client(t) }

func plainProduce(t *testing.T, topic string, compression kafkago.Compression, values ...string) int64 {
	t.Helper()
	var records []kafkago.Record
	for _, v := range values {
		records = append(records, kafkago.Record{Key: kafkago.NewBytes([]byte("key of " + v)), Value: kafkago.NewBytes([]byte(v)),
			Headers: []kafkago.Header{{Key: "from", Value: []byte("a plain producer")}}})
	}
	answer, err := plainClient(t).Produce(within(t), &kafkago.ProduceRequest{Topic: topic, RequiredAcks: kafkago.RequireAll,
		Compression: compression, Records: kafkago.NewRecordReader(records...)})
	if err == nil {
		err = answer.Error
	}
	if err != nil {
		t.Fatalf("produce: %v", err)
	}
	return answer.BaseOffset
}

// TestPlainClientsReadAndWriteBeside has a plain Kafka producer write, compressed in every way, between appends, and a
// plain consumer read what was appended.
func TestPlainClientsReadAndWriteBeside(t *testing.T) {
	opts := options(one.Cluster(t).Addresses(kafkatest.Plain))
	opts.TopicPrefix = "plain."
	e := mustOpen(t, opts)
	t.Cleanup(func() { e.Close() })
	l := makeLog(t, e, "log")
	var want []string
	for i := range 5 {
		// A reader waits, and nobody but the plain producer writes.
		_, next := l.Bounds()
		waiting := make(chan error, 1)
		go func() { waiting <- l.Wait(within(t), next) }()
		foreign := []string{fmt.Sprintf("foreign %d", i), fmt.Sprintf("its twin %d", i)}
		plainProduce(t, "plain.log", kafkago.Compression(i), foreign...)
		if err := <-waiting; err != nil {
			t.Fatalf("wait for a plain producer's record: %v", err)
		}
		if _, next := l.Bounds(); next == 0 {
			t.Fatal("the bounds do not have what was waited for")
		}
		own := fmt.Sprintf("own %d", i)
		mustAppend(t, l, own)
		want = append(want, append(foreign, own)...)
	}
	// The copy of a marker is a record.
	own := e.control.logDoc("log", 0).Starts[0]
	copied := newMarker(own.PID, own.Epoch)
	answer, err := plainClient(t).Produce(within(t), &kafkago.ProduceRequest{Topic: "plain.log", RequiredAcks: kafkago.RequireAll,
		Records: kafkago.NewRecordReader(kafkago.Record{Headers: []kafkago.Header{{Key: copied.Headers[0].Name, Value: copied.Headers[0].Value}}})})
	if err != nil || answer.Error != nil {
		t.Fatal(err, answer.Error)
	}
	want = append(want, "")
	mustAppend(t, l, "behind it")
	want = append(want, "behind it")

	records := readAll(t, l)
	if got := valuesOf(records); !slices.Equal(got, want) {
		t.Fatalf("read %q, want %q", got, want)
	}
	for i, r := range records {
		if i > 0 && r.Time.Before(records[i-1].Time) {
			t.Errorf("time goes back at %d", r.Offset)
		}
	}
	if h := records[0].Headers; len(h) != 1 || h[0].Name != "from" || string(h[0].Value) != "a plain producer" || string(records[0].Key) != "key of foreign 0" {
		t.Errorf("the plain producer's record has key %q and headers %v", records[0].Key, h)
	}
	if first, next := l.Bounds(); first != records[0].Offset || next != records[len(records)-1].Offset+1 {
		t.Errorf("bounds are %d and %d", first, next)
	}
	if at, err := l.At(within(t), records[1].Time.Add(time.Hour)); err != nil || at != records[len(records)-1].Offset+1 {
		t.Errorf("at in an hour: %d, %v", at, err)
	}
	if err := l.Trim(within(t), records[1].Offset); err != nil {
		t.Fatal(err)
	}
	plainConsume(t, "plain.log", records)
	e, logs := reopen(t, e, opts, "log", 1)
	if got := valuesOf(readAll(t, logs[0])); !slices.Equal(got, want[1:]) {
		t.Fatalf("read %q, want %q", got, want[1:])
	}
	if e.Err() != nil {
		t.Error(e.Err())
	}
}

// plainConsume fetches as any consumer does, and finds the records at their offsets, untouched.
func plainConsume(t *testing.T, topic string, want []shard.Record) {
	t.Helper()
	r := kafkago.NewReader(kafkago.ReaderConfig{Brokers: one.Cluster(t).Addresses(kafkatest.Plain), Topic: topic, MaxWait: 100 * time.Millisecond})
	defer r.Close()
	last := want[len(want)-1]
	if err := r.SetOffset(int64(want[1].Offset)); err != nil {
		t.Fatal(err)
	}
	got := map[int64]kafkago.Message{}
	for ctx := within(t); ; {
		m, err := r.ReadMessage(ctx)
		if err != nil {
			t.Fatalf("consume: %v", err)
		}
		got[m.Offset] = m
		if m.Offset >= int64(last.Offset) {
			break
		}
	}
	for _, w := range want[1:] {
		m, ok := got[int64(w.Offset)]
		if !ok || string(m.Key) != string(w.Key) || string(m.Value) != string(w.Value) || len(m.Headers) != len(w.Headers) {
			t.Errorf("offset %d: consumed %q %q, want %q %q", w.Offset, m.Key, m.Value, w.Key, w.Value)
		}
	}
}

// TestForeignTopicsAreLeftAlone has a topic with the name that is wanted, made and written to by others.
func TestForeignTopicsAreLeftAlone(t *testing.T) {
	client := plainClient(t)
	name := "foreign.taken"
	answer, err := client.CreateTopics(within(t), &kafkago.CreateTopicsRequest{Topics: []kafkago.TopicConfig{{Topic: name, NumPartitions: 1, ReplicationFactor: 1}}})
	if err != nil || answer.Errors[name] != nil {
		t.Fatal(err, answer.Errors[name])
	}
	plainEventually(t, func() error {
		_, err := client.Produce(within(t), &kafkago.ProduceRequest{Topic: name, RequiredAcks: kafkago.RequireAll,
			Records: kafkago.NewRecordReader(kafkago.Record{Value: kafkago.NewBytes([]byte("not yours"))})})
		return err
	})
	opts := options(one.Cluster(t).Addresses(kafkatest.Plain))
	opts.TopicPrefix = "foreign."
	e := mustOpen(t, opts)
	t.Cleanup(func() { e.Close() })
	if topics, err := e.Topics(within(t)); err != nil || len(topics) != 0 {
		t.Fatalf("topics of others are listed: %v, %v", topics, err)
	}
	if err := e.Create(within(t), "taken", 1); err == nil {
		t.Fatal("a topic of others was taken")
	}
	if err := e.Delete(within(t), "taken"); err != nil {
		t.Fatal(err)
	}
	got, err := client.Fetch(within(t), &kafkago.FetchRequest{Topic: name, Offset: 0, MaxBytes: 1 << 20, MaxWait: time.Second})
	if err != nil || got.Error != nil {
		t.Fatal(err, got.Error)
	}
	r, err := got.Records.ReadRecord()
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := io.ReadAll(r.Value); string(b) != "not yours" {
		t.Fatalf("the topic of others has %q", b)
	}
}

func plainEventually(t *testing.T, do func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for n := 0; ; n++ {
		err := do()
		if err == nil {
			return
		}
		if pause(ctx, backoff(n)) != nil {
			t.Fatal(err)
		}
	}
}
