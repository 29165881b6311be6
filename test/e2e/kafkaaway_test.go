package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/seed-462d9463/sluice/shard/kafka/kafkatest"
)

// TestANodeWaitsForABrokerAndOutlastsItsRestarts starts a node while Kafka is away, and kills and stops its only broker,
// which takes the whole log away, while the node is written to.
func TestANodeWaitsForABrokerAndOutlastsItsRestarts(t *testing.T) {
	cluster := kafkatest.Start(t, kafkatest.Options{})
	broker := cluster.Brokers[0]
	broker.Kill()
	e := onKafka(t, cluster)
	s := e.newServer(t, "--limits", "off")
	s.launch()
	eventually(t, "the node says what it waits for", func() error {
		resp, err := http.Get("http://" + s.admin + "/readyz")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(string(body), "connecting to Kafka at "+broker.Address(kafkatest.Plain)) {
			return fmt.Errorf("%s %s", resp.Status, body)
		}
		return nil
	})
	broker.Restart(t)
	s.waitReady()

	arn := createStream(t, s, "clicks", 2)
	createDelivery(t, s, "clicks-to-bucket", "clicks-bucket", arn)
	ledger := newLedger()
	var acks atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var clients sync.WaitGroup
	for i := range 4 {
		client := s.kinesis()
		clients.Go(func() { produce(ctx, client, "clicks", fmt.Sprintf("producer-%d", i), ledger, &acks) })
	}
	watcher := newWatcher()
	clients.Go(func() { watcher.watch(ctx, s.kinesis(), "clicks") })
	progress := func() {
		before := acks.Load()
		eventually(t, "records are acknowledged", func() error {
			if acks.Load() < before+200 {
				return errNotYet
			}
			return nil
		})
	}
	progress()
	broker.Kill()
	broker.Restart(t)
	progress()
	broker.Stop(t)
	broker.Restart(t)
	progress()
	stop()
	clients.Wait()

	records := checkDelivered(t, ledger, s.records("clicks"), s.lines("clicks-bucket"))
	watcher.check(t, records)
	t.Logf("%d records acknowledged, %d found, %d seen while writing", len(ledger.acknowledged()), len(records), len(watcher.seen))
}

// TestANodeStartsAndServesWhileOneOfThreeBrokersIsAway has the broker away that the node asks first.
func TestANodeStartsAndServesWhileOneOfThreeBrokersIsAway(t *testing.T) {
	cluster := kafkatest.Start(t, kafkatest.Options{Brokers: 3})
	e := onKafka(t, cluster)
	s := e.startServer(t, "--limits", "off")
	arn := createStream(t, s, "clicks", 3) // one led by each
	createDelivery(t, s, "clicks-to-bucket", "clicks-bucket", arn)
	ledger := newLedger()
	write := func(producer string) {
		t.Helper()
		var acks atomic.Int64
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		var producers sync.WaitGroup
		defer producers.Wait()
		for i := range 4 { // so that all shards are written to
			client := s.kinesis()
			producers.Go(func() { produce(ctx, client, "clicks", fmt.Sprintf("%s-%d", producer, i), ledger, &acks) })
		}
		eventually(t, "records are acknowledged", func() error {
			if acks.Load() < 400 {
				return errNotYet
			}
			return nil
		})
		stop()
	}
	write("all-there")
	s.kill()
	cluster.Brokers[0].Kill()
	s.start()
	write("one-away")
	cluster.Brokers[0].Restart(t)
	cluster.Brokers[1].Kill()
	write("another-away")

	checkDelivered(t, ledger, s.records("clicks"), s.lines("clicks-bucket"))
}
