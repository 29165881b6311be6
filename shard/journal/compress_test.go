package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"log/slog"
	"math/rand/v2"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

// eagerOptions make everything turn over at once: flushed, checkpointed, evicted, compressed.
func eagerOptions(fs vfs.FS) Options {
	opts := tinyOptions(fs)
	opts.eager = true
	return opts
}

// eventually waits for a condition that other goroutines bring about.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	timeout := time.NewTimer(2 * time.Minute)
	defer timeout.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-timeout.C:
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// segmentFiles returns the names of a log's segments.
func segmentFiles(t testing.TB, fs vfs.FS, id uint64) []string {
	t.Helper()
	names, err := fs.List(path.Join("/data", logDir(id)))
	if err != nil && !errors.Is(err, iofs.ErrNotExist) { // nothing is flushed yet
		t.Fatal(err)
	}
	return slices.DeleteFunc(names, func(name string) bool {
		return !strings.HasPrefix(name, strconv.FormatUint(id, 10)+"-")
	})
}

// compressedOnly tells whether all but the newest segment are compressed, and nothing else is there.
func compressedOnly(t testing.TB, fs vfs.FS, id uint64) bool {
	names := segmentFiles(t, fs, id)
	return len(names) > 1 && !slices.ContainsFunc(names[:len(names)-1], func(name string) bool {
		return !strings.HasSuffix(name, compressedSuffix)
	})
}

// compressedDir leaves a closed directory with n records, all but the newest segment compressed.
func compressedDir(t testing.TB, n int) (*vfs.Mem, [][]byte) {
	t.Helper()
	mem := vfs.NewMem()
	e := mustOpen(t, eagerOptions(mem))
	values := fill(t, mustLog(t, e, "a"), n)
	eventually(t, "compressed segments alone", func() bool { return compressedOnly(t, mem, 1) })
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	return mem, values
}

func TestReadersSeeTheSameInCompressedSegments(t *testing.T) {
	mem, values := compressedDir(t, 200)
	opts := tinyOptions(mem)
	opts.Compression = compressionOff // changes nothing for what is compressed
	e := mustOpen(t, opts)
	defer e.Close()
	wantValues(t, e, "a", values)
	l := mustLog(t, e, "a")
	ctx := context.Background()
	for _, from := range []shard.Offset{0, 1, 77, 120, 199} {
		got, err := l.Read(ctx, from, shard.Limit{Records: 1})
		if err != nil || len(got) != 1 || got[0].Offset != from || !bytes.Equal(got[0].Value, values[from]) {
			t.Fatalf("read from %d: %v, %v", from, got, err)
		}
		at, err := l.At(ctx, got[0].Time)
		if err != nil || at > from {
			t.Fatalf("at the time of offset %d: %d, %v", from, at, err)
		}
	}
	var out bytes.Buffer
	if err := Dump(mem, "/data", &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"compressed segment of log 1, offsets 0 to ", "block of ", "record 0 ", "compressed to "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in the dump", want)
		}
	}
}

