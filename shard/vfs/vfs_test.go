package vfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"path"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// eachFS runs a test on the real file system and on its twin: both must behave alike.
func eachFS(t *testing.T, test func(t *testing.T, fs FS, dir string)) {
	t.Run("os", func(t *testing.T) { test(t, OS(), t.TempDir()) })
	t.Run("mem", func(t *testing.T) {
		m := NewMem()
		must(t, m.MkdirAll("/data"))
		test(t, m, "/data")
	})
	t.Run("injector", func(t *testing.T) { test(t, Inject(OS()), t.TempDir()) })
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, fs FS, name, content string) File {
	t.Helper()
	f, err := fs.Create(name)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	_, err = f.WriteAt([]byte(content), 0)
	must(t, err)
	return f
}

func read(t *testing.T, fs FS, name string) string {
	t.Helper()
	f, err := fs.Open(name, false)
	must(t, err)
	defer f.Close()
	size, err := f.Size()
	must(t, err)
	b := make([]byte, size)
	if _, err := f.ReadAt(b, 0); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	return string(b)
}

func TestFilesKeepWhatIsWritten(t *testing.T) {
	eachFS(t, func(t *testing.T, fsys FS, dir string) {
		name := path.Join(dir, "f")
		f := write(t, fsys, name, "hello")
		must(t, f.Preallocate(5, 10000))
		_, err := f.WriteAt([]byte("world"), 8)
		must(t, err)
		must(t, f.StartWriteback(0, 13))
		must(t, f.DropCache(0, 0))
		must(t, f.NoReadahead())
		must(t, f.Prefetch(0, 13))
		must(t, f.Datasync())
		must(t, f.Sync())
		if got := read(t, fsys, name); got != "hello\x00\x00\x00world" {
			t.Errorf("content %q", got)
		}
		must(t, f.Truncate(3))
		must(t, f.Truncate(5))
		if got := read(t, fsys, name); got != "hel\x00\x00" {
			t.Errorf("after truncation %q", got)
		}
		var b [10]byte
		if n, err := f.ReadAt(b[:], 2); n != 3 || err != io.EOF {
			t.Errorf("read past the end: %d, %v", n, err)
		}
		must(t, f.Close())
	})
}

func TestNamesBehaveAsTheyShould(t *testing.T) {
	eachFS(t, func(t *testing.T, fsys FS, dir string) {
		at := func(name string) string { return path.Join(dir, name) }
		write(t, fsys, at("a"), "a")
		if _, err := fsys.Create(at("a")); !errors.Is(err, fs.ErrExist) {
			t.Errorf("create what exists: %v", err)
		}
		for what, err := range map[string]error{
			"open":   second(fsys.Open(at("x"), true)),
			"create": second(fsys.Create(at("no/x"))),
			"stat":   second(fsys.Stat(at("x"))),
			"list":   second(fsys.List(at("x"))),
			"remove": fsys.Remove(at("x")),
			"rename": fsys.Rename(at("x"), at("y")),
			"sync":   fsys.SyncDir(at("x")),
		} {
			if !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s of what is not there: %v", what, err)
			}
		}
		must(t, fsys.MkdirAll(at("d/e")))
		must(t, fsys.MkdirAll(at("d/e")))
		write(t, fsys, at("d/e/f"), "f")
		if err := fsys.Remove(at("d/e")); err == nil {
			t.Error("removed a directory that is not empty")
		}
		write(t, fsys, at("b"), "b")
		must(t, fsys.Rename(at("b"), at("a")))
		if got := read(t, fsys, at("a")); got != "b" {
			t.Errorf("renamed file holds %q", got)
		}
		names, err := fsys.List(dir)
		must(t, err)
		if diff := cmp.Diff([]string{"a", "d"}, names); diff != "" {
			t.Error(diff)
		}
		info, err := fsys.Stat(at("d"))
		if must(t, err); !info.Dir {
			t.Error("a directory is none")
		}
		info, err = fsys.Stat(at("a"))
		if must(t, err); info != (Info{Size: 1}) {
			t.Errorf("file is %+v", info)
		}
		must(t, fsys.SyncDir(dir))
		if free, err := fsys.Free(dir); err != nil || free <= 0 {
			t.Errorf("free: %d, %v", free, err)
		}
	})
}

func second[T any](_ T, err error) error { return err }

