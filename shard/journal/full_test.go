package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

// appendUntilFull appends 1 KiB records to the logs in turn until one is refused for lack of space, and returns how
// many each has.
func appendUntilFull(t *testing.T, logs []shard.Log) []int {
	t.Helper()
	counts := make([]int, len(logs))
	for i := range 100000 {
		n := i % len(logs)
		_, err := logs[n].Append(context.Background(), []shard.Record{numbered(counts[n])}).Wait(context.Background())
		if errors.Is(err, shard.ErrNoSpace) {
			return counts
		}
		if err != nil {
			t.Fatalf("append: %v", err)
		}
		counts[n]++
	}
	t.Fatal("the disk never filled up")
	return nil
}

func numbered(i int) shard.Record {
	return shard.Record{Value: append(fmt.Appendf(nil, "%d ", i), bytes.Repeat([]byte("y"), 1000)...)}
}

func checkNumbered(t *testing.T, l shard.Log, first, next int) {
	t.Helper()
	got, err := readEverything(context.Background(), l)
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	if len(got) != next-first {
		t.Fatalf("%d records, want %d", len(got), next-first)
	}
	for i, r := range got {
		if want := numbered(first + i).Value; r.Offset != shard.Offset(first+i) || !bytes.Equal(r.Value, want) {
			t.Fatalf("offset %d holds %.20q, want %d %.20q", r.Offset, r.Value, first+i, want)
		}
	}
}

func openLogs(t *testing.T, e *Engine, n int) []shard.Log {
	t.Helper()
	if err := e.Create(context.Background(), "full", n); err != nil {
		t.Fatal(err)
	}
	logs := make([]shard.Log, n)
	for i := range logs {
		var err error
		if logs[i], err = e.Open(context.Background(), "full", i); err != nil {
			t.Fatal(err)
		}
	}
	return logs
}

// appendUntilTaken appends until there is room again.
func appendUntilTaken(t *testing.T, l shard.Log, i int) {
	t.Helper()
	for range 1000000 {
		_, err := l.Append(context.Background(), []shard.Record{numbered(i)}).Wait(context.Background())
		if err == nil {
			return
		}
		if !errors.Is(err, shard.ErrNoSpace) {
			t.Fatalf("append: %v", err)
		}
	}
	t.Fatal("appends are refused although there is room")
}

func TestFullDiskRefusesAppendsUntilThereIsRoom(t *testing.T) {
	for _, c := range []struct {
		name    string
		minFree int64
	}{
		{"WithTheReserveKept", 40 << 10},
		{"WithNotAByteLeft", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			mem := vfs.NewMem()
			opts := tinyOptions(mem)
			opts.CacheBytes, opts.MinFreeBytes = 64<<10, c.minFree
			mem.SetCapacity(400 << 10)
			e := mustOpen(t, opts)
			logs := openLogs(t, e, 2)
			counts := appendUntilFull(t, logs)
			for i, l := range logs {
				checkNumbered(t, l, 0, counts[i])
			}
			if e.Err() != nil {
				t.Fatalf("a full disk must not fail the engine: %v", e.Err())
			}

			// A start on the full disk keeps everything, and still refuses.
			if err := e.Close(); err != nil {
				t.Fatalf("close: %v", err)
			}
			mem = mem.CrashClone(0)
			mem.SetCapacity(400 << 10)
			opts.FS = mem
			e = mustOpen(t, opts)
			defer func() { e.Close() }()
			logs = openLogs(t, e, 2)
			more := appendUntilFull(t, logs)
			for i, l := range logs {
				counts[i] += more[i]
				checkLen(t, l, counts[i])
			}

			// Dropping records makes room, and so does deleting.
			if err := logs[0].Trim(context.Background(), shard.Offset(counts[0]/2)); err != nil {
				t.Fatalf("trim: %v", err)
			}
			checkLenFrom(t, logs[0], counts[0]/2, counts[0])
			appendUntilTaken(t, logs[1], counts[1])
			appendUntilFull(t, logs[1:])
			if err := e.Delete(context.Background(), "full"); err != nil {
				t.Fatalf("delete: %v", err)
			}
			appendUntilTaken(t, mustLog(t, e, "other"), 0)
		})
	}
}

func checkLen(t *testing.T, l shard.Log, n int) { t.Helper(); checkLenFrom(t, l, 0, n) }

func checkLenFrom(t *testing.T, l shard.Log, first, next int) {
	t.Helper()
	got, err := readEverything(context.Background(), l)
	if err != nil || len(got) != next-first || next > first && got[0].Offset != shard.Offset(first) {
		t.Fatalf("%d records: %v; want %d from %d on", len(got), err, next-first, first)
	}
}

