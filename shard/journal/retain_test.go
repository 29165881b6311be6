package journal

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

// appendNumbered appends the records from …, waiting for each.
func appendNumbered(t *testing.T, l shard.Log, from, n int) {
	t.Helper()
	for i := from; i < from+n; i++ {
		if _, err := l.Append(context.Background(), []shard.Record{numbered(i)}).Wait(context.Background()); err != nil {
			t.Fatalf("append: %v", err)
		}
	}
}

// A power loss before any call that changes the disk, with a part of what is not synced lost, leaves a log that holds all
// that was acknowledged but for the oldest records, at least the bound of it, and none that had been dropped.
func TestRetentionBySizeHoldsThroughAPowerLossAtAnyCall(t *testing.T) {
	const bound = 20 << 10
	mem := vfs.NewMem()
	disk := vfs.Inject(mem)
	opts := tinyOptions(disk)
	opts.eager = true
	e := mustOpen(t, opts)
	l := mustLog(t, e, "a")
	if err := e.Configure(context.Background(), "a", shard.Settings{RetentionBytes: bound}); err != nil {
		t.Fatal(err)
	}
	type loss struct {
		left        *vfs.Mem
		first, next shard.Offset // what an observer knew
		call        vfs.Call
	}
	var mu sync.Mutex // guards what follows
	var losses []loss
	var known loss
	calls, removed := 0, 0
	disk.Hook(func(c vfs.Call) error {
		switch c.Op {
		case vfs.OpRead, vfs.OpStat, vfs.OpList, vfs.OpSize, vfs.OpOpen, vfs.OpClose, vfs.OpWriteback:
			return nil
		}
		_, err := mem.Stat(c.Name)
		unlinks := c.Op == vfs.OpRemove && err == nil && strings.HasSuffix(c.Name, ".seg")
		mu.Lock()
		defer mu.Unlock()
		calls++
		if unlinks {
			removed++
		}
		if unlinks || calls%9 == 0 { // each takes a start
			known.left, known.call = mem.CrashClone(uint64(calls)), c
			losses = append(losses, known)
		}
		return nil
	})
	for n := range 150 {
		appendNumbered(t, l, n, 1)
		first, next := l.Bounds()
		mu.Lock()
		known.first, known.next = first, next
		mu.Unlock()
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if removed == 0 || known.first == 0 {
		t.Fatalf("%d segments are removed, the log begins at %d: nothing was dropped", removed, known.first)
	}
	t.Logf("%d losses of power at %d calls, %d segments removed", len(losses), calls, removed)
	for _, at := range losses {
		e := mustOpen(t, tinyOptions(at.left))
		l := mustLog(t, e, "a")
		first, next := l.Bounds()
		if first < at.first || next < at.next || first > 0 && (next-first)*1100 < bound {
			t.Errorf("before %s of %s the log went from %d to %d; after a power loss there it goes from %d to %d",
				at.call.Op, at.call.Name, at.first, at.next, first, next)
		}
		checkNumbered(t, l, int(first), int(next))
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestABoundSetOnAFullDiskMakesRoom(t *testing.T) {
	mem := vfs.NewMem()
	opts := tinyOptions(mem)
	opts.MinFreeBytes = 40 << 10
	opts.Registerer = prometheus.NewRegistry()
	mem.SetCapacity(400 << 10)
	e := mustOpen(t, opts)
	defer e.Close()
	logs := openLogs(t, e, 1)
	counts := appendUntilFull(t, logs)
	if err := e.Configure(context.Background(), "full", shard.Settings{RetentionBytes: 30 << 10}); err != nil {
		t.Fatal(err)
	}
	appendUntilTaken(t, logs[0], counts[0])
	if err := e.Close(); err != nil { // so that nothing more is dropped
		t.Fatal(err)
	}
	first, next := logs[0].Bounds()
	if first == 0 || int(next) != counts[0]+1 || next-first < 28 {
		t.Fatalf("%d records were appended, those from %d to %d are there", counts[0]+1, first, next)
	}
	dropped := e.metrics.dropped[bySize]
	if n := testutil.ToFloat64(dropped.records); n != float64(first) {
		t.Errorf("%v records are counted, %d were dropped", n, first)
	}
	if segments, bytes := testutil.ToFloat64(dropped.segments), testutil.ToFloat64(dropped.bytes); segments < 1 || bytes < 1000*segments {
		t.Errorf("%v segments with %v bytes are counted", segments, bytes)
	}
	opts.Registerer = nil
	e = mustOpen(t, opts)
	defer e.Close()
	l, err := e.Open(context.Background(), "full", 0)
	if err != nil {
		t.Fatal(err)
	}
	checkNumbered(t, l, int(first), int(next))
}

func TestLittleSpaceIsWarnedOfOnceAndGoesWithSomeMore(t *testing.T) {
	mem := vfs.NewMem()
	mem.SetCapacity(8 << 20)
	opts := tinyOptions(mem)
	opts.MinFreeBytes, opts.WarnFreeBytes = 64<<10, 4<<20
	opts.eager = true
	var said lockedBuffer
	opts.Logger = slog.New(slog.NewTextHandler(&said, nil))
	e := mustOpen(t, opts)
	defer e.Close()
	l := mustLog(t, e, "a")
	warnings := func() int { return strings.Count(said.String(), "little disk space is left") }
	n := 0
	// more appends until the engine has looked at the disk and thinks of it what it should.
	more := func(low bool) {
		t.Helper()
		for range 100000 {
			if e.flusher.low.Load() == low {
				return
			}
			appendNumbered(t, l, n, 1)
			n++
			if err := l.Trim(context.Background(), shard.Offset(n-10)); err != nil {
				t.Fatal(err)
			}
		}
		t.Fatalf("little space: never %v\n%s", low, said.String())
	}
	more(false)
	if warnings() != 0 {
		t.Fatalf("warned of an empty disk: %s", said.String())
	}
	set := func(free int64) { mem.SetCapacity(mem.Used() + free) }
	set(3 << 20)
	more(true)
	set(4<<20 + 100<<10) // more than the watermark, less than an eighth more
	appendNumbered(t, l, n, 50)
	n += 50
	if !e.flusher.low.Load() {
		t.Error("no longer low just above the watermark")
	}
	set(6 << 20)
	more(false)
	set(3 << 20)
	more(true)
	if warnings() != 1 {
		t.Errorf("%d warnings within a minute:\n%s", warnings(), said.String())
	}
	if !strings.Contains(said.String(), "enough disk space again") {
		t.Errorf("nothing is said of the space that is there again:\n%s", said.String())
	}
}

// What is in the journal alone still needs its room on the disk: appends are refused before it is gone, and it is warned of
// before that.
func TestWhatIsInTheJournalAloneHasItsRoomOnTheDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		opts := lazyOptions(mem)
		opts.MinFreeBytes, opts.WarnFreeBytes = 512<<10, 1<<20
		e := mustOpen(t, opts)
		l := mustLog(t, e, "a")
		n := 0
		for files := 0; files < opts.JournalFiles; files, _ = e.journal.count() {
			appendNumbered(t, l, n, 100)
			n += 100
			time.Sleep(10 * time.Millisecond) // of the bubble's
		}
		if err := l.Trim(t.Context(), shard.Offset(n)); err != nil {
			t.Fatal(err)
		}
		mem.SetCapacity(mem.Used() + 3<<20) // less than the journal takes in before anything is flushed
		warned := false
		for ; ; n++ {
			warned = warned || e.flusher.low.Load()
			_, err := l.Append(t.Context(), []shard.Record{numbered(n)}).Wait(t.Context())
			if errors.Is(err, shard.ErrNoSpace) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
		}
		if free, err := mem.Free(opts.Dir); err != nil || !warned || free < e.flusher.waiting() {
			t.Errorf("warned: %v; %d bytes are free for %d that are in the journal alone: %v", warned, free, e.flusher.waiting(), err)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		if waiting := e.flusher.waiting(); waiting > 0 {
			t.Errorf("%d bytes found no room", waiting)
		}
	})
}

func TestRefusalNamesTheDiskAndTheRoomOnIt(t *testing.T) {
	mem := vfs.NewMem()
	opts := tinyOptions(mem)
	opts.MinFreeBytes = 40 << 10
	mem.SetCapacity(400 << 10)
	e := mustOpen(t, opts)
	defer e.Close()
	l := openLogs(t, e, 1)[0]
	var err error
	for i := 0; err == nil && i < 100000; i++ {
		_, err = l.Append(context.Background(), []shard.Record{numbered(i)}).Wait(context.Background())
	}
	var full *shard.NoSpaceError
	if !errors.As(err, &full) {
		t.Fatalf("append: %v", err)
	}
	if full.Place != "/data" || full.Free < 0 || full.Cause == nil && full.Free >= full.Keep || full.Keep < opts.MinFreeBytes {
		t.Errorf("append: %v (%+v)", err, full)
	}
	for _, part := range []string{"on the disk of /data ", " MiB are free, ", " MiB must stay free"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not in %q", part, err)
		}
	}
}

