package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/seed-462d9463/sluice/consumers/fanout"
	"github.com/seed-462d9463/sluice/firehose"
	"github.com/seed-462d9463/sluice/internal/api"
	"github.com/seed-462d9463/sluice/internal/catalog"
	"github.com/seed-462d9463/sluice/internal/client"
	"github.com/seed-462d9463/sluice/shard/shardtest"
	"github.com/seed-462d9463/sluice/sinks/file"
	"github.com/seed-462d9463/sluice/stream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start serves the API on real services over a log in memory, and returns a client of it.
func start(t *testing.T, config stream.Config) *client.Client {
	t.Helper()
	ctx := context.Background()
	engine := shardtest.NewMemory()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	definitions, err := catalog.Open(ctx, engine, catalog.Options{})
	must(err)
	t.Cleanup(func() { _ = definitions.Close() })
	streams, err := stream.New(ctx, stream.Options{Engine: engine, Catalog: definitions, Config: config})
	must(err)
	t.Cleanup(func() { _ = streams.Close() })
	consumers, err := fanout.New(ctx, fanout.Options{Streams: streams, Catalog: definitions})
	must(err)
	t.Cleanup(func() { _ = consumers.Close() })
	buckets, err := file.New(filepath.Join(t.TempDir(), "buckets"))
	must(err)
	deliveries, err := firehose.New(ctx, firehose.Options{Engine: engine, Catalog: definitions, Buckets: buckets})
	must(err)
	t.Cleanup(deliveries.Close)
	handler, err := api.New(api.Options{
		Streams: streams, Consumers: consumers, Firehose: deliveries, Credentials: []api.Credential{{AccessKey: "key", SecretKey: "secret"}},
	})
	must(err)
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return connect(t, server.URL, 0)
}

