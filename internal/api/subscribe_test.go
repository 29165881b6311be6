package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/seed-462d9463/sluice/internal/api/eventstream"
)

// overHTTP runs a test over HTTP/1.1 and over HTTP/2 without TLS.
func overHTTP(t *testing.T, test func(t *testing.T, s *server)) {
	for _, version := range []int{1, 2} {
		t.Run(fmt.Sprint("HTTP/", version), func(t *testing.T) {
			s := start(t)
			if version == 2 {
				transport := &http.Transport{Protocols: new(http.Protocols)}
				transport.Protocols.SetUnencryptedHTTP2(true)
				s.client = &http.Client{Transport: transport}
				t.Cleanup(transport.CloseIdleConnections)
			}
			test(t, s)
		})
	}
}

// consumer creates a stream of one shard and registers a consumer with it.
func (s *server) consumer(t *testing.T, stream string) (streamARN, consumerARN string) {
	t.Helper()
	c := s.kinesis()
	if _, err := c.CreateStream(t.Context(), &awskinesis.CreateStreamInput{StreamName: &stream, ShardCount: aws.Int32(1)}); err != nil {
		t.Fatal(err)
	}
	d, err := c.DescribeStreamSummary(t.Context(), &awskinesis.DescribeStreamSummaryInput{StreamName: &stream})
	if err != nil {
		t.Fatal(err)
	}
	streamARN = *d.StreamDescriptionSummary.StreamARN
	return streamARN, s.register(t, streamARN, "c")
}

func (s *server) register(t *testing.T, streamARN, name string) string {
	t.Helper()
	r, err := s.kinesis().RegisterStreamConsumer(t.Context(), &awskinesis.RegisterStreamConsumerInput{StreamARN: &streamARN, ConsumerName: &name})
	if err != nil {
		t.Fatal(err)
	}
	return *r.Consumer.ConsumerARN
}

func (s *server) putRecord(t *testing.T, stream, data string) string {
	t.Helper()
	r, err := s.kinesis().PutRecord(t.Context(), &awskinesis.PutRecordInput{StreamName: &stream, PartitionKey: aws.String("k"), Data: []byte(data)})
	if err != nil {
		t.Fatal(err)
	}
	return *r.SequenceNumber
}

// whole has the SDK's request in memory before it is sent. Else the SDK may close the connection under an answer that
// comes at once, as docs/compatibility.md tells, and a subscription with it.
type whole struct{ *http.Client }

func (c whole) Do(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return c.Client.Do(r)
}

// subscribe makes the AWS SDK subscribe to the first shard.
func (s *server) subscribe(t *testing.T, consumerARN string, at types.StartingPosition) *awskinesis.SubscribeToShardEventStream {
	t.Helper()
	return s.subscribeTo(t, consumerARN, "shardId-000000000000", at)
}

func (s *server) subscribeTo(t *testing.T, consumerARN, shardID string, at types.StartingPosition) *awskinesis.SubscribeToShardEventStream {
	t.Helper()
	client := awskinesis.NewFromConfig(s.config(), func(o *awskinesis.Options) { o.HTTPClient = whole{s.client} })
	r, err := client.SubscribeToShard(t.Context(), &awskinesis.SubscribeToShardInput{
		ConsumerARN: &consumerARN, ShardId: &shardID, StartingPosition: &at,
	})
	if err != nil {
		t.Fatal(err)
	}
	stream := r.GetStream()
	t.Cleanup(func() { _ = stream.Close() })
	return stream
}

// next is the next event that the SDK gives.
func next(t *testing.T, stream *awskinesis.SubscribeToShardEventStream) *types.SubscribeToShardEvent {
	t.Helper()
	event, ok := <-stream.Events()
	if !ok {
		t.Fatalf("no more events: %v", stream.Err())
	}
	return &event.(*types.SubscribeToShardEventStreamMemberSubscribeToShardEvent).Value
}

