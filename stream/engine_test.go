package stream

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-462d9463/sluice/shard/journal"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

// onJournal starts a service on the embedded engine; the engine is closed after it.
func onJournal(t *testing.T, fs vfs.FS) *world {
	t.Helper()
	return newWorld(t, openJournal(t, fs), limitsOffIn)
}

func openJournal(t *testing.T, fs vfs.FS) *journal.Engine {
	t.Helper()
	engine, err := journal.Open(journal.Options{
		FS: fs, Dir: "/data", MaxAppendBytes: 1 << 20,
		Config: journal.Config{JournalFileBytes: 4 << 20, JournalFiles: 3, CacheBytes: 8 << 20},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
	})
	return engine
}

func TestAcknowledgedRecordsSurvivePowerLossUnderTheirSequenceNumbers(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			fs := vfs.NewMem()
			before := onJournal(t, fs)
			name := before.create("s", CreateOptions{Shards: 4})

			var mu sync.Mutex // guards acknowledged
			acknowledged := map[SequenceNumber]string{}
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			started := make(chan struct{}, 1)
			var writers sync.WaitGroup
			for writer := range 4 {
				writers.Go(func() {
					for i := 0; ctx.Err() == nil; i++ {
						entries := make([]Entry, 10)
						for j := range entries {
							value := fmt.Sprint(writer, i, j)
							entries[j] = Entry{PartitionKey: value, Data: []byte(value)}
						}
						results, err := before.Put(ctx, name, entries)
						if err != nil {
							t.Error(err)
							return
						}
						mu.Lock()
						for j, r := range results {
							if r.Err == nil {
								acknowledged[r.Sequence] = string(entries[j].Data)
							}
						}
						mu.Unlock()
						if i == 25 {
							select {
							case started <- struct{}{}:
							default:
							}
						}
					}
				})
			}
			writers.Go(func() { before.reshardWhile(ctx, name, rand.New(rand.NewPCG(seed, 7)), new(atomic.Int64)) })
			<-started
			for len(before.describe(name).Shards) < 20 {
				<-time.After(time.Millisecond)
			}
			// No acknowledgment gets into the ledger while the disk is cloned, so that all that are in it
			// came before the power loss.
			mu.Lock()
			clone := fs.CrashClone(seed)
			expected := maps.Clone(acknowledged)
			mu.Unlock()
			cancel()
			writers.Wait()

			after := onJournal(t, clone)
			d, err := after.Describe(name) // checks that the open shards take every key once
			if err != nil {
				t.Fatal(err)
			}
			if len(d.Shards) < 20 {
				t.Errorf("only %d shards after the power loss", len(d.Shards))
			}
			for i := range d.Shards {
				sh := &d.Shards[i]
				for p := after.startAt(name, sh.ID, StartAt{Type: TrimHorizon}); ; {
					result := after.read(name, p)
					for _, r := range result.Records {
						n := sh.SequenceNumber(r.Offset, r.Time)
						if value, ok := expected[n]; ok && value != string(r.Value) {
							t.Errorf("%s is %q, was acknowledged as %q", n, r.Value, value)
						}
						delete(expected, n)
					}
					if len(result.Records) == 0 {
						break
					}
					p = result.Next
				}
			}
			if len(expected) != 0 {
				t.Errorf("%d acknowledged records are lost", len(expected))
			}
			after.put(name, text("goes on"))
			if _, err := after.UpdateShardCount(context.Background(), name, 3); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestStreamsOnTheEmbeddedEngineSurviveARestart(t *testing.T) {
	fs := vfs.NewMem()
	var last SequenceNumber
	var name Name
	var want []string
	t.Run("before", func(t *testing.T) {
		w := onJournal(t, fs)
		name = w.create("kept", CreateOptions{Shards: 1})
		gone := w.create("gone", CreateOptions{Shards: 3})
		for i := range 1000 {
			want = append(want, fmt.Sprint(i))
		}
		for chunk := range slices.Chunk(want, MaxPutRecords) {
			var entries []Entry
			for _, value := range chunk {
				entries = append(entries, text(value))
			}
			results := w.put(name, entries...)
			last = results[len(results)-1].Sequence
		}
		if err := w.Delete(context.Background(), gone); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("after", func(t *testing.T) {
		w := onJournal(t, fs)
		if got := w.values(name, ShardID(0), StartAt{Type: TrimHorizon}); !slices.Equal(got, want) {
			t.Errorf("%d records, want %d", len(got), len(want))
		}
		if got := w.values(name, ShardID(0), StartAt{Type: AtSequence, Sequence: last}); !slices.Equal(got, want[len(want)-1:]) {
			t.Errorf("at the last: %q", got)
		}
		if next := w.put(name, text("next"))[0].Sequence; next.Compare(last) <= 0 {
			t.Errorf("%s follows %s", next, last)
		}
		if got := w.topics(); len(got) != 1 {
			t.Errorf("topics %v", got)
		}
	})
}