func connect(t *testing.T, url string, retries int) *client.Client {
	t.Helper()
	c, err := client.New(client.Options{Endpoint: url, Region: "us-east-1", AccessKey: "key", SecretKey: "secret", Retries: retries})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestEveryOperationOfStreamsCanBeCalled(t *testing.T) {
	ctx := t.Context()
	c := start(t, stream.Config{Limits: "off"})
	began := time.Now().Truncate(time.Millisecond)
	if err := c.CreateStream(ctx, client.CreateStreamInput{StreamName: "s", ShardCount: 2, Tags: map[string]string{"a": "b"}}); err != nil {
		t.Fatal(err)
	}
	if err := c.CreateStream(ctx, client.CreateStreamInput{StreamName: "wide", OnDemand: true}); err != nil {
		t.Fatal(err)
	}
	summary, err := c.DescribeStreamSummary(ctx, "wide")
	if err != nil || summary.OpenShardCount != 4 || summary.MaxRecordSizeInKiB != 1024 || summary.StreamCreationTimestamp.Before(began) {
		t.Errorf("%+v, %v", summary, err)
	}
	streams, err := c.ListStreams(ctx, client.ListStreamsInput{Limit: 1})
	if err != nil || len(streams.StreamNames) != 1 || !streams.HasMoreStreams {
		t.Errorf("%+v, %v", streams, err)
	}
	if streams, err = c.ListStreams(ctx, client.ListStreamsInput{NextToken: streams.NextToken}); err != nil || streams.StreamNames[0] != "wide" {
		t.Errorf("%+v, %v", streams, err)
	}
	shards, err := c.ListShards(ctx, client.ListShardsInput{StreamName: "s"})
	if err != nil || len(shards.Shards) != 2 || shards.Shards[1].ShardID != "shardId-000000000001" ||
		shards.Shards[1].SequenceNumberRange.StartingSequenceNumber == "" {
		t.Errorf("%+v, %v", shards, err)
	}
	put, err := c.PutRecord(ctx, client.PutRecordInput{StreamName: "s", PartitionKey: "a <key>", Data: []byte("one")})
	if err != nil || put.SequenceNumber == "" {
		t.Fatalf("%+v, %v", put, err)
	}
	results, err := c.PutRecords(ctx, client.PutRecordsInput{StreamName: "s", Records: []client.PutRecordsEntry{
		{PartitionKey: "a <key>", Data: []byte("two")}, {PartitionKey: "a <key>"}}})
	if err != nil || results.FailedRecordCount != 0 || results.Records[1].ShardID != put.ShardID {
		t.Fatalf("%+v, %v", results, err)
	}
	for _, from := range []client.GetShardIteratorInput{
		{ShardIteratorType: "TRIM_HORIZON"},
		{ShardIteratorType: "AT_SEQUENCE_NUMBER", StartingSequenceNumber: put.SequenceNumber},
		{ShardIteratorType: "AT_TIMESTAMP", Timestamp: began},
	} {
		from.StreamName, from.ShardID = "s", put.ShardID
		iterator, err := c.GetShardIterator(ctx, from)
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.GetRecords(ctx, client.GetRecordsInput{ShardIterator: iterator, Limit: 10})
		if err != nil || len(got.Records) != 3 || got.NextShardIterator == "" {
			t.Fatalf("%+v, %v", got, err)
		}
		r := got.Records[0]
		if string(r.Data) != "one" || r.PartitionKey != "a <key>" || r.SequenceNumber != put.SequenceNumber ||
			r.ApproximateArrivalTimestamp.Before(began) || string(got.Records[1].Data) != "two" || len(got.Records[2].Data) != 0 {
			t.Errorf("%+v", got.Records)
		}
	}
	if err := c.DeleteStream(ctx, "s"); err != nil {
		t.Fatal(err)
	}
	_, err = c.DescribeStreamSummary(ctx, "s")
	var refused *client.Error
	if !errors.As(err, &refused) || refused.Code != "ResourceNotFoundException" || refused.Status != 400 || refused.Retryable() ||
		refused.Message != "Stream s under account 000000000000 not found." {
		t.Errorf("%+v", err)
	}
}

func TestEveryOperationOfDeliveryStreamsCanBeCalled(t *testing.T) {
	ctx := t.Context()
	c := start(t, stream.Config{Limits: "off"})
	if err := c.CreateDeliveryStream(ctx, client.CreateDeliveryStreamInput{
		DeliveryStreamName: "d",
		ExtendedS3DestinationConfiguration: &client.ExtendedS3DestinationConfiguration{
			RoleARN: "arn:aws:iam::000000000000:role/r", BucketARN: "arn:aws:s3:::bucket", CompressionFormat: "GZIP",
			BufferingHints: &client.BufferingHints{SizeInMBs: 1, IntervalInSeconds: 60},
			ProcessingConfiguration: &client.ProcessingConfiguration{Enabled: true, Processors: []client.Processor{
				{Type: "AppendDelimiterToRecord", Parameters: []client.ProcessorParameter{{ParameterName: "Delimiter", ParameterValue: `\n`}}}}},
		},
	}); err != nil {
		t.Fatal(err)
	}
	if d, err := c.DescribeDeliveryStream(ctx, "d"); err != nil || d.DeliveryStreamStatus != "ACTIVE" || d.CreateTimestamp.IsZero() {
		t.Errorf("%+v, %v", d, err)
	}
	if l, err := c.ListDeliveryStreams(ctx, client.ListDeliveryStreamsInput{}); err != nil || len(l.DeliveryStreamNames) != 1 {
		t.Errorf("%+v, %v", l, err)
	}
	if id, err := c.PutDeliveryRecord(ctx, "d", []byte("x")); err != nil || id == "" {
		t.Errorf("%q, %v", id, err)
	}
	if out, err := c.PutRecordBatch(ctx, "d", [][]byte{[]byte("y"), nil}); err != nil || len(out.RequestResponses) != 2 || out.RequestResponses[1].RecordID == "" {
		t.Errorf("%+v, %v", out, err)
	}
	if err := c.DeleteDeliveryStream(ctx, "d"); err != nil {
		t.Error(err)
	}
}

func TestOnlyWhatMayPassIsTriedAgainAndOnlyIfAsked(t *testing.T) {
	for _, c := range []struct {
		name    string
		status  int
		code    string
		retries int
		want    int32 // requests
	}{
		{"throttled", 400, "ProvisionedThroughputExceededException", 3, 4},
		{"broken", 500, "InternalFailure", 2, 3},
		{"refused", 400, "ValidationException", 3, 1},
		{"not asked", 500, "InternalFailure", 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			var requests atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				requests.Add(1)
				w.WriteHeader(c.status)
				fmt.Fprintf(w, `{"__type":%q,"message":"no"}`, c.code)
			}))
			defer server.Close()
			_, err := connect(t, server.URL, c.retries).DescribeStreamSummary(t.Context(), "s")
			var refused *client.Error
			if !errors.As(err, &refused) || refused.Code != c.code || refused.Status != c.status || requests.Load() != c.want {
				t.Errorf("%v after %d requests, want %d", err, requests.Load(), c.want)
			}
		})
	}
}

