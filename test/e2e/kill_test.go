package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/big"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	kinesistypes "github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// killTimes is how often the server is killed; `make nightly` has more.
var killTimes = flag.Int("kills", 20, "how often TestNothingAcknowledgedIsLostOrDoubledThroughKillNine kills the server, and half as often one on Kafka")

// TestNothingAcknowledgedIsLostOrDoubledThroughKillNine writes from several producers while the process is killed
// with -9 again and again at random moments and the stream's shards are split and merged all the while, reads while it
// writes, and holds the stream, read in the order of its shards, and the objects of two
// delivery streams against a ledger.
func TestNothingAcknowledgedIsLostOrDoubledThroughKillNine(t *testing.T) {
	kills := map[string]int{"embedded": *killTimes, "kafka": *killTimes / 2} // a start takes longer there
	onEachEngine(t, func(t *testing.T, e engine) { killNine(t, e, kills[e.name]) })
}

func killNine(t *testing.T, e engine, kills int) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))

	s := e.startServer(t, "--limits", "off", "--config", ingestConfig(t))
	arn := createStream(t, s, "clicks", 4)
	createDelivery(t, s, "clicks-to-bucket", "clicks-bucket", arn)
	createDelivery(t, s, "direct", "direct-bucket", "")

	ctx, stopProducers := context.WithCancel(t.Context())
	defer stopProducers()
	streamLedger, directLedger := newLedger(), newLedger()
	var streamAcks, directAcks, lineAcks atomic.Int64
	var producers sync.WaitGroup
	for i := range 6 {
		client := s.kinesis()
		producers.Go(func() {
			produce(ctx, client, "clicks", fmt.Sprintf("producer-%d", i), streamLedger, &streamAcks)
		})
	}
	for i := range 2 {
		producers.Go(func() {
			produceLines(ctx, s.endpoint(), "clicks", fmt.Sprintf("lines-%d", i), streamLedger, &lineAcks)
		})
	}
	for i := range 2 {
		client := s.firehose()
		producers.Go(func() {
			produceDirect(ctx, client, "direct", fmt.Sprintf("direct-%d", i), directLedger, &directAcks)
		})
	}
	watcher := newWatcher()
	producers.Go(func() { watcher.watch(ctx, s.kinesis(), "clicks") })
	var changes atomic.Int64
	resharding := rand.New(rand.NewPCG(seed, 2))
	producers.Go(func() { reshard(ctx, s.kinesis(), "clicks", resharding, &changes) })

	for k := range kills {
		stream, direct, lines, changed := streamAcks.Load(), directAcks.Load(), lineAcks.Load(), changes.Load()
		eventually(t, "producers make progress after a restart", func() error {
			if streamAcks.Load() < stream+50 || directAcks.Load() < direct+25 || lineAcks.Load() < lines+50 ||
				changes.Load() < changed+1 {
				return errNotYet
			}
			return nil
		})
		// The moment of the kill is random on purpose: nothing is awaited here.
		<-time.After(time.Duration(random.IntN(400)) * time.Millisecond)
		s.kill()
		s.start()
		if k == kills/2 {
			s.stop() // a clean end in between must do no harm either
			s.start()
		}
	}
	stopProducers()
	producers.Wait()

	records := checkDelivered(t, streamLedger, s.records("clicks"), s.lines("clicks-bucket"))
	watcher.check(t, records)
	t.Logf("%d lines acknowledged of those sent by plain HTTP", lineAcks.Load())
	t.Logf("%d records acknowledged in the stream, %d found, %d seen while writing, %d kills, %d changes of shards",
		len(streamLedger.acknowledged()), len(records), len(watcher.seen), kills, changes.Load())

	checkDirect(t, directLedger, s.lines("direct-bucket"))
}

// mostChanges are made quickly, and others slowly, so that the stream's shards do not become more than one answer of
// ListShards has.
const mostChanges = 60

// reshard splits and merges shards and sets their number until ctx ends, and counts what was acknowledged.
func reshard(ctx context.Context, client *kinesis.Client, stream string, random *rand.Rand, acked *atomic.Int64) {
	name := aws.String(stream)
	for ctx.Err() == nil {
		if err := reshardOnce(ctx, client, name, random); err == nil {
			acked.Add(1)
		}
		pause(ctx)
		for range 10 {
			if acked.Load() > mostChanges {
				pause(ctx)
			}
		}
	}
}

