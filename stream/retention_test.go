package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/shardtest"
)

func TestRecordsAreGoneWhenTheirRetentionEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, limitsOffIn)
		name := w.create("s", CreateOptions{Shards: 1})
		id, start := ShardID(0), StartAt{Type: TrimHorizon}
		begin := time.Now()
		first := w.put(name, text("a"))[0].Sequence
		at := w.startAt(name, id, start)
		time.Sleep(time.Hour)
		w.put(name, text("b"))
		expect := func(want ...string) {
			t.Helper()
			if got := w.values(name, id, start); !slices.Equal(got, want) {
				t.Errorf("after %v: %q, want %q", time.Since(begin), got, want)
			}
		}
		time.Sleep(24*time.Hour - time.Since(begin)) // the first is exactly as old as it may be
		expect("a", "b")
		time.Sleep(time.Minute)
		synctest.Wait()
		expect("b")
		// Old positions and numbers go on with what is left.
		if got := w.read(name, at).Records; len(got) != 1 || string(got[0].Value) != "b" {
			t.Errorf("at the old position: %v", got)
		}
		if got := w.values(name, id, StartAt{Type: AtSequence, Sequence: first}); !slices.Equal(got, []string{"b"}) {
			t.Errorf("at the trimmed record: %q", got)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		expect()
		logs, _, err := w.Logs(name)
		if err != nil {
			t.Fatal(err)
		}
		if first, next := logs[0].Log.Bounds(); first != 2 || next != 2 {
			t.Errorf("the log still holds %d to %d", first, next)
		}
		// An empty log is not watched; what comes next is kept as long as ever.
		w.put(name, text("c"))
		time.Sleep(24 * time.Hour)
		expect("c")
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if first, next := logs[0].Log.Bounds(); first != next {
			t.Errorf("the log still holds %d to %d", first, next)
		}
	})
}

// numb does not trim.
type numb struct{ shard.Log }

func (numb) Trim(context.Context, shard.Offset) error { return errDisk }

func TestRecordsThatAreTooOldAreNotReadEvenIfTrimmingFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := &interposed{shardtest.NewMemory(), func(_ string, _ int, log shard.Log) shard.Log { return numb{log} }}
		w := newWorld(t, shard.Engine(engine), limitsOffIn)
		name := w.create("s", CreateOptions{Shards: 1})
		w.put(name, text("a"))
		time.Sleep(time.Hour)
		w.put(name, text("b"))
		time.Sleep(23*time.Hour + time.Minute)
		if got := w.values(name, ShardID(0), StartAt{Type: TrimHorizon}); !slices.Equal(got, []string{"b"}) {
			t.Errorf("%q", got)
		}
		time.Sleep(time.Hour)
		result := w.read(name, w.startAt(name, ShardID(0), StartAt{Type: TrimHorizon}))
		if len(result.Records) != 0 || result.MillisBehindLatest != 0 {
			t.Errorf("%+v", result)
		}
		if result = w.read(name, result.Next); len(result.Records) != 0 {
			t.Errorf("%+v", result)
		}
	})
}

// Whatever happens in between: a record is there until it is 24 hours old, and gone afterwards, from the log
// too within two minutes.
func TestEveryRecordLivesExactlyAsLongAsItsRetention(t *testing.T) {
	const put, restart = 0, -1 // every other step is a pause
	step := rapid.SampledFrom([]time.Duration{
		put, put, put, restart, time.Millisecond, time.Minute, time.Hour, 11 * time.Hour, 24 * time.Hour,
	})
	rapid.Check(t, func(rt *rapid.T) {
		steps := rapid.SliceOfN(step, 1, 40).Draw(rt, "steps")
		var failure string // rapid wants to hear of it outside the bubble
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, nil, limitsOffIn)
			name := w.create("s", CreateOptions{Shards: 1})
			var written []time.Time
			for i, step := range steps {
				switch step {
				case put:
					w.put(name, text(fmt.Sprint(len(written))))
					written = append(slices.Clip(written), time.Now())
				case restart:
					w.restart()
				default:
					time.Sleep(step)
				}
				if failure = w.checkRetention(name, written); failure != "" {
					failure = fmt.Sprintf("after step %d: %s", i, failure)
					return
				}
			}
		})
		if failure != "" {
			rt.Fatal(failure)
		}
	})
}