func TestAppendsThatWaitForRoomAreRefusedWhenTheDiskIsFull(t *testing.T) {
	mem := vfs.NewMem()
	disk := vfs.Inject(mem)
	opts := tinyOptions(disk)
	e := mustOpen(t, opts)
	defer e.Close()
	logs := openLogs(t, e, 8)
	disk.Hook(func(c vfs.Call) error {
		if c.Op == vfs.OpPreallocate {
			return syscall.ENOSPC
		}
		return nil
	})
	var wg sync.WaitGroup
	counts := make([]int, len(logs))
	for n, l := range logs {
		wg.Go(func() {
			for {
				at, err := l.Append(context.Background(), []shard.Record{numbered(counts[n])}).Wait(context.Background())
				if err != nil {
					if !errors.Is(err, shard.ErrNoSpace) {
						t.Errorf("append: %v", err)
					}
					return
				}
				if at.First != shard.Offset(counts[n]) {
					t.Errorf("offset %d, want %d", at.First, counts[n])
				}
				counts[n]++
			}
		})
	}
	wg.Wait()
	for n, l := range logs {
		checkNumbered(t, l, 0, counts[n])
	}
	disk.Hook(nil)
	for n, l := range logs {
		appendUntilTaken(t, l, counts[n])
		checkNumbered(t, l, 0, counts[n]+1)
	}
}

func TestFailedSyncFailsEverythingForGood(t *testing.T) { synctest.Test(t, testFailedSync) }

func testFailedSync(t *testing.T) {
	mem := vfs.NewMem()
	disk := vfs.Inject(mem)
	e := mustOpen(t, tinyOptions(disk))
	l := mustLog(t, e, "a")
	values := fill(t, l, 3)
	synctest.Wait() // until the flusher has nothing to sync, either
	waited := make(chan error, 1)
	go func() { waited <- l.Wait(context.Background(), 100) }()
	var mu sync.Mutex
	var syncs []string
	disk.Hook(func(c vfs.Call) error {
		if c.Op != vfs.OpDatasync {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		if syncs = append(syncs, c.Name); len(syncs) == 1 {
			return syscall.EIO
		}
		return nil
	})
	_, err := l.Append(context.Background(), []shard.Record{{Value: []byte("lost or not")}}).Wait(context.Background())
	if !errors.Is(err, syscall.EIO) {
		t.Fatalf("append: %v, want %v", err, syscall.EIO)
	}
	<-e.Failed()
	for what, err := range map[string]error{
		"wait":   <-waited,
		"err":    e.Err(),
		"trim":   l.Trim(context.Background(), 1),
		"create": e.Create(context.Background(), "b", 1),
		"close":  e.Close(),
	} {
		if !errors.Is(err, syscall.EIO) {
			t.Errorf("%s: %v, want %v", what, err, syscall.EIO)
		}
	}
	if len(syncs) != 1 {
		t.Errorf("synced after one failed: %v", syncs)
	}
	e = mustOpen(t, tinyOptions(mem))
	defer e.Close()
	got, err := readEverything(context.Background(), mustLog(t, e, "a"))
	if err != nil || len(got) < len(values) {
		t.Fatalf("%d records after the restart, %d were acknowledged: %v", len(got), len(values), err)
	}
}

func TestMemoryStaysBoundedWhileTheDiskIsSlow(t *testing.T) {
	mem := vfs.NewMem()
	disk := vfs.Inject(mem)
	opts := tinyOptions(disk)
	opts.Registerer = prometheus.NewRegistry()
	e := mustOpen(t, opts)
	defer e.Close()
	logs := openLogs(t, e, 4)
	gate := make(chan struct{})
	disk.Hook(func(c vfs.Call) error {
		if c.Op == vfs.OpWriteback {
			<-gate
		}
		return nil
	})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, l := range logs {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				p := l.Append(ctx, []shard.Record{numbered(i)})
				if used, _ := e.budget.state(); used > opts.CacheBytes {
					t.Errorf("%d bytes in use, the bound is %d", used, opts.CacheBytes)
				}
				if i%7 == 0 {
					p.Wait(ctx)
				}
			}
		})
	}
	for range 20 {
		gate <- struct{}{} // the disk takes one write, and then none until the next round
		for {
			if used, waiting := e.budget.state(); waiting || used > opts.CacheBytes/2 {
				break
			}
		}
	}
	cancel()
	close(gate)
	wg.Wait()
}

func TestTheFirstAppendAfterAFullDiskHasRoomAgainIsTaken(t *testing.T) {
	mem := vfs.NewMem()
	opts := tinyOptions(mem)
	opts.CacheBytes, opts.MinFreeBytes = 64<<10, 40<<10
	mem.SetCapacity(400 << 10)
	e := mustOpen(t, opts)
	defer e.Close()
	logs := openLogs(t, e, 2)
	counts := appendUntilFull(t, logs)
	mem.SetCapacity(4 << 20)
	if _, err := logs[0].Append(t.Context(), []shard.Record{numbered(counts[0])}).Wait(t.Context()); err != nil {
		t.Errorf("append: %v", err)
	}
}

// The committer and the flusher both find out.
func TestWhoIsRefusedIsToldTheSameByWhoeverFindsTheDiskFullOrNot(t *testing.T) {
	e := mustOpen(t, tinyOptions(vfs.NewMem()))
	defer e.Close()
	f := e.flusher
	for range 20000 {
		var both sync.WaitGroup
		for _, err := range []error{nil, errFull{errors.New("full")}} {
			both.Go(func() { f.setFull(err) })
		}
		both.Wait()
		if full, refuses := f.isFull.Load(), e.queue.isFull() != nil; full != refuses {
			t.Fatalf("full: %v, refused: %v", full, refuses)
		}
	}
}