func TestTheSDKIsPushedRecords(t *testing.T) {
	overHTTP(t, func(t *testing.T, s *server) {
		_, consumer := s.consumer(t, "s")
		s.putRecord(t, "s", "before")
		stream := s.subscribe(t, consumer, types.StartingPosition{Type: types.ShardIteratorTypeLatest})
		first := next(t, stream)
		if len(first.Records) != 0 || *first.MillisBehindLatest != 0 || first.ContinuationSequenceNumber == nil {
			t.Errorf("the first event is %+v", first)
		}
		for i := range 3 {
			data := fmt.Sprint("record ", i)
			sequence := s.putRecord(t, "s", data)
			e := next(t, stream)
			if len(e.Records) != 1 || string(e.Records[0].Data) != data || *e.Records[0].SequenceNumber != sequence ||
				*e.Records[0].PartitionKey != "k" || time.Since(*e.Records[0].ApproximateArrivalTimestamp) > time.Minute {
				t.Fatalf("event %d: %+v", i, e)
			}
			if i < 2 {
				continue
			}
			// Who goes on elsewhere finds what comes next.
			following := s.putRecord(t, "s", "next")
			for _, how := range []types.ShardIteratorType{types.ShardIteratorTypeAtSequenceNumber, types.ShardIteratorTypeAfterSequenceNumber} {
				it, err := s.kinesis().GetShardIterator(t.Context(), &awskinesis.GetShardIteratorInput{
					StreamName: aws.String("s"), ShardId: aws.String("shardId-000000000000"), ShardIteratorType: how,
					StartingSequenceNumber: e.ContinuationSequenceNumber,
				})
				if err != nil {
					t.Fatal(err)
				}
				got, err := s.kinesis().GetRecords(t.Context(), &awskinesis.GetRecordsInput{ShardIterator: it.ShardIterator})
				if err != nil || len(got.Records) != 1 || *got.Records[0].SequenceNumber != following {
					t.Errorf("%s the continuation: %+v, %v", how, got, err)
				}
			}
		}
	})
}

func TestASubscriptionFromTheOldestRecordGetsAllOfThem(t *testing.T) {
	overHTTP(t, func(t *testing.T, s *server) {
		_, consumer := s.consumer(t, "s")
		const records, size = 40, 200 << 10 // several events
		for i := range records {
			s.putRecord(t, "s", fmt.Sprintf("%06d", i)+strings.Repeat("x", size))
		}
		stream := s.subscribe(t, consumer, types.StartingPosition{Type: types.ShardIteratorTypeTrimHorizon})
		for got := 0; got < records; {
			e := next(t, stream)
			for _, r := range e.Records {
				if want := fmt.Sprintf("%06d", got); string(r.Data[:6]) != want || len(r.Data) != size+6 {
					t.Fatalf("record %s came where %s was expected", r.Data[:6], want)
				}
				got++
			}
			if behind := *e.MillisBehindLatest > 0; behind && got == records {
				t.Errorf("behind, with all records")
			}
		}
	})
}

func TestWhatEndsASubscriptionIsToldAsTheLastEvent(t *testing.T) {
	overHTTP(t, func(t *testing.T, s *server) {
		streamARN, consumer := s.consumer(t, "s")
		other := s.register(t, streamARN, "other")
		latest := types.StartingPosition{Type: types.ShardIteratorTypeLatest}
		deregistered, deleted := s.subscribe(t, consumer, latest), s.subscribe(t, other, latest)
		next(t, deregistered)
		next(t, deleted)
		c := s.kinesis()
		_, err := c.SubscribeToShard(t.Context(), &awskinesis.SubscribeToShardInput{
			ConsumerARN: &consumer, ShardId: aws.String("shardId-000000000000"), StartingPosition: &latest,
		})
		var inUse *types.ResourceInUseException
		if !errors.As(err, &inUse) || !strings.HasPrefix(*inUse.Message, "Another active subscription exists for this consumer") {
			t.Errorf("a second subscription: %v", err)
		}
		var missing *types.ResourceNotFoundException
		if _, err := c.DeregisterStreamConsumer(t.Context(), &awskinesis.DeregisterStreamConsumerInput{ConsumerARN: &consumer}); err != nil {
			t.Fatal(err)
		}
		for range deregistered.Events() { // until there are no more
		}
		if err := deregistered.Err(); !errors.As(err, &missing) {
			t.Errorf("when the consumer was deregistered: %v", err)
		}
		if _, err := c.DeleteStream(t.Context(), &awskinesis.DeleteStreamInput{StreamARN: &streamARN}); !errors.As(err, &inUse) {
			t.Errorf("deletion of a stream with a consumer: %v", err)
		}
		if _, err := c.DeleteStream(t.Context(), &awskinesis.DeleteStreamInput{StreamARN: &streamARN, EnforceConsumerDeletion: aws.Bool(true)}); err != nil {
			t.Fatal(err)
		}
		for range deleted.Events() {
		}
		if err := deleted.Err(); !errors.As(err, &missing) {
			t.Errorf("when the stream was deleted: %v", err)
		}
	})
}