// From the first compressed file on, whatever a crash before any call leaves must hold all records, in one form or the
// other, and a start removes the other one.
func TestPowerLossAtEveryCallOfReplacingASegment(t *testing.T) {
	mem := vfs.NewMem()
	disk := vfs.Inject(mem)
	opts := tinyOptions(disk)
	opts.eager, opts.Compression = true, compressionOff
	e := mustOpen(t, opts)
	values := fill(t, mustLog(t, e, "a"), 90)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	opts.Compression = compressionZstd
	var mu sync.Mutex
	var left []*vfs.Mem
	begun := false
	disk.Hook(func(c vfs.Call) error {
		mu.Lock()
		defer mu.Unlock()
		begun = begun || c.Op == vfs.OpCreate && strings.HasSuffix(c.Name, compressedSuffix+tmpSuffix)
		if begun && c.Op != vfs.OpRead && c.Op != vfs.OpSize && c.Op != vfs.OpStat {
			n := uint64(len(left))
			left = append(left, mem.KillClone(), mem.CrashClone(0), mem.CrashClone(n+1), mem.CrashClone(n+2), mem.CrashClone(n+3))
		}
		return nil
	})
	e = mustOpen(t, opts)
	eventually(t, "the end of compressing", func() bool { return compressedOnly(t, mem, 1) })
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	for i, mem := range left {
		for range 2 {
			e, err := Open(tinyOptions(mem))
			if err != nil {
				t.Fatalf("crash %d of %d: %v", i, len(left), err)
			}
			wantValues(t, e, "a", values)
			names := segmentFiles(t, mem, 1)
			for _, name := range names {
				if strings.HasSuffix(name, tmpSuffix) || slices.Contains(names, name+"z") {
					t.Errorf("crash %d of %d: %s is left", i, len(left), name)
				}
			}
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Logf("%d crashes", len(left))
}

func TestWhatDoesNotShrinkStaysAndIsNotTriedAgain(t *testing.T) {
	mem := vfs.NewMem()
	disk := vfs.Inject(mem)
	var tried atomic.Int64
	disk.Hook(func(c vfs.Call) error {
		if c.Op == vfs.OpCreate && strings.HasSuffix(c.Name, compressedSuffix+tmpSuffix) {
			tried.Add(1)
		}
		return nil
	})
	e := mustOpen(t, eagerOptions(disk))
	l := mustLog(t, e, "noise")
	ctx := context.Background()
	noise := rand.NewChaCha8([32]byte{1})
	var values [][]byte
	for range 30 {
		v := make([]byte, 1000)
		noise.Read(v)
		values = append(values, v)
		if _, err := l.Append(ctx, []shard.Record{{Value: v}}).Wait(ctx); err != nil {
			t.Fatal(err)
		}
	}
	sealed := func() (n int64) {
		ls := e.table.topics["noise"].logs[0]
		ls.mu.Lock()
		defer ls.mu.Unlock()
		for _, s := range ls.segments {
			if s.sealed && !s.dense {
				return -1
			}
			if s.sealed {
				n++
			}
		}
		return n
	}
	eventually(t, "all sealed segments tried", func() bool {
		return e.flusher.waiting() == 0 && sealed() > 2 && tried.Load() == sealed()
	})
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	before := tried.Load()
	e = mustOpen(t, eagerOptions(disk))
	wantValues(t, e, "noise", values)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if n := tried.Load() - before; n > 1 { // the last one may have been sealed by the close
		t.Errorf("%d segments were tried again", n)
	}
}

func TestPlainTopicsAreNotCompressedUntilTheyMayBe(t *testing.T) {
	mem := vfs.NewMem()
	e := mustOpen(t, eagerOptions(mem))
	defer e.Close()
	ctx := context.Background()
	plain, other := mustLog(t, e, "plain"), mustLog(t, e, "other")
	if err := e.Configure(ctx, "plain", shard.Settings{Plain: true}); err != nil {
		t.Fatal(err)
	}
	values := fill(t, plain, 120)
	fill(t, other, 120)
	eventually(t, "the other topic's segments compressed", func() bool { return compressedOnly(t, mem, 2) })
	for _, name := range segmentFiles(t, mem, 1) {
		if !strings.HasSuffix(name, segmentSuffix) {
			t.Errorf("%s is there", name)
		}
	}
	if err := e.Configure(ctx, "plain", shard.Settings{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "this one's too", func() bool { return compressedOnly(t, mem, 1) })
	wantValues(t, e, "plain", values)
}

// In virtual time: segments are sealed, the compressor wakes a minute later, and makes one pass.
func TestSegmentsAreCompressedAMinuteLaterAndTinyOnesNever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		disk := vfs.Inject(mem)
		opts := contractOptions(disk, "/data")
		opts.SegmentBytes = 256 << 10
		e := mustOpen(t, opts)
		l := mustLog(t, e, "a")
		ctx := context.Background()
		for i := range 20 {
			if _, err := l.Append(ctx, []shard.Record{{Value: bytes.Repeat([]byte{byte(i)}, 100<<10)}}).Wait(ctx); err != nil {
				t.Fatal(err)
			}
		}
		if err := e.Close(); err != nil { // which moves everything to segments
			t.Fatal(err)
		}
		e = mustOpen(t, opts)
		synctest.Wait()
		if compressedOnly(t, mem, 1) {
			t.Error("compressed at once")
		}
		time.Sleep(3 * compressDelay)
		synctest.Wait()
		if !compressedOnly(t, mem, 1) {
			t.Errorf("not compressed: %v", segmentFiles(t, mem, 1))
		}
		calls := disk.Calls()
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if n := disk.Calls() - calls; n > 0 {
			t.Errorf("%d calls of the file system in an idle day", n)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}

		opts.SegmentBytes = 16 << 10
		e = mustOpen(t, opts)
		fill(t, mustLog(t, e, "tiny"), 500)
		time.Sleep(3 * compressDelay)
		synctest.Wait()
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		for _, name := range segmentFiles(t, mem, 2) {
			if !strings.HasSuffix(name, segmentSuffix) {
				t.Errorf("%s is not worth it", name)
			}
		}
	})
}