func TestLockIsExclusiveUntilClosed(t *testing.T) {
	eachFS(t, func(t *testing.T, fsys FS, dir string) {
		name := path.Join(dir, "LOCK")
		l, err := fsys.Lock(name)
		must(t, err)
		if _, err := fsys.Lock(name); !errors.Is(err, ErrLocked) {
			t.Errorf("second lock: %v", err)
		}
		must(t, l.Close())
		l, err = fsys.Lock(name)
		must(t, err)
		must(t, l.Close())
	})
}

func TestPowerLossKeepsWhatWasSynced(t *testing.T) {
	m := NewMem()
	must(t, m.MkdirAll("/d"))
	must(t, m.SyncDir("/"))
	f := write(t, m, "/d/synced", "old")
	must(t, f.Datasync())
	write(t, m, "/d/nameless", "x").Sync()
	must(t, m.SyncDir("/d"))
	_, err := f.WriteAt([]byte("new and longer"), 0)
	must(t, err)
	write(t, m, "/d/unsynced", "x")
	must(t, m.Remove("/d/nameless"))

	c := m.CrashClone(0)
	names, err := c.List("/d")
	must(t, err)
	if diff := cmp.Diff([]string{"nameless", "synced"}, names); diff != "" {
		t.Error(diff)
	}
	if got := read(t, c, "/d/synced"); got != "old" {
		t.Errorf("content %q", got)
	}
	if got := read(t, m, "/d/synced"); got != "new and longer" {
		t.Errorf("the original changed: %q", got)
	}
}

// Over many seeds a power loss shows every outcome that a real one may have: sectors lost and kept on their own,
// names too.
func TestPowerLossTearsWhatWasNotSynced(t *testing.T) {
	m := NewMem()
	f := write(t, m, "/f", string(make([]byte, 4*sectorBytes)))
	must(t, f.Sync())
	must(t, m.SyncDir("/"))
	_, err := f.WriteAt(bytes.Repeat([]byte("n"), 4*sectorBytes), 0)
	must(t, err)
	write(t, m, "/g", "")
	write(t, m, "/h", "")
	seen := map[string]bool{}
	for seed := range uint64(2000) {
		c := m.CrashClone(seed)
		b := read(t, c, "/f")
		outcome := ""
		for s := range 4 {
			sector := b[s*sectorBytes : (s+1)*sectorBytes]
			if sector != string(bytes.Repeat(sector2(sector[0]), sectorBytes)) {
				t.Fatalf("seed %d: a sector is torn in itself", seed)
			}
			outcome += fmt.Sprint(sector[0] == 'n')
		}
		names, err := c.List("/")
		must(t, err)
		seen[outcome+fmt.Sprint(names)] = true
	}
	if len(seen) != 16*4 {
		t.Errorf("%d outcomes, want 64", len(seen))
	}
}

func sector2(b byte) []byte { return []byte{b} }

func TestWhatFailedToSyncReachesTheDiskOnlyWhenWrittenAgain(t *testing.T) {
	m := NewMem()
	f := write(t, m, "/f", string(make([]byte, 1024)))
	must(t, f.Sync())
	must(t, m.SyncDir("/"))
	for _, s := range []int64{0, 1} {
		_, err := f.WriteAt(bytes.Repeat([]byte{'n'}, sectorBytes), s*sectorBytes)
		must(t, err)
	}
	m.FailSync("/f")
	_, err := f.WriteAt([]byte{'n'}, sectorBytes)
	must(t, err)
	must(t, f.Sync())
	if got := read(t, m, "/f"); got != string(bytes.Repeat([]byte{'n'}, 1024)) {
		t.Errorf("before the crash %.20q", got)
	}
	want := string(make([]byte, sectorBytes)) + string(bytes.Repeat([]byte{'n'}, sectorBytes))
	for seed := range uint64(20) {
		if got := read(t, m.CrashClone(seed), "/f"); got != want {
			t.Fatalf("seed %d: %.20q and %.20q", seed, got, got[sectorBytes:])
		}
	}
}

func TestRenameIsKeptOrLostAsAWhole(t *testing.T) {
	m := NewMem()
	write(t, m, "/a", "old").Sync()
	write(t, m, "/tmp", "new").Sync()
	must(t, m.SyncDir("/"))
	must(t, m.Rename("/tmp", "/a"))
	for seed := range uint64(50) {
		c := m.CrashClone(seed)
		if got := read(t, c, "/a"); got != "old" && got != "new" {
			t.Fatalf("seed %d: %q", seed, got)
		}
		names, err := c.List("/")
		must(t, err)
		if renamed := read(t, c, "/a") == "new"; renamed != (len(names) == 1) {
			t.Fatalf("seed %d: half a rename: %v", seed, names)
		}
	}
}

