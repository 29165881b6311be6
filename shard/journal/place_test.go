package journal

import (
	"context"
	"errors"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

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

// leftIn returns the places of a log in the journal.
func leftIn(l shard.Log) int {
	s := l.(*logState)
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.left)
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
	for _, most := range []int64{0, 4 << 10} { // enough for all places, and not
		mem, values := killedWithFullJournal(t, logs, each)
		opts := roomyOptions(mem)
		opts.placesBytes = most
		e := mustPrepare(t, opts)
		places, moved := 0, 0
		for _, l := range e.table.all() {
			places += len(l.left)
			moved += len(l.segments)
		}
		if used, _ := e.budget.state(); used != int64(places)*placeCharge || used > 2*e.opts.placesBytes+placeCharge {
			t.Errorf("%d bytes are charged for %d places, %d allowed", used, places, 2*e.opts.placesBytes)
		}
		if (moved > 0) != (most > 0) {
			t.Errorf("with %d bytes for places %d segments were written", most, moved)
		}
		for i, l := range e.table.all() {
			readsAs(t, l, values[i], 100)
			findsTimes(t, l, len(values[i]))
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

func TestFramesThatAreSomewhereElseAreNeverTakenForThoseThatAreLookedFor(t *testing.T) {
	mem, _ := killedWithFullJournal(t, 2, 10)
	e := mustOpen(t, roomyOptions(mem))
	defer e.Close()
	l := e.table.all()[0]
	mine, next := l.left[0], l.left[1]
	for name, other := range map[string]place{
		"another place of the log":  {base: mine.base, end: mine.end, at: next.at, skip: next.skip, bytes: next.bytes},
		"another log's":             e.table.all()[1].left[0],
		"the middle of a frame":     {base: mine.base, end: mine.end, at: mine.at, skip: mine.skip + 1, bytes: mine.bytes},
		"less than there should be": {base: mine.base, end: mine.end + 1, at: mine.at, skip: mine.skip, bytes: mine.bytes},
		"no file":                   {base: mine.base, end: mine.end, at: 1 << 40, skip: mine.skip, bytes: mine.bytes},
	} {
		_, _, err := l.fetch([]place{other}, make([]byte, other.bytes), readDirect)
		var damage *shard.CorruptError
		if !errors.Is(err, errMoved) || !errors.As(err, &damage) {
			t.Errorf("%s: %v", name, err)
		}
	}
	l.left[0] = place{base: mine.base, end: mine.end, at: next.at, skip: next.skip, bytes: next.bytes}
	var damage *shard.CorruptError
	if _, err := l.Read(t.Context(), mine.base, shard.Limit{Records: 1}); !errors.As(err, &damage) || !strings.Contains(err.Error(), "sluice repair") {
		t.Errorf("got %v", err)
	}
	l.left[0] = mine
	readOne, err := l.Read(t.Context(), mine.base, shard.Limit{Records: 1})
	if err != nil || len(readOne) != 1 {
		t.Errorf("%d records, %v", len(readOne), err)
	}
}

// What does not fit into memory is in the journal, and read and found there, trimmed there, and goes to segments only when
// the journal is full.
func TestRecordsThatLeaveTheCacheAreReadFromTheJournal(t *testing.T) {
	mem := vfs.NewMem()
	opts := roomyOptions(mem)
	e := mustOpen(t, opts)
	defer e.Close()
	l := mustLog(t, e, "a")
	values := fill(t, l, 700)
	s := l.(*logState)
	if leftIn(l) == 0 || len(s.segments) > 0 {
		t.Fatalf("%d places, %d segments", leftIn(l), len(s.segments))
	}
	for _, perRead := range []int{1, 7, 1000} {
		readsAs(t, l, values, perRead)
	}
	findsTimes(t, l, len(values))
	const gone = 200
	if err := l.Trim(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	got, err := l.Read(t.Context(), 0, shard.Limit{Records: 1})
	if err != nil || len(got) != 1 || got[0].Offset != gone || !slices.Equal(got[0].Value, values[gone]) {
		t.Fatalf("after the trim: %d records, %v", len(got), err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = mustOpen(t, opts)
	defer e.Close()
	l = mustLog(t, e, "a")
	if first, next := l.Bounds(); first != gone || int(next) != len(values) {
		t.Errorf("records from %d to %d", first, next)
	}
	if n := e.table.all()[0].segments[0].base; n < gone {
		t.Errorf("a segment begins at %d, though all before %d was trimmed", n, gone)
	}
}

// A read of several places loses one of them to a batch that is written over it, while it is at it.
func TestAReadThatMeetsAPlaceWhichHasBeenMovedGoesOnBehindWhatItHas(t *testing.T) {
	disk := vfs.Inject(vfs.NewMem())
	e := mustOpen(t, lazyOptions(disk))
	defer e.Close()
	l := mustLog(t, e, "a")
	n := appendBytesTo(t, l, 1200<<10)
	if leftIn(l) < 4 {
		t.Fatalf("%d places", leftIn(l))
	}
	var reads atomic.Int64
	disk.Hook(func(c vfs.Call) error {
		if c.Op == vfs.OpRead && path.Base(path.Dir(c.Name)) == journalDir && reads.Add(1) == 3 {
			n += appendBytesTo(t, l, 10<<20) // more than the journal holds
		}
		return nil
	})
	got, err := l.Read(t.Context(), 0, shard.Limit{Records: 30})
	if err != nil || len(got) != 30 {
		t.Fatalf("%d records, %v", len(got), err)
	}
	for i, r := range got {
		if r.Offset != shard.Offset(i) {
			t.Fatalf("record %d has offset %d", i, r.Offset)
		}
	}
	if reads.Load() < 3 {
		t.Errorf("%d reads of the journal", reads.Load())
	}
}

// appendTogether appends numbered records of a little more than 1,000 bytes, many of which share a batch.
func appendTogether(t *testing.T, l shard.Log, n int) {
	t.Helper()
	var pending []shard.Pending
	for i := range n {
		pending = append(pending, l.Append(t.Context(), []shard.Record{numbered(i)}))
	}
	for _, p := range pending {
		if _, err := p.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// Who asks for one record does not wait for the reading of those that follow it.
func TestAReadOfOneRecordReadsOnePlace(t *testing.T) {
	opts := lazyOptions(vfs.NewMem())
	opts.placeBytes = 1 // a place for each part, so that many of one batch adjoin
	e := mustOpen(t, opts)
	defer e.Close()
	l := mustLog(t, e, "a")
	appendTogether(t, l, 500)
	appendBytesTo(t, l, 600<<10)
	s := l.(*logState)
	i := 0
	for n := 0; n < 2; i++ { // there is a batch of several, but the first one need not be
		if i == len(s.left) {
			t.Fatalf("of %d places no two adjoin", len(s.left))
		}
		n, _ = adjoining(s.left[i:])
	}
	if places := s.placesFrom(s.left[i-1].base, newCollector(shard.Limit{Records: 1})); len(places) != 1 {
		t.Errorf("%d places would be read for one record", len(places))
	}
}

// As in a segment: what is before the damage can be read, and only who goes on behind it meets the error.
func TestWhatIsBeforeDamageInTheJournalIsReadFromThere(t *testing.T) {
	mem := vfs.NewMem()
	e := mustOpen(t, lazyOptions(mem))
	defer e.Close()
	l := mustLog(t, e, "a")
	appendTogether(t, l, 300)
	appendBytesTo(t, l, 600<<10)
	s := l.(*logState)
	p := s.left[len(s.left)-1]
	for _, q := range s.left {
		if q.end-q.base > 10 {
			p = q
		}
	}
	if p.end-p.base <= 10 {
		t.Fatalf("no place holds more than 10 records")
	}
	file, pos := e.journal.locate(p.at)
	flip(t, mem, e.path(file.name), pos+int64(p.skip)+int64(p.bytes)/2)
	at := p.base
	for {
		got, err := l.Read(t.Context(), at, shard.Limit{})
		if err != nil {
			var damage *shard.CorruptError
			if !errors.As(err, &damage) {
				t.Fatal(err)
			}
			break
		}
		at = got[len(got)-1].Offset + 1
	}
	if middle := p.base + (p.end-p.base)/2; at < middle-1 || at > middle+1 {
		t.Errorf("of %d to %d, damaged in the middle, what is before %d is read", p.base, p.end, at)
	}
}

// Versions before wrote the frames of a batch in the order in which they came, with changes of the table among them.
func TestABatchWithTheFramesOfLogsAmongEachOtherIsReplayed(t *testing.T) {
	mem := vfs.NewMem()
	opts := lazyOptions(mem)
	e := mustOpen(t, opts)
	if err := e.Create(t.Context(), "a", 2); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = mustPrepare(t, opts)
	logs := e.table.all()
	all := newCommitQueue(1 << 20).newBatch()
	for i := range 20 { // each append in a share of its own
		logs[i%2].Append(t.Context(), []shard.Record{numbered(i / 2)})
		b, _ := e.queue.take(nil)
		all.take(b.shares[0].bytes)
		all.shares = append(all.shares, b.shares...)
		b.finish()
	}
	trim := &share{log: logs[0], parts: []part{{frames: controlFrame(trimChange{log: logs[0], before: 3}, e.journal)}}, frames: 1}
	trim.bytes = int64(len(trim.parts[0].frames))
	all.take(trim.bytes)
	all.shares = slices.Insert(all.shares, 12, trim)
	if ok, err := e.journal.place(alignUp(all.bytes.Load()), true); !ok || err != nil {
		t.Fatal(ok, err)
	}
	h, vec := (&committer{e: e}).encode(all)
	if err := errors.Join(e.journal.append(h, vec), e.release()); err != nil {
		t.Fatal(err)
	}
	all.finish()
	for range 2 { // from the journal, and from segments
		e = mustOpen(t, opts)
		for i, l := range e.table.all() {
			if first, next := l.Bounds(); int(first) != 3-3*i || next != 10 {
				t.Errorf("log %d has records from %d to %d", i, first, next)
			}
			checkNumbered(t, l, 3-3*i, 10)
		}
		closeAccounted(t, e)
	}
}

func TestWhoReadsTheJournalWhileItIsClosedIsToldSo(t *testing.T) {
	for name, read := range map[string]func(*logState) error{
		"Read": func(l *logState) error { _, err := l.Read(context.Background(), 0, shard.Limit{}); return err },
		"At": func(l *logState) error {
			_, err := l.At(context.Background(), time.UnixMilli(l.left[1].millis))
			return err
		},
	} {
		disk := vfs.Inject(vfs.NewMem())
		e := mustOpen(t, lazyOptions(disk))
		l := mustLog(t, e, "a").(*logState)
		appendBytesTo(t, l, 1200<<10)
		var once sync.Once
		disk.Hook(func(c vfs.Call) error {
			if c.Op == vfs.OpRead {
				once.Do(func() {
					disk.Hook(nil)
					if err := e.Close(); err != nil {
						t.Error(err)
					}
				})
			}
			return nil
		})
		if err := read(l); !errors.Is(err, shard.ErrClosed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