func TestAnswersOfStrangersBecomeErrors(t *testing.T) {
	for _, body := range []string{"", "<html>gone</html>", `{"x":1}`} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadGateway)
			_, _ = io.WriteString(w, body)
		}))
		_, err := connect(t, server.URL, 0).DescribeStreamSummary(t.Context(), "s")
		server.Close()
		var refused *client.Error
		if !errors.As(err, &refused) || refused.Status != http.StatusBadGateway || !refused.Retryable() || refused.Message != body {
			t.Errorf("%q: %+v", body, err)
		}
	}
	if _, err := connect(t, "http://127.0.0.1:1", 0).DescribeStreamSummary(t.Context(), "s"); err == nil {
		t.Error("nobody listens there")
	}
}

func TestAnAnswerThatDoesNotTellOfEveryRecordAcknowledgesNone(t *testing.T) {
	for _, body := range []string{`{}`, `null`, `{"Records":[{"SequenceNumber":"1"}],"RequestResponses":[{"RecordId":"1"}]}`,
		`{"Records":[{},{}],"RequestResponses":[{},{}]}`,
		`{"Records":[{"SequenceNumber":"1"},{"SequenceNumber":"2"},{"SequenceNumber":"3"}],"RequestResponses":[{"RecordId":"1"},{"RecordId":"2"},{"RecordId":"3"}]}`} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }))
		c := connect(t, server.URL, 0)
		records := []client.PutRecordsEntry{{PartitionKey: "k"}, {PartitionKey: "k"}}
		if out, err := c.PutRecords(t.Context(), client.PutRecordsInput{StreamName: "s", Records: records}); err == nil {
			t.Errorf("PutRecords: %s: %+v", body, out)
		}
		if out, err := c.PutRecordBatch(t.Context(), "d", [][]byte{nil, nil}); err == nil {
			t.Errorf("PutRecordBatch: %s: %+v", body, out)
		}
		if out, err := c.PutRecord(t.Context(), client.PutRecordInput{StreamName: "s", PartitionKey: "k"}); err == nil {
			t.Errorf("PutRecord: %s: %+v", body, out)
		}
		if id, err := c.PutDeliveryRecord(t.Context(), "d", nil); err == nil {
			t.Errorf("PutDeliveryRecord: %s: %q", body, id)
		}
		server.Close()
	}
}

func TestRecordsAreNotSentElsewhereThanToTheEndpoint(t *testing.T) {
	var elsewhere atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		elsewhere.Add(1)
		_, _ = io.WriteString(w, `{"ShardId":"s","SequenceNumber":"1"}`)
	}))
	defer other.Close()
	server := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer server.Close()
	_, err := connect(t, server.URL, 0).PutRecord(t.Context(), client.PutRecordInput{StreamName: "s", PartitionKey: "k", Data: []byte("x")})
	var refused *client.Error
	if !errors.As(err, &refused) || refused.Status != http.StatusTemporaryRedirect || elsewhere.Load() != 0 {
		t.Errorf("%v, %d requests elsewhere", err, elsewhere.Load())
	}
}

func TestOptionsThatCannotWorkAreRefused(t *testing.T) {
	good := client.Options{Endpoint: "http://127.0.0.1:4566", Region: "r", AccessKey: "a", SecretKey: "s"}
	for name, change := range map[string]func(*client.Options){
		"no scheme": func(o *client.Options) { o.Endpoint = "127.0.0.1:4566" }, "ftp": func(o *client.Options) { o.Endpoint = "ftp://x" },
		"no host": func(o *client.Options) { o.Endpoint = "http://" }, "no region": func(o *client.Options) { o.Region = "" },
		"no key": func(o *client.Options) { o.AccessKey = "" }, "no secret": func(o *client.Options) { o.SecretKey = "" },
	} {
		o := good
		change(&o)
		if _, err := client.New(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