func TestSpaceIsBoundedAndComesBack(t *testing.T) {
	m := NewMem()
	m.SetCapacity(10000)
	f := write(t, m, "/f", string(make([]byte, 4000)))
	if err := f.Preallocate(4000, 7000); !IsNoSpace(err) {
		t.Errorf("preallocate: %v", err)
	}
	must(t, f.Preallocate(4000, 5000))
	g := write(t, m, "/g", string(make([]byte, 1000)))
	if _, err := g.WriteAt([]byte("x"), 1000); !IsNoSpace(err) {
		t.Errorf("write: %v", err)
	}
	_, err := f.WriteAt(make([]byte, 5000), 4000) // was reserved
	must(t, err)
	must(t, f.Truncate(100))
	if free, _ := m.Free("/"); free != 8900 {
		t.Errorf("%d bytes free after the truncation", free)
	}
	must(t, m.Remove("/g"))
	if m.Used() != 1100 {
		t.Errorf("%d bytes used while the removed file is open", m.Used())
	}
	must(t, g.Close())
	if m.Used() != 100 || m.CrashClone(0).Used() != 0 {
		t.Errorf("%d bytes used, %d after a crash", m.Used(), m.CrashClone(0).Used())
	}
}

// A file behaves as a slice of bytes does.
func TestMemFileIsAFile(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	m := NewMem()
	f := write(t, m, "/f", "")
	var want []byte
	for range 3000 {
		switch rng.IntN(4) {
		case 0, 1:
			off, b := rng.IntN(20000), make([]byte, rng.IntN(9000))
			if rng.IntN(3) > 0 {
				for i := range b {
					b[i] = byte(rng.Uint32())
				}
			}
			_, err := f.WriteAt(b, int64(off))
			must(t, err)
			if len(b) > 0 && off+len(b) > len(want) {
				want = append(want, make([]byte, off+len(b)-len(want))...)
			}
			if len(b) > 0 {
				copy(want[off:], b)
			}
		case 2:
			n := rng.IntN(30000)
			must(t, f.Truncate(int64(n)))
			if n <= len(want) {
				want = want[:n]
			} else {
				want = append(want, make([]byte, n-len(want))...)
			}
		case 3:
			must(t, f.Sync())
		}
		if got := read(t, m, "/f"); got != string(want) {
			t.Fatal("content differs")
		}
	}
}

func TestInjectorFailsAsTold(t *testing.T) {
	i := Inject(NewMem())
	i.Hook(FailAt(2, syscall.EIO))
	f, err := i.Create("/f")
	must(t, err)
	if _, err := f.WriteAt([]byte("x"), 0); !errors.Is(err, syscall.EIO) {
		t.Errorf("second call: %v", err)
	}
	_, err = f.WriteAt([]byte("x"), 0)
	must(t, err)
	i.Hook(FailOps(syscall.EIO, OpSync, OpDatasync))
	if err := errors.Join(f.Sync(), f.Datasync()); !errors.Is(err, syscall.EIO) {
		t.Errorf("sync: %v", err)
	}
	i.Hook(FullAfter(10))
	_, err = f.WriteAt(make([]byte, 10), 0)
	must(t, err)
	if _, err := f.WriteAt([]byte("x"), 0); !IsNoSpace(err) {
		t.Errorf("write beyond the budget: %v", err)
	}
	must(t, f.Close())
	if i.Calls() != 8 {
		t.Errorf("%d calls", i.Calls())
	}
}

func TestNamesThatFailedToSyncReachTheDiskOnlyWhenChangedAgain(t *testing.T) {
	m := NewMem()
	for _, name := range []string{"/lost", "/renamed.tmp"} {
		must(t, write(t, m, name, "x").Sync())
	}
	m.FailSyncDir("/")
	must(t, m.Rename("/renamed.tmp", "/renamed"))
	must(t, m.SyncDir("/"))
	for seed := range uint64(20) {
		names, err := m.CrashClone(seed).List("/")
		must(t, err)
		if diff := cmp.Diff([]string{"renamed"}, names); diff != "" {
			t.Fatalf("seed %d: %s", seed, diff)
		}
	}
	if got := read(t, m, "/lost"); got != "x" {
		t.Errorf("before the crash %q", got)
	}
}