func TestASubscriptionLeadsToTheChildrenOfItsShard(t *testing.T) {
	overHTTP(t, func(t *testing.T, s *server) {
		streamARN, consumer := s.consumer(t, "s")
		latest := types.StartingPosition{Type: types.ShardIteratorTypeLatest}
		stream := s.subscribe(t, consumer, latest)
		next(t, stream)
		_, err := s.kinesis().SplitShard(t.Context(), &awskinesis.SplitShardInput{
			StreamARN: &streamARN, ShardToSplit: aws.String("shardId-000000000000"), NewStartingHashKey: aws.String("1000"),
		})
		if err != nil {
			t.Fatal(err)
		}
		last := next(t, stream)
		if last.ContinuationSequenceNumber != nil || len(last.ChildShards) != 2 || last.ChildShards[0].ParentShards[0] != "shardId-000000000000" {
			t.Fatalf("the last event is %+v", last)
		}
		if event, more := <-stream.Events(); more || stream.Err() != nil {
			t.Errorf("then comes %+v, %v", event, stream.Err())
		}
		s.putRecord(t, "s", "in a child")
		got := 0
		for _, child := range last.ChildShards {
			stream := s.subscribeTo(t, consumer, *child.ShardId, types.StartingPosition{Type: types.ShardIteratorTypeTrimHorizon})
			got += len(next(t, stream).Records)
		}
		if got != 1 {
			t.Errorf("the children have %d records", got)
		}
	})
}

// With next to no memory those who catch up take turns.
func TestSubscribersCatchUpWithLittleMemory(t *testing.T) {
	s := start(t, func(set *setting) { set.api.MemoryBytes = 1 << 20 })
	streamARN, _ := s.consumer(t, "s")
	const records = 20
	for i := range records {
		s.putRecord(t, "s", fmt.Sprintf("%06d", i)+strings.Repeat("x", 300<<10))
	}
	var readers []opened
	for i := range 8 {
		readers = append(readers, s.open(t.Context(), t, s.register(t, streamARN, fmt.Sprint("c", i)), "TRIM_HORIZON"))
	}
	var all sync.WaitGroup
	for _, reader := range readers {
		all.Go(func() {
			for got := 0; got < records; {
				m, err := reader.Next()
				if err != nil {
					t.Errorf("after %d records: %v", got, err)
					return
				}
				got += bytes.Count(m.Payload, []byte(`"Data":`))
			}
		})
	}
	all.Wait()
	eventually(t, "nothing is reserved", func() bool { return s.gauge(t, "sluice_api_memory_reserved_bytes") == 0 })
}

// opened is an answer that goes on.
type opened struct {
	*eventstream.Reader
	io.Closer
	status int
	length int64
	header http.Header
}

