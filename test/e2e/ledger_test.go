package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/firehose"
	firehosetypes "github.com/aws/aws-sdk-go-v2/service/firehose/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	kinesistypes "github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// entry is a record as a producer made it. No entry is ever sent twice: when an answer is lost, the producer goes
// on with the next, so that whatever is found twice was doubled by the server.
type entry struct {
	Producer string `json:"producer"`
	N        int    `json:"n"`
	Pad      string `json:"pad"`
}

func (e entry) id() string { return fmt.Sprintf("%s/%d", e.Producer, e.N) }

func (e entry) encode() []byte {
	b, err := json.Marshal(e)
	if err != nil {
		panic(err)
	}
	return b
}

func parseEntry(t testing.TB, line string) entry {
	t.Helper()
	var e entry
	if err := json.Unmarshal([]byte(line), &e); err != nil {
		t.Fatalf("a record that nobody wrote: %q: %v", last(line, 200), err)
	}
	return e
}

// acknowledgement is what the server answered for one entry.
type acknowledgement struct {
	entry           entry
	shard, sequence string
}

// ledger is kept outside the server: what was tried, and what was acknowledged.
type ledger struct {
	mu    sync.Mutex
	tried map[string]bool
	acked []acknowledgement
}

func newLedger() *ledger { return &ledger{tried: map[string]bool{}} }

func (l *ledger) try(entries ...entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range entries {
		l.tried[e.id()] = true
	}
}

func (l *ledger) ack(acks ...acknowledgement) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acked = append(l.acked, acks...)
}

func (l *ledger) acknowledged() []acknowledgement {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acked
}

// produce puts entries into a stream until ctx ends, one by one and in batches in turn, and counts what was
// acknowledged.
func produce(ctx context.Context, client *kinesis.Client, stream, producer string, l *ledger, acked *atomic.Int64) {
	produceSized(ctx, client, stream, producer, 700, l, acked)
}

// produceSized is produce with entries of about so many bytes.
func produceSized(ctx context.Context, client *kinesis.Client, stream, producer string, bytes int, l *ledger, acked *atomic.Int64) {
	pad := strings.Repeat("x", bytes)
	for n := 0; ctx.Err() == nil; {
		if n%3 == 0 {
			e := entry{producer, n, pad}
			n++
			l.try(e)
			out, err := client.PutRecord(ctx, &kinesis.PutRecordInput{
				StreamName: aws.String(stream), PartitionKey: aws.String(producer), Data: e.encode(),
			})
			if err != nil {
				pause(ctx)
				continue
			}
			l.ack(acknowledgement{e, *out.ShardId, *out.SequenceNumber})
			acked.Add(1)
			continue
		}
		var batch []entry
		var request []kinesistypes.PutRecordsRequestEntry
		for range 40 {
			e := entry{producer, n, pad}
			n++
			batch = append(batch, e)
			request = append(request, kinesistypes.PutRecordsRequestEntry{PartitionKey: aws.String(producer), Data: e.encode()})
		}
		l.try(batch...)
		out, err := client.PutRecords(ctx, &kinesis.PutRecordsInput{StreamName: aws.String(stream), Records: request})
		if err != nil {
			pause(ctx)
			continue
		}
		for i, r := range out.Records {
			if r.ErrorCode == nil {
				l.ack(acknowledgement{batch[i], *r.ShardId, *r.SequenceNumber})
				acked.Add(1)
			}
		}
	}
}

// produceDirect does the same with a delivery stream of its own.
func produceDirect(ctx context.Context, client *firehose.Client, delivery, producer string, l *ledger, acked *atomic.Int64) {
	pad := strings.Repeat("y", 300)
	for n := 0; ctx.Err() == nil; {
		var batch []entry
		var request []firehosetypes.Record
		for range 25 {
			e := entry{producer, n, pad}
			n++
			batch = append(batch, e)
			request = append(request, firehosetypes.Record{Data: e.encode()})
		}
		l.try(batch...)
		out, err := client.PutRecordBatch(ctx, &firehose.PutRecordBatchInput{
			DeliveryStreamName: aws.String(delivery), Records: request,
		})
		if err != nil {
			pause(ctx)
			continue
		}
		for i, r := range out.RequestResponses {
			if r.ErrorCode == nil {
				l.ack(acknowledgement{entry: batch[i]})
				acked.Add(1)
			}
		}
	}
}