func TestAKillLeavesWhatAPowerLossMayStillTake(t *testing.T) {
	m := NewMem()
	f := write(t, m, "/f", "old")
	must(t, f.Sync())
	must(t, m.SyncDir("/"))
	_, err := f.WriteAt([]byte("new"), 0)
	must(t, err)
	write(t, m, "/g", "g")
	must(t, m.Remove("/g"))
	write(t, m, "/h", "hh")
	killed := m.KillClone()
	if got := read(t, killed, "/f") + read(t, killed, "/h"); got != "newhh" {
		t.Errorf("after the kill %q", got)
	}
	if killed.Used() != 5 {
		t.Errorf("%d bytes used", killed.Used())
	}
	lost := killed.CrashClone(0)
	if got := read(t, lost, "/f"); got != "old" {
		t.Errorf("after the kill and a power loss %q", got)
	}
	g, err := killed.Open("/f", true)
	must(t, err)
	defer g.Close()
	_, err = g.WriteAt([]byte("else"), 0)
	must(t, err)
	_, err = f.WriteAt([]byte("mine"), 0)
	must(t, err)
	if got := read(t, m, "/f") + read(t, killed, "/f") + read(t, lost, "/f"); got != "mineelseold" {
		t.Errorf("clones share what is written: %q", got)
	}
}

func TestASyncOfTheTreeKeepsAllThatIsInIt(t *testing.T) {
	m := NewMem()
	must(t, m.MkdirAll("/d/sub"))
	must(t, m.SyncDir("/"))
	tree, err := m.OpenTree("/d")
	must(t, err)
	write(t, m, "/d/a", "1")
	must(t, write(t, m, "/d/sub/b", "2").Close())
	write(t, m, "/outside", "3")
	must(t, tree.Sync())
	write(t, m, "/d/late", "4")
	must(t, tree.Close())

	c := m.CrashClone(0)
	names, err := c.List("/d")
	must(t, err)
	if diff := cmp.Diff([]string{"a", "sub"}, names); diff != "" {
		t.Error(diff)
	}
	if got := read(t, c, "/d/sub/b"); got != "2" {
		t.Errorf("the file holds %q", got)
	}
	if _, err := c.Stat("/outside"); err == nil {
		t.Error("a file outside of the tree is there")
	}
}

func TestWhatATreesFailedSyncLostNoLaterSyncBringsBack(t *testing.T) {
	m := NewMem()
	must(t, m.MkdirAll("/d"))
	must(t, m.SyncDir("/"))
	f := write(t, m, "/d/a", "1")
	m.FailSyncTree("/d")
	must(t, f.Sync())
	must(t, m.SyncDir("/d"))
	if _, err := m.CrashClone(0).Stat("/d/a"); err == nil {
		t.Error("the name is there")
	}
}

func TestTheRealTreeSyncsOrSaysThatItCannot(t *testing.T) {
	tree, err := OS().OpenTree(t.TempDir())
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip("no syncfs that can be trusted here")
	}
	must(t, err)
	must(t, tree.Sync())
	must(t, tree.Close())
}

func TestWhatIsReadWithoutWaitingIsWhatWasWritten(t *testing.T) {
	for name, fsys := range map[string]FS{"real": OS(), "memory": NewMem()} {
		dir := "/d"
		if name == "real" {
			dir = t.TempDir()
		} else if err := fsys.MkdirAll(dir); err != nil {
			t.Fatal(err)
		}
		f, err := fsys.Create(dir + "/f")
		if err != nil {
			t.Fatal(err)
		}
		want := bytes.Repeat([]byte("0123456789"), 3000)
		if _, err := f.WriteAt(want, 0); err != nil {
			t.Fatal(err)
		}
		for _, off := range []int{0, 1, 4096, len(want) - 5, len(want), len(want) + 5} {
			b := make([]byte, 10000)
			n := f.ReadCached(b, int64(off)) // how much is up to the system
			if n > max(0, len(want)-off) || !bytes.Equal(b[:n], want[min(off, len(want)):][:n]) {
				t.Errorf("%s: %d bytes from %d on, %q …", name, n, off, b[:min(n, 10)])
			}
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		if n := f.ReadCached(make([]byte, 1), 0); n != 0 {
			t.Errorf("%s: %d bytes of a closed file", name, n)
		}
	}
}
