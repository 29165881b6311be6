package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

// tinyOptions make every part of the engine turn over quickly: a few appends fill a journal file, a segment, and
// the cache.
func tinyOptions(fs vfs.FS) Options {
	return Options{FS: fs, Dir: "/data", Logger: quiet(), MaxAppendBytes: 4 << 10, SpaceRetry: 1, Config: Config{
		JournalFileBytes: 32 << 10, JournalFiles: 3, CacheBytes: 32 << 10, SegmentBytes: 6 << 10, MaxOpenFiles: 8, MinFreeBytes: 1,
	}}
}

// ledger is what an outside observer knows of one log.
type ledger struct {
	topic     string
	partition int

	acked   map[shard.Offset][]byte // acknowledged records
	next    shard.Offset            // past the last of them
	tried   [][]byte                // values of appends without an answer, in order
	trimmed shard.Offset            // acknowledged
	trying  shard.Offset            // of a trim without an answer
}

// workload drives an engine until it has done its steps or the engine fails, and keeps the ledger.
type workload struct {
	seed    uint64
	steps   int
	ledgers []*ledger
	deleted map[string]bool // topics whose delete was acknowledged
	created map[string]int  // topics whose create was acknowledged

	finished bool
}

func newWorkload(seed uint64, steps int) *workload {
	return &workload{seed: seed, steps: steps, deleted: map[string]bool{}, created: map[string]int{}}
}

func (w *workload) run(e *Engine) {
	ctx := context.Background()
	rng := rand.New(rand.NewPCG(w.seed, 1))
	if e.Create(ctx, "main", 3) != nil {
		return
	}
	w.created["main"] = 3
	logs := make([]shard.Log, 3)
	for i := range logs {
		l, err := e.Open(ctx, "main", i)
		if err != nil {
			return
		}
		logs[i] = l
		w.ledgers = append(w.ledgers, &ledger{topic: "main", partition: i, acked: map[shard.Offset][]byte{}})
	}
	for step := range w.steps {
		i := rng.IntN(len(logs))
		l, led := logs[i], w.ledgers[i]
		var ok bool
		switch p := rng.IntN(20); {
		case p < 16:
			ok = appendSome(ctx, rng, l, led, step)
		case p < 18:
			_, next := l.Bounds()
			ok = trimSome(ctx, l, led, next-shard.Offset(rng.IntN(6)))
		default:
			ok = w.churn(ctx, e, fmt.Sprintf("t%d", rng.IntN(3)))
		}
		if !ok {
			return
		}
	}
	w.finished = true
}

// appendSome queues a few appends at once, and waits for all.
func appendSome(ctx context.Context, rng *rand.Rand, l shard.Log, led *ledger, step int) bool {
	type one struct {
		values [][]byte
		p      shard.Pending
	}
	var all []one
	for a := range 1 + rng.IntN(3) {
		var o one
		var records []shard.Record
		for r := range 1 + rng.IntN(3) {
			v := fmt.Appendf(nil, "%d/%d step %d append %d record %d ", led.partition, len(led.tried), step, a, r)
			v = append(v, bytes.Repeat([]byte{byte('a' + step%26)}, rng.IntN(900))...)
			o.values = append(o.values, v)
			records = append(records, shard.Record{Key: []byte("k"), Value: v})
		}
		led.tried = append(led.tried, o.values...)
		o.p = l.Append(ctx, records)
		all = append(all, o)
	}
	for _, o := range all {
		at, err := o.p.Wait(ctx)
		if err != nil {
			return false
		}
		for i, v := range o.values {
			led.acked[at.First+shard.Offset(i)] = v
		}
		led.next = at.First + shard.Offset(len(o.values))
		led.tried = led.tried[len(o.values):]
	}
	return true
}

func trimSome(ctx context.Context, l shard.Log, led *ledger, before shard.Offset) bool {
	led.trying = max(led.trying, before)
	if l.Trim(ctx, before) != nil {
		return false
	}
	led.trimmed = max(led.trimmed, before)
	return true
}

// churn makes a topic with a record in it, or deletes it.
func (w *workload) churn(ctx context.Context, e *Engine, name string) bool {
	if w.created[name] > 0 {
		delete(w.created, name)
		if e.Delete(ctx, name) != nil {
			return false
		}
		w.deleted[name] = true
		return true
	}
	delete(w.deleted, name)
	if e.Create(ctx, name, 2) != nil {
		return false
	}
	w.created[name] = 2
	l, err := e.Open(ctx, name, 1)
	if err != nil {
		return false
	}
	_, err = l.Append(ctx, []shard.Record{{Value: []byte(name)}}).Wait(ctx)
	return err == nil
}

