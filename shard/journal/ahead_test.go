package journal

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

// moves counts what moving records takes.
type moves struct {
	reads   atomic.Int64 // of the journal
	writes  atomic.Int64 // to segments
	written atomic.Int64 // bytes
}

func (m *moves) count(c vfs.Call) error {
	switch {
	case c.Op == vfs.OpRead && strings.Contains(c.Name, "/"+journalDir+"/"):
		m.reads.Add(1)
	case c.Op == vfs.OpWrite && strings.HasSuffix(c.Name, segmentSuffix):
		m.writes.Add(1)
		m.written.Add(c.Bytes)
	}
	return nil
}

const aheadRecord = blockBytes - 300

func (m *moves) reset() {
	m.reads.Store(0)
	m.writes.Store(0)
	m.written.Store(0)
}

// appendRounds appends records, one to each log in each round, each in a batch of its own, of a block.
func appendRounds(t *testing.T, logs []shard.Log, rounds int) {
	t.Helper()
	record := []shard.Record{{Value: make([]byte, aheadRecord)}}
	for range rounds {
		for _, l := range logs {
			if _, err := l.Append(t.Context(), record).Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond) // of a bubble's
		}
	}
}

func manyLogs(t *testing.T, e *Engine, n int) []shard.Log {
	t.Helper()
	if err := e.Create(t.Context(), "many", n); err != nil {
		t.Fatal(err)
	}
	logs := make([]shard.Log, n)
	for i := range logs {
		l, err := e.Open(t.Context(), "many", i)
		if err != nil {
			t.Fatal(err)
		}
		logs[i] = l
	}
	return logs
}

func TestWhatALogWillMoveAnywayIsMovedBeforeItLeavesTheCache(t *testing.T) {
	for _, n := range []int{1, 4} {
		t.Run(fmt.Sprint(n, " logs"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk := vfs.Inject(vfs.NewMem())
				var m moves
				disk.Hook(m.count)
				e := mustOpen(t, lazyOptions(disk))
				logs := manyLogs(t, e, n)
				appendRounds(t, logs, 4096/n) // then the segments hold several times what the journal does
				m.reset()
				appendRounds(t, logs, 2048/n)
				if reads, bytes := m.reads.Load(), m.written.Load(); reads > 0 || bytes < 7<<20 {
					t.Errorf("%d reads of the journal to move %d bytes", reads, bytes)
				}
				if waits := e.flusher.waiting(); waits > e.opts.CacheBytes {
					t.Errorf("%d bytes wait to be moved", waits)
				}
				for i, l := range logs {
					records, err := l.Read(context.Background(), 0, shard.Limit{})
					if first, next := l.Bounds(); err != nil || first != 0 || next != shard.Offset(6144/n) || len(records) == 0 {
						t.Errorf("log %d: %d records, from %d to %d: %v", i, len(records), first, next, err)
					}
				}
				closeAccounted(t, e)
			})
		})
	}
}

// In the cache there are three records of each log: so little is gathered in the journal until there is more.
func TestWhatIsLittleOfEachLogIsMovedLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := vfs.Inject(vfs.NewMem())
		var m moves
		disk.Hook(m.count)
		e := mustOpen(t, lazyOptions(disk))
		logs := manyLogs(t, e, 40)
		appendRounds(t, logs, 100)
		m.reset()
		appendRounds(t, logs, 100)
		if writes, bytes := m.writes.Load(), m.written.Load(); writes == 0 || bytes/writes < 40<<10 {
			t.Errorf("%d writes of %d bytes", writes, bytes)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestLongSharesAreMovedLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := vfs.Inject(vfs.NewMem())
		var m moves
		disk.Hook(m.count)
		opts := lazyOptions(disk)
		opts.CacheBytes = 2 << 20
		e := mustOpen(t, opts)
		l := mustLog(t, e, "a")
		appendBytesTo(t, l, 20<<20)
		m.reset()
		n := appendBytesTo(t, l, 10<<20)
		if reads := m.reads.Load(); reads < int64(n)*3/4 {
			t.Errorf("%d reads of the journal, with %d shares", reads, n)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// More than the cache holds, and less than half of the journal, is retained: though all of it was in segments before, what comes
// then is never written to one.
func TestWhatWillBeTrimmedInTheJournalIsNotMovedBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := vfs.Inject(vfs.NewMem())
		var m moves
		disk.Hook(m.count)
		e := mustOpen(t, lazyOptions(disk))
		logs := manyLogs(t, e, 1)
		appendRounds(t, logs, 4096)
		if err := e.Configure(t.Context(), "many", shard.Settings{RetentionBytes: 2 << 20}); err != nil {
			t.Fatal(err)
		}
		appendRounds(t, logs, 2048)
		m.reset()
		appendRounds(t, logs, 4096)
		if bytes := m.written.Load(); bytes > 0 {
			t.Errorf("%d bytes were written to segments", bytes)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// slowSegments has each write to a segment take so long that, when one log has been moved, the next one is due.
func slowSegments(c vfs.Call) {
	if c.Op == vfs.OpWrite && strings.HasSuffix(c.Name, segmentSuffix) && c.Bytes > 2*blockBytes {
		time.Sleep(30 * time.Millisecond) // of a bubble's
	}
}

func TestWhatIsAlwaysDueAheadDoesNotKeepTheJournalFromBeingEmptied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := vfs.Inject(vfs.NewMem())
		e := mustOpen(t, lazyOptions(disk))
		logs := manyLogs(t, e, 4)
		appendRounds(t, logs, 1024)
		few := mustLog(t, e, "few")
		disk.Hook(func(c vfs.Call) error {
			slowSegments(c)
			return nil
		})
		for range 40 {
			appendRounds(t, []shard.Log{few}, 1) // is not worth moving, and is needed in the journal
			appendRounds(t, logs, 128)
		}
		if waited := testutil.ToFloat64(e.metrics.stalls); waited > 0 {
			t.Errorf("commits waited %v s for a journal file", waited)
		}
		disk.Hook(nil)
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestTheFreeSpaceIsLookedAtWhileLogsAreMovedAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := vfs.Inject(vfs.NewMem())
		opts := lazyOptions(disk)
		opts.MinFreeBytes = 1 << 20
		e := mustOpen(t, opts)
		logs := manyLogs(t, e, 4)
		appendRounds(t, logs, 1024)
		var since, most atomic.Int64
		disk.Hook(func(c vfs.Call) error {
			slowSegments(c)
			switch {
			case c.Op == vfs.OpFree:
				since.Store(0)
			case c.Op == vfs.OpWrite && strings.Contains(c.Name, "/"+journalDir+"/"):
				n := since.Add(c.Bytes)
				most.Store(max(n, most.Load()))
			}
			return nil
		})
		appendRounds(t, logs, 1024)
		if n, want := most.Load(), opts.MinFreeBytes; n > want {
			t.Errorf("%d bytes were committed between two looks at the free space, want %d at most", n, want)
		}
		disk.Hook(nil)
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	})
}
