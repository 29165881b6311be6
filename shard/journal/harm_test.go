package journal

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

// Without it, tests of damage try a sample of all bytes and lengths. All of them take many minutes.
var damageAll = flag.Bool("damage.all", false, "flip every byte, cut at every length")

func harmOptions(fs vfs.FS) Options {
	return Options{FS: fs, Dir: "/data", Logger: quiet(), MaxAppendBytes: 4 << 10, SpaceRetry: 1, Config: Config{
		JournalFileBytes: 20 << 10, JournalFiles: 3, CacheBytes: 24 << 10, SegmentBytes: 4 << 10, MaxOpenFiles: 8, MinFreeBytes: 1,
	}}
}

// small is a directory that has a little of everything, and what it holds.
type small struct {
	mem      *vfs.Mem
	want     map[string][]shard.Record // by topic, of its only log
	first    map[string]shard.Offset
	order    []string // the topic of each append
	closed   bool
	versions []*vfs.Mem // the directory at earlier times
}

// buildSmall makes a directory with compressed, sealed and active segments, records in the journal alone, and traces of
// trims and deletes. Of a closed one the journal is not needed any more.
func buildSmall(t *testing.T, closed bool) *small {
	t.Helper()
	s := &small{mem: vfs.NewMem(), want: map[string][]shard.Record{}, first: map[string]shard.Offset{}, closed: closed}
	synctest.Test(t, s.build)
	names, _ := s.files(t)
	for _, suffix := range []string{segmentSuffix, compressedSuffix, ".snap", "copy", "mark", ".j"} {
		if !slices.ContainsFunc(names, func(name string) bool { return strings.HasSuffix(name, suffix) }) {
			t.Fatalf("no file %s among %q", suffix, names)
		}
	}
	return s
}

func (s *small) build(t *testing.T) {
	ctx := context.Background()
	opts := harmOptions(s.mem)
	opts.eager = true
	e := mustOpen(t, opts)
	write := func(topic string, n int) {
		l := mustLog(t, e, topic)
		for range n {
			i := len(s.want[topic])
			r := shard.Record{Key: fmt.Appendf(nil, "%s%d", topic, i), Value: fmt.Appendf(nil, "%s record %d %s", topic, i, strings.Repeat("z", 300+i%7*40))}
			at, err := l.Append(ctx, []shard.Record{r}).Wait(ctx)
			if err != nil {
				t.Fatal(err)
			}
			r.Offset, r.Time = at.First, at.Time
			s.want[topic] = append(s.want[topic], r)
			s.order = append(s.order, topic)
			time.Sleep(time.Millisecond)
		}
	}
	step := func() {
		time.Sleep(2 * markAfter)
		synctest.Wait()
		s.versions = append(s.versions, s.mem.CrashClone(0))
	}
	write("a", 24)
	write("gone", 4)
	write("b", 6)
	step()
	if err := errors.Join(e.Delete(ctx, "gone"), mustLog(t, e, "a").Trim(ctx, 13), e.Close()); err != nil {
		t.Fatal(err)
	}
	delete(s.want, "gone")
	s.first["a"] = 13
	step()
	e = mustOpen(t, harmOptions(s.mem))
	write("b", 6)
	write("a", 6)
	write("c", 2)
	step()
	write("b", 3)
	write("last", 1)
	time.Sleep(2 * markAfter)
	synctest.Wait()
	if !s.closed {
		s.mem = s.mem.Crash(0)
	}
	if err := e.Close(); err != nil && s.closed {
		t.Fatal(err)
	}
}