// check holds what an engine recovered against the ledger.
func (w *workload) check(e *Engine) error {
	ctx := context.Background()
	for name, n := range w.created {
		for i := range n {
			if _, err := e.Open(ctx, name, i); err != nil {
				return fmt.Errorf("topic %s was created: %w", name, err)
			}
		}
	}
	for name := range w.deleted {
		if _, err := e.Open(ctx, name, 0); !errors.Is(err, shard.ErrNotFound) {
			return fmt.Errorf("topic %s was deleted, but opening it gives %v", name, err)
		}
	}
	for _, led := range w.ledgers {
		l, err := e.Open(ctx, led.topic, led.partition)
		if err != nil {
			return err
		}
		if err := led.check(ctx, l); err != nil {
			return fmt.Errorf("%s/%d: %w", led.topic, led.partition, err)
		}
	}
	return nil
}

func readEverything(ctx context.Context, l shard.Log) ([]shard.Record, error) {
	var all []shard.Record
	from := shard.Offset(0)
	for {
		got, err := l.Read(ctx, from, shard.Limit{Bytes: 3000})
		if err != nil || len(got) == 0 {
			return all, err
		}
		all = append(all, got...)
		from = got[len(got)-1].Offset + 1
	}
}

func (led *ledger) check(ctx context.Context, l shard.Log) error {
	got, err := readEverything(ctx, l)
	if err != nil {
		return err
	}
	first, next := l.Bounds()
	switch {
	case first < led.trimmed:
		return fmt.Errorf("first offset %d, but the trim before %d was acknowledged", first, led.trimmed)
	case first > max(led.trimmed, led.trying):
		return fmt.Errorf("first offset %d, but nobody trimmed beyond %d", first, max(led.trimmed, led.trying))
	case next < led.next:
		return fmt.Errorf("next offset %d, but %d was acknowledged", next, led.next)
	case shard.Offset(len(got)) != next-first:
		return fmt.Errorf("%d records between %d and %d", len(got), first, next)
	}
	for i, r := range got {
		if r.Offset != first+shard.Offset(i) {
			return fmt.Errorf("record %d has offset %d, want %d", i, r.Offset, first+shard.Offset(i))
		}
		if want, ok := led.acked[r.Offset]; ok {
			if !bytes.Equal(r.Value, want) {
				return fmt.Errorf("offset %d holds %.60q, want %.60q", r.Offset, r.Value, want)
			}
			continue
		}
		// Behind what was acknowledged there may be what was tried, in that order.
		n := int(r.Offset - led.next)
		if n < 0 || n >= len(led.tried) || !bytes.Equal(r.Value, led.tried[n]) {
			return fmt.Errorf("offset %d holds %.60q, which nobody appended there", r.Offset, r.Value)
		}
	}
	return nil
}

// adopt takes what was recovered as acknowledged, so that the next crash is held to it.
func (w *workload) adopt(e *Engine) error {
	ctx := context.Background()
	for _, led := range w.ledgers {
		l, err := e.Open(ctx, led.topic, led.partition)
		if err != nil {
			return err
		}
		got, err := readEverything(ctx, l)
		if err != nil {
			return err
		}
		for _, r := range got {
			led.acked[r.Offset] = r.Value
		}
		led.trimmed, led.next = l.Bounds()
		led.trying, led.tried = led.trimmed, nil
	}
	return nil
}

// crashOnce runs a workload into a power loss before the given call, and checks what is left: at the first
// recovery, at a second one, after a kill of the recovered process with a power loss behind it, and after it has
// been written to again.
func crashOnce(seed uint64, call int64) (crashed bool, err error) {
	return crashOnceWith(tinyOptions, seed, call)
}

func crashOnceWith(options func(vfs.FS) Options, seed uint64, call int64) (crashed bool, err error) {
	mem := vfs.NewMem()
	disk := vfs.Inject(mem)
	crash, hook := vfs.CrashAt(mem, call, seed)
	disk.Hook(hook)
	w := newWorkload(seed, 40)
	e, err := Open(options(disk))
	if err == nil {
		w.run(e)
		e.Close()
	}
	left := crash.After()
	if left == nil {
		if left = mem; !w.finished {
			return false, fmt.Errorf("the workload ended before its time: %w", errors.Join(err, e.Err()))
		}
	}
	for _, again := range []string{"first recovery", "second recovery", "recovery after writing", "recovery after a kill"} {
		e, err := Open(options(left))
		if err != nil {
			return true, fmt.Errorf("%s: %w", again, err)
		}
		if err := w.check(e); err != nil {
			e.Close()
			return true, fmt.Errorf("%s: %w", again, err)
		}
		if err := w.adopt(e); err != nil {
			e.Close()
			return true, fmt.Errorf("%s: %w", again, err)
		}
		if again == "second recovery" && len(w.ledgers) > 0 {
			rng := rand.New(rand.NewPCG(seed, 2))
			for i := range 8 {
				led := w.ledgers[i%len(w.ledgers)]
				l, err := e.Open(context.Background(), led.topic, led.partition)
				if err != nil {
					e.Close()
					return true, err
				}
				if !appendSome(context.Background(), rng, l, led, i) {
					e.Close()
					return true, fmt.Errorf("%s: append failed: %w", again, e.Err())
				}
			}
		}
		if again == "recovery after writing" {
			// What was seen must survive, even if the process is killed and then the power goes, without
			// anything having been written.
			after := left.CrashClone(0)
			e.Close()
			left = after
			continue
		}
		after := left.CrashClone(seed + 1)
		e.Close()
		if again == "second recovery" {
			left = after
		}
	}
	return crash.After() != nil, nil
}

