package journal

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

// loggedText is what was logged.
type loggedText struct {
	mu sync.Mutex // guards what follows
	b  bytes.Buffer
}

func (l *loggedText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *loggedText) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.b.String(), text)
}

// cutFile leaves only so many bytes of a file.
func cutFile(t *testing.T, mem *vfs.Mem, name string, size int64) {
	t.Helper()
	f, err := mem.Open(name, true)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(size), f.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestASealedSegmentThatIsTooShortIsToldOfSoonAfterTheStart(t *testing.T) {
	mem := vfs.NewMem()
	opts := tinyOptions(mem)
	opts.Compression = compressionOff
	e := mustOpen(t, opts)
	fill(t, mustLog(t, e, "a"), 80)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	name := "/data/" + segmentName(1, 0)
	cutFile(t, mem, name, 100)

	var logged loggedText
	opts.Logger = slog.New(slog.NewTextHandler(&logged, nil))
	e = mustOpen(t, opts)
	defer e.Close()
	eventually(t, "the short file is named", func() bool {
		return logged.has(name) && logged.has("the file ends here")
	})
	l, err := e.Open(t.Context(), "a", 0)
	if err != nil {
		t.Fatal(err)
	}
	var damage *shard.CorruptError
	if _, err := l.Read(t.Context(), 0, shard.Limit{}); !errors.As(err, &damage) || damage.File != name {
		t.Errorf("reading what is not there: %v", err)
	}
	_, next := l.Bounds()
	if got, err := l.Read(t.Context(), next-1, shard.Limit{}); err != nil || len(got) != 1 {
		t.Errorf("reading what is there: %d records, %v", len(got), err)
	}
}

func TestASegmentThatIsStillWrittenToAndTooShortIsRefused(t *testing.T) {
	mem := vfs.NewMem()
	e := mustOpen(t, tinyOptions(mem))
	fill(t, mustLog(t, e, "a"), 1)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	name := "/data/" + segmentName(1, 0)
	cutFile(t, mem, name, 100)
	var damage *shard.CorruptError
	if _, err := Open(tinyOptions(mem)); !errors.As(err, &damage) || damage.File != name {
		t.Errorf("got %v", err)
	}
}

func TestLogsThatShareADirectoryAreDeletedAloneAndTheDirectoryWithTheLast(t *testing.T) {
	mem := vfs.NewMem()
	e := mustOpen(t, tinyOptions(mem))
	for _, topic := range []string{"a", "b"} {
		fill(t, mustLog(t, e, topic), 80)
	}
	if err := e.Create(t.Context(), "many", 2*logsPerDir); err != nil { // no log will come to the first directory any more
		t.Fatal(err)
	}
	if err := e.Delete(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the files of one are gone", func() bool { return len(segmentFiles(t, mem, 1)) == 0 })
	if len(segmentFiles(t, mem, 2)) == 0 {
		t.Error("the files of the other are gone too")
	}
	for _, topic := range []string{"b", "many"} {
		if err := e.Delete(t.Context(), topic); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the directory is gone", func() bool {
		names, err := mem.List("/data/" + shardsDir)
		if err != nil {
			t.Fatal(err)
		}
		return len(names) == 0
	})
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestNamesOfSegmentsAreReadAsTheyAreWritten(t *testing.T) {
	for _, key := range []fileKey{{1, 0, false}, {12345678901, 9, true}, {0, 1<<62 + 1, false}} {
		name := key.name()
		if got, ok := parseSegmentName(name[strings.LastIndexByte(name, '/')+1:]); !ok || got != key {
			t.Errorf("%s: %v, %v", name, got, ok)
		}
	}
	for _, name := range []string{"", "x.seg", "1-2.seg", "1-00000000000000000001", "-00000000000000000001.seg", "1-0000000000000000000x.segz",
		"01-00000000000000000001.seg", "1-+0000000000000000001.seg", "1-99999999999999999999.seg"} {
		if key, ok := parseSegmentName(name); ok {
			t.Errorf("%q is taken for %v", name, key)
		}
	}
}

// Names like those that are written, but not the same, neither hide what is missing nor are in the way.
func TestStrangeNamesAmongTheSegmentsChangeNothing(t *testing.T) {
	mem := vfs.NewMem()
	opts := tinyOptions(mem)
	opts.eager = true
	e := mustOpen(t, opts)
	values := fill(t, mustLog(t, e, "a"), 20)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"00", "+1", "0x1", "288230376151711744", "x"} { // the long one is 2⁵⁸, whose first log is 2⁶⁴
		left := mem.CrashClone(0)
		if err := left.MkdirAll("/data/" + shardsDir + "/" + dir); err != nil {
			t.Fatal(err)
		}
		opts.FS = left
		e, err := Open(opts)
		if dir[0] == '2' {
			wantDamage(t, e, err, "/data/"+shardsDir+"/"+dir, 0)
			continue
		}
		if err != nil {
			t.Fatalf("with a directory %q: %v", dir, err)
		}
		wantValues(t, e, "a", values)
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
	dir := "/data/" + logDir(1) + "/"
	file := segmentFiles(t, mem, 1)[0]
	if err := mem.Rename(dir+file, dir+"0"+file); err != nil {
		t.Fatal(err)
	}
	opts.FS = mem
	e, err := Open(opts)
	wantDamage(t, e, err, dir+file, 0)
}

func TestTheDirectoryOfTheFirstLogsGoesWithThem(t *testing.T) {
	mem := vfs.NewMem()
	opts := tinyOptions(mem)
	opts.Compression = compressionOff
	e := mustOpen(t, opts)
	if err := e.Create(t.Context(), "many", logsPerDir); err != nil {
		t.Fatal(err)
	}
	if err := e.Delete(t.Context(), "many"); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if err := mem.MkdirAll("/data/" + dirName(0)); err != nil { // as a process leaves it that is killed before it removes it
		t.Fatal(err)
	}
	e = mustOpen(t, opts)
	eventually(t, "the directory is gone", func() bool {
		_, err := mem.Stat("/data/" + dirName(0))
		return errors.Is(err, fs.ErrNotExist)
	})
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}