// files returns the names of all files of the directory but LOCK, with their sizes.
func (s *small) files(t testing.TB) (names []string, sizes map[string]int64) {
	t.Helper()
	sizes = map[string]int64{}
	var walk func(dir string)
	walk = func(dir string) {
		list, err := s.mem.List(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range list {
			name = path.Join(dir, name)
			info, err := s.mem.Stat(name)
			switch {
			case err != nil:
				t.Fatal(err)
			case info.Dir:
				walk(name)
			case path.Base(name) != "LOCK":
				names = append(names, name)
				sizes[name] = info.Size
			}
		}
	}
	walk("/data")
	return names, sizes
}

// harm is one thing done to a copy of a directory.
type harm struct {
	what string
	file string
	do   func(t testing.TB, mem *vfs.Mem)
}

// harms calls f for all that these tests know to do to a directory.
func (s *small) harms(t *testing.T, every int64, f func(h harm)) {
	t.Helper()
	other := buildSmall(t, false)
	names, sizes := s.files(t)
	if *damageAll {
		every = 1
	}
	at := int64(0) // over all files, so that other bytes of each are tried
	for _, name := range names {
		f(harm{name + " removed", name, func(t testing.TB, mem *vfs.Mem) {
			if err := errors.Join(mem.Remove(name), mem.SyncDir(path.Dir(name))); err != nil {
				t.Fatal(err)
			}
		}})
		f(harm{name + " replaced by zeros", name, func(t testing.TB, mem *vfs.Mem) { put(t, mem, name, make([]byte, sizes[name])) }})
		now := content(t, s.mem, name)
		for i, from := range append(slices.Clone(s.versions), other.mem) {
			if _, err := from.Stat(name); err != nil {
				continue
			}
			what := fmt.Sprintf("%s replaced by what it was at time %d", name, i)
			if from == other.mem {
				what = name + " replaced by another directory's"
			}
			if old := content(t, from, name); !bytes.Equal(old, now) {
				f(harm{what, name, func(t testing.TB, mem *vfs.Mem) { put(t, mem, name, old) }})
			}
		}
		for pos := range sizes[name] {
			if at++; at%every == 0 {
				f(harm{fmt.Sprintf("%s, byte %d flipped", name, pos), name, func(t testing.TB, mem *vfs.Mem) { flip(t, mem, name, pos) }})
			}
			if at++; at%every == 0 {
				f(harm{fmt.Sprintf("%s cut to %d bytes", name, pos), name, func(t testing.TB, mem *vfs.Mem) { cut(t, mem, name, pos) }})
			}
		}
	}
}

func content(t testing.TB, mem *vfs.Mem, name string) []byte {
	t.Helper()
	b, err := readFile(mem, name, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func put(t testing.TB, mem *vfs.Mem, name string, b []byte) {
	t.Helper()
	cut(t, mem, name, 0)
	f, err := mem.Open(name, true)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(b, 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
}

func cut(t testing.TB, mem *vfs.Mem, name string, size int64) {
	t.Helper()
	f, err := mem.Open(name, true)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := errors.Join(f.Truncate(size), f.Sync()); err != nil {
		t.Fatal(err)
	}
}

// readTopic reads the only log of a topic to its end, and looks times up in it. Each record must be as it was written.
func (s *small) readTopic(e *Engine, topic string) ([]shard.Record, error) {
	ctx := context.Background()
	l, err := e.Open(ctx, topic, 0)
	if err != nil {
		return nil, err
	}
	var all []shard.Record
	for from := shard.Offset(0); ; {
		got, err := l.Read(ctx, from, shard.Limit{Records: 5})
		if err != nil || len(got) == 0 {
			if err == nil && len(all) > 0 {
				_, err = l.At(ctx, all[len(all)/2].Time.Add(-time.Millisecond))
			}
			return all, err
		}
		for _, r := range got {
			if r.Offset < from || int(r.Offset) >= len(s.want[topic]) || !sameRecord(r, s.want[topic][r.Offset]) {
				return all, fmt.Errorf("invented: %s offset %d holds %.60q", topic, r.Offset, r.Value)
			}
			from = r.Offset + 1
		}
		all = append(all, got...)
	}
}

func sameRecord(a, b shard.Record) bool {
	return a.Offset == b.Offset && a.Time.Equal(b.Time) && bytes.Equal(a.Key, b.Key) && bytes.Equal(a.Value, b.Value)
}

// check opens what was harmed, and reads all of it: each must give what was written, or name the damage.
func (s *small) check(t testing.TB, h harm) (err error) {
	mem := s.mem.CrashClone(0)
	h.do(t, mem)
	e, err := Open(harmOptions(mem))
	if err == nil {
		defer e.Close()
		err = s.checkOpen(e)
	}
	var damage *shard.CorruptError
	if errors.As(err, &damage) {
		if !strings.HasPrefix(damage.File, "/data/") || damage.Offset < 0 {
			return fmt.Errorf("the damage has no place: %w", err)
		}
		return nil
	}
	return err
}

func (s *small) checkOpen(e *Engine) error {
	topics, err := e.Topics(context.Background())
	if err != nil {
		return err
	}
	for _, topic := range topics {
		if s.want[topic.Name] == nil {
			return fmt.Errorf("there is a topic %s", topic.Name)
		}
	}
	for topic, want := range s.want {
		got, err := s.readTopic(e, topic)
		if err != nil {
			return err
		}
		if n := len(want) - int(s.first[topic]); len(got) != n {
			return fmt.Errorf("%d records of %s, want %d", len(got), topic, n)
		}
	}
	return nil
}

// parallel runs f for all harms, on two goroutines.
func (s *small) parallel(t *testing.T, every int64, f func(h harm) error) {
	var wg sync.WaitGroup
	work := make(chan harm, 64)
	for range 2 {
		wg.Go(func() {
			for h := range work {
				if err := f(h); err != nil {
					t.Errorf("%s: %v", h.what, err)
				}
			}
		})
	}
	n := 0
	s.harms(t, every, func(h harm) { n++; work <- h })
	close(work)
	wg.Wait()
	t.Logf("%d kinds of damage", n)
}

func TestDamageIsNoticedOrHarmless(t *testing.T) {
	for name, closed := range map[string]bool{"AfterAClose": true, "AfterACrash": false} {
		t.Run(name, func(t *testing.T) {
			s := buildSmall(t, closed)
			s.parallel(t, 307, func(h harm) error { return s.check(t, h) })
		})
	}
}
