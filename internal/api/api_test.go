package api_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awsfirehose "github.com/aws/aws-sdk-go-v2/service/firehose"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/seed-462d9463/sluice/consumers/fanout"
	"github.com/seed-462d9463/sluice/firehose"
	"github.com/seed-462d9463/sluice/internal/api"
	"github.com/seed-462d9463/sluice/internal/api/edge"
	"github.com/seed-462d9463/sluice/internal/api/kinesis"
	"github.com/seed-462d9463/sluice/internal/api/lane"
	"github.com/seed-462d9463/sluice/internal/catalog"
	"github.com/seed-462d9463/sluice/shard/shardtest"
	"github.com/seed-462d9463/sluice/sinks/file"
	"github.com/seed-462d9463/sluice/stream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testAccount = "123456789012"
	testRegion  = "eu-central-1"
	testKey     = "AKIDEXAMPLE"
	testSecret  = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
)

// server is the API on real services over a log in memory.
type server struct {
	url      string
	buckets  string
	streams  *stream.Service
	fanout   *fanout.Service
	engine   *shardtest.Memory
	registry *prometheus.Registry
	client   *http.Client
	server   *lane.Server
}

type setting struct {
	api     api.Options
	streams stream.Config
	// streamsOf puts something in front of the streams.
	streamsOf func(kinesis.Streams) kinesis.Streams
}

func start(t *testing.T, change ...func(*setting)) *server {
	t.Helper()
	s := &server{engine: shardtest.NewMemory(), registry: prometheus.NewRegistry(), buckets: t.TempDir()}
	set := setting{
		api: api.Options{
			Credentials: []api.Credential{{AccessKey: testKey, SecretKey: testSecret, Account: testAccount}},
			Registerer:  s.registry,
		},
		streams:   stream.Config{Limits: "off"},
		streamsOf: func(real kinesis.Streams) kinesis.Streams { return real },
	}
	for _, c := range change {
		c(&set)
	}
	ctx := context.Background()
	definitions, err := catalog.Open(ctx, s.engine, catalog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeOrFail(t, definitions.Close) })
	if s.streams, err = stream.New(ctx, stream.Options{
		Engine: s.engine, Catalog: definitions, Config: set.streams, Keys: newKeys(t),
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeOrFail(t, s.streams.Close) })
	if s.fanout, err = fanout.New(ctx, fanout.Options{
		Streams: s.streams, Catalog: definitions, Config: fanout.DefaultConfig(), Registerer: s.registry,
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeOrFail(t, s.fanout.Close) })
	buckets, err := file.New(s.buckets)
	if err != nil {
		t.Fatal(err)
	}
	deliveries, err := firehose.New(ctx, firehose.Options{
		Engine: s.engine, Catalog: definitions, Sources: sources{s.streams}, Buckets: buckets, Config: firehose.Config{},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(deliveries.Close)
	set.api.Streams, set.api.Consumers, set.api.Firehose = set.streamsOf(s.streams), s.fanout, deliveries
	handler, err := api.New(set.api)
	if err != nil {
		t.Fatal(err)
	}
	server := lane.New(edge.NewServer(handler), edge.Prompt)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.server = server
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(listener)
	}()
	s.url = "http://" + listener.Addr().String()
	transport := &http.Transport{}
	s.client = &http.Client{Transport: transport}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		_ = server.Close()
		<-served
	})
	return s
}

func closeOrFail(t *testing.T, close func() error) {
	if err := close(); err != nil {
		t.Error(err)
	}
}

// sources adapts streams to what delivery streams read.
type sources struct{ streams *stream.Service }

func (s sources) Logs(account, region, name string) ([]firehose.Log, <-chan struct{}, error) {
	logs, changed, err := s.streams.Logs(stream.Name{Account: account, Region: region, Name: name})
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", firehose.ErrSourceNotFound, err)
	}
	var out []firehose.Log
	for _, l := range logs {
		out = append(out, firehose.Log{Generation: l.StreamID, Partition: l.Partition, Parents: l.Parents, Closed: l.Closed, Log: l.Log})
	}
	return out, changed, nil
}

func (s *server) config() aws.Config {
	return aws.Config{
		Region: testRegion, BaseEndpoint: aws.String(s.url), HTTPClient: s.client,
		Credentials: credentials.NewStaticCredentialsProvider(testKey, testSecret, ""),
	}
}

func (s *server) kinesis() *awskinesis.Client   { return awskinesis.NewFromConfig(s.config()) }
func (s *server) firehose() *awsfirehose.Client { return awsfirehose.NewFromConfig(s.config()) }

// eventually waits for a condition.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("not after a minute: %s", what)
		}
		<-time.After(5 * time.Millisecond)
	}
}
