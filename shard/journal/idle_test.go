package journal

import (
	"context"
	"path"
	"runtime"
	"testing"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

func heapNow() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestTenThousandIdleLogsCostLittle(t *testing.T) {
	const logs = 10000
	mem := vfs.NewMem()
	disk := vfs.Inject(mem)
	e := mustOpen(t, tinyOptions(disk))
	defer func() { e.Close() }()
	ctx := context.Background()
	goroutines, before, calls := runtime.NumGoroutine(), heapNow(), disk.Calls()
	if err := e.Create(ctx, "idle", logs); err != nil {
		t.Fatal(err)
	}
	for i := range logs {
		if _, err := e.Open(ctx, "idle", i); err != nil {
			t.Fatal(err)
		}
	}
	if each := (heapNow() - before) / logs; each > 1024 {
		t.Errorf("%d bytes of memory for each log", each)
	}
	if n := runtime.NumGoroutine(); n > goroutines {
		t.Errorf("%d goroutines, %d before", n, goroutines)
	}
	if n := disk.Calls() - calls; n > 40 {
		t.Errorf("%d calls of the file system to create them", n)
	}

	// One busy log beside them costs what it costs alone.
	l := mustLog(t, e, "busy")
	calls = disk.Calls()
	values := fill(t, l, 200)
	if n := disk.Calls() - calls; n > 200*8 {
		t.Errorf("%d calls for 200 appends", n)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	calls = disk.Calls()
	e = mustOpen(t, tinyOptions(disk))
	if n := disk.Calls() - calls; n > 200 {
		t.Errorf("%d calls to open them again", n)
	}
	wantValues(t, e, "busy", values)
}

func TestOpenFilesStayBounded(t *testing.T) {
	opts := tinyOptions(vfs.NewMem())
	opts.MaxOpenFiles = 8
	e := mustOpen(t, opts)
	defer e.Close()
	logs := openLogs(t, e, 60)
	ctx := context.Background()
	for round := range 4 {
		for i, l := range logs {
			if _, err := l.Append(ctx, []shard.Record{numbered(round)}).Wait(ctx); err != nil {
				t.Fatal(err)
			}
			// The flusher holds half of them at most, beside the one or two in use.
			if n := e.files.count(); n > opts.MaxOpenFiles+2 {
				t.Fatalf("round %d log %d: %d open files", round, i, n)
			}
		}
	}
	for _, l := range logs {
		checkNumbered(t, l, 0, 4)
		if n := e.files.count(); n > opts.MaxOpenFiles+2 {
			t.Fatalf("%d open files", n)
		}
	}
}

func TestNoMoreFilesThanTheProcessMayHaveAreKeptOpen(t *testing.T) {
	opts := tinyOptions(vfs.NewMem())
	opts.MaxOpenFiles = 1 << 30
	if err := opts.complete(); err != nil {
		t.Fatal(err)
	}
	if most := max(leastOpenFiles, vfs.FileLimit()/2); opts.MaxOpenFiles > most || vfs.FileLimit() < 3 {
		t.Errorf("%d segments may be open in a process that may have %d files", opts.MaxOpenFiles, vfs.FileLimit())
	}
}

func TestFewSegmentsKeepTheirIndexWhileNobodyReadsThem(t *testing.T) {
	mem := vfs.NewMem()
	const limit, files = 20, 18
	o := newOpenFiles(mem, "/data", limit)
	defer o.close()
	o.most = 3
	if err := mem.MkdirAll(path.Join("/data", dirName(0))); err != nil {
		t.Fatal(err)
	}
	use := func(i int, create, index bool) {
		t.Helper()
		f, err := o.acquire(fileKey{log: 1, base: shard.Offset(i)}, create)
		if err != nil {
			t.Fatal(err)
		}
		if index {
			f.index = []indexEntry{{}}
		}
		o.release(f)
	}
	for i := range files {
		use(i, true, false)
	}
	if n := o.count(); n != files {
		t.Fatalf("%d files are open, want %d", n, files)
	}
	for i := range files / 2 {
		use(i, false, true)
	}
	if n := o.count(); n != files-files/2+o.most {
		t.Errorf("%d files are open, want those without an index and %d", n, o.most)
	}
	for i := range 4 * limit {
		use(files+i, true, i%2 == 0)
		if n := o.count(); n > limit {
			t.Fatalf("%d files are open", n)
		}
	}
	o.closeIdle()
	if n := o.count(); n != 0 {
		t.Errorf("%d files are open that nobody uses", n)
	}
}