func TestAcknowledgedRecordsSurvivePowerLossAtEveryCall(t *testing.T) {
	seeds := uint64(6)
	if testing.Short() {
		seeds = 1
	}
	for seed := uint64(1); seed <= seeds; seed++ {
		t.Run(fmt.Sprintf("seed%d", seed), func(t *testing.T) {
			t.Parallel()
			for call := int64(1); ; call++ {
				crashed, err := crashOnce(seed, call)
				if err != nil {
					t.Fatalf("crash before call %d: %v", call, err)
				}
				if !crashed {
					t.Logf("%d calls", call)
					return
				}
			}
		})
	}
}

// A killed process leaves all that it wrote, in memory that only a power loss takes away. What is seen after the next
// start must be safe from that too.
func TestKillFollowedByPowerLossLosesNothing(t *testing.T) {
	for seed := uint64(1); seed <= 3; seed++ {
		t.Run(fmt.Sprintf("seed%d", seed), func(t *testing.T) {
			t.Parallel()
			for call := int64(1); ; call += 3 {
				mem := vfs.NewMem()
				disk := vfs.Inject(mem)
				var killed atomic.Bool
				disk.Hook(func(c vfs.Call) error {
					if c.N >= call {
						killed.Store(true)
						return vfs.ErrCrashed
					}
					return nil
				})
				w := newWorkload(seed, 40)
				if e, err := Open(tinyOptions(disk)); err == nil {
					w.run(e)
					e.Close()
				}
				e, err := Open(tinyOptions(mem))
				if err != nil {
					t.Fatalf("kill before call %d: %v", call, err)
				}
				if err := errors.Join(w.check(e), w.adopt(e)); err != nil {
					t.Fatalf("kill before call %d: %v", call, err)
				}
				rng := rand.New(rand.NewPCG(seed, uint64(call)))
				for i := range rng.IntN(40) {
					if len(w.ledgers) == 0 {
						break
					}
					led := w.ledgers[i%len(w.ledgers)]
					if !appendSome(context.Background(), rng, mustLogOf(t, e, led), led, i) {
						t.Fatalf("append: %v", e.Err())
					}
				}
				after := mem.CrashClone(seed + uint64(call)%5)
				e.Close()
				if e, err = Open(tinyOptions(after)); err != nil {
					t.Fatalf("kill before call %d, then power loss: %v", call, err)
				}
				if err := w.check(e); err != nil {
					t.Fatalf("kill before call %d, then power loss: %v", call, err)
				}
				e.Close()
				if !killed.Load() {
					return
				}
			}
		})
	}
}

func mustLogOf(t *testing.T, e *Engine, led *ledger) shard.Log {
	t.Helper()
	l, err := e.Open(context.Background(), led.topic, led.partition)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestPowerLossDuringRecoveryLosesNothing(t *testing.T) {
	seeds := uint64(8)
	if testing.Short() {
		seeds = 1
	}
	for seed := uint64(1); seed <= seeds; seed++ {
		t.Run(fmt.Sprintf("seed%d", seed), func(t *testing.T) {
			t.Parallel()
			mem := vfs.NewMem()
			disk := vfs.Inject(mem)
			crash, hook := vfs.CrashAt(mem, int64(60+40*seed), seed)
			disk.Hook(hook)
			w := newWorkload(seed, 40)
			e, err := Open(tinyOptions(disk))
			if err != nil {
				t.Fatal(err)
			}
			w.run(e)
			e.Close()
			if crash.After() == nil {
				t.Fatal("the workload is over before the crash")
			}
			for call := int64(1); ; call++ {
				left := crash.After().CrashClone(0)
				disk := vfs.Inject(left)
				again, hook := vfs.CrashAt(left, call, seed+uint64(call))
				disk.Hook(hook)
				if e, err := Open(tinyOptions(disk)); err == nil {
					e.Close()
				}
				after := again.After()
				if after == nil {
					return
				}
				e, err := Open(tinyOptions(after))
				if err != nil {
					t.Fatalf("crash before call %d of the recovery: %v", call, err)
				}
				if err := w.check(e); err != nil {
					t.Fatalf("crash before call %d of the recovery: %v", call, err)
				}
				if err := e.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
