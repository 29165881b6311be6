package journal

import (
	"context"
	"errors"
	"math"
	"path"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

func TestSegmentsAreSealedByAgeSoThatSlowLogsCanBeTrimmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		opts := tinyOptions(mem)
		opts.SegmentAge, opts.eager, opts.Compression = time.Hour, true, compressionOff
		e := mustOpen(t, opts)
		defer e.Close()
		l := mustLog(t, e, "slow")
		for i := range 3 {
			if i > 0 {
				time.Sleep(40 * time.Minute)
			}
			fill(t, l, 1)
			synctest.Wait()
		}
		segments := func() []string {
			names, err := mem.List(path.Join("/data", logDir(1)))
			if err != nil {
				t.Fatal(err)
			}
			return names
		}
		want := []string{path.Base(segmentName(1, 0)), path.Base(segmentName(1, 2))}
		if diff := cmp.Diff(want, segments()); diff != "" {
			t.Fatalf("segments differ (-want +got):\n%s", diff)
		}
		if err := l.Trim(context.Background(), 2); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if diff := cmp.Diff(want[1:], segments()); diff != "" {
			t.Fatalf("segments after the trim differ (-want +got):\n%s", diff)
		}
	})
}

func TestAnIdleEngineDoesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := vfs.Inject(vfs.NewMem())
		e := mustOpen(t, tinyOptions(disk))
		defer e.Close()
		fill(t, mustLog(t, e, "a"), 10)
		time.Sleep(2 * markAfter)
		synctest.Wait()
		calls := disk.Calls()
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if n := disk.Calls() - calls; n != 0 {
			t.Errorf("%d calls of the file system in a day without work", n)
		}
	})
}

func TestJournalFilesTakeTheirNewSizeWhenTheyAreFree(t *testing.T) {
	mem := vfs.NewMem()
	opts := tinyOptions(mem)
	var values [][]byte
	for _, size := range []int64{32 << 10, 128 << 10, 16 << 10} {
		opts.JournalFileBytes = size
		e := mustOpen(t, opts)
		values = append(values, fill(t, mustLog(t, e, "a"), 30)...)
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
	e := mustOpen(t, opts)
	defer e.Close()
	wantValues(t, e, "a", values)
	info, err := mem.Stat("/data/journal/0000.j")
	if err != nil || info.Size != 16<<10 {
		t.Errorf("%d bytes: %v", info.Size, err)
	}
}

func TestAppendThatWaitsForMemoryEndsWithItsContext(t *testing.T) {
	disk := vfs.Inject(vfs.NewMem())
	e := mustOpen(t, tinyOptions(disk))
	defer e.Close()
	l := mustLog(t, e, "a")
	gate := make(chan struct{})
	disk.Hook(func(c vfs.Call) error {
		if c.Op == vfs.OpWriteback {
			<-gate
		}
		return nil
	})
	ctx, cancel := context.WithCancel(context.Background())
	outcome := make(chan error, 1)
	queued := 0
	go func() {
		for {
			p := l.Append(ctx, []shard.Record{numbered(queued)})
			if _, ok := p.(failedPending); ok {
				_, err := p.Wait(context.Background())
				outcome <- err
				return
			}
			queued++
		}
	}()
	for waiting := false; !waiting; {
		_, waiting = e.budget.state()
	}
	cancel()
	if err := <-outcome; !errors.Is(err, context.Canceled) {
		t.Errorf("append: %v", err)
	}
	close(gate)
	if _, err := l.Append(context.Background(), []shard.Record{numbered(queued)}).Wait(context.Background()); err != nil {
		t.Fatal(err)
	}
	checkNumbered(t, l, 0, queued+1)
}

func TestSettingsAreChecked(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	for field, change := range map[string]func(*Config){
		"journal_file_bytes": func(c *Config) { c.JournalFileBytes = 16 << 20 },
		"journal_files":      func(c *Config) { c.JournalFiles = 1 },
		"cache_bytes":        func(c *Config) { c.CacheBytes = 1 << 20 },
		"segment_bytes":      func(c *Config) { c.SegmentBytes = 2 << 30 },
		"segment_age":        func(c *Config) { c.SegmentAge = 3600 }, // a number without a unit: nanoseconds
		"max_open_files":     func(c *Config) { c.MaxOpenFiles = 1 },
		"scrub_interval":     func(c *Config) { c.ScrubInterval = time.Nanosecond },
		"min_free_bytes":     func(c *Config) { c.MinFreeBytes = -1 },
		"warn_free_bytes":    func(c *Config) { c.WarnFreeBytes = math.MaxInt64 },
	} {
		c := DefaultConfig()
		change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestMetricsAreThereWhileTheEngineIsOpen(t *testing.T) {
	r := prometheus.NewRegistry()
	opts := tinyOptions(vfs.NewMem())
	opts.Registerer = r
	for range 2 {
		e := mustOpen(t, opts)
		fill(t, mustLog(t, e, "a"), 3)
		families, err := r.Gather()
		if err != nil || len(families) < 12 {
			t.Errorf("%d metrics: %v", len(families), err)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		if families, err = r.Gather(); err != nil || len(families) != 0 {
			t.Errorf("%d metrics after Close: %v", len(families), err)
		}
	}
}

// For the race detector.
func TestMetricsMayBeReadDuringAStart(t *testing.T) {
	mem := vfs.NewMem()
	start := func() {
		opts := tinyOptions(mem)
		opts.ScrubInterval = time.Hour
		registry := prometheus.NewRegistry()
		opts.Registerer = registry
		done := make(chan struct{})
		var reading sync.WaitGroup
		defer reading.Wait()
		defer close(done)
		reading.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if _, err := registry.Gather(); err != nil {
					t.Error(err)
					return
				}
			}
		})
		if err := mustOpen(t, opts).Close(); err != nil {
			t.Fatal(err)
		}
	}
	for range 20 {
		start()
	}
}
