package e2e

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	kinesistypes "github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// TestSubscribersGoOnThroughKillNine pushes to subscribers while the process is killed with -9. Each goes on at the
// continuation of the last event that it got, and must have been given every record of its shard once, in order.
func TestSubscribersGoOnThroughKillNine(t *testing.T) {
	s := startServer(t, "--limits", "off")
	arn := createStream(t, s, "pushed", 2)
	client := s.kinesis()
	registered, err := client.RegisterStreamConsumer(t.Context(), &kinesis.RegisterStreamConsumerInput{
		StreamARN: &arn, ConsumerName: aws.String("c"),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	http2 := &http.Transport{Protocols: new(http.Protocols)}
	http2.Protocols.SetUnencryptedHTTP2(true)
	defer http2.CloseIdleConnections()
	var subscribers []*follower
	var running sync.WaitGroup
	for i, shard := range []string{"shardId-000000000000", "shardId-000000000001"} {
		config := s.config()
		if i == 1 {
			config.HTTPClient = &http.Client{Transport: http2}
		}
		p := &follower{consumer: *registered.Consumer.ConsumerARN, shard: shard, config: config}
		subscribers = append(subscribers, p)
		running.Go(func() { p.follow(ctx) })
	}
	l := newLedger()
	var acked atomic.Int64
	producing, stopProducers := context.WithCancel(ctx)
	defer stopProducers()
	var producers sync.WaitGroup
	for _, name := range []string{"producer-0", "producer-1", "producer-2"} {
		producers.Go(func() { produce(producing, client, "pushed", name, l, &acked) })
	}
	for range 4 {
		before := []int64{subscribers[0].count.Load(), subscribers[1].count.Load()}
		eventually(t, "both subscribers are given records", func() error {
			for i, p := range subscribers {
				if p.count.Load() < before[i]+100 {
					return errNotYet
				}
			}
			return nil
		})
		s.kill()
		s.start()
	}
	stopProducers()
	producers.Wait()

	// A put that its producer did not wait for may still come into the stream: one reading alone would not do.
	var records []readRecord
	eventually(t, "the subscribers have been given all records, once and in order", func() error {
		records = readStream(t.Context(), t, s.reader(), "pushed")
		for _, p := range subscribers {
			if pushed, there := p.given(), sequencesIn(records, p.shard); !slices.Equal(pushed, there) {
				return fmt.Errorf("%s: %d records were pushed, and they are not the %d that are there", p.shard, len(pushed), len(there))
			}
		}
		return nil
	})
	checkStream(t, l, records)
	stop()
	running.Wait()
	for _, p := range subscribers {
		t.Logf("%s: %d records in %d subscriptions", p.shard, len(p.sequences), p.subscriptions)
	}
}

func sequencesIn(records []readRecord, shard string) (sequences []string) {
	for _, r := range records {
		if r.shard == shard {
			sequences = append(sequences, r.sequence)
		}
	}
	return sequences
}

// follower is a subscriber to one shard.
type follower struct {
	consumer, shard string
	config          aws.Config
	count           atomic.Int64

	mu            sync.Mutex // guards what follows
	sequences     []string   // of the records that were pushed
	subscriptions int
}

func (p *follower) given() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.sequences)
}

// follow subscribes again and again, in turn at and after the place where the last event ended.
func (p *follower) follow(ctx context.Context) {
	var place *string
	for ctx.Err() == nil {
		at := kinesistypes.StartingPosition{Type: kinesistypes.ShardIteratorTypeTrimHorizon, SequenceNumber: place}
		if place != nil {
			at.Type = kinesistypes.ShardIteratorTypeAfterSequenceNumber
			if p.subscriptions%2 == 0 {
				at.Type = kinesistypes.ShardIteratorTypeAtSequenceNumber
			}
		}
		client := kinesis.NewFromConfig(p.config) // of its own, as docs/compatibility.md tells
		out, err := client.SubscribeToShard(ctx, &kinesis.SubscribeToShardInput{
			ConsumerARN: &p.consumer, ShardId: &p.shard, StartingPosition: &at,
		})
		if err != nil { // the server is away, or it has not been five seconds since the last subscription
			select {
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond):
			}
			continue
		}
		p.mu.Lock()
		p.subscriptions++
		p.mu.Unlock()
		stream := out.GetStream()
		for event := range stream.Events() {
			e := event.(*kinesistypes.SubscribeToShardEventStreamMemberSubscribeToShardEvent).Value
			p.mu.Lock()
			for _, r := range e.Records {
				p.sequences = append(p.sequences, *r.SequenceNumber)
			}
			p.mu.Unlock()
			p.count.Add(int64(len(e.Records)))
			place = e.ContinuationSequenceNumber
		}
		_ = stream.Close()
	}
}
