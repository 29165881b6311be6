package node

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/seed-462d9463/sluice/internal/client"
	"github.com/seed-462d9463/sluice/shard/kafka"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

// onKafka is a node whose log is in brokers of this process.
func onKafka(t *testing.T) Config {
	t.Helper()
	brokers, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(brokers.Close)
	c := testConfig(t)
	c.Log.Engine, c.Log.Kafka.Brokers = engineKafka, brokers.ListenAddrs()
	return c
}

func putOne(t *testing.T, c *client.Client, data string) (shard, sequence string) {
	t.Helper()
	put, err := c.PutRecord(t.Context(), client.PutRecordInput{StreamName: "s", PartitionKey: "k", Data: []byte(data)})
	if err != nil {
		t.Fatal(err)
	}
	return put.ShardID, put.SequenceNumber
}

func getAll(t *testing.T, c *client.Client, shard string) []client.Record {
	t.Helper()
	iterator, err := c.GetShardIterator(t.Context(), client.GetShardIteratorInput{
		StreamName: "s", ShardID: shard, ShardIteratorType: "TRIM_HORIZON",
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.GetRecords(t.Context(), client.GetRecordsInput{ShardIterator: iterator})
	if err != nil {
		t.Fatal(err)
	}
	return got.Records
}

func TestWhatWasPutIsInKafkaAfterARestartOnAnotherMachine(t *testing.T) {
	config := onKafka(t)
	first := start(t, config, nil)
	c := first.client()
	if err := c.CreateStream(t.Context(), client.CreateStreamInput{StreamName: "s", ShardCount: 1}); err != nil {
		t.Fatal(err)
	}
	shard, sequence := putOne(t, c, "v")
	first.stop()
	if err := <-first.end; err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"FORMAT", "journal"} {
		if _, err := os.Stat(filepath.Join(config.Data, file)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is in the data directory, though the log is in Kafka: %v", file, err)
		}
	}

	config.Data = filepath.Join(t.TempDir(), "elsewhere")
	second := start(t, config, nil)
	records := getAll(t, second.client(), shard)
	if len(records) != 1 || string(records[0].Data) != "v" || records[0].SequenceNumber != sequence {
		t.Errorf("%+v", records)
	}
}

func TestOfTwoNodesOnTheSameTopicsTheOlderOneEndsAndSaysWhy(t *testing.T) {
	config := onKafka(t)
	older := start(t, config, nil)
	c := older.client()
	if err := c.CreateStream(t.Context(), client.CreateStreamInput{StreamName: "s", ShardCount: 1}); err != nil {
		t.Fatal(err)
	}
	shard, _ := putOne(t, c, "by the older")

	other := config
	other.Data = filepath.Join(t.TempDir(), "other")
	newer := start(t, other, nil)
	// It notices by itself, also when nobody writes.
	err := <-older.end
	if !errors.Is(err, kafka.ErrSuperseded) || !strings.Contains(err.Error(), "another node has taken over") {
		t.Fatalf("the older one ended with: %v", err)
	}
	putOne(t, newer.client(), "by the newer")
	if records := getAll(t, newer.client(), shard); len(records) != 2 {
		t.Errorf("%+v", records)
	}
}

func TestADataDirectoryIsForOneNodeAlsoWithTheLogInKafka(t *testing.T) {
	config := onKafka(t)
	start(t, config, nil)
	second := launch(t, config, nil)
	if err := <-second.end; !errors.Is(err, vfs.ErrLocked) || !strings.Contains(err.Error(), "--data") {
		t.Errorf("the second one ended with: %v", err)
	}
}

// await polls until a condition holds, and gives up after two minutes.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

func TestANodeThatCannotReachKafkaIsNotReadyAndSaysWhatItWaitsFor(t *testing.T) {
	config := testConfig(t)
	config.Log.Engine, config.Log.Kafka.Brokers = engineKafka, []string{"127.0.0.1:1"}
	n := launch(t, config, nil)
	await(t, "the node says that it connects", func() bool {
		status, body := n.get("/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(body, "connecting to Kafka at 127.0.0.1:1")
	})
	n.stop() // which a node takes also while it waits for Kafka
	if err := <-n.end; err != nil {
		t.Errorf("it ended with: %v", err)
	}
}
