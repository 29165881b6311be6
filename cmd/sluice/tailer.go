package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync"
	"time"

	"github.com/seed-462d9463/sluice/internal/client"
	"github.com/seed-462d9463/sluice/stream/aggregate"
)

// tailer reads all shards of a stream at once, each on its own.
type tailer struct {
	client *client.Client
	stream string
	start  startAt
	follow bool
	out    *recordPrinter
	// messages are what is to be told beside the records.
	messages io.Writer

	shards sync.WaitGroup

	mu      sync.Mutex      // guards what follows
	reading map[string]bool // shards that are or were read
	reached bool            // the server has answered a read
	away    bool            // it does not answer, and that was told
}

// A shard answers five calls a second, to all its readers together. One that has nothing new is asked at this
// interval, one that is behind at once.
const idlePause = 400 * time.Millisecond

func (t *tailer) run(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	shards, err := t.list(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	t.reading = map[string]bool{}
	for _, s := range shards {
		t.read(ctx, stop, s, t.start)
	}
	t.shards.Wait()
	switch cause := context.Cause(ctx); {
	case cause == nil, errors.Is(cause, context.Canceled), errors.Is(cause, errEnough):
		return nil
	default:
		return cause
	}
}

// list gives the names of all shards.
func (t *tailer) list(ctx context.Context) ([]string, error) {
	var names []string
	input := client.ListShardsInput{StreamName: t.stream}
	for {
		out, err := t.client.ListShards(ctx, input)
		if err != nil {
			return nil, err
		}
		for _, s := range out.Shards {
			names = append(names, s.ShardID)
		}
		if out.NextToken == "" {
			return names, nil
		}
		input = client.ListShardsInput{NextToken: out.NextToken}
	}
}

// read starts reading a shard, unless that was done before. The first shard that fails ends all.
func (t *tailer) read(ctx context.Context, stop context.CancelCauseFunc, shard string, start startAt) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.reading[shard] {
		return
	}
	t.reading[shard] = true
	t.shards.Go(func() {
		r := &shardReader{tailer: t, shard: shard, start: start}
		children, err := r.run(ctx)
		if err != nil {
			stop(err)
			return
		}
		for _, child := range children {
			t.read(ctx, stop, child, startAt{kind: "TRIM_HORIZON"})
		}
	})
}

// shardReader reads one shard. It survives what ends an iterator: its position is the record read last.
type shardReader struct {
	tailer *tailer
	shard  string
	start  startAt
	last   string // sequence number of the record printed last

	aggregated aggregate.Reader
}

// run reads until the shard is closed and read to its end, and returns the shards that came after it. Without
// following it returns at the shard's end as it is now.
func (r *shardReader) run(ctx context.Context) (children []string, err error) {
	iterator := "" // none: ask for one at the position
	pause := firstPause
	for {
		out, err := r.step(ctx, iterator)
		switch {
		case err == nil:
			pause = firstPause
			r.tailer.connected()
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case expired(err):
			iterator = ""
			continue
		case r.tailer.passing(err):
			if err := wait(ctx, pause); err != nil {
				return nil, err
			}
			pause = min(2*pause, longPause)
			continue
		default:
			return nil, fmt.Errorf("shard %s: %w", r.shard, err)
		}
		if err := r.print(out.Records); err != nil {
			return nil, err
		}
		if out.NextShardIterator == "" {
			return childNames(out.ChildShards), nil
		}
		iterator = out.NextShardIterator
		if len(out.Records) > 0 || out.MillisBehindLatest > 0 {
			continue
		}
		if !r.tailer.follow {
			return nil, nil
		}
		if err := wait(ctx, idlePause); err != nil {
			return nil, err
		}
	}
}

// step reads once.
func (r *shardReader) step(ctx context.Context, iterator string) (client.GetRecordsOutput, error) {
	if iterator == "" {
		var err error
		if iterator, err = r.iterator(ctx); err != nil {
			return client.GetRecordsOutput{}, err
		}
	}
	return r.tailer.client.GetRecords(ctx, client.GetRecordsInput{ShardIterator: iterator})
}

// iterator asks for one that stands behind the record printed last.
func (r *shardReader) iterator(ctx context.Context) (string, error) {
	input := client.GetShardIteratorInput{
		StreamName: r.tailer.stream, ShardID: r.shard, ShardIteratorType: r.start.kind, Timestamp: r.start.time,
	}
	if r.last != "" {
		input.ShardIteratorType, input.StartingSequenceNumber = "AFTER_SEQUENCE_NUMBER", r.last
		input.Timestamp = time.Time{}
	}
	iterator, err := r.tailer.client.GetShardIterator(ctx, input)
	if err == nil && r.start.kind == "LATEST" {
		// Should this one expire before the first record (the process was suspended), then what came since
		// is wanted, not what is the latest by then.
		r.start = startAt{"AT_TIMESTAMP", time.Now()}
	}
	return iterator, err
}

func (r *shardReader) print(records []client.Record) error {
	if len(records) == 0 {
		return nil
	}
	r.last = records[len(records)-1].SequenceNumber
	return r.tailer.out.print(r.shown(records))
}

// shown yields the records as users made them: those of the Kinesis Producer Library one by one, whatever shard they
// were meant for, so that nothing is hidden from who looks.
func (r *shardReader) shown(records []client.Record) iter.Seq[printed] {
	return func(yield func(printed) bool) {
		for _, record := range records {
			whole := printed{
				Shard: r.shard, SequenceNumber: record.SequenceNumber, PartitionKey: record.PartitionKey,
				Arrival: record.ApproximateArrivalTimestamp, raw: record.Data,
			}
			if !r.aggregated.Read(record.Data) {
				if !yield(whole) {
					return
				}
				continue
			}
			for u := range r.aggregated.Records() {
				one := whole
				one.SubSequence, one.raw = &u.SubSequence, u.Data
				one.PartitionKey, one.ExplicitHashKey = string(u.PartitionKey), string(u.ExplicitHashKey)
				if !yield(one) {
					return
				}
			}
		}
	}
}

func childNames(children []client.ChildShard) []string {
	names := make([]string, len(children))
	for i, c := range children {
		names[i] = c.ShardID
	}
	return names
}

func expired(err error) bool {
	var refused *client.Error
	return errors.As(err, &refused) && refused.Code == "ExpiredIteratorException"
}

// passing reports whether an error may go away by waiting: the shard is busy, or the server is away. The latter
// is told once, until it is back.
func (t *tailer) passing(err error) bool {
	var refused *client.Error
	if errors.As(err, &refused) && refused.Status < 500 {
		return throttling(refused.Code)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.follow || !t.reached {
		return false
	}
	if !t.away {
		t.away = true
		fmt.Fprintf(t.messages, "sluice: the server is away, trying again: %v\n", err)
	}
	return true
}

// connected notes that the server has answered.
func (t *tailer) connected() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.away {
		fmt.Fprintln(t.messages, "sluice: the server is back")
	}
	t.away, t.reached = false, true
}

// wait waits, or returns why ctx has ended.
func wait(ctx context.Context, pause time.Duration) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
