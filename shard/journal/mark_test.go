package journal

import (
	"errors"
	"fmt"
	"path"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

func wantDamage(t *testing.T, e *Engine, err error, file string, pos int64) {
	t.Helper()
	if err == nil {
		e.Close()
	}
	var damage *shard.CorruptError
	if !errors.As(err, &damage) || damage.File != file || damage.Offset != pos {
		t.Errorf("open: %v, want damage of %s at byte %d", err, file, pos)
	}
}

func TestDamageOfTheLastBatchIsNoticedOnceNothingFollowedForAWhile(t *testing.T) {
	mem, values, found := journalOnly(t, 5, 2*markAfter)
	last := found[len(found)-1]
	for _, off := range []int64{0, 5, 9, 20, 40, 50, 100} {
		left := mem.CrashClone(0)
		flip(t, left, "/data/journal/0000.j", last.pos+off)
		e, err := openTiny(left)
		wantDamage(t, e, err, "/data/journal/0000.j", last.pos)
	}
	e, err := openTiny(mem)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	wantValues(t, e, "a", values)
}

func TestAJournalFileOfZerosIsNoticed(t *testing.T) {
	mem, _, found := journalOnly(t, 5, 0)
	f, err := mem.Open("/data/journal/0000.j", true)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(make([]byte, found[5].pos+found[5].padded()), 0); err != nil {
		t.Fatal(err)
	}
	e, err := openTiny(mem)
	wantDamage(t, e, err, "/data/journal/0000.j", 0)
}

func TestAMissingSnapshotIsMissedThoughAnOlderOneIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		e := mustOpen(t, tinyOptions(mem))
		fill(t, mustLog(t, e, "a"), 3)
		synctest.Wait() // for the flusher, which may make one in the beginning
		numbers, err := listSnapshots(mem, "/data")
		if err != nil || len(numbers) != 1 {
			t.Fatalf("snapshots %v, %v; want one", numbers, err)
		}
		older, err := readFile(mem, path.Join("/data", snapshotName(numbers[0])), 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		if err := writeFile(mem, "/data", snapshotName(numbers[0]), older); err != nil {
			t.Fatal(err)
		}
		after, err := listSnapshots(mem, "/data")
		if err != nil || after[len(after)-1] == numbers[0] {
			t.Fatalf("snapshots %v, %v; want a newer one than %d", after, err, numbers[0])
		}
		newest := path.Join("/data", snapshotName(after[len(after)-1]))
		if err := mem.Remove(newest); err != nil {
			t.Fatal(err)
		}
		e, err = Open(tinyOptions(mem))
		wantDamage(t, e, err, newest, 0)
	})
}

func TestOneOfTheTwoMarksIsEnough(t *testing.T) {
	mem, values, _ := journalOnly(t, 5, 2*markAfter)
	for slot := range int64(2) {
		left := mem.CrashClone(0)
		flip(t, left, "/data/journal/mark", slot*markSlotBytes+30)
		e, err := openTiny(left)
		if err != nil {
			t.Fatalf("without mark %d: %v", slot, err)
		}
		wantValues(t, e, "a", values)
		e.Close()
	}
	for slot := range int64(2) {
		flip(t, mem, "/data/journal/mark", slot*markSlotBytes+30)
	}
	e, err := openTiny(mem)
	wantDamage(t, e, err, "/data/journal/mark", 0)
}

// Once the sync of a directory has failed, another one may report success for names that it does not bring to the disk.
// Whoever starts then must not build upon them.
func TestWhatFollowsAFailedDirectorySyncSurvivesPowerLoss(t *testing.T) {
	for failing := int64(1); ; failing++ {
		mem := vfs.NewMem()
		disk := vfs.Inject(mem)
		var syncs atomic.Int64 // of the flusher, and of the compressor
		disk.Hook(func(c vfs.Call) error {
			if c.Op != vfs.OpSyncDir || syncs.Add(1) != failing {
				return nil
			}
			mem.FailSyncDir(c.Name)
			return syscall.EIO
		})
		opts := tinyOptions(disk)
		opts.eager = true // a checkpoint after every batch
		var values [][]byte
		e, err := Open(opts)
		if err == nil {
			values = fillSome(t, e, 60)
			e.Close()
		}
		failed := syncs.Load() >= failing
		opts.FS = mem
		e = mustOpen(t, opts)
		values = append(values, fill(t, mustLog(t, e, "a"), 60)...)
		opts.FS = mem.CrashClone(0)
		e.Close()
		if e, err = Open(opts); err != nil {
			t.Fatalf("after a failure of sync %d of a directory, and a power loss: %v", failing, err)
		}
		got, err := readEverything(t.Context(), mustLog(t, e, "a"))
		if err != nil || len(got) < len(values) {
			t.Fatalf("after a failure of sync %d of a directory, and a power loss: %d records of %d, %v", failing, len(got), len(values), err)
		}
		e.Close()
		if !failed {
			return
		}
	}
}

// fillSome appends up to n records until the engine fails, and returns the values of those that were acknowledged.
func fillSome(t *testing.T, e *Engine, n int) [][]byte {
	t.Helper()
	if e.Create(t.Context(), "a", 1) != nil {
		return nil
	}
	l, err := e.Open(t.Context(), "a", 0)
	if err != nil {
		return nil
	}
	var values [][]byte
	for i := range n {
		v := fmt.Appendf(nil, "record %d %0100d", i, i)
		if _, err := l.Append(t.Context(), []shard.Record{{Value: v}}).Wait(t.Context()); err != nil {
			break
		}
		values = append(values, v)
	}
	return values
}

func TestUnderALoadWithoutAPauseAMarkIsAboutASecondOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := vfs.Inject(vfs.NewMem())
		disk.Hook(func(c vfs.Call) error {
			if c.Op == vfs.OpDatasync && c.Name != "/data/"+markName {
				time.Sleep(markAfter / 2) // so that there is always a batch on its way
			}
			return nil
		})
		opts := tinyOptions(disk)
		opts.JournalFileBytes, opts.CacheBytes = 1<<20, 1<<20
		e := mustOpen(t, opts)
		defer e.Close()
		l := mustLog(t, e, "a")
		var writers sync.WaitGroup
		begun := time.Now()
		for range 2 {
			writers.Go(func() {
				for time.Since(begun) < 3*markEvery {
					fill(t, l, 1)
				}
			})
		}
		time.Sleep(markEvery)
		first := lsn(e.durable.Load())
		time.Sleep(2*markEvery - markAfter)
		if reached := e.marks.reached(); reached < first {
			t.Errorf("marked up to %d, %d was durable two seconds ago", reached, first)
		}
		writers.Wait()
	})
}
