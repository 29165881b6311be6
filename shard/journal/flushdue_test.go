package journal

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

// A log that has more to be flushed whenever the flusher comes back to it must not keep it from emptying the journal.
func TestTheJournalIsEmptiedThoughThereIsAlwaysMoreToFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := vfs.Inject(vfs.NewMem())
		opts := tinyOptions(disk)
		opts.MaxAppendBytes, opts.Compression = minChunk+4096, compressionOff
		opts.JournalFileBytes, opts.JournalFiles, opts.CacheBytes, opts.SegmentBytes = 1<<20, 4, 16<<20, 1<<20
		opts.eager = true
		e := mustOpen(t, opts)
		l := mustLog(t, e, "a")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // of the bubble's time: when nothing moves any more
		defer cancel()
		record := []shard.Record{{Value: make([]byte, minChunk)}}
		var appended atomic.Int64
		disk.Hook(func(c vfs.Call) error {
			if c.Op == vfs.OpWrite && strings.Contains(c.Name, "/"+shardsDir+"/") && appended.Load() < 60 {
				// This is the flusher's goroutine: if the commit waits for it, it waits in vain.
				if _, err := l.Append(ctx, record).Wait(ctx); err != nil {
					t.Errorf("append %d: %v", appended.Load(), err)
				}
				appended.Add(1)
			}
			return nil
		})
		if _, err := l.Append(ctx, record).Wait(ctx); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := appended.Load(); n < 60 || t.Failed() {
			t.Errorf("%d appends while the flusher works", n)
		}
		disk.Hook(nil)
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	})
}
