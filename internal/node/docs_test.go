package node

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/seed-462d9463/sluice/internal/client"
)

func page(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The page says of each operation of AWS's whether it works. This asks a node.
func TestTheCompatibilityPageTellsTheTruthAboutOperations(t *testing.T) {
	n := start(t, testConfig(t), nil)
	text := page(t, "compatibility.md")
	kinesis, firehose, ok := strings.Cut(text, "\n## Firehose\n")
	if !ok {
		t.Fatal("the page has no part about Firehose")
	}
	row := regexp.MustCompile(`(?m)^\| (\w+) \| (works|not yet) \|`)
	for target, part := range map[string]string{"Kinesis_20131202.": kinesis, "Firehose_20150804.": firehose} {
		rows := row.FindAllStringSubmatch(part, -1)
		if len(rows) < 12 {
			t.Errorf("%s: only %d operations", target, len(rows))
		}
		for _, r := range rows {
			request, err := http.NewRequest(http.MethodPost, "http://"+n.Addr().String(), strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Content-Type", "application/x-amz-json-1.1")
			request.Header.Set("X-Amz-Target", target+r[1])
			answer, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			var body strings.Builder
			_ = answer.Write(&body)
			_ = answer.Body.Close()
			if known := !strings.Contains(body.String(), "UnknownOperationException"); known != (r[2] == "works") {
				t.Errorf("the page says of %s%s %q, but the answer is %s", target, r[1], r[2], body.String())
			}
		}
	}
}

// subscribe registers a consumer with the stream "s" and subscribes it to the first shard, until the answer is closed.
func (n *running) subscribe() io.Closer {
	n.t.Helper()
	call := func(operation, body string) *http.Response {
		request, err := http.NewRequest(http.MethodPost, "http://"+n.Addr().String(), strings.NewReader(body))
		if err != nil {
			n.t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/x-amz-json-1.1")
		request.Header.Set("X-Amz-Target", "Kinesis_20131202."+operation)
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			n.t.Fatal(err)
		}
		if answer.StatusCode != http.StatusOK {
			n.t.Fatalf("%s: %s", operation, answer.Status)
		}
		return answer
	}
	registered := call("RegisterStreamConsumer", `{"StreamARN":"arn:aws:kinesis:us-east-1:000000000000:stream/s","ConsumerName":"c"}`)
	var output struct{ Consumer struct{ ConsumerARN string } }
	err := json.NewDecoder(registered.Body).Decode(&output)
	_ = registered.Body.Close()
	if err != nil {
		n.t.Fatal(err)
	}
	return call("SubscribeToShard", `{"ConsumerARN":"`+output.Consumer.ConsumerARN+`","ShardId":"shardId-000000000000","StartingPosition":{"Type":"LATEST"}}`).Body
}

// metricsOf are the names and kinds of a node's metrics, when it has one of each thing that has metrics.
func metricsOf(t *testing.T, config Config) map[string]string {
	t.Helper()
	n := start(t, config, nil)
	c := n.client()
	err := errors.Join(
		c.CreateStream(t.Context(), client.CreateStreamInput{StreamName: "s", ShardCount: 1}),
		c.CreateStream(t.Context(), client.CreateStreamInput{StreamName: "onDemand"}),
		c.CreateDeliveryStream(t.Context(), client.CreateDeliveryStreamInput{
			DeliveryStreamName: "d",
			ExtendedS3DestinationConfiguration: &client.ExtendedS3DestinationConfiguration{
				RoleARN: "arn:aws:iam::000000000000:role/any", BucketARN: "arn:aws:s3:::bucket",
			},
		}))
	if err != nil {
		t.Fatal(err)
	}
	monitor, err := http.NewRequest(http.MethodPost, "http://"+n.Addr().String(), strings.NewReader(`{"StreamName":"s","ShardLevelMetrics":["ALL"]}`))
	if err != nil {
		t.Fatal(err)
	}
	monitor.Header.Set("Content-Type", "application/x-amz-json-1.1")
	monitor.Header.Set("X-Amz-Target", "Kinesis_20131202.EnableEnhancedMonitoring")
	answer, err := http.DefaultClient.Do(monitor)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatal(answer, err)
	}
	_ = answer.Body.Close()
	if _, err := c.PutRecord(t.Context(), client.PutRecordInput{StreamName: "onDemand", PartitionKey: "k"}); err != nil {
		t.Fatal(err)
	}
	put, err := c.PutRecord(t.Context(), client.PutRecordInput{StreamName: "s", PartitionKey: "k"})
	if err != nil {
		t.Fatal(err)
	}
	iterator, err := c.GetShardIterator(t.Context(), client.GetShardIteratorInput{
		StreamName: "s", ShardID: put.ShardID, ShardIteratorType: "TRIM_HORIZON",
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.GetRecords(t.Context(), client.GetRecordsInput{ShardIterator: iterator}); err != nil {
		t.Fatal(err)
	}
	subscribed := n.subscribe()
	_, metrics := n.get("/metrics")
	_ = subscribed.Close()
	kinds := map[string]string{}
	for _, name := range regexp.MustCompile(`(?m)^# TYPE (sluice_\w+) (\w+)$`).FindAllStringSubmatch(metrics, -1) {
		kinds[name[1]] = name[2]
	}
	if len(kinds) < 20 {
		t.Fatalf("only %d metrics", len(kinds))
	}
	return kinds
}

func TestEveryMetricIsInTheReference(t *testing.T) {
	kinds := metricsOf(t, testConfig(t))
	maps.Copy(kinds, metricsOf(t, onKafka(t)))
	text := page(t, "metrics.md")
	for name, kind := range kinds {
		if !strings.Contains(text, "| `"+name+"` | "+kind+" |") {
			t.Errorf("docs/metrics.md does not have %s (%s)", name, kind)
		}
	}
	for _, name := range regexp.MustCompile("`(sluice_\\w+)`").FindAllStringSubmatch(text, -1) {
		if kinds[name[1]] == "" {
			t.Errorf("docs/metrics.md has %s, which no node has", name[1])
		}
	}
}