// open subscribes without the SDK.
func (s *server) open(ctx context.Context, t *testing.T, consumer, at string) opened {
	t.Helper()
	body := fmt.Sprintf(`{"ConsumerARN":%q,"ShardId":"shardId-000000000000","StartingPosition":{"Type":%q}}`, consumer, at)
	response, err := s.client.Do(s.request(t, "Kinesis_20131202.SubscribeToShard", body).WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	return opened{eventstream.NewReader(response.Body), response.Body, response.StatusCode, response.ContentLength, response.Header}
}

func TestAnAnswerThatGoesOnIsFramedAsAWSsIs(t *testing.T) {
	s := start(t)
	_, consumer := s.consumer(t, "s")
	sequence := s.putRecord(t, "s", "Hello")
	reader := s.open(t.Context(), t, consumer, "TRIM_HORIZON")
	if reader.status != http.StatusOK || reader.header.Get("Content-Type") != "application/vnd.amazon.eventstream" ||
		reader.header.Get("x-amzn-RequestId") == "" || reader.length != -1 {
		t.Errorf("%d %v", reader.status, reader.header)
	}
	first, err := reader.Next()
	if err != nil || first.Header(":message-type") != "event" || first.Header(":event-type") != "initial-response" || string(first.Payload) != "{}" {
		t.Errorf("the first message is %s %q, %v", first.Header(":event-type"), first.Payload, err)
	}
	event, err := reader.Next()
	if err != nil || event.Header(":message-type") != "event" || event.Header(":event-type") != "SubscribeToShardEvent" ||
		event.Header(":content-type") != "application/json" {
		t.Errorf("the second is a %s %s of %s, %v", event.Header(":message-type"), event.Header(":event-type"), event.Header(":content-type"), err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, event.Payload); err != nil || !bytes.Equal(compact.Bytes(), event.Payload) {
		t.Errorf("the payload is not compact JSON: %s, %v", event.Payload, err)
	}
	got := normalize(string(event.Payload), map[string]string{})
	want := `{"Records":[{"SequenceNumber":"<sequence>","ApproximateArrivalTimestamp":<time>,"Data":"SGVsbG8=","PartitionKey":"k"}],` +
		`"ContinuationSequenceNumber":"<continuation>","MillisBehindLatest":0}`
	if got != want || !bytes.Contains(event.Payload, []byte(sequence)) {
		t.Errorf("payload %s, want %s", got, want)
	}
}

func TestASubscriptionInCBORFailsAsWithAWS(t *testing.T) {
	s := start(t)
	body := "\xa0"
	r := s.request(t, "Kinesis_20131202.SubscribeToShard", body)
	r.Header.Set("Content-Type", "application/x-amz-cbor-1.1")
	sign(r, body)
	if a := s.do(t, r); a.status != http.StatusInternalServerError {
		t.Errorf("%d %q", a.status, a.body)
	}
}

// gauge is a metric's sum over all its labels.
func (s *server) gauge(t *testing.T, name string) (sum float64) {
	t.Helper()
	families, err := s.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

func TestAClientThatVanishesLeavesNothing(t *testing.T) {
	overHTTP(t, func(t *testing.T, s *server) {
		streamARN, _ := s.consumer(t, "s")
		ctx, vanish := context.WithCancel(t.Context())
		for i := range 10 {
			reader := s.open(ctx, t, s.register(t, streamARN, fmt.Sprint("c", i)), "LATEST")
			if _, err := reader.Next(); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, "ten subscriptions are open", func() bool { return s.gauge(t, "sluice_fanout_subscriptions") == 10 })
		// What is idle holds no memory of requests.
		eventually(t, "nothing is reserved", func() bool { return s.gauge(t, "sluice_api_memory_reserved_bytes") == 0 })
		vanish()
		eventually(t, "all subscriptions have ended", func() bool {
			return s.gauge(t, "sluice_fanout_subscriptions") == 0 && s.gauge(t, "sluice_api_requests_in_flight") == 0
		})
	})
}

// A client that does not read gets as many events as fit on the way to it, and is cut off.
func TestAClientThatTakesNothingIsCutOffAndHoldsUpNobody(t *testing.T) {
	s := start(t, func(set *setting) { set.api.BodyTimeout = 500 * time.Millisecond })
	streamARN, stuck := s.consumer(t, "s")
	reading := s.subscribe(t, s.register(t, streamARN, "reads"), types.StartingPosition{Type: types.ShardIteratorTypeLatest})
	next(t, reading)

	body := fmt.Sprintf(`{"ConsumerARN":%q,"ShardId":"shardId-000000000000","StartingPosition":{"Type":"LATEST"}}`, stuck)
	request := s.request(t, "Kinesis_20131202.SubscribeToShard", body)
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := request.Write(conn); err != nil {
		t.Fatal(err)
	}
	eventually(t, "both are subscribed", func() bool { return s.gauge(t, "sluice_fanout_subscriptions") == 2 })
	filler := strings.Repeat("x", 1<<20-100)
	for i := 0; s.gauge(t, "sluice_fanout_subscriptions") == 2; i++ {
		if i == 500 {
			t.Fatal("half a gigabyte was sent to nobody")
		}
		sequence := s.putRecord(t, "s", filler)
		e := next(t, reading)
		for len(e.Records) == 0 {
			e = next(t, reading)
		}
		if len(e.Records) != 1 || *e.Records[0].SequenceNumber != sequence {
			t.Fatalf("the one that reads got %d records", len(e.Records))
		}
	}
}

func TestTheEndOfTheServerEndsSubscriptionsInOrder(t *testing.T) {
	overHTTP(t, func(t *testing.T, s *server) {
		_, consumer := s.consumer(t, "s")
		reader := s.open(t.Context(), t, consumer, "LATEST")
		for range 2 {
			if _, err := reader.Next(); err != nil {
				t.Fatal(err)
			}
		}
		ended := make(chan error, 1)
		go func() { ended <- s.server.Shutdown(context.Background()) }()
		if _, err := reader.Next(); !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("the last message: %v", err)
		}
		_ = reader.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