// checkRetention says what is wrong with the records that are left of those written, whose values count from
// 0. It takes two minutes.
func (w *world) checkRetention(name Name, written []time.Time) (failure string) {
	younger := func(age time.Duration) int {
		return len(written) - slices.IndexFunc(append(slices.Clip(written), time.Now()), func(at time.Time) bool { return time.Since(at) <= age })
	}
	want := []string{}
	for i := len(written) - younger(24*time.Hour); i < len(written); i++ {
		want = append(want, fmt.Sprint(i))
	}
	if got := w.values(name, ShardID(0), StartAt{Type: TrimHorizon}); !slices.Equal(got, want) {
		return fmt.Sprintf("read %q, want %q", got, want)
	}
	time.Sleep(2 * time.Minute)
	synctest.Wait()
	logs, _, err := w.Logs(name)
	if err != nil {
		return err.Error()
	}
	if first, next := logs[0].Log.Bounds(); int(next-first) > younger(24*time.Hour+2*time.Minute) {
		return fmt.Sprintf("the log holds %d to %d", first, next)
	}
	return ""
}

func TestRetentionGoesOnAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, limitsOffIn)
		name := w.create("s", CreateOptions{Shards: 3})
		for i := range 30 {
			w.put(name, Entry{PartitionKey: fmt.Sprint(i)})
		}
		time.Sleep(12 * time.Hour)
		w.restart()
		time.Sleep(13 * time.Hour) // nobody touches the stream
		synctest.Wait()
		logs, _, err := w.Logs(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range logs {
			if first, next := l.Log.Bounds(); next == 0 || first != next {
				t.Errorf("%s still holds %d to %d", l.ShardID, first, next)
			}
		}
	})
}

func TestAChangedRetentionTakesEffect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, limitsOffIn)
		name := w.create("s", CreateOptions{Shards: 1, RetentionHours: 100})
		w.put(name, text("a"))
		time.Sleep(50 * time.Hour)
		w.edit(name, func(d *definition) { d.RetentionHours = 60 })
		time.Sleep(9 * time.Hour)
		if got := w.values(name, ShardID(0), StartAt{Type: TrimHorizon}); len(got) != 1 {
			t.Errorf("gone before its time: %q", got)
		}
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		logs, _, err := w.Logs(name)
		if err != nil {
			t.Fatal(err)
		}
		if first, next := logs[0].Log.Bounds(); first != next {
			t.Errorf("the log still holds %d to %d", first, next)
		}
	})
}

// watchedLog counts what the scheduler asks of a log.
type watchedLog struct {
	shard.Log
	asked *atomic.Int64
}

func (l watchedLog) At(ctx context.Context, t time.Time) (shard.Offset, error) {
	l.asked.Add(1)
	return l.Log.At(ctx, t)
}

func (l watchedLog) Bounds() (first, next shard.Offset) {
	l.asked.Add(1)
	return l.Log.Bounds()
}

func TestIdleShardsAreLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		engine := &interposed{shardtest.NewMemory(), func(topic string, _ int, log shard.Log) shard.Log {
			if strings.HasPrefix(topic, topicPrefix) {
				return watchedLog{log, &asked}
			}
			return log
		}}
		w := newWorld(t, shard.Engine(engine), limitsOffIn)
		name := w.create("idle", CreateOptions{Shards: 100})
		one := w.create("one", CreateOptions{Shards: 1})
		w.put(one, text("a"))
		synctest.Wait()
		asked.Store(0)
		time.Sleep(23 * time.Hour)
		synctest.Wait()
		if got := asked.Load(); got != 0 {
			t.Errorf("%d questions in a day in which nothing was due", got)
		}
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if got := asked.Load(); got == 0 || got > 10 {
			t.Errorf("%d questions for one record that was due", got)
		}
		asked.Store(0)
		time.Sleep(365 * 24 * time.Hour)
		synctest.Wait()
		if got := asked.Load(); got != 0 {
			t.Errorf("%d questions in a year without records", got)
		}
		if err := w.Delete(context.Background(), name); err != nil {
			t.Fatal(err)
		}
	})
}

func TestABusyLogIsTrimmedOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		engine := &interposed{shardtest.NewMemory(), func(topic string, _ int, log shard.Log) shard.Log {
			if strings.HasPrefix(topic, topicPrefix) {
				return watchedLog{log, &asked}
			}
			return log
		}}
		w := newWorld(t, shard.Engine(engine), limitsOffIn)
		name := w.create("s", CreateOptions{Shards: 1})
		for range 600 { // one every second for ten minutes
			w.put(name, text("a"))
			time.Sleep(time.Second)
		}
		asked.Store(0)
		time.Sleep(23*time.Hour + 49*time.Minute)
		synctest.Wait()
		before := asked.Load()
		time.Sleep(13 * time.Minute)
		synctest.Wait()
		if before != 0 || asked.Load() > 13*5 {
			t.Errorf("%d questions before, %d in the thirteen minutes from then on", before, asked.Load())
		}
		logs, _, err := w.Logs(name)
		if err != nil {
			t.Fatal(err)
		}
		if first, next := logs[0].Log.Bounds(); first != next {
			t.Errorf("the log still holds %d to %d", first, next)
		}
	})
}

func TestDeletedStreamsLeaveTheQueue(t *testing.T) {
	w := newWorld(t, nil, limitsOffIn)
	for i := range 5 {
		name := w.create(fmt.Sprint("s", i), CreateOptions{Shards: 3})
		for j := range 20 {
			w.put(name, Entry{PartitionKey: fmt.Sprint(j)})
		}
		if err := w.Delete(context.Background(), name); err != nil {
			t.Fatal(err)
		}
	}
	w.retention.mu.Lock()
	defer w.retention.mu.Unlock()
	w.mu.RLock()
	defer w.mu.RUnlock()
	if len(w.retention.queue) != 0 || len(w.streams) != 0 {
		t.Errorf("%d partitions of deleted streams are waited for, %d streams remembered", len(w.retention.queue), len(w.streams))
	}
}

// The bound on a shard's size holds for streams made now and, after a restart, for those that were there.
func TestShardsDropTheirOldestRecordsBeyondTheirSize(t *testing.T) {
	engine := &forgetful{Memory: shardtest.NewMemory()}
	w := newWorld(t, engine, limitsOffIn)
	old := w.create("old", CreateOptions{Shards: 1})
	fill := func(name Name) []string {
		for i := range 10 {
			w.put(name, text(fmt.Sprintf("%d %s", i, strings.Repeat("x", 1000))))
		}
		return w.values(name, ShardID(0), StartAt{Type: TrimHorizon})
	}
	if n := len(fill(old)); n != 10 {
		t.Errorf("%d records without a bound", n)
	}
	two, none := int64(2500), int64(0)
	w.config.RetentionBytes = 4500
	w.config.Streams = map[string]StreamConfig{"small": {RetentionBytes: &two}, "endless": {RetentionBytes: &none}}
	engine.forget(t)
	w.restart()
	if n := len(w.values(old, ShardID(0), StartAt{Type: TrimHorizon})); n != 5 {
		t.Errorf("%d records are left of the old stream", n)
	}
	for name, want := range map[string]int{"new": 5, "small": 3, "endless": 10} {
		got := fill(w.create(name, CreateOptions{Shards: 1}))
		if len(got) != want || !strings.HasPrefix(got[len(got)-1], "9 ") {
			t.Errorf("%s has %d records, want the newest %d", name, len(got), want)
		}
	}
}

// forgetful forgets settings at its end, as engines may.
type forgetful struct{ *shardtest.Memory }

func (f *forgetful) forget(t *testing.T) {
	topics, err := f.Topics(t.Context())
	for _, topic := range topics {
		err = errors.Join(err, f.Configure(t.Context(), topic.Name, shard.Settings{}))
	}
	if err != nil {
		t.Fatal(err)
	}
}
