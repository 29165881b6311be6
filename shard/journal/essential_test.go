package journal

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

// openEssential makes a log of its own topic that may use what is kept back.
func openEssential(t *testing.T, e *Engine) shard.Log {
	t.Helper()
	if err := e.Create(context.Background(), "essential", 1); err != nil {
		t.Fatal(err)
	}
	l, err := e.Open(shard.Essential(context.Background()), "essential", 0)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestEssentialRecordsAreTakenOnAFullDisk appends to an essential log long after others were refused: more than the
// journal holds, so that it has to be emptied on the full disk.
func TestEssentialRecordsAreTakenOnAFullDisk(t *testing.T) {
	mem := vfs.NewMem()
	opts := tinyOptions(mem)
	opts.CacheBytes, opts.MinFreeBytes = 64<<10, 150<<10
	mem.SetCapacity(600 << 10)
	e := mustOpen(t, opts)
	essential := openEssential(t, e)
	logs := openLogs(t, e, 2)
	counts := appendUntilFull(t, logs)
	const taken = 60
	for i := range taken {
		if _, err := essential.Append(t.Context(), []shard.Record{numbered(i)}).Wait(t.Context()); err != nil {
			t.Fatalf("essential record %d on a full disk: %v", i, err)
		}
	}
	if _, err := logs[0].Append(t.Context(), []shard.Record{numbered(counts[0])}).Wait(t.Context()); !errors.Is(err, shard.ErrNoSpace) {
		t.Fatalf("an ordinary record on a full disk: %v, want ErrNoSpace", err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = mustOpen(t, opts)
	defer e.Close()
	checkNumbered(t, openEssential(t, e), 0, taken)
	for i, l := range openLogs(t, e, 2) {
		checkNumbered(t, l, 0, counts[i])
	}
}

// TestEssentialRecordsKeepTheirPlacesWhenOthersAreTakenBack fills the disk from many goroutines at once, with essential
// records among them: what is acknowledged is there, in order, whatever was taken back around it.
func TestEssentialRecordsKeepTheirPlacesWhenOthersAreTakenBack(t *testing.T) {
	mem := vfs.NewMem()
	opts := tinyOptions(mem)
	opts.CacheBytes, opts.MinFreeBytes = 64<<10, 1
	mem.SetCapacity(400 << 10)
	e := mustOpen(t, opts)
	defer e.Close()
	essential := openEssential(t, e)
	logs := openLogs(t, e, 4)
	counts := make([]int, len(logs))
	var writers sync.WaitGroup
	for i, l := range logs {
		writers.Go(func() {
			for range 2000 {
				_, err := l.Append(context.Background(), []shard.Record{numbered(counts[i])}).Wait(context.Background())
				if err == nil {
					counts[i]++
				} else if !errors.Is(err, shard.ErrNoSpace) {
					t.Error(err)
					return
				}
			}
		})
	}
	taken := 0
	for range 500 {
		_, err := essential.Append(t.Context(), []shard.Record{numbered(taken)}).Wait(t.Context())
		if err == nil {
			taken++
		} else if !errors.Is(err, shard.ErrNoSpace) {
			t.Fatal(err)
		}
	}
	writers.Wait()
	checkNumbered(t, essential, 0, taken)
	for i, l := range logs {
		checkNumbered(t, l, 0, counts[i])
	}
}

func TestEssentialRecordsAloneStayWithinTheCache(t *testing.T) {
	opts := tinyOptions(vfs.NewMem())
	e := mustOpen(t, opts)
	defer e.Close()
	l := openEssential(t, e)
	for i := range 400 {
		if _, err := l.Append(t.Context(), []shard.Record{numbered(i)}).Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if used, _ := e.budget.state(); used > 3*opts.CacheBytes {
			t.Fatalf("record %d: %d bytes in use, the bound is %d", i, used, opts.CacheBytes)
		}
	}
	checkNumbered(t, l, 0, 400)
}

// TestALogBecomesEssentialOnlyBetweenTakeBacks opens a log as essential while its ordinary records are taken back: they
// must all go, or the offsets of the rest would leave a gap.
func TestALogBecomesEssentialOnlyBetweenTakeBacks(t *testing.T) {
	disk := vfs.Inject(vfs.NewMem())
	e := mustOpen(t, tinyOptions(disk))
	defer e.Close()
	ctx := t.Context()
	l, busy := mustLog(t, e, "a").(*logState), mustLog(t, e, "busy")
	syncing, gate := make(chan struct{}), make(chan struct{})
	open := sync.OnceFunc(func() { close(gate) })
	defer open()
	var once sync.Once
	disk.Hook(func(c vfs.Call) error {
		if c.Op == vfs.OpDatasync && c.Name == "/data/"+journalFileName(0) {
			once.Do(func() { close(syncing); <-gate })
		}
		return nil
	})
	first := busy.Append(ctx, []shard.Record{numbered(0)})
	<-syncing // the committer is out of the way
	var queued []shard.Pending
	for i := range 2 {
		queued = append(queued, l.Append(ctx, []shard.Record{numbered(i)}))
	}
	e.queue.setFull(shard.ErrNoSpace)
	left := make(chan *batch)
	batch, _ := e.queue.take(nil)
	l.mu.Lock() // holds up the take-back at the first record
	go func() { left <- (&committer{e: e}).takeBack(batch) }()
	for e.queue.taking.TryLock() {
		e.queue.taking.Unlock()
		runtime.Gosched()
	}
	opened := make(chan error)
	go func() {
		_, err := e.Open(shard.Essential(ctx), "a", 0)
		opened <- err
	}()
	for range 1000 {
		runtime.Gosched()
	}
	l.mu.Unlock()
	if b := <-left; b != nil {
		t.Fatalf("%d records are kept behind those that were taken back", len(b.shares))
	}
	if err := <-opened; err != nil {
		t.Fatal(err)
	}
	e.queue.setFull(nil)
	open()
	if _, err := first.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	for _, p := range queued {
		if _, err := p.Wait(ctx); !errors.Is(err, shard.ErrNoSpace) {
			t.Errorf("a record that was taken back: %v", err)
		}
	}
	if _, err := l.Append(ctx, []shard.Record{numbered(0)}).Wait(ctx); err != nil {
		t.Fatal(err)
	}
	checkNumbered(t, l, 0, 1)
}
