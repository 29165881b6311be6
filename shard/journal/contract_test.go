package journal

import (
	"log/slog"
	"testing"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/shardtest"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// contractOptions are the smallest that accept what every engine must.
func contractOptions(fs vfs.FS, dir string) Options {
	return Options{FS: fs, Dir: dir, Logger: quiet(), Config: Config{
		JournalFileBytes: 32 << 20, JournalFiles: 2, CacheBytes: 64 << 20, SegmentBytes: 1 << 20, MaxOpenFiles: 16, MinFreeBytes: 1,
	}}
}

// tinyOptions make every part of the engine turn over quickly: a few appends fill a journal file, a segment, and
// the cache.
func tinyOptions(fs vfs.FS) Options {
	return Options{FS: fs, Dir: "/data", Logger: quiet(), MaxAppendBytes: 4 << 10, SpaceRetry: 1, Config: Config{
		JournalFileBytes: 32 << 10, JournalFiles: 3, CacheBytes: 32 << 10, SegmentBytes: 6 << 10, MaxOpenFiles: 8, MinFreeBytes: 1,
	}}
}

func mustOpen(t testing.TB, opts Options) *Engine {
	t.Helper()
	e, err := Open(opts)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return e
}

// mustPrepare opens an engine without what runs in the background: nothing is committed but by the test.
func mustPrepare(t testing.TB, opts Options) *Engine {
	t.Helper()
	if err := opts.complete(); err != nil {
		t.Fatal(err)
	}
	e := newEngine(opts)
	if err := e.prepare(); err != nil {
		t.Fatal(err)
	}
	return e
}

// surplus is what a log takes beyond its bound: the segment that would go next, the one that is written to, and what
// is not flushed yet.
func surplus(opts Options) int64 { return 2*opts.SegmentBytes + maxChunk + minChunk }

// memHarness runs the engine on a file system that can crash and break.
func memHarness(t *testing.T, opts Options) shardtest.Harness {
	mem := vfs.NewMem()
	disk := vfs.Inject(mem)
	opts.FS = disk
	e := mustOpen(t, opts)
	t.Cleanup(func() { e.Close() })
	seed := uint64(0)
	return shardtest.Harness{
		Engine:  e,
		Surplus: surplus(opts),
		Reopen: func(t *testing.T) shard.Engine {
			if err := e.Close(); err != nil {
				t.Fatalf("close: %v", err)
			}
			e = mustOpen(t, opts)
			return e
		},
		Crash: func(t *testing.T) shard.Engine {
			seed++
			left := mem.Crash(seed)
			e.Close()
			mem = left
			disk = vfs.Inject(mem)
			opts.FS = disk
			e = mustOpen(t, opts)
			return e
		},
		Fail: func(cause error) { disk.Hook(vfs.FailOps(cause, vfs.OpDatasync)) },
	}
}

func TestEngineKeepsTheContractInMemory(t *testing.T) {
	shardtest.Run(t, func(t *testing.T) shardtest.Harness { return memHarness(t, contractOptions(nil, "/data")) })
}

func TestEngineKeepsTheContractWhenEverythingIsReadFromDisk(t *testing.T) {
	shardtest.Run(t, func(t *testing.T) shardtest.Harness {
		opts := contractOptions(nil, "/data")
		opts.eager = true
		opts.SegmentBytes = 16 << 10
		return memHarness(t, opts)
	})
}

func TestEngineKeepsTheContractOnTheMachinesFileSystem(t *testing.T) {
	shardtest.Run(t, func(t *testing.T) shardtest.Harness {
		disk := vfs.Inject(vfs.OS())
		opts := contractOptions(disk, t.TempDir())
		e := mustOpen(t, opts)
		t.Cleanup(func() { e.Close() })
		return shardtest.Harness{
			Engine:  e,
			Surplus: surplus(opts),
			Reopen: func(t *testing.T) shard.Engine {
				if err := e.Close(); err != nil {
					t.Fatalf("close: %v", err)
				}
				e = mustOpen(t, opts)
				return e
			},
			Fail: func(cause error) { disk.Hook(vfs.FailOps(cause, vfs.OpDatasync)) },
		}
	})
}
