package journal

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

// togetherOptions has room for some twenty logs of a hundred small records that are moved together, none of which is moved ahead.
func togetherOptions(fs vfs.FS) Options {
	opts := lazyOptions(fs)
	opts.CacheBytes = 4 << 20
	opts.aheadShares = 1 << 20
	return opts
}

// inFewBatches has commits take some of a bubble's time: it passes when all others wait, who have appended what they have until then.
func inFewBatches(c vfs.Call) error {
	if c.Op == vfs.OpDatasync && strings.Contains(c.Name, "/"+journalDir+"/") {
		time.Sleep(time.Millisecond)
	}
	return nil
}

// halfLeft returns forty logs of 150 records of 200 bytes each, about fifty of which are in the journal alone, and nothing in
// segments, and what they are in.
func halfLeft(t *testing.T) (*Engine, []shard.Log, *vfs.Mem) {
	t.Helper()
	mem := vfs.NewMem()
	disk := vfs.Inject(mem)
	disk.Hook(inFewBatches)
	opts := togetherOptions(disk)
	opts.CacheBytes = 2 << 20
	e := mustOpen(t, opts)
	all := manyLogs(t, e, 40)
	appendMixed(t, all, 150, 200)
	synctest.Wait()
	for _, l := range all {
		if l := l.(*logState); leftIn(l) < 20 || len(l.segments) > 0 {
			t.Fatalf("%v: %d places are in the journal alone, %d segments", l, leftIn(l), len(l.segments))
		}
	}
	return e, all, mem
}

// markedBy is a value that begins with a number and the log's id.
func markedBy(l *logState, n uint64, size int) []byte {
	value := make([]byte, size)
	binary.LittleEndian.PutUint64(value, n)
	binary.LittleEndian.PutUint64(value[8:], l.id)
	return value
}

// appendMixed appends to each log in each round, in some order, and waits then: they are in few batches. It numbers the records
// of each log.
func appendMixed(t *testing.T, logs []shard.Log, rounds, size int) {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	for n := range rounds {
		var pending []shard.Pending
		for _, i := range random.Perm(len(logs)) {
			value := markedBy(logs[i].(*logState), uint64(n), size)
			pending = append(pending, logs[i].Append(t.Context(), []shard.Record{{Value: value}}))
		}
		for _, p := range pending {
			if _, err := p.Wait(t.Context()); err != nil && !errors.Is(err, shard.ErrNotFound) { // it has been deleted
				t.Fatal(err)
			}
		}
		time.Sleep(time.Millisecond) // of a bubble's
	}
}

// another numbers a record that is not of appendMixed.
const another = ^uint64(0)

// holdsMixed reads what appendMixed has appended, from an offset on that comes before another one if there is any.
func holdsMixed(t *testing.T, l shard.Log, from shard.Offset, rounds int) {
	t.Helper()
	s := l.(*logState)
	first, next := l.Bounds()
	if first != from {
		t.Errorf("%v begins at %d, want %d", s, first, from)
	}
	want := uint64(from)
	for at := from; at < next; {
		records, err := l.Read(context.Background(), at, shard.Limit{})
		if err != nil || len(records) == 0 {
			t.Fatalf("%v: %d records at %d: %v", s, len(records), at, err)
		}
		for _, r := range records {
			n, id := binary.LittleEndian.Uint64(r.Value), binary.LittleEndian.Uint64(r.Value[8:])
			if r.Offset != at || id != s.id || n != want && n != another {
				t.Fatalf("%v: at %d is record %d of log %d, as %d", s, at, n, id, r.Offset)
			}
			at++
			if n != another {
				want++
			}
		}
	}
	if want != uint64(rounds) {
		t.Errorf("%v ends with record %d of %d", s, want, rounds)
	}
}

// movedOnce makes sure that each record that is in segments is there once.
func movedOnce(t *testing.T, fs vfs.FS, l *logState) {
	t.Helper()
	next := l.segments[0].base
	for _, seg := range l.segments {
		b, err := readFile(fs, l.e.path(segmentName(l.id, seg.base)), 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		for b = b[segmentHeaderBytes:seg.bytes]; len(b) > 0; {
			h := frameAt(b)
			if h.base != next {
				t.Fatalf("%v: offset %d where %d was expected", l, h.base, next)
			}
			next, b = h.end(), b[h.length:]
		}
	}
}

func TestScatteredRecordsOfManyLogsAreReadTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const logs, rounds, size = 200, 400, 200
		disk := vfs.Inject(vfs.NewMem())
		var m moves
		disk.Hook(func(c vfs.Call) error {
			return errors.Join(inFewBatches(c), m.count(c))
		})
		e := mustOpen(t, togetherOptions(disk))
		all := manyLogs(t, e, logs)
		appendMixed(t, all, rounds, size)
		if moved := m.written.Load() / (size + frameHeaderBytes + 8); moved < logs*rounds/2 || m.reads.Load() > moved/3 {
			t.Errorf("%d reads of the journal to move %d records", m.reads.Load(), moved)
		}
		for _, l := range all {
			holdsMixed(t, l, 0, rounds)
		}
		closeAccounted(t, e)

		e = mustOpen(t, togetherOptions(disk))
		for i := range logs {
			l, err := e.Open(t.Context(), "many", i)
			if err != nil {
				t.Fatal(err)
			}
			holdsMixed(t, l, 0, rounds)
		}
		closeAccounted(t, e)
	})
}

