package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/seed-462d9463/sluice/internal/catalog"
	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/kafka"
	"github.com/seed-462d9463/sluice/shard/shardtest"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

// reader reads a stream as the Kinesis Client Library does: every shard from its start to its end, and a child only
// after all its parents.
type reader struct {
	w    *world
	name Name

	mu       sync.Mutex // guards what follows
	finished map[string]bool
	begun    map[string]bool
	seen     map[SequenceNumber]string
	last     map[string]int // by partition key: the number of the last record
	problems []string
	stop     func() bool // no more is written
	shards   sync.WaitGroup
}

func (r *reader) problem(format string, args ...any) {
	if len(r.problems) < 10 {
		r.problems = append(r.problems, fmt.Sprintf(format, args...))
	}
}

// begin starts to read a shard unless it was begun, or a parent is not finished.
func (r *reader) begin(id string, parents []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, parent := range parents {
		if !r.finished[parent] {
			return // the last of them to finish has it as a child, too
		}
	}
	if !r.begun[id] {
		r.begun[id] = true
		r.shards.Go(func() { r.read(id) })
	}
}

func (r *reader) read(id string) {
	ctx := context.Background()
	p, err := r.w.Start(ctx, r.name, id, StartAt{Type: TrimHorizon})
	if err != nil {
		r.w.t.Error(err)
		return
	}
	for {
		stopped := r.stop()
		result, err := r.w.Read(ctx, r.name, p, 500, nil)
		if err != nil {
			r.w.t.Error(err)
			return
		}
		r.take(&result)
		if result.Closed {
			r.mu.Lock()
			r.finished[id] = true
			r.mu.Unlock()
			if len(result.Children) == 0 {
				r.w.t.Errorf("%s ends without children", id)
			}
			for i := range result.Children {
				r.begin(result.Children[i].ID, result.Children[i].Parents())
			}
			return
		}
		if len(result.Records) == 0 {
			if stopped {
				return
			}
			<-time.After(time.Millisecond) // polling, as clients do
		}
		p = result.Next
	}
}

func (r *reader) take(result *ReadResult) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range result.Records {
		record := &result.Records[i]
		n := result.Shard.SequenceNumber(record.Offset, record.Time)
		if _, twice := r.seen[n]; twice {
			r.problem("%s is read twice", n)
		}
		r.seen[n] = string(record.Value)
		key, number, _ := strings.Cut(string(record.Value), "/")
		at, err := strconv.Atoi(number)
		if before, ok := r.last[key]; err != nil || key != string(record.Key) || ok && at <= before {
			r.problem("record %s of key %s is read after %d", record.Value, record.Key, before)
		}
		r.last[key] = at
	}
}

// reshardWhile changes the stream's shards in every way until stopped, and counts how often.
func (w *world) reshardWhile(ctx context.Context, name Name, rng *rand.Rand, changes *atomic.Int64) {
	for ctx.Err() == nil {
		d := w.describe(name)
		var open []Shard
		for _, sh := range d.Shards {
			if sh.Open() {
				open = append(open, sh)
			}
		}
		var err error
		switch sh := open[rng.IntN(len(open))]; {
		case rng.IntN(4) == 0:
			_, err = w.UpdateShardCount(ctx, name, 1+rng.IntN(6))
		case rng.IntN(2) == 0 && len(open) < 8:
			err = w.Split(ctx, name, sh.ID, sh.Range.middle())
		default:
			for _, other := range open {
				if sh.Range.End.Next() == other.Range.Start && sh.Range.End != MaxHashKey {
					err = w.Merge(ctx, name, sh.ID, other.ID)
				}
			}
		}
		switch {
		case err == nil:
			changes.Add(1)
		case ctx.Err() == nil && !slices.ContainsFunc(w.expected, func(e error) bool { return errors.Is(err, e) }):
			w.t.Error(err)
			return
		}
	}
}

// leastChanges are made while every writer writes.
const leastChanges = 40