// checkStream holds what is in a stream against the ledger: every acknowledged record once, where the answer said,
// nothing twice, nothing that was not tried, and each producer's records in the order in which it sent them.
func checkStream(t testing.TB, l *ledger, records []readRecord) {
	t.Helper()
	found := map[string]bool{}
	position := map[string]string{} // id → shard and sequence number
	lastN := map[string]int{}
	lastSequence := map[string]*big.Int{}
	for _, r := range records {
		e := parseEntry(t, r.data)
		if found[e.id()] {
			t.Errorf("record %s is in the stream twice", e.id())
		}
		if !l.tried[e.id()] {
			t.Errorf("record %s is in the stream, and nobody wrote it", e.id())
		}
		found[e.id()] = true
		position[e.id()] = r.shard + " " + r.sequence
		if previous, ok := lastN[e.Producer]; ok && e.N <= previous {
			t.Errorf("record %s stands behind %s/%d", e.id(), e.Producer, previous)
		}
		lastN[e.Producer] = e.N
		sequence, ok := new(big.Int).SetString(r.sequence, 10)
		if !ok {
			t.Fatalf("sequence number %q", r.sequence)
		}
		if before := lastSequence[r.shard]; before != nil && sequence.Cmp(before) <= 0 {
			t.Errorf("sequence number %s follows %s in %s", sequence, before, r.shard)
		}
		lastSequence[r.shard] = sequence
	}
	lost := 0
	for _, a := range l.acknowledged() {
		switch where, ok := position[a.entry.id()]; {
		case !ok:
			lost++
			t.Errorf("record %s was acknowledged as %s %s and is lost", a.entry.id(), a.shard, a.sequence)
		case a.shard != "" && where != a.shard+" "+a.sequence: // answers to plain HTTP do not say where
			t.Errorf("record %s was acknowledged as %s %s and is at %s", a.entry.id(), a.shard, a.sequence, where)
		}
		if lost > 10 {
			t.Fatal("many more are lost")
		}
	}
}

// checkDelivered waits until a stream and the objects that are made of it have the same records, holds that reading
// against the ledger, and returns it. One reading alone would not do: a put that its producer did not wait for may still be
// under way when all producers have ended, and come into the stream, and from there into the objects, at any later time.
func checkDelivered(t testing.TB, l *ledger, read func() []readRecord, objects func() map[string]int) []readRecord {
	t.Helper()
	var records []readRecord
	var lines map[string]int
	eventually(t, "the stream and the objects have the same records", func() error {
		lines, records = objects(), read()
		return difference(records, lines)
	})
	checkStream(t, l, records)
	for line, times := range lines {
		if times != 1 {
			t.Errorf("record %s is %d times in the objects", parseEntry(t, line).id(), times)
		}
	}
	return records
}

// difference tells which records are in a stream or in the objects alone, however often.
func difference(records []readRecord, lines map[string]int) error {
	in := map[string]bool{}
	missing, example := 0, ""
	for _, r := range records {
		in[r.data] = true
		if lines[r.data] == 0 {
			missing, example = missing+1, r.data
		}
	}
	invented := 0
	for line := range lines {
		if !in[line] {
			invented, example = invented+1, line
		}
	}
	if missing+invented > 0 {
		return fmt.Errorf("of %d records in the stream %d are not in the objects, and %d in the objects are not in the stream, one of them is %s",
			len(records), missing, invented, last(example, 200))
	}
	return nil
}

// checkDirect holds the objects of a DirectPut delivery stream against the ledger. What was tried and not
// acknowledged may be there, at most once.
func checkDirect(t testing.TB, l *ledger, objects func() map[string]int) {
	t.Helper()
	acked := map[string]bool{}
	for _, a := range l.acknowledged() {
		acked[a.entry.id()] = true
	}
	var lines map[string]int
	eventually(t, "direct puts are delivered", func() error {
		lines = objects()
		missing := len(acked)
		for line := range lines {
			if acked[parseEntry(t, line).id()] {
				missing--
			}
		}
		if missing > 0 {
			return fmt.Errorf("%d of %d are missing", missing, len(acked))
		}
		return nil
	})
	for line, times := range lines {
		id := parseEntry(t, line).id()
		if times != 1 {
			t.Errorf("direct record %s is %d times in the objects", id, times)
		}
		if !l.tried[id] {
			t.Errorf("direct record %s is in the objects, and nobody wrote it", id)
		}
	}
	t.Logf("%d direct records acknowledged", len(acked))
}
