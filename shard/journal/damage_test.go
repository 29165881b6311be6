package journal

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"path"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

// fill appends n records of about 100 bytes, each acknowledged before the next, and returns their values.
func fill(t testing.TB, l shard.Log, n int) [][]byte {
	t.Helper()
	var values [][]byte
	for i := range n {
		v := fmt.Appendf(nil, "record %d %s", i, strings.Repeat("x", 80))
		if _, err := l.Append(context.Background(), []shard.Record{{Value: v}}).Wait(context.Background()); err != nil {
			t.Fatalf("append: %v", err)
		}
		values = append(values, v)
	}
	return values
}

func mustLog(t testing.TB, e *Engine, topic string) shard.Log {
	t.Helper()
	if err := e.Create(context.Background(), topic, 1); err != nil {
		t.Fatalf("create: %v", err)
	}
	l, err := e.Open(context.Background(), topic, 0)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return l
}

func flip(t testing.TB, fs vfs.FS, name string, pos int64) {
	t.Helper()
	f, err := fs.Open(name, true)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], pos); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x10
	if _, err := f.WriteAt(b[:], pos); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
}

// journalOnly leaves a directory in which n records, each a batch of its own, are in the first journal file only, and
// nothing for a while. It returns the batches too.
func journalOnly(t *testing.T, n int, idle time.Duration) (left *vfs.Mem, values [][]byte, found []foundBatch) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		opts := tinyOptions(mem)
		opts.JournalFileBytes, opts.CacheBytes = 1<<20, 1<<20
		e := mustOpen(t, opts)
		l := mustLog(t, e, "a")
		synctest.Wait() // until the next journal file is there, and with it the last snapshot
		values = fill(t, l, n)
		time.Sleep(idle)
		left = mem.CrashClone(0)
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	})
	f, err := left.Open("/data/journal/0000.j", false)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := scanBatches(f, 1<<20, 0, func(h *batchHeader, pos int64, _ []byte) error {
		found = append(found, foundBatch{batchHeader: *h, pos: pos})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(found) != n+1 {
		t.Fatalf("%d batches, want %d and the one of the topic", len(found), n)
	}
	return left, values, found
}

func openTiny(mem *vfs.Mem) (*Engine, error) {
	opts := tinyOptions(mem)
	opts.JournalFileBytes, opts.CacheBytes = 1<<20, 1<<20
	return Open(opts)
}

func wantValues(t testing.TB, e *Engine, topic string, want [][]byte) {
	t.Helper()
	got, err := readEverything(context.Background(), mustLog(t, e, topic))
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	if len(got) != len(want) {
		t.Fatalf("%d records, want %d", len(got), len(want))
	}
	for i, r := range got {
		if !bytes.Equal(r.Value, want[i]) {
			t.Fatalf("record %d is %.40q, want %.40q", i, r.Value, want[i])
		}
	}
}

func TestTornTailIsDroppedAndWrittenOver(t *testing.T) {
	mem, values, found := journalOnly(t, 5, 0)
	flip(t, mem, "/data/journal/0000.j", found[5].pos+100)
	e, err := openTiny(mem)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	wantValues(t, e, "a", values[:4])
	more := fill(t, mustLog(t, e, "a"), 3)
	left := mem.CrashClone(0)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e, err = openTiny(left)
	if err != nil {
		t.Fatalf("open again: %v", err)
	}
	defer e.Close()
	wantValues(t, e, "a", append(values[:4:4], more...))
}

// What a later version may have written, or one that is wrong, is whole: it was not torn, and may have been acknowledged.
func TestAWholeBatchThatMakesNoSenseIsNotDropped(t *testing.T) {
	for name, spoil := range map[string]func(frame []byte){
		"version": func(frame []byte) { frame[12]++ },
		"kind":    func(frame []byte) { frame[13] = 99 },
		"records": func(frame []byte) { binary.LittleEndian.PutUint32(frame[16:], 0) },
		"offset":  func(frame []byte) { frame[39] = 0x80 },
	} {
		t.Run(name, func(t *testing.T) {
			mem, _, found := journalOnly(t, 5, 0)
			last := found[5]
			f, err := mem.Open("/data/journal/0000.j", true)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			b := make([]byte, last.length)
			if _, err := f.ReadAt(b, last.pos); err != nil {
				t.Fatal(err)
			}
			frame := b[batchHeaderBytes:]
			spoil(frame)
			binary.LittleEndian.PutUint32(frame, crc32.Checksum(frame[4:frameHeaderBytes], castagnoli))
			last.seal(b)
			if _, err := f.WriteAt(b, last.pos); err != nil {
				t.Fatal(err)
			}
			e, err := openTiny(mem)
			if err == nil {
				e.Close()
			}
			var damage *shard.CorruptError
			if !errors.As(err, &damage) || damage.File != "/data/journal/0000.j" || damage.Offset != last.pos {
				t.Errorf("open: %v, want damage of /data/journal/0000.j at %d", err, last.pos)
			}
		})
	}
}

func TestDamageBeforeWhatWasDurableIsRefusedAndNamed(t *testing.T) {
	for _, off := range []int64{0, 5, 9, 20, 30, 40, 50, 70, 200} {
		mem, _, found := journalOnly(t, 5, 0)
		flip(t, mem, "/data/journal/0000.j", found[3].pos+off)
		e, err := openTiny(mem)
		if err == nil {
			e.Close()
			t.Fatalf("byte %d of a batch: opened", off)
		}
		var damage *shard.CorruptError
		if !errors.As(err, &damage) || damage.File != "/data/journal/0000.j" || damage.Offset != found[3].pos {
			t.Fatalf("byte %d of a batch: %v, want damage of /data/journal/0000.j at %d", off, err, found[3].pos)
		}
	}
}

func TestDamageAfterACleanCloseIsNeverServed(t *testing.T) {
	build := func() (*vfs.Mem, [][]byte) {
		mem := vfs.NewMem()
		e := mustOpen(t, tinyOptions(mem))
		values := fill(t, mustLog(t, e, "a"), 80)
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		return mem, values
	}
	mem, values := build()
	for _, dir := range []string{"meta", "shards/0", ""} {
		names, err := mem.List(path.Join("/data", dir))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			name = path.Join("/data", dir, name)
			info, err := mem.Stat(name)
			if err != nil {
				t.Fatal(err)
			}
			if info.Dir {
				continue
			}
			for pos := int64(0); pos < info.Size; pos += 1 + info.Size/97 {
				left := mem.CrashClone(0)
				flip(t, left, name, pos)
				checkDamaged(t, left, fmt.Sprintf("%s byte %d", name, pos), values)
			}
		}
	}
}

