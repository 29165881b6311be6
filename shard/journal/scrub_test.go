package journal

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

func scrubOptions(fs vfs.FS) Options {
	opts := tinyOptions(fs)
	opts.ScrubInterval, opts.ScrubBytesPerSecond = 24*time.Hour, 64<<10
	return opts
}

// scrubbedDir leaves a directory with compressed segments of log 1 and plain ones of log 2.
func scrubbedDir(t testing.TB) *vfs.Mem {
	t.Helper()
	mem, _ := compressedDir(t, 200)
	opts := eagerOptions(mem)
	opts.Compression = compressionOff
	e := mustOpen(t, opts)
	fill(t, mustLog(t, e, "b"), 200)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	return mem
}

func TestScrubFindsDamageAndTheEngineGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := scrubbedDir(t)
		compressed, plain := segmentFiles(t, mem, 1), segmentFiles(t, mem, 2)
		if len(compressed) < 4 || len(plain) < 4 {
			t.Fatal(compressed, plain)
		}
		first, second := "/data/"+logDir(1)+"/"+compressed[1], "/data/"+logDir(2)+"/"+plain[2]
		flip(t, mem, first, 100)
		flip(t, mem, second, 700)
		opts := scrubOptions(mem)
		var said lockedBuffer
		opts.Logger = slog.New(slog.NewTextHandler(&said, nil))
		e := mustOpen(t, opts)
		defer e.Close()
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		last, end := e.scrubber.lastPass()
		sealed := int64(len(compressed) + len(plain) - 2)
		if last.damaged != 2 || last.segments < sealed || end.IsZero() {
			t.Errorf("%+v, ended %v, of %d sealed segments", last, end, sealed)
		}
		if n := testutil.ToFloat64(e.metrics.scrubDamaged); n != 2 {
			t.Errorf("%v damaged segments are counted", n)
		}
		if n := testutil.ToFloat64(e.metrics.scrubBytes); n < 20_000 {
			t.Errorf("%v bytes are counted", n)
		}
		for _, want := range []string{"file=" + first + " position=", "file=" + second + " position=", "damaged=2"} {
			if !strings.Contains(said.String(), want) {
				t.Errorf("%q is not in the log:\n%s", want, said.String())
			}
		}
		if _, err := mustLog(t, e, "a").Append(context.Background(), []shard.Record{{Value: []byte("on")}}).Wait(context.Background()); err != nil {
			t.Fatal(err)
		}
	})
}

// scrubReads counts the reads of segments' files by a scrub; nobody else reads in these tests.
func scrubReads(disk *vfs.Injector) func() map[string]int {
	var mu sync.Mutex
	opened := map[string]int{}
	disk.Hook(func(c vfs.Call) error {
		mu.Lock()
		defer mu.Unlock()
		if c.Op == vfs.OpOpen && strings.Contains(c.Name, segmentSuffix) {
			opened[c.Name]++
		}
		return nil
	})
	return func() map[string]int {
		mu.Lock()
		defer mu.Unlock()
		out := maps.Clone(opened)
		clear(opened)
		return out
	}
}

func TestScrubGoesOnWhereTheLastProcessStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := scrubbedDir(t)
		disk := vfs.Inject(mem)
		reads := scrubReads(disk)
		opts := scrubOptions(disk)
		opts.Compression = compressionOff
		all := map[string]int{}
		restarts := 0
		for len(all) == 0 || restarts < 100 {
			e := mustOpen(t, opts)
			reads() // of the recovery
			if restarts == 0 {
				time.Sleep(scrubFirst)
			} else {
				time.Sleep(scrubDelay)
			}
			time.Sleep(200 * time.Millisecond) // enough for 13 KiB
			synctest.Wait()
			_, end := e.scrubber.lastPass()
			for name, n := range reads() {
				all[name] += n
			}
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
			restarts++
			if !end.IsZero() {
				break
			}
		}
		if restarts < 3 {
			t.Errorf("%d starts", restarts)
		}
		total := 0
		for _, n := range all {
			total += n
		}
		// Each restart may cost the segment that was being read.
		if sealed := len(segmentFiles(t, mem, 1)) + len(segmentFiles(t, mem, 2)); total > sealed+restarts {
			t.Errorf("%d segments verified of %d in %d starts", total, sealed, restarts)
		}

		// The next pass is due a day after this one began, whatever is restarted.
		e := mustOpen(t, opts)
		time.Sleep(time.Minute) // what a start does is done
		synctest.Wait()
		reads()
		calls := disk.Calls()
		time.Sleep(12 * time.Hour)
		synctest.Wait()
		if n := disk.Calls() - calls; n > 0 {
			t.Errorf("%d calls between two passes", n)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		e = mustOpen(t, opts)
		reads()
		time.Sleep(12*time.Hour + time.Minute)
		synctest.Wait()
		sealed := 0
		for _, l := range e.table.all() {
			sealed += len(l.sealedSegments(0))
		}
		if n := len(reads()); n != sealed || n < 4 {
			t.Errorf("%d segments verified a day later, of %d", n, sealed)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestScrubWithItsStateDamagedBeginsAnew(t *testing.T) {
	state := scrubState{pass: scrubPass{begun: time.UnixMilli(1700000000000), segments: 3, damaged: 1},
		last: scrubPass{begun: time.UnixMilli(1600000000000)}, end: time.UnixMilli(1600000500000), log: 7, base: 9}
	b := state.encode()
	if got, err := decodeScrubState(b); err != nil || got != state {
		t.Fatalf("%+v, %v", got, err)
	}
	for i := range b {
		b[i] ^= 4
		if _, err := decodeScrubState(b); err == nil {
			t.Errorf("a flip of byte %d goes unnoticed", i)
		}
		b[i] ^= 4
		if _, err := decodeScrubState(b[:i]); err == nil {
			t.Errorf("a cut at byte %d goes unnoticed", i)
		}
	}
	mem := scrubbedDir(t)
	if err := writeFile(mem, "/data", scrubName, b[:20]); err != nil {
		t.Fatal(err)
	}
	e := mustOpen(t, scrubOptions(mem))
	if last, _ := e.scrubber.lastPass(); !last.begun.IsZero() {
		t.Errorf("%+v", last)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}

// Trims, deletes and compression take segments away from under the scrub; none of it is damage.
func TestScrubTakesNoMovedSegmentForDamage(t *testing.T) {
	mem := vfs.NewMem()
	opts := eagerOptions(mem) // without pauses
	opts.ScrubInterval = time.Millisecond
	var said lockedBuffer
	opts.Logger = slog.New(slog.NewTextHandler(&said, nil))
	e := mustOpen(t, opts)
	ctx := context.Background()
	for round := range 4 {
		l := mustLog(t, e, "a")
		fill(t, l, 100)
		if round%2 == 1 {
			if err := e.Delete(ctx, "a"); err != nil {
				t.Fatal(err)
			}
			continue
		}
		_, next := l.Bounds()
		if err := l.Trim(ctx, next-10); err != nil {
			t.Fatal(err)
		}
	}
	fill(t, mustLog(t, e, "b"), 100)
	before := testutil.ToFloat64(e.metrics.scrubSegments)
	eventually(t, "a scrub", func() bool { return testutil.ToFloat64(e.metrics.scrubSegments) > before+10 })
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(said.String(), "is damaged") {
		t.Error(said.String())
	}
	if _, err := mem.Stat("/data/" + scrubName); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