// What happens to a log after its records have been read together with others', and before they are written.
func TestALogThatHasChangedSinceItWasReadIsReadAgain(t *testing.T) {
	const logs, rounds = 40, 400
	for _, test := range []struct {
		name   string
		change func(e *Engine, l *logState) error
		from   shard.Offset
		gone   bool
	}{
		{"nothing", func(*Engine, *logState) error { return nil }, 0, false},
		{"flushed", func(e *Engine, l *logState) error {
			return e.flusher.flushLog(l, lsn(e.durable.Load()), e.flusher.pace(1))
		}, 0, false},
		{"flushed, and more appended", func(e *Engine, l *logState) error {
			if err := e.flusher.flushLog(l, lsn(e.durable.Load()), e.flusher.pace(1)); err != nil {
				return err
			}
			for range 10 {
				_, err := l.Append(context.Background(), []shard.Record{{Value: markedBy(l, another, 16)}}).Wait(context.Background())
				if err != nil || leftIn(l) > 0 {
					return err
				}
			}
			return errors.New("what is appended stays in the cache")
		}, 0, false},
		{"partly trimmed", func(_ *Engine, l *logState) error { return l.Trim(context.Background(), 20) }, 20, false},
		{"trimmed", func(_ *Engine, l *logState) error {
			_, next := l.Bounds()
			return l.Trim(context.Background(), next)
		}, -1, false},
		{"deleted", func(e *Engine, l *logState) error { return e.Delete(context.Background(), l.topic) }, 0, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk := vfs.Inject(vfs.NewMem())
				e := mustOpen(t, togetherOptions(disk))
				defer e.Close()
				var all []shard.Log
				for i := range logs { // in topics of their own
					all = append(all, mustLog(t, e, fmt.Sprint("topic", i)))
				}
				var changed *logState // of the flusher, which alone writes to segments
				var failed error
				disk.Hook(func(c vfs.Call) error {
					if c.Op != vfs.OpWrite || !strings.HasSuffix(c.Name, segmentSuffix) || changed != nil || len(e.flusher.together.members) < 3 {
						return nil
					}
					changed = e.flusher.together.members[2].log
					failed = test.change(e, changed)
					return nil
				})
				appendMixed(t, all, rounds, 600)
				synctest.Wait()
				disk.Hook(nil)
				if changed == nil || failed != nil {
					t.Fatalf("%v: %v", changed, failed)
				}
				for _, l := range all {
					from := shard.Offset(0)
					if l == changed {
						if from = test.from; from < 0 {
							from, _ = l.Bounds()
						}
						if test.gone {
							continue
						}
					}
					holdsMixed(t, l, from, rounds)
					movedOnce(t, disk, l.(*logState))
				}
				if err := e.Err(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestDamageOfWhatIsReadTogetherIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, all, mem := halfLeft(t)
		defer e.Close()
		s := all[20].(*logState)
		p := s.left[0]
		file, pos := e.journal.locate(p.at)
		name := e.path(file.name)
		flip(t, mem, name, pos+int64(p.skip)+int64(p.bytes)-1)
		for range 1000 { // 30 MB, in a journal of 8
			if _, err := all[0].Append(t.Context(), []shard.Record{{Value: make([]byte, 30<<10)}}).Wait(t.Context()); err != nil {
				break
			}
			time.Sleep(time.Millisecond) // of a bubble's
		}
		var corrupt *shard.CorruptError
		if err := e.Err(); !errors.As(err, &corrupt) || corrupt.File != name || corrupt.Offset != pos+int64(p.skip) {
			t.Errorf("got %v, want %s at %d", err, name, pos+int64(p.skip))
		}
	})
}

// A share may begin with frames that are summed by who appends, and go on with those that are left to the committer.
func TestFramesOfOneSlabAreSummedByTheOneOrTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := mustOpen(t, togetherOptions(vfs.NewMem()))
		all := manyLogs(t, e, 40)
		appendMixed(t, all, 100, 1000)
		l := all[7]
		if !lends(l) {
			t.Fatal("the log does not lend")
		}
		var pending []shard.Pending
		sizes := []int{600, 100, 16, 700, 90}
		for _, size := range sizes {
			pending = append(pending, l.Append(t.Context(), []shard.Record{{Value: make([]byte, size)}}))
		}
		for _, p := range pending {
			if _, err := p.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		records, err := l.Read(t.Context(), 100, shard.Limit{})
		if err != nil || len(records) != len(sizes) {
			t.Fatalf("%d records: %v", len(records), err)
		}
		for i, r := range records {
			if len(r.Value) != sizes[i] {
				t.Errorf("record %d has %d bytes, want %d", i, len(r.Value), sizes[i])
			}
		}
		closeAccounted(t, e)
	})
}

