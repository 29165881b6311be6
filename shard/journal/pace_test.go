package journal

import (
	"container/heap"
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

// lazyOptions has a journal of eight files of 1 MiB, and little memory.
func lazyOptions(fs vfs.FS) Options {
	return Options{FS: fs, Dir: "/data", Logger: quiet(), MaxAppendBytes: 64 << 10, Config: Config{
		JournalFileBytes: 1 << 20, JournalFiles: 8, CacheBytes: 512 << 10, SegmentBytes: 256 << 10, MaxOpenFiles: 16, MinFreeBytes: 1,
		Compression: compressionOff,
	}}
}

func appendBytesTo(t *testing.T, l shard.Log, total int) (appended int) {
	t.Helper()
	value := make([]byte, 30<<10)
	for ; total > 0; total -= len(value) {
		if _, err := l.Append(t.Context(), []shard.Record{{Value: value}}).Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		appended++
		time.Sleep(time.Millisecond) // of a bubble's
	}
	return appended
}

func TestTheJournalGrowsBeforeRecordsAreMovedAndThenTheOldestAreMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := mustOpen(t, lazyOptions(vfs.NewMem()))
		l := mustLog(t, e, "a").(*logState)
		segments := func() int {
			l.mu.Lock()
			defer l.mu.Unlock()
			return len(l.segments)
		}
		appendBytesTo(t, l, 3<<20)
		time.Sleep(time.Minute)
		if files, _ := e.journal.count(); files < 5 || segments() > 0 {
			t.Errorf("%d journal files, %d segments", files, segments())
		}
		n := appendBytesTo(t, l, 20<<20) + appendBytesTo(t, l, 1)
		time.Sleep(time.Minute)
		if files, _ := e.journal.count(); files != 8 || segments() == 0 {
			t.Errorf("%d journal files, %d segments", files, segments())
		}
		if waits := e.flusher.waiting(); waits < 1<<20 || waits > 8<<20 {
			t.Errorf("%d bytes are in the journal alone, of %d appends", waits, n)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestTheJournalGrowsWhenThereIsSpaceForItAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		e := mustOpen(t, lazyOptions(mem))
		l := mustLog(t, e, "a")
		mem.SetCapacity(mem.Used() + 18<<20) // a file more than four needs sixteen times its size
		appendBytesTo(t, l, 6<<20)
		time.Sleep(time.Minute)
		if files, _ := e.journal.count(); files != fewJournalFiles {
			t.Errorf("%d journal files on a small disk", files)
		}
		mem.SetCapacity(0)
		appendBytesTo(t, l, 16<<20)
		time.Sleep(time.Minute)
		if files, _ := e.journal.count(); files != 8 {
			t.Errorf("%d journal files", files)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestWhatIsTrimmedInTheJournalIsNeverWrittenToASegmentAndMakesNoFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := vfs.Inject(vfs.NewMem())
		var segments atomic.Int64
		disk.Hook(func(c vfs.Call) error {
			if c.Op == vfs.OpCreate && strings.HasSuffix(c.Name, segmentSuffix) {
				segments.Add(1)
			}
			return nil
		})
		e := mustOpen(t, lazyOptions(disk))
		l := mustLog(t, e, "a")
		const bound = 1 << 20
		if err := e.Configure(t.Context(), "a", shard.Settings{RetentionBytes: bound}); err != nil {
			t.Fatal(err)
		}
		for range 40 {
			appendBytesTo(t, l, 1<<20)
			time.Sleep(time.Second) // of the bubble's
			if kept := e.flusher.waiting(); kept < bound || kept > bound+bound/2 {
				t.Fatalf("%d bytes are retained, the bound is %d", kept, bound)
			}
		}
		if files, _ := e.journal.count(); files > 6 || segments.Load() > 0 {
			t.Errorf("%d journal files, %d segments", files, segments.Load())
		}
		first, next := l.Bounds()
		records, err := l.Read(t.Context(), 0, shard.Limit{})
		if err != nil || len(records) == 0 || records[0].Offset != first || records[len(records)-1].Offset != next-1 {
			t.Errorf("%d records from %d to %d: %v", len(records), first, next, err)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// In virtual time: a disk that takes no time, so all that passes is what the pacer waits.
func TestWorkBehindCommitsWaitsForThemUnlessItIsUrgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := mustOpen(t, lazyOptions(vfs.NewMem()))
		f := e.flusher
		took := func(p *pacer) time.Duration {
			begun := time.Now()
			for range 8 {
				p.step(paceBytes / 2)
			}
			return time.Since(begun)
		}
		work := func() *pacer {
			return &pacer{f: f, begun: lsn(e.durable.Load()), room: 10 << 20, work: 8 * paceBytes, waits: paceWaits}
		}
		if d := took(work()); d != 4*paceWaits*paceWait || !f.behind.gentle {
			t.Errorf("with no commits it waited for %v, gentle: %t", d, f.behind.gentle)
		}
		f.oversized = []*logState{nil}
		if d := took(work()); d != 4*paceWait {
			t.Errorf("while something else is due it waited for %v", d)
		}
		f.oversized = nil
		little := work()
		time.AfterFunc(3*paceWait-1, func() { e.durable.Add(10 << 20) })
		if d := took(little); d != 3*paceWait {
			t.Errorf("until commits caught up it waited for %v", d)
		}
		if d := took(&pacer{f: f, begun: lsn(e.durable.Load()), room: 10 << 20, work: 2 * paceBytes, waits: paceWaits}); d != paceWaits*paceWait {
			t.Errorf("with more to be done than was expected it waited for %v", d)
		}
		f.isFull.Store(true)
		if d := took(work()); d != 0 {
			t.Errorf("while the disk is full it waited for %v", d)
		}
		f.isFull.Store(false)
		committed := work()
		committed.begun -= 10 << 20
		if d := took(committed); d != 0 || f.behind.gentle {
			t.Errorf("behind commits it waited for %v, gentle: %t", d, f.behind.gentle)
		}
		f.hurry = true
		if d := took(work()); d != 0 {
			t.Errorf("while the committer waits it waited for %v", d)
		}
		f.hurry = false
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		if d := took(work()); d != 0 {
			t.Errorf("while the engine is closed it waited for %v", d)
		}
	})
}

// Who waits gets the outcome of a big batch from another goroutine than that of a small one; and so at the end.
func TestAllWhoWaitForABigBatchAreWoken(t *testing.T) {
	e := mustOpen(t, lazyOptions(vfs.NewMem()))
	l := mustLog(t, e, "a")
	ctx := context.Background()
	var pending []shard.Pending
	for i := range 20 * manyFrames {
		pending = append(pending, l.Append(ctx, []shard.Record{numbered(i)}))
	}
	closed := make(chan error, 1)
	go func() { closed <- e.Close() }()
	for i, p := range pending {
		if got, err := p.Wait(ctx); err != nil || got.First != shard.Offset(i) {
			t.Fatalf("append %d: offset %d, %v", i, got.First, err)
		}
	}
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
}

// A crash comes when the committer waits for a journal file, since nothing gets to segments any more.
func TestAStartWithAJournalThatIsFullToItsEndGoesOn(t *testing.T) {
	for _, files := range []int{2, 3, 8} {
		synctest.Test(t, func(t *testing.T) {
			mem := vfs.NewMem()
			disk := vfs.Inject(mem)
			opts := lazyOptions(disk)
			opts.JournalFiles = files
			stuck := make(chan struct{})
			disk.Hook(func(c vfs.Call) error {
				if c.Op == vfs.OpCreate && strings.HasSuffix(c.Name, segmentSuffix) {
					<-stuck
				}
				return nil
			})
			e := mustOpen(t, opts)
			l := mustLog(t, e, "a")
			acked := make(chan int)
			go func() {
				for n := 0; ; n++ {
					if _, err := l.Append(context.Background(), []shard.Record{numbered(n)}).Wait(context.Background()); err != nil {
						acked <- n
						return
					}
				}
			}()
			time.Sleep(time.Minute)
			if fill := e.journal.fill(); fill.files != files || fill.free > 0 {
				t.Errorf("%d of %d journal files are free", fill.free, fill.files)
			}
			left := mem.CrashClone(0)
			_, there := l.Bounds()
			close(stuck)
			closed := e.Close()
			if n := <-acked; closed != nil || n < int(there) {
				t.Errorf("closed with %d appends, %d were there before: %v", n, there, closed)
			}

			opts.FS = left
			e = mustOpen(t, opts)
			l = mustLog(t, e, "a")
			checkNumbered(t, l, 0, int(there))
			appendNumbered(t, l, int(there), 3000)
			checkNumbered(t, l, 0, int(there)+3000)
			closeAccounted(t, e)
		})
	}
}

// With many logs a round moves more than lies before its target, as of each log it takes what follows with it. That is most of
// what the journal can hold of it, so that there are few writes.
func TestCommitsDoNotStallWhileALittleOfEachOfManyLogsIsMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := vfs.Inject(vfs.NewMem())
		var m moves
		opts := lazyOptions(disk)
		opts.JournalFileBytes, opts.JournalFiles, opts.CacheBytes, opts.SegmentBytes, opts.MaxOpenFiles = 8<<20, 16, 8<<20, 16<<20, 0
		e := mustOpen(t, opts)
		var free atomic.Int64 // at most, while records were moved
		disk.Hook(func(c vfs.Call) error {
			if c.Op == vfs.OpWrite && strings.HasSuffix(c.Name, segmentSuffix) {
				if s := e.journal.fill(); s.files == 16 {
					free.Store(max(free.Load(), int64(s.free)))
				}
			}
			return m.count(c)
		})
		logs := manyLogs(t, e, 400)
		record := []shard.Record{{Value: make([]byte, 4<<10)}}
		for i := 0; e.durable.Load() < 320<<20; {
			var pending []shard.Pending
			for range 16 {
				pending = append(pending, logs[i%len(logs)].Append(t.Context(), record))
				i++
			}
			for _, p := range pending {
				if _, err := p.Wait(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(time.Millisecond) // of the bubble's
		}
		if s := testutil.ToFloat64(e.metrics.stalls); s > 0 {
			t.Errorf("commits waited for %v s for journal files", s)
		}
		if n := free.Load(); n != 5 {
			t.Errorf("records were moved while %d of 16 journal files were free", n)
		}
		if mean, holds := m.written.Load()/m.writes.Load(), 16*opts.JournalFileBytes/int64(len(logs)); mean < holds*55/100 {
			t.Errorf("writes to segments have %d bytes, and the journal holds %d of each log", mean, holds)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestFilesThatNobodyNeedsAreFreedBeforeRecordsWouldBeMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := mustOpen(t, lazyOptions(vfs.NewMem()))
		l := mustLog(t, e, "a")
		appendBytesTo(t, l, 20<<20)
		if err := e.Configure(t.Context(), "a", shard.Settings{RetentionBytes: 1 << 20}); err != nil {
			t.Fatal(err)
		}
		appendBytesTo(t, l, 8<<20)
		least := 8
		for range 100 {
			appendBytesTo(t, l, 100<<10)
			time.Sleep(time.Second) // of the bubble's
			least = min(least, e.journal.fill().free)
		}
		if half := (8 - 1) / 2; least <= half {
			t.Errorf("%d journal files were free", least)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestOfAHeapOfLogsThoseBeforeAnLSNAreCountedOrEstimated(t *testing.T) {
	for _, n := range []int{0, 1, 100, 4095, 100_000} {
		var h logHeap
		for i := range n {
			heap.Push(&h, &logState{since: lsn(i * 7919 % max(1, n))}) // each number below n once
		}
		for _, at := range []int{0, n / 3, n} {
			if got := h.before(lsn(at)); n < 4096 && got != at || got < at*9/10 || got > at*11/10+100 {
				t.Errorf("%d of %d logs are before %d", got, n, at)
			}
		}
	}
}

func TestOfJournalFilesOneIsFreedBeforeThereAreTooFew(t *testing.T) {
	for files := 2; files <= maxJournalFiles; files++ {
		low, short, round := lowFiles(files), shortFiles(files), roundFiles(files)
		if low > files-2 || short > low || files > 4 && short >= low || short >= 2*round {
			t.Errorf("%d files: %d are few, %d too few, %d are freed at a time", files, low, short, round)
		}
	}
}

func TestTheFreeSpaceIsLookedAtWhileARoundOfMovesTakesItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := vfs.Inject(vfs.NewMem())
		opts := lazyOptions(disk)
		opts.JournalFileBytes, opts.MinFreeBytes = 8<<20, 64<<20
		e := mustOpen(t, opts)
		l := mustLog(t, e, "a")
		var most, at uint64
		disk.Hook(func(c vfs.Call) error {
			if c.Op == vfs.OpFree {
				most, at = max(most, e.durable.Load()-at), e.durable.Load()
			}
			return nil
		})
		for e.durable.Load() < 160<<20 {
			appendBytesTo(t, l, 30<<10)
			time.Sleep(2 * time.Millisecond) // of the bubble's
		}
		if most > freeEvery+paceBytes {
			t.Errorf("%d bytes were committed between two looks at the free space, want %d", most, freeEvery)
		}
		disk.Hook(nil)
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestAppendsAreTakenSoonWhenAFullDiskHasRoomThoughMuchIsToBeMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		opts := lazyOptions(mem)
		opts.JournalFileBytes, opts.CacheBytes, opts.MinFreeBytes, opts.SegmentBytes = 16<<20, 128<<20, 1<<20, 16<<20
		e := mustOpen(t, opts)
		l := mustLog(t, e, "a")
		appendBytesTo(t, l, 46<<20)
		time.Sleep(time.Minute) // of the bubble's
		mem.SetCapacity(mem.Used() + 1<<20)
		record := []shard.Record{{Value: make([]byte, 30<<10)}}
		try := func() error {
			_, err := l.Append(t.Context(), record).Wait(t.Context())
			time.Sleep(10 * time.Millisecond) // of the bubble's
			return err
		}
		for try() == nil {
		}
		time.Sleep(time.Minute) // of the bubble's
		mem.SetCapacity(0)
		begun := time.Now()
		for err := try(); err != nil; err = try() {
			if !errors.Is(err, shard.ErrNoSpace) {
				t.Fatal(err)
			}
		}
		if d := time.Since(begun); d > 10*paceWait {
			t.Errorf("an append was taken after %v", d)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	})
}
