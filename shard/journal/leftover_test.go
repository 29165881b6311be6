package journal

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

// killedWithFullJournal leaves a directory whose journal holds more than roomyOptions allow in memory, and nothing of
// it is in segments that count.
func killedWithFullJournal(t *testing.T, logs, each int) (mem *vfs.Mem, values [][][]byte) {
	t.Helper()
	mem = vfs.NewMem()
	opts := roomyOptions(mem)
	opts.CacheBytes = 64 << 20
	e := mustOpen(t, opts)
	if err := e.Create(t.Context(), "a", logs); err != nil {
		t.Fatal(err)
	}
	for i := range logs {
		l, err := e.Open(t.Context(), "a", i)
		if err != nil {
			t.Fatal(err)
		}
		values = append(values, fill(t, l, each))
	}
	left := mem.CrashClone(0)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	return left, values
}

func roomyOptions(fs vfs.FS) Options {
	return Options{FS: fs, Dir: "/data", Logger: quiet(), MaxAppendBytes: 4 << 10, Config: Config{
		JournalFileBytes: 16 << 20, JournalFiles: 2, CacheBytes: 128 << 10, SegmentBytes: 16 << 10, MaxOpenFiles: 16, MinFreeBytes: 1,
	}}
}

// leftIn counts the entries of a log that are left in the journal.
func leftIn(l shard.Log) int {
	s := l.(*logState)
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, en := range s.cache {
		if en.left {
			n++
		}
	}
	return n
}

func readsAs(t *testing.T, l shard.Log, want [][]byte, perRead int) {
	t.Helper()
	at := shard.Offset(0)
	for int(at) < len(want) {
		got, err := l.Read(context.Background(), at, shard.Limit{Records: perRead})
		if err != nil || len(got) == 0 {
			t.Errorf("offset %d of %d: %d records, %v", at, len(want), len(got), err)
			return
		}
		for _, r := range got {
			if r.Offset != at || string(r.Value) != string(want[at]) {
				t.Errorf("offset %d: got %d, %q", at, r.Offset, r.Value)
				return
			}
			at++
		}
	}
}

func TestWhatAStartLeavesInTheJournalIsReadFromThereAndGetsIntoSegments(t *testing.T) {
	const logs, each = 3, 300 // less than what gets a log to its segment
	mem, values := killedWithFullJournal(t, logs, each)
	opts := roomyOptions(mem)
	e := mustOpen(t, opts)
	var all []shard.Log
	for i := range logs {
		l, err := e.Open(t.Context(), "a", i)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, l)
	}
	// Readers meet all states of the records on their way to segments, and writers push them there.
	var running sync.WaitGroup
	for i, l := range all {
		for _, perRead := range []int{1, 7, 1000} {
			running.Go(func() { readsAs(t, l, values[i], perRead) })
		}
	}
	running.Wait()
	for i, l := range all {
		values[i] = append(values[i], fill(t, l, each)...)
	}
	for i, l := range all {
		readsAs(t, l, values[i], 100)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = mustOpen(t, opts)
	defer e.Close()
	for i := range logs {
		l, err := e.Open(t.Context(), "a", i)
		if err != nil {
			t.Fatal(err)
		}
		readsAs(t, l, values[i], 100)
	}
}

func TestAStartKeepsNoMoreInMemoryThanItsShareAndWritesNoSegments(t *testing.T) {
	const logs, each = 3, 300 // less than what gets a log to its segment
	mem, values := killedWithFullJournal(t, logs, each)
	opts := roomyOptions(mem)
	if err := opts.complete(); err != nil {
		t.Fatal(err)
	}
	// As Open does it, up to where the flusher would begin.
	e := newEngine(opts)
	if err := e.prepare(); err != nil {
		t.Fatal(err)
	}
	held, left := int64(0), 0
	for _, l := range e.table.all() {
		for _, en := range l.cache {
			if !en.left {
				held += en.charge()
			}
		}
		left += leftIn(l)
		if len(l.segments) > 0 {
			t.Errorf("%s has been written to segments", l)
		}
	}
	if held > opts.CacheBytes/2+4<<10 || left == 0 {
		t.Errorf("%d bytes are in memory, %d entries are left in the journal", held, left)
	}
	for i, l := range e.table.all() {
		readsAs(t, l, values[i], 100)
	}

	// A frame that is somewhere else is never taken for the one that is looked for.
	l := e.table.all()[0]
	i := slices.IndexFunc(l.cache, func(en *entry) bool { return en.left })
	mine := l.cache[i]
	other := &entry{log: l, left: true, buf: l.cache[i+1].buf, base: mine.base, end: mine.end, millis: mine.millis, at: mine.at}
	if _, err := other.frame(); !errors.Is(err, errMoved) {
		t.Errorf("another frame was taken: %v", err)
	}
	l.cache[i] = other
	var damage *shard.CorruptError
	if _, err := l.Read(t.Context(), other.base, shard.Limit{Records: 1}); !errors.As(err, &damage) {
		t.Errorf("got %v", err)
	}
	if err := e.release(); err != nil {
		t.Fatal(err)
	}
}