// Who goes with another log has records that are due, is like it, and has little of them.
func TestLogsThatAreNotMovedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, all, _ := halfLeft(t)
		defer e.Close()
		f, end := e.flusher, lsn(e.durable.Load())
		first := all[0].(*logState)
		members := func(m moving) (ids []uint64) {
			f.together.collect(f, first, m)
			for _, b := range f.together.members {
				ids = append(ids, b.log.id)
			}
			f.together.drop()
			return ids
		}
		id := first.id
		any := func(l *logState) bool { return l.id < id+4 }
		late := all[2].(*logState)
		late.left = late.left[10:] // as if these had been moved
		much := all[3].(*logState)
		much.unflushed = littleBytes + 1
		for _, test := range []struct {
			name string
			m    moving
			want []uint64
		}{
			{"all that have little", moving{upTo: end, due: end, like: any}, []uint64{id, id + 1, id + 2}},
			{"those that are due", moving{upTo: end, due: late.left[0].at, like: any}, []uint64{id, id + 1}},
			{"those that are like it", moving{upTo: end, due: end, like: func(l *logState) bool { return any(l) && l.id != id+1 }}, []uint64{id, id + 2}},
			{"none, as the first is not due", moving{upTo: end, due: first.left[0].at, like: any}, nil},
		} {
			if got := members(test.m); !slices.Equal(got, test.want) {
				t.Errorf("%s: logs %d, want %d", test.name, got, test.want)
			}
		}
		e.fail(errors.New("what was changed here must not be written"))
	})
}

// When something else is more urgent no more logs are moved for the sake of memory, though they have been read.
func TestMovingTogetherStopsWhenSomethingElseIsMoreUrgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, all, _ := halfLeft(t)
		defer e.Close()
		f := e.flusher
		for goOn := range 3 {
			before, asked := f.waiting(), 0
			l := all[10*goOn].(*logState)
			m := f.olderHalf(l, f.pace(1))
			m.between = func() (bool, error) {
				asked++
				return asked <= goOn, nil
			}
			if err := f.move(l, m); err != nil {
				t.Fatal(err)
			}
			f.together.drop()
			if moved := before - f.waiting(); asked != goOn+1 || moved < int64(goOn+1)*150*200 || moved > int64(goOn+1)*150*300 {
				t.Errorf("asked %d times, moved %d bytes, where %d logs were to be moved", asked, moved, goOn+1)
			}
		}
		if goOn, err := f.olderHalf(all[39].(*logState), f.pace(1)).between(); !goOn || err != nil {
			t.Errorf("does not go on, though the journal is not low: %v", err)
		}
		useFree := func(free []*journalFile) (had []*journalFile) {
			e.journal.mu.Lock()
			defer e.journal.mu.Unlock()
			had, e.journal.free = e.journal.free, free
			return had
		}
		free := useFree(nil)
		if goOn, err := f.olderHalf(all[39].(*logState), f.pace(1)).between(); goOn || err != nil {
			t.Errorf("goes on, though the journal is low: %v", err)
		}
		useFree(free)
		for _, l := range all {
			holdsMixed(t, l, 0, 150)
		}
	})
}

// Shares of one log keep their order, whatever the number that a batch has of them.
func TestTheSharesOfABatchAreInTheOrderOfTheirLogs(t *testing.T) {
	var shares, want []*share
	for id := range uint64(100) {
		l := &logState{id: id}
		for range 3 {
			want = append(want, &share{log: l, base: shard.Offset(len(want))})
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	next := make([]int, 100)
	for len(shares) < len(want) {
		if id := random.IntN(100); next[id] < 3 {
			shares = append(shares, want[3*id+next[id]])
			next[id]++
		}
	}
	var c committer
	c.sort(shares)
	if !slices.Equal(shares, want) {
		t.Error("they are in another order")
	}
	for _, s := range c.shares[:cap(c.shares)] {
		if s != nil {
			t.Fatal("the committer keeps shares")
		}
	}
}
