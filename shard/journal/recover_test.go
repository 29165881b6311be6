package journal

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"syscall"
	"testing"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

// A killed process may have removed the segment that its newest snapshot still writes to, because a trim or a delete
// further on in the journal allowed it. Whoever reads that journal again, with more in it than the cache holds, must
// not take the segment for lost.
func TestSegmentsRemovedSinceTheSnapshotDoNotKeepAnEngineFromStarting(t *testing.T) {
	for name, remove := range map[string]func(e *Engine, l shard.Log) error{
		"Trim": func(_ *Engine, l shard.Log) error {
			_, next := l.Bounds()
			return l.Trim(context.Background(), next)
		},
		"Delete": func(e *Engine, _ shard.Log) error { return e.Delete(context.Background(), "a") },
	} {
		t.Run(name, func(t *testing.T) {
			mem := vfs.NewMem()
			disk := vfs.Inject(mem)
			opts := tinyOptions(disk)
			opts.JournalFileBytes, opts.SegmentBytes = 4<<20, 1<<20
			e := mustOpen(t, opts)
			fill(t, mustLog(t, e, "a"), 10)
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
			e = mustOpen(t, opts)
			l := mustLog(t, e, "a")
			fill(t, l, 300) // more than the cache holds
			kept := fill(t, mustLog(t, e, "b"), 300)
			if err := remove(e, l); err != nil {
				t.Fatal(err)
			}
			for there := true; there; {
				_, err := mem.Stat("/data/" + segmentName(1, 0))
				there = err == nil
			}
			disk.Hook(func(vfs.Call) error { return vfs.ErrCrashed })
			e.Close()
			disk.Hook(nil)

			for range 2 {
				e = mustOpen(t, opts)
				wantValues(t, e, "b", kept)
				l, err := e.Open(context.Background(), "a", 0)
				switch name {
				case "Trim":
					if first, next := l.Bounds(); first != 310 || next != 310 {
						t.Errorf("bounds %d and %d, want 310", first, next)
					}
				case "Delete":
					if err == nil {
						t.Error("the deleted topic is back")
					}
				}
				if err := e.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestASegmentThatNobodyRemovedIsMissedWhileTheJournalIsReadAgain(t *testing.T) {
	opts := tinyOptions(vfs.NewMem())
	opts.JournalFileBytes, opts.SegmentBytes = 4<<20, 1<<20
	e := mustOpen(t, opts)
	fill(t, mustLog(t, e, "a"), 10)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = mustOpen(t, opts)
	fill(t, mustLog(t, e, "a"), 300) // more than the cache holds
	left := opts.FS.(*vfs.Mem).CrashClone(0)
	e.Close()
	if err := left.Remove("/data/" + segmentName(1, 0)); err != nil {
		t.Fatal(err)
	}
	opts.FS = left
	for range 2 {
		var damage *shard.CorruptError
		if e, err := Open(opts); !errors.As(err, &damage) || damage.File != "/data/"+segmentName(1, 0) {
			if err == nil {
				e.Close()
			}
			t.Fatalf("open: %v, want the loss of the segment to be named", err)
		}
	}
}

// After a failed sync the kernel shows bytes that are not on disk, and syncs them no more. The process that starts
// then finds a batch of which nobody can say whether it is durable: what it shows and builds upon must be.
func TestWhatIsSeenAfterAFailedSyncAndARestartSurvivesPowerLoss(t *testing.T) {
	mem := vfs.NewMem()
	disk := vfs.Inject(mem)
	e := mustOpen(t, tinyOptions(disk))
	l := mustLog(t, e, "a")
	values := fill(t, l, 3)
	disk.Hook(func(c vfs.Call) error {
		if c.Op != vfs.OpDatasync {
			return nil
		}
		mem.FailSync(c.Name)
		return syscall.EIO
	})
	last := []byte("on disk or not")
	if _, err := l.Append(context.Background(), []shard.Record{{Value: last}}).Wait(context.Background()); !errors.Is(err, syscall.EIO) {
		t.Fatalf("append: %v", err)
	}
	e.Close()

	e = mustOpen(t, tinyOptions(mem))
	wantValues(t, e, "a", append(values, last)) // nobody was told that it is lost
	seen := mem.CrashClone(0)
	fill(t, mustLog(t, e, "a"), 1)
	built := mem.CrashClone(0)
	e.Close()
	for _, left := range []*vfs.Mem{seen, built} {
		e, err := Open(tinyOptions(left))
		if err != nil {
			t.Fatalf("open after the power loss: %v", err)
		}
		got, err := readEverything(context.Background(), mustLog(t, e, "a"))
		if err != nil || len(got) < 4 || string(got[3].Value) != string(last) {
			t.Errorf("%d records, want the one that was seen among them: %v", len(got), err)
		}
		e.Close()
	}
}

func TestADirectoryMadeByAKilledProcessSurvivesPowerLoss(t *testing.T) {
	for call := int64(1); ; call++ {
		mem := vfs.NewMem()
		disk := vfs.Inject(mem)
		killed := false
		disk.Hook(func(c vfs.Call) error {
			if c.N >= call {
				killed = true
				return vfs.ErrCrashed
			}
			return nil
		})
		opts := tinyOptions(disk)
		opts.Dir = "/var/lib/sluice/log"
		if e, err := Open(opts); err == nil {
			e.Close()
		}
		opts.FS = mem
		e := mustOpen(t, opts)
		values := fill(t, mustLog(t, e, "a"), 1)
		opts.FS = mem.CrashClone(0)
		e.Close()
		e, err := Open(opts)
		if err != nil {
			t.Fatalf("kill before call %d, then power loss: %v", call, err)
		}
		wantValues(t, e, "a", values)
		e.Close()
		if !killed {
			return
		}
	}
}

// What is left of old batches may be full of payload that passes for big batches: none of it is summed, or skipped over.
func TestPayloadsThatLookLikeBatchesAreNotTakenForAny(t *testing.T) {
	file := make([]byte, 4*blockBytes)
	own := batchHeader{journal: 7, length: batchHeaderBytes}
	own.seal(file[2*blockBytes:])
	forged := batchHeader{journal: 1, length: 4 * blockBytes}
	forged.seal(file[:batchHeaderBytes])
	var found []int64
	err := scanBatches(bytes.NewReader(file), int64(len(file)), 7, func(_ *batchHeader, pos int64, _ []byte) error {
		found = append(found, pos)
		return nil
	})
	if err != nil || len(found) != 1 || found[0] != 2*blockBytes {
		t.Errorf("batches at %v, %v; want the one at %d", found, err, 2*blockBytes)
	}
}

func TestOfTwoBatchesInOnePlaceTheLaterStartsCounts(t *testing.T) {
	mem := vfs.NewMem()
	opts := tinyOptions(mem)
	opts.JournalFileBytes = 1 << 20
	for range 2 {
		e := mustOpen(t, opts)
		fill(t, mustLog(t, e, "a"), 1)
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
	e := mustOpen(t, opts)
	defer e.Close()
	if e.journal.epoch != 3 {
		t.Errorf("epoch %d at the third start", e.journal.epoch)
	}
	older := batchHeader{epoch: 1, generation: 2, length: blockBytes}
	newer := batchHeader{epoch: 2, generation: 1, length: blockBytes}
	e.marks.turn <- struct{}{}
	e.marks.last = mark{}
	chain, err := e.chain([]foundBatch{{batchHeader: older}, {batchHeader: newer}}, &snapshot{})
	<-e.marks.turn
	if err != nil || len(chain) != 1 || chain[0].epoch != 2 {
		t.Errorf("%+v, %v; want the batch of epoch 2", chain, err)
	}
}

func TestSegmentsThatNobodyKnowsAreRemoved(t *testing.T) {
	mem := vfs.NewMem()
	e := mustOpen(t, tinyOptions(mem))
	values := fill(t, mustLog(t, e, "a"), 3)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	name := "/data/" + segmentName(1, 1000)
	f, err := mem.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	e = mustOpen(t, tinyOptions(mem))
	defer e.Close()
	if _, err := mem.Stat(name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is there: %v", err)
	}
	wantValues(t, e, "a", values)
}

// A checkpoint goes by the durable position: it must not pass a batch whose entries are not all known to the flusher.
func TestTheDurablePositionPassesABatchOnlyWhenAllOfItIsKnown(t *testing.T) {
	disk := vfs.Inject(vfs.NewMem())
	opts := tinyOptions(disk)
	e := mustOpen(t, opts)
	defer e.Close()
	logs := openLogs(t, e, 3)
	fill(t, logs[0], 1) // who made the topic is told before the durable position passes that
	start := e.durable.Load()
	held := logs[2].(*logState)
	gate, syncing := make(chan struct{}), make(chan struct{})
	syncs := 0
	disk.Hook(func(c vfs.Call) error {
		if c.Op == vfs.OpDatasync && c.Name == "/data/"+journalFileName(0) {
			switch syncs++; syncs {
			case 1:
				close(syncing)
				<-gate
			case 2:
				held.mu.Lock()
			}
		}
		return nil
	})
	pending := []shard.Pending{logs[0].Append(t.Context(), []shard.Record{{Value: []byte("alone")}})}
	<-syncing
	for _, l := range logs[1:] {
		pending = append(pending, l.Append(t.Context(), []shard.Record{{Value: []byte("together")}}))
	}
	close(gate)
	err := logs[1].Wait(t.Context(), 0)
	durable := e.durable.Load()
	held.mu.Unlock()
	if err != nil || durable != start+blockBytes {
		t.Errorf("durable to %d, started at %d with two batches of %d, the second of them half known: %v", durable, start, blockBytes, err)
	}
	for _, p := range pending {
		if _, err := p.Wait(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
