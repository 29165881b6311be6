package e2e

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/segmentio/kafka-go"

	"github.com/seed-462d9463/sluice/shard/kafka/kafkatest"
	"github.com/seed-462d9463/sluice/sinks/sinktest/miniotest"
)

// topicOf finds the Kafka topic of a stream, as docs/kafka.md says how.
func topicOf(t *testing.T, c *kafka.Client, prefix, stream string) string {
	t.Helper()
	begin := prefix + "stream." + account + "." + region + "." + stream + "."
	metadata, err := c.Metadata(t.Context(), &kafka.MetadataRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, topic := range metadata.Topics {
		if strings.HasPrefix(topic.Name, begin) {
			return topic.Name
		}
	}
	t.Fatalf("no topic begins with %s", begin)
	return ""
}

// consume reads a partition with a plain Kafka consumer, without Sluice's markers, until it has so many records.
func consume(t *testing.T, cluster *kafkatest.Cluster, topic string, partition, want int) []kafka.Message {
	t.Helper()
	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers: cluster.Addresses(kafkatest.Plain), Topic: topic, Partition: partition, MaxWait: 100 * time.Millisecond,
	})
	defer reader.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var messages []kafka.Message
	for len(messages) < want {
		m, err := reader.ReadMessage(ctx)
		if err != nil {
			t.Fatalf("after %d records: %v", len(messages), err)
		}
		if !slices.ContainsFunc(m.Headers, func(h kafka.Header) bool { return h.Key == "sluice.marker" }) {
			messages = append(messages, m)
		}
	}
	return messages
}

func TestPlainKafkaConsumersAndProducersShareAStreamsTopic(t *testing.T) {
	cluster := brokers.Cluster(t)
	e := onKafka(t, cluster)
	s := e.startServer(t)
	createStream(t, s, "shared", 1)
	payload := []byte("\x00untouched \xff\xfe\r\n")
	put, err := s.kinesis().PutRecord(t.Context(), &kinesis.PutRecordInput{
		StreamName: aws.String("shared"), PartitionKey: aws.String("the key"), Data: payload,
	})
	if err != nil {
		t.Fatal(err)
	}
	client := cluster.Client(t)
	topic := topicOf(t, client, e.prefix(), "shared")
	got := consume(t, cluster, topic, 0, 1)[0]
	if string(got.Key) != "the key" || string(got.Value) != string(payload) || len(got.Headers) != 0 {
		t.Errorf("a Kafka consumer got key %q, value %q, headers %v", got.Key, got.Value, got.Headers)
	}

	// What others write is served, with their keys, however they compress and whatever else they send.
	writer := &kafka.Writer{
		Addr: kafka.TCP(cluster.Addresses(kafkatest.Plain)...), Topic: topic, BatchTimeout: time.Millisecond,
		RequiredAcks: kafka.RequireAll, Transport: client.Transport,
	}
	defer writer.Close()
	want := []readRecord{{key: "the key", data: string(payload)}}
	for _, compression := range []kafka.Compression{0, kafka.Gzip, kafka.Snappy, kafka.Lz4, kafka.Zstd} {
		writer.Compression = compression
		data := "by a plain producer, with " + compression.String()
		want = append(want, readRecord{key: "theirs", data: data})
		if err := writer.WriteMessages(t.Context(), kafka.Message{
			Key: []byte("theirs"), Value: []byte(data), Headers: []kafka.Header{{Key: "h", Value: []byte("v")}},
		}); err != nil {
			t.Fatalf("%s: %v", compression, err)
		}
	}
	want = append(want, readRecord{data: "without a key"}, readRecord{key: "no UTF-8: \ufffd"})
	if err := writer.WriteMessages(t.Context(),
		kafka.Message{Value: []byte("without a key")}, kafka.Message{Key: []byte("no UTF-8: \xff")}, // and without a value
	); err != nil {
		t.Fatal(err)
	}
	var records []readRecord
	eventually(t, "GetRecords has what was produced", func() error {
		records = readStream(t.Context(), t, s.reader(), "shared")
		if len(records) < len(want) {
			return fmt.Errorf("%d of %d", len(records), len(want))
		}
		return nil
	})
	for i := range want {
		if r := records[i]; r.key != want[i].key || r.data != want[i].data {
			t.Errorf("record %d is %q %q, want %q %q", i, r.key, r.data, want[i].key, want[i].data)
		}
	}
	if records[0].sequence != *put.SequenceNumber {
		t.Errorf("the first record is at %s, and was acknowledged as %s", records[0].sequence, *put.SequenceNumber)
	}
	// And puts go on behind them.
	if _, err := s.kinesis().PutRecord(t.Context(), &kinesis.PutRecordInput{
		StreamName: aws.String("shared"), PartitionKey: aws.String("k"), Data: []byte("last"),
	}); err != nil {
		t.Fatal(err)
	}
	records = readStream(t.Context(), t, s.reader(), "shared")
	if n := len(records); n != len(want)+1 || records[n-1].data != "last" {
		t.Errorf("%d records, the last is %q", n, records[n-1].data)
	}
}

// ended waits for the end of the process and returns its exit code.
func (s *server) ended() int {
	s.t.Helper()
	var code int
	eventually(s.t, "sluice has ended", func() error {
		select {
		case err := <-s.exited:
			s.cmd = nil
			var failed *exec.ExitError
			if errors.As(err, &failed) {
				code = failed.ExitCode()
			}
			return nil
		default:
			return errNotYet
		}
	})
	return code
}

// TestOfTwoNodesOnOneLogTheOlderEndsAndNothingIsLost starts nodes with the same topics, one after the other, as by
// mistake, each while the one before is being written to.
func TestOfTwoNodesOnOneLogTheOlderEndsAndNothingIsLost(t *testing.T) {
	e := onKafka(t, brokers.Cluster(t))
	store := miniotest.Start(t)
	store.CreateBucket(t, "clicks-bucket")
	e.env = append(e.env, storeEnv(store)...)
	ledger := newLedger()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var producers sync.WaitGroup
	node := e.startServer(t, "--limits", "off")
	arn := createStream(t, node, "clicks", 2)
	createDelivery(t, node, "clicks-to-bucket", "clicks-bucket", arn)
	for i := range 4 {
		var acks atomic.Int64
		client := node.kinesis()
		for p := range 3 {
			producers.Go(func() { produce(ctx, client, "clicks", fmt.Sprintf("node-%d-%d", i, p), ledger, &acks) })
		}
		eventually(t, "the node takes records", func() error {
			if acks.Load() < 100 {
				return errNotYet
			}
			return nil
		})
		if i == 3 {
			break
		}
		next := e.newServer(t, "--limits", "off")
		next.start()
		if code := node.ended(); code != 5 {
			t.Errorf("the older node ended with %d, want 5:\n%s", code, last(node.output.String(), 2000))
		}
		if out := node.output.String(); strings.Count(out, "\nsluice: ") != 1 || !strings.Contains(out, "another node has taken over this log") {
			t.Errorf("the older node does not say, once, why it ended:\n%s", last(out, 2000))
		}
		node = next
	}
	stop()
	producers.Wait()
	checkDelivered(t, ledger, node.records("clicks"), func() map[string]int { return countLines(minioObjects(t, store, "clicks-bucket")) })
	t.Logf("%d records acknowledged by four nodes", len(ledger.acknowledged()))
}
