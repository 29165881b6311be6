package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

// fault is how a disk fails.
type fault struct {
	name  string
	err   error
	times int64    // that calls fail in a row
	ops   []vfs.Op // that fail
	mild  bool     // it must not end an engine that is open
}

var (
	opening  = []vfs.Op{vfs.OpCreate, vfs.OpOpen, vfs.OpList, vfs.OpSyncDir}
	spending = []vfs.Op{vfs.OpCreate, vfs.OpMkdir, vfs.OpWrite, vfs.OpPreallocate, vfs.OpTruncate, vfs.OpRename, vfs.OpRemove}
	syncing  = []vfs.Op{vfs.OpDatasync, vfs.OpSync, vfs.OpSyncDir}
	others   = []vfs.Op{vfs.OpCreate, vfs.OpOpen, vfs.OpList, vfs.OpStat, vfs.OpRename, vfs.OpRemove, vfs.OpMkdir, vfs.OpLock, vfs.OpFree,
		vfs.OpRead, vfs.OpWrite, vfs.OpSize, vfs.OpTruncate, vfs.OpPreallocate, vfs.OpWriteback, vfs.OpClose}
	faults = []fault{
		{"EIO", syscall.EIO, 1, others, false},
		{"EIOWhenSyncing", syscall.EIO, 1, syncing, false},
		{"ENOSPC", syscall.ENOSPC, 3, spending, true},
		{"EDQUOT", syscall.EDQUOT, 1, spending, true},
		{"ShortWriteOnAFullDisk", vfs.Partial{Err: syscall.ENOSPC}, 2, []vfs.Op{vfs.OpWrite}, true},
		{"ShortWrite", vfs.Partial{Err: syscall.EIO}, 1, []vfs.Op{vfs.OpWrite}, false},
		{"ShortRead", vfs.Partial{Err: syscall.EIO}, 1, []vfs.Op{vfs.OpRead}, false},
		{"EMFILE", syscall.EMFILE, 4, opening, true},
	}
)

// failingDisk fails from the n-th call of the fault's kinds on.
type failingDisk struct {
	fault
	mem    *vfs.Mem
	after  int64
	calls  atomic.Int64
	failed atomic.Pointer[vfs.Call]
}

func (d *failingDisk) hook(c vfs.Call) error {
	for _, op := range d.ops {
		if c.Op != op {
			continue
		}
		n := d.calls.Add(1)
		if n < d.after || n >= d.after+d.times {
			return nil
		}
		d.failed.Store(&c)
		if op == vfs.OpDatasync || op == vfs.OpSync {
			d.mem.FailSync(c.Name)
		}
		if partial, ok := errors.AsType[vfs.Partial](d.err); ok {
			return vfs.Partial{Err: &fs.PathError{Op: string(c.Op), Path: c.Name, Err: partial.Err}}
		}
		return &fs.PathError{Op: string(c.Op), Path: c.Name, Err: d.err}
	}
	return nil
}

// witness is what was acknowledged while the disk failed.
type witness struct {
	acked   map[string]map[shard.Offset][]byte
	trimmed map[string]shard.Offset
	deleted bool
}

// drive does a little of everything, and goes on after errors for as long as the engine does.
func (w *witness) drive(e *Engine) error {
	ctx := context.Background()
	for round := range 6 {
		for _, topic := range []string{"a", "b", "gone"} {
			if topic == "gone" && round > 2 {
				continue
			}
			w.deleted = w.deleted && topic != "gone"
			if e.Create(ctx, topic, 1) != nil {
				continue
			}
			l, err := e.Open(ctx, topic, 0)
			if err != nil {
				return err
			}
			for i := range 4 {
				v := fmt.Appendf(nil, "%s %d %d %s", topic, round, i, strings.Repeat("f", 500))
				if at, err := l.Append(ctx, []shard.Record{{Value: v}}).Wait(ctx); err == nil {
					if w.acked[topic] == nil {
						w.acked[topic] = map[shard.Offset][]byte{}
					}
					w.acked[topic][at.First] = v
				}
			}
			_, _ = l.Read(ctx, 0, shard.Limit{Records: 3}) // may fail, as the disk does
			time.Sleep(time.Second)
		}
		if l, err := e.Open(ctx, "a", 0); err == nil && round == 3 && l.Trim(ctx, 5) == nil {
			w.trimmed["a"] = 5
		}
		if round == 4 {
			w.deleted = e.Delete(ctx, "gone") == nil
		}
	}
	return nil
}