func TestMetricsTellWhatTheFilesTake(t *testing.T) {
	mem := vfs.NewMem()
	opts := tinyOptions(mem)
	opts.eager, opts.Compression = true, compressionOff
	e := mustOpen(t, opts)
	l := mustLog(t, e, "a")
	appendNumbered(t, l, 0, 50)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = mustOpen(t, opts)
	defer e.Close()
	use := diskUse{e}.byKind()
	if use["journal"] < opts.JournalFileBytes || use["snapshot"] < 100 {
		t.Errorf("%v", use)
	}
	if n := use["sealed"] + use["active"]; use["sealed"] < 30_000 || n < 50_000 || n > 60_000 {
		t.Errorf("%v for 50 records of a little more than 1000 bytes", use)
	}
}

// lockedBuffer is a log that a test reads while it is written.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// To sync the disk for a trim alone would have the next record wait for it.
func TestATrimBySizeTakesNoCommitOfItsOwnWhileRecordsCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := mustOpen(t, lazyOptions(vfs.NewMem()))
		defer e.Close()
		l := mustLog(t, e, "a")
		if err := e.Configure(t.Context(), "a", shard.Settings{RetentionBytes: 64 << 10}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // the creation has been counted
		before := testutil.ToFloat64(e.metrics.batches)
		const records = 20
		for range records {
			if _, err := l.Append(t.Context(), []shard.Record{{Value: make([]byte, 30<<10)}}).Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			synctest.Wait() // the flusher has looked
		}
		if n := testutil.ToFloat64(e.metrics.batches) - before; n != records {
			t.Errorf("%v batches for %d records", n, records)
		}
		if first, _ := l.Bounds(); first != records-4 {
			t.Errorf("while records came, the first that is left was %d of %d", first, records)
		}
		time.Sleep(2 * markAfter)
		synctest.Wait()
		if first, _ := l.Bounds(); first != records-3 {
			t.Errorf("then the first that is left is %d of %d", first, records)
		}
		if err := e.Configure(t.Context(), "a", shard.Settings{RetentionBytes: 31 << 10}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // after a while without records nothing is put off
		if first, _ := l.Bounds(); first != records-2 {
			t.Errorf("with a smaller bound the first that is left is %d of %d", first, records)
		}
	})
}