func reshardOnce(ctx context.Context, client *kinesis.Client, name *string, random *rand.Rand) error {
	out, err := client.ListShards(ctx, &kinesis.ListShardsInput{
		StreamName: name, ShardFilter: &kinesistypes.ShardFilter{Type: kinesistypes.ShardFilterTypeAtLatest},
	})
	if err != nil {
		return err
	}
	open := out.Shards
	if random.IntN(6) == 0 {
		_, err = client.UpdateShardCount(ctx, &kinesis.UpdateShardCountInput{
			StreamName: name, TargetShardCount: aws.Int32(int32(2 + random.IntN(5))), ScalingType: kinesistypes.ScalingTypeUniformScaling,
		})
		return err
	}
	shard := open[random.IntN(len(open))]
	start, _ := new(big.Int).SetString(*shard.HashKeyRange.StartingHashKey, 10)
	end, _ := new(big.Int).SetString(*shard.HashKeyRange.EndingHashKey, 10)
	if len(open) < 6 && random.IntN(2) == 0 {
		middle := new(big.Int).Rsh(new(big.Int).Add(start, end), 1)
		_, err = client.SplitShard(ctx, &kinesis.SplitShardInput{
			StreamName: name, ShardToSplit: shard.ShardId, NewStartingHashKey: aws.String(middle.String()),
		})
		return err
	}
	next := end.Add(end, big.NewInt(1)).String()
	for _, other := range open {
		if *other.HashKeyRange.StartingHashKey == next {
			_, err = client.MergeShards(ctx, &kinesis.MergeShardsInput{
				StreamName: name, ShardToMerge: shard.ShardId, AdjacentShardToMerge: other.ShardId,
			})
			return err
		}
	}
	return nil
}

// watcher reads a stream while it is written, and remembers what it was given: none of it may vanish later. It begins
// every read at the last record that it was given, which so must be there again, through whatever happened to the server
// in between.
type watcher struct {
	seen     map[string]string // shard and sequence number → data
	vanished []string          // what was not there again
}

func newWatcher() *watcher { return &watcher{seen: map[string]string{}} }

func (w *watcher) watch(ctx context.Context, client *kinesis.Client, stream string) {
	after := map[string]string{} // shard → last sequence number
	for ctx.Err() == nil {
		shards, err := client.ListShards(ctx, &kinesis.ListShardsInput{StreamName: aws.String(stream)})
		if err != nil {
			pause(ctx)
			continue
		}
		for _, shard := range shards.Shards {
			w.readOnce(ctx, client, stream, *shard.ShardId, after)
		}
		pause(ctx)
	}
}

// pause keeps clients from spinning while there is nothing to read, or no server; what they find does not depend on it.
func pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(20 * time.Millisecond):
	}
}

func (w *watcher) readOnce(ctx context.Context, client *kinesis.Client, stream, shard string, after map[string]string) {
	in := &kinesis.GetShardIteratorInput{
		StreamName: aws.String(stream), ShardId: aws.String(shard), ShardIteratorType: kinesistypes.ShardIteratorTypeTrimHorizon,
	}
	last := after[shard]
	if last != "" {
		in.ShardIteratorType = kinesistypes.ShardIteratorTypeAtSequenceNumber
		in.StartingSequenceNumber = aws.String(last)
	}
	at, err := client.GetShardIterator(ctx, in)
	var invalid *kinesistypes.InvalidArgumentException
	if errors.As(err, &invalid) {
		w.vanished = append(w.vanished, fmt.Sprintf("%s %s: %v", shard, last, err))
	}
	if err != nil {
		return
	}
	out, err := client.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: at.ShardIterator})
	if err != nil {
		return
	}
	if last != "" && (len(out.Records) == 0 || *out.Records[0].SequenceNumber != last ||
		string(out.Records[0].Data) != w.seen[shard+" "+last]) {
		w.vanished = append(w.vanished, fmt.Sprintf("%s %s: %d other records", shard, last, len(out.Records)))
	}
	for _, r := range out.Records {
		w.seen[shard+" "+*r.SequenceNumber] = string(r.Data)
		after[shard] = *r.SequenceNumber
	}
}

func (w *watcher) check(t *testing.T, records []readRecord) {
	t.Helper()
	for _, where := range w.vanished {
		t.Errorf("a reader was given a record that was not there when it read again: %s", where)
	}
	now := map[string]string{}
	for _, r := range records {
		now[r.shard+" "+r.sequence] = r.data
	}
	for where, data := range w.seen {
		if now[where] != data {
			t.Errorf("a reader was given a record at %s that is not there any more", where)
		}
	}
}