// checkDamaged opens and reads; each must give what was written, or say that something is damaged.
func checkDamaged(t *testing.T, mem *vfs.Mem, what string, values [][]byte) {
	t.Helper()
	var damage *shard.CorruptError
	e, err := Open(tinyOptions(mem))
	if err != nil {
		if !errors.As(err, &damage) && !strings.Contains(err.Error(), "format version") {
			t.Fatalf("%s: %v, want damage to be named", what, err)
		}
		return
	}
	defer e.Close()
	l, err := e.Open(context.Background(), "a", 0)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	from := shard.Offset(0)
	for {
		got, err := l.Read(context.Background(), from, shard.Limit{Records: 7})
		if errors.As(err, &damage) {
			return
		}
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		for _, r := range got {
			if r.Offset != from || !bytes.Equal(r.Value, values[from]) {
				t.Fatalf("%s: offset %d holds %.40q", what, r.Offset, r.Value)
			}
			from++
		}
		if len(got) == 0 {
			break
		}
	}
	if int(from) != len(values) {
		t.Fatalf("%s: %d records, want %d", what, from, len(values))
	}
}

func TestMissingFilesAreRefused(t *testing.T) {
	mem := vfs.NewMem()
	e := mustOpen(t, tinyOptions(mem))
	fill(t, mustLog(t, e, "a"), 80)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"meta", "shards/0", "journal"} {
		if err := mem.SyncDir(path.Join("/data", dir)); err != nil { // no removed file comes back
			t.Fatal(err)
		}
		names, err := mem.List(path.Join("/data", dir))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if path.Join(dir, name) == copyName {
				continue // it is made again
			}
			left := mem.CrashClone(0)
			if err := left.Remove(path.Join("/data", dir, name)); err != nil {
				t.Fatal(err)
			}
			var damage *shard.CorruptError
			e, err := Open(tinyOptions(left))
			if err == nil {
				e.Close()
			}
			if !errors.As(err, &damage) {
				t.Errorf("without %s/%s: %v, want the loss to be named", dir, name, err)
			}
		}
	}
	left := mem.CrashClone(0)
	if err := left.Remove("/data/FORMAT"); err != nil {
		t.Fatal(err)
	}
	if e, err := Open(tinyOptions(left)); err == nil {
		e.Close()
		t.Error("without FORMAT: opened as if it were new")
	}
}

func TestDamagedIndexIsBuiltAgain(t *testing.T) {
	mem := vfs.NewMem()
	e := mustOpen(t, tinyOptions(mem))
	values := fill(t, mustLog(t, e, "a"), 80)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	name := "/data/" + segmentName(1, 0)
	info, err := mem.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	flip(t, mem, name, info.Size-5)
	e = mustOpen(t, tinyOptions(mem))
	defer e.Close()
	wantValues(t, e, "a", values)
}

func TestTwoEnginesNeverShareADirectory(t *testing.T) {
	dir := t.TempDir()
	opts := contractOptions(vfs.OS(), dir)
	e := mustOpen(t, opts)
	defer e.Close()
	_, err := Open(opts)
	if !errors.Is(err, vfs.ErrLocked) || !strings.Contains(err.Error(), dir) {
		t.Fatalf("second open: %v, want %v and the name of the directory", err, vfs.ErrLocked)
	}
}

func TestRecordsBeforeTheDamageCanBeRead(t *testing.T) {
	mem := vfs.NewMem()
	opts := tinyOptions(mem)
	opts.SegmentBytes = 1 << 20
	e := mustOpen(t, opts)
	values := fill(t, mustLog(t, e, "a"), 80)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	name := "/data/" + segmentName(1, 0)
	info, err := mem.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	flip(t, mem, name, info.Size/2)
	e = mustOpen(t, opts)
	defer e.Close()
	got, err := mustLog(t, e, "a").Read(context.Background(), 0, shard.Limit{})
	if err != nil || len(got) < 30 || len(got) > 50 {
		t.Fatalf("%d records and %v, want about half of %d", len(got), err, len(values))
	}
	for i, r := range got {
		if !bytes.Equal(r.Value, values[i]) {
			t.Fatalf("record %d is %.40q, want %.40q", i, r.Value, values[i])
		}
	}
	var damage *shard.CorruptError
	if _, err := mustLog(t, e, "a").Read(context.Background(), shard.Offset(len(got)), shard.Limit{}); !errors.As(err, &damage) || damage.File != name {
		t.Fatalf("behind them: %v, want the damage to be named", err)
	}
}