// testReshardingUnderLoad writes with several producers while shards are split and merged, and reads along.
func testReshardingUnderLoad(w *world, writers, perWriter int) {
	name := w.create("s", CreateOptions{Shards: 3})
	written := make(chan struct{})
	stop := func() bool {
		select {
		case <-written:
			return true
		default:
			return false
		}
	}
	r := &reader{
		w: w, name: name, stop: stop, finished: map[string]bool{}, begun: map[string]bool{},
		seen: map[SequenceNumber]string{}, last: map[string]int{},
	}
	for i := range 3 {
		r.begin(ShardID(i), nil)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var changes atomic.Int64
	var resharding sync.WaitGroup
	for i := range w.resharders {
		resharding.Go(func() { w.reshardWhile(ctx, name, rand.New(rand.NewPCG(3, uint64(i))), &changes) })
	}

	var mu sync.Mutex // guards acknowledged
	acknowledged := map[SequenceNumber]string{}
	var producers sync.WaitGroup
	for writer := range writers {
		producers.Go(func() {
			for n := 0; (n < perWriter || changes.Load() < leastChanges) && !w.t.Failed(); {
				// One key in order, and others beside it, so that a request goes to many shards.
				var entries []Entry
				for i := range 1 + n%7 {
					key := fmt.Sprintf("%d-%d", writer, i%3)
					entries = append(entries, Entry{PartitionKey: key, Data: fmt.Appendf(nil, "%s/%d", key, n)})
					n++
				}
				results, err := w.Put(context.Background(), name, entries)
				if err != nil {
					w.t.Error(err)
					return
				}
				if w.pause > 0 {
					<-time.After(w.pause)
				}
				mu.Lock()
				for i, result := range results {
					if result.Err != nil {
						w.t.Error(result.Err)
					}
					acknowledged[result.Sequence] = string(entries[i].Data)
				}
				mu.Unlock()
			}
		})
	}
	producers.Wait()
	cancel()
	resharding.Wait()
	close(written)
	r.shards.Wait()
	for _, problem := range r.problems {
		w.t.Error(problem)
	}
	lost := 0
	for sequence, value := range acknowledged {
		if r.seen[sequence] != value {
			lost++
		}
	}
	if lost > 0 || len(r.seen) != len(acknowledged) {
		w.t.Errorf("of %d acknowledged records %d were not read; %d were read", len(acknowledged), lost, len(r.seen))
	}
	d := w.describe(name)
	w.t.Logf("%d records, %d changes, %d shards", len(acknowledged), changes.Load(), len(d.Shards))
}

// late is a catalog's log whose appends are durable long before it says so: whatever goes to a shard that is being
// closed has time to get there.
type late struct{ shard.Log }

type lately struct{ shard.Pending }

func (l late) Append(ctx context.Context, records []shard.Record) shard.Pending {
	return lately{l.Log.Append(ctx, records)}
}

func (p lately) Wait(ctx context.Context) (shard.Appended, error) {
	at, err := p.Pending.Wait(ctx)
	<-time.After(2 * time.Millisecond)
	return at, err
}

func TestEveryRecordIsReadOnceAndInOrderWhileShardsAreSplitAndMerged(t *testing.T) {
	engine := &interposed{openJournal(t, vfs.NewMem()), func(topic string, _ int, log shard.Log) shard.Log {
		if topic == catalog.Topic {
			return late{log}
		}
		return log
	}}
	testReshardingUnderLoad(newWorld(t, engine, limitsOffIn), 4, 2000)
}

// doubtful is a catalog's log that now and then does not say whether it has taken what it was given.
type doubtful struct {
	shard.Log
	appends *atomic.Int64
}

func (l doubtful) Append(ctx context.Context, records []shard.Record) shard.Pending {
	if l.appends.Add(1) == 1 { // the stream's creation
		return l.Log.Append(ctx, records)
	}
	switch rand.IntN(6) {
	case 0:
		return failed{errDisk}
	case 1:
		_, _ = l.Log.Append(ctx, records).Wait(ctx)
		return failed{errDisk}
	}
	return late{l.Log}.Append(ctx, records)
}

func TestEveryRecordIsReadOnceAndInOrderThoughNobodyKnowsWhetherShardsHaveChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var appends atomic.Int64
		w := newWorld(t, &interposed{shardtest.NewMemory(), func(topic string, _ int, log shard.Log) shard.Log {
			if topic == catalog.Topic {
				return doubtful{log, &appends}
			}
			return log
		}}, limitsOffIn)
		w.resharders, w.pause = 3, 4*time.Millisecond
		w.expected = []error{errDisk, ErrShardClosed, ErrShardNotFound, ErrNotAdjacent, ErrInvalidArgument}
		ctx, cancel := context.WithCancel(t.Context())
		var others sync.WaitGroup
		others.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				<-time.After(5 * time.Millisecond)
				_ = w.Amend(ctx, named("s"), func(s *Settings) error {
					s.Tags = map[string]string{"n": strconv.Itoa(n)}
					return nil
				})
			}
		})
		testReshardingUnderLoad(w, 4, 500)
		cancel()
		others.Wait()
	})
}

func TestEveryRecordIsReadOnceAndInOrderWhileShardsChangeInKafka(t *testing.T) {
	brokers, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(brokers.Close)
	engine, err := kafka.Open(t.Context(), kafka.Options{Config: kafka.Config{Brokers: brokers.ListenAddrs()}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
	})
	testReshardingUnderLoad(newWorld(t, engine, limitsOffIn), 4, 400)
}