func TestReadsTrimsAndDeletesWhileSegmentsAreCompressed(t *testing.T) {
	mem := vfs.NewMem()
	e := mustOpen(t, eagerOptions(mem))
	ctx := context.Background()
	var wg sync.WaitGroup
	for i := range 3 {
		topic := fmt.Sprintf("t%d", i)
		for round := range 3 {
			l := mustLog(t, e, topic)
			values := make(chan [][]byte, 1)
			wg.Go(func() { values <- fill(t, l, 120) })
			wg.Go(func() { // the reader follows, and trims behind itself
				from := shard.Offset(0)
				for from < 120 {
					if err := l.Wait(ctx, from); err != nil {
						t.Errorf("wait: %v", err)
						return
					}
					got, err := l.Read(ctx, from, shard.Limit{Records: 9})
					if err != nil || len(got) == 0 || got[0].Offset != from {
						t.Errorf("read from %d: %d records, %v", from, len(got), err)
						return
					}
					for _, r := range got {
						if !strings.HasPrefix(string(r.Value), fmt.Sprintf("record %d ", r.Offset)) {
							t.Errorf("offset %d holds %.30q", r.Offset, r.Value)
						}
					}
					from = got[len(got)-1].Offset + 1
					if i == 1 {
						if err := l.Trim(ctx, from-20); err != nil {
							t.Errorf("trim: %v", err)
						}
					}
				}
			})
			wg.Wait()
			<-values
			if i == 2 && round < 2 {
				if err := e.Delete(ctx, topic); err != nil {
					t.Error(err)
				}
				continue
			}
			break
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = mustOpen(t, eagerOptions(mem))
	if got, err := readEverything(ctx, mustLog(t, e, "t0")); err != nil || len(got) != 120 {
		t.Errorf("%d records, %v", len(got), err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestAFullDiskOnlyPutsCompressingOff(t *testing.T) {
	mem := vfs.NewMem()
	disk := vfs.Inject(mem)
	var full atomic.Bool
	full.Store(true)
	disk.Hook(func(c vfs.Call) error {
		if full.Load() && (c.Op == vfs.OpPreallocate || c.Op == vfs.OpWrite || c.Op == vfs.OpDatasync) && strings.Contains(c.Name, compressedSuffix) {
			return syscall.ENOSPC
		}
		return nil
	})
	e := mustOpen(t, eagerOptions(disk))
	values := fill(t, mustLog(t, e, "a"), 120)
	wantValues(t, e, "a", values)
	if compressedOnly(t, mem, 1) {
		t.Fatal("compressed without any space")
	}
	full.Store(false)
	eventually(t, "compressed segments alone", func() bool { return compressedOnly(t, mem, 1) })
	wantValues(t, e, "a", values)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestADamagedSegmentIsNotCompressedAndDoesNotStopTheEngine(t *testing.T) {
	mem := vfs.NewMem()
	opts := eagerOptions(mem)
	opts.Compression = compressionOff
	e := mustOpen(t, opts)
	values := fill(t, mustLog(t, e, "a"), 120)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	names := segmentFiles(t, mem, 1)
	flip(t, mem, "/data/"+segmentName(1, 0), 500)
	opts.Compression = compressionZstd
	e = mustOpen(t, opts)
	defer e.Close()
	eventually(t, "all other segments compressed", func() bool {
		now := segmentFiles(t, mem, 1)
		return len(now) == len(names) && now[0] == names[0] && !slices.ContainsFunc(now[1:len(now)-1], func(name string) bool {
			return !strings.HasSuffix(name, compressedSuffix)
		})
	})
	l := mustLog(t, e, "a")
	got, err := l.Read(context.Background(), 100, shard.Limit{})
	if err != nil || len(got) != 20 || !bytes.Equal(got[0].Value, values[100]) {
		t.Fatalf("%d records, %v", len(got), err)
	}
	if err := e.Err(); err != nil {
		t.Fatal(err)
	}
}

// What is trimmed before it is flushed leaves a gap in a segment, which is no damage.
func TestASegmentWithATrimmedGapIsCompressed(t *testing.T) {
	mem := vfs.NewMem()
	disk := vfs.Inject(mem)
	opts := eagerOptions(disk)
	opts.ScrubInterval = time.Millisecond
	var said lockedBuffer
	opts.Logger = slog.New(slog.NewTextHandler(&said, nil))
	e := mustOpen(t, opts)
	ctx := context.Background()
	l := mustLog(t, e, "a")
	fill(t, l, 5)
	state := e.table.topics["a"].logs[0]
	eventually(t, "a segment", func() bool {
		state.mu.Lock()
		defer state.mu.Unlock()
		return state.flushed == 5
	})
	// The flusher is held up where it looks at the disk's free space: trims have been looked at, nothing is flushed.
	held, free := make(chan struct{}), make(chan struct{})
	var once sync.Once
	disk.Hook(func(c vfs.Call) error {
		if c.Op == vfs.OpFree {
			once.Do(func() {
				close(held)
				<-free
			})
		}
		return nil
	})
	fill(t, l, 1)
	<-held
	fill(t, l, 3)
	if err := l.Trim(ctx, 8); err != nil {
		t.Fatal(err)
	}
	close(free)
	fill(t, l, 100)
	eventually(t, "compressed segments alone, and a scrub of them", func() bool {
		return compressedOnly(t, mem, 1) && testutil.ToFloat64(e.metrics.scrubSegments) > 3
	})
	got, err := l.Read(ctx, 0, shard.Limit{})
	if err != nil || len(got) == 0 || got[0].Offset != 8 {
		t.Fatalf("%d records, %v", len(got), err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(said.String(), "ERROR") {
		t.Error(said.String())
	}
	if first := state.segments[0]; first.base != 0 || !first.compressed() {
		t.Errorf("%+v was meant to have a gap", first)
	}
}