// check wants all that was acknowledged.
func (w *witness) check(e *Engine) error {
	for topic, acked := range w.acked {
		l, err := e.Open(context.Background(), topic, 0)
		if topic == "gone" {
			if w.deleted && !errors.Is(err, shard.ErrNotFound) {
				return fmt.Errorf("the deleted topic is there: %v", err)
			}
			continue
		}
		if err != nil {
			return err
		}
		got, err := readEverything(context.Background(), l)
		if err != nil {
			return err
		}
		have := map[shard.Offset][]byte{}
		for _, r := range got {
			have[r.Offset] = r.Value
		}
		first, _ := l.Bounds()
		if first < w.trimmed[topic] {
			return fmt.Errorf("%s begins at %d, and was trimmed to %d", topic, first, w.trimmed[topic])
		}
		for at, v := range acked {
			if at >= max(first, 5) && !bytes.Equal(have[at], v) {
				return fmt.Errorf("%s offset %d holds %.30q, want %.30q", topic, at, have[at], v)
			}
		}
	}
	return nil
}

// failOnce runs the engine on a disk that fails once, in its life or in the recovery after a crash, and starts again on
// a good one. It returns false when there are no more calls to fail.
func failOnce(t *testing.T, f fault, recovery bool, after int64) (failed bool) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		w := &witness{acked: map[string]map[shard.Offset][]byte{}, trimmed: map[string]shard.Offset{}}
		opts := tinyOptions(mem)
		opts.eager = after%2 == 0
		if recovery {
			e := mustOpen(t, opts)
			if err := w.drive(e); err != nil {
				t.Fatal(err)
			}
			mem = mem.Crash(uint64(after))
			_ = e.Close() // it has crashed
		}
		d := &failingDisk{fault: f, mem: mem, after: after}
		disk := vfs.Inject(mem)
		disk.Hook(d.hook)
		opts.FS = disk
		e, err := Open(opts)
		opened := err == nil
		if opened {
			_ = w.drive(e)
			err = errors.Join(e.Err(), e.Close())
		}
		c := d.failed.Load()
		if failed = c != nil; !failed {
			if err != nil {
				t.Errorf("without a failure: %v", err)
			}
			return
		}
		what := fmt.Sprintf("%s of %s %s (%d)", f.name, c.Op, c.Name, after)
		if opened && f.mild && err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if err != nil && (!errors.Is(err, f.err) && !errors.Is(err, errors.Unwrap(f.err)) || !strings.Contains(err.Error(), c.Name)) {
			t.Errorf("%s: %v, want the file and the cause to be named", what, err)
		}
		left := mem.Crash(0)
		e, err = Open(tinyOptions(left))
		if err != nil {
			t.Errorf("%s: the next start: %v", what, err)
			return
		}
		if err := errors.Join(w.check(e), e.Close()); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	})
	return failed
}

func TestWhenACallFailsNothingIsLost(t *testing.T) {
	every := int64(9)
	if *damageAll {
		every = 1
	}
	for _, f := range faults {
		for name, recovery := range map[string]bool{"": false, "AfterACrash": true} {
			t.Run(f.name+name, func(t *testing.T) {
				n := 0
				for after := int64(1); failOnce(t, f, recovery, after) && !t.Failed(); after += every {
					n++
				}
				t.Logf("%d failures", n)
			})
		}
	}
}
