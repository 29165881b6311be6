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

// findsTimes looks up the time of every record: At must find the first one that is not older.
func findsTimes(t *testing.T, l shard.Log, records int) {
	t.Helper()
	all, err := l.Read(t.Context(), 0, shard.Limit{})
	if err != nil || len(all) != records {
		t.Fatalf("%d records of %d, %v", len(all), records, err)
	}
	for _, r := range all {
		want := slices.IndexFunc(all, func(other shard.Record) bool { return !other.Time.Before(r.Time) })
		if got, err := l.At(t.Context(), r.Time); got != shard.Offset(want) || err != nil {
			t.Fatalf("at %v: got %d, %v, want %d", r.Time, got, err, want)
		}
	}
}

func TestAStartNeedsNoMoreMemoryThanIsSetHoweverSmallTheRecordsAre(t *testing.T) {
	const logs, each = 3, 300
	for _, together := range []int64{0, 1} { // frames that share an entry, and each for itself: then places alone are too much
		mem, values := killedWithFullJournal(t, logs, each)
		opts := roomyOptions(mem)
		opts.leftBytes = together
		if err := opts.complete(); err != nil {
			t.Fatal(err)
		}
		e := newEngine(opts)
		if err := e.prepare(); err != nil {
			t.Fatal(err)
		}
		charged, moved := int64(0), 0
		for _, l := range e.table.all() {
			charged += charges(l.cache)
			moved += len(l.segments)
		}
		if used, _ := e.budget.state(); used != charged || used > opts.CacheBytes+leftCharge+4<<10 {
			t.Errorf("%d bytes are charged, %d counted, %d allowed", used, charged, opts.CacheBytes)
		}
		if (moved > 0) != (together == 1) {
			t.Errorf("with %d bytes an entry %d segments were written", together, moved)
		}
		for i, l := range e.table.all() {
			readsAs(t, l, values[i], 100)
		}
		if err := e.release(); err != nil {
			t.Fatal(err)
		}
		e = mustOpen(t, opts)
		for i, l := range e.table.all() {
			readsAs(t, l, values[i], 7)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
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

	for i, l := range e.table.all() {
		findsTimes(t, l, len(values[i]))
	}

	// A frame that is somewhere else is never taken for the one that is looked for.
	l := e.table.all()[0]
	i := slices.IndexFunc(l.cache, func(en *entry) bool { return en.left })
	mine := l.cache[i]
	other := &entry{log: l, left: true, buf: l.cache[i+1].buf, base: mine.base, end: mine.end, millis: mine.millis, at: mine.at}
	err := other.frames(0, func(leftFrame, []byte) (bool, error) { return true, nil })
	if !errors.Is(err, errMoved) {
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
