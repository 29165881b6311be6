package journal

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/anishathalye/porcupine"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

// A log is linearizable: whatever clients do at the same time has the outcome that it would have in some order, one
// after the other, in which each step falls between its call and its answer. Porcupine looks for that order. What has no
// answer when the power goes may have happened until then, or never.

// logStep is what a client does with a log.
type logStep struct {
	log  int
	what string // append, read, bounds, trim
	id   rune   // of the one record of an append
	from shard.Offset
	most int // records that a read may give
}

// logAnswer is what it is told.
type logAnswer struct {
	unknown     bool
	first, next shard.Offset // bounds; first is also the offset of an append
	ids         string       // of the records that were read
	offset      shard.Offset // of the first of them
}

// logImage is a log in the model: its records, one letter each, and where it begins.
type logImage struct {
	first shard.Offset
	ids   string
}

func (s logImage) next() shard.Offset { return shard.Offset(len([]rune(s.ids))) }

// step returns the logs that may be after a step with this answer; none if it cannot have been.
func (s logImage) step(in logStep, out logAnswer) []logImage {
	after := s
	switch in.what {
	case "append":
		after.ids += string(in.id)
		if !out.unknown && out.first != s.next() {
			return nil
		}
	case "trim":
		after.first = max(s.first, min(in.from, s.next()))
	case "bounds":
		if out.first != s.first || out.next != s.next() {
			return nil
		}
	case "read":
		from := max(in.from, s.first)
		got := shard.Offset(len([]rune(out.ids)))
		switch {
		case from >= s.next():
			if got > 0 {
				return nil
			}
		case got == 0, out.offset != from, int(got) > in.most, from+got > s.next(),
			string([]rune(s.ids)[from:from+got]) != out.ids:
			return nil
		}
	}
	if out.unknown {
		return []logImage{s, after}
	}
	return []logImage{after}
}

var logModel = porcupine.NondeterministicModel{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		logs := map[int][]porcupine.Operation{}
		for _, op := range history {
			n := op.Input.(logStep).log
			logs[n] = append(logs[n], op)
		}
		var all [][]porcupine.Operation
		for _, ops := range logs {
			all = append(all, ops)
		}
		return all
	},
	Init: func() []any { return []any{logImage{}} },
	Step: func(state, in, out any) []any {
		var all []any
		for _, s := range state.(logImage).step(in.(logStep), out.(logAnswer)) {
			all = append(all, s)
		}
		return all
	},
}

// recorder writes down what clients do.
type recorder struct {
	clock atomic.Int64

	mu      sync.Mutex
	history []porcupine.Operation
}

// do does a step and notes it. Without an answer it may have happened until the engine's end, which the caller fills in.
func (r *recorder) do(client int, in logStep, step func() (logAnswer, error)) error {
	op := porcupine.Operation{ClientId: client, Input: in, Call: r.clock.Add(1)}
	out, err := step()
	op.Return = r.clock.Add(1)
	if err != nil {
		if in.what != "append" && in.what != "trim" {
			return err // it changed nothing, and said nothing
		}
		out.unknown = true
		op.Return = math.MaxInt64
	}
	op.Output = out
	r.mu.Lock()
	defer r.mu.Unlock()
	r.history = append(r.history, op)
	return err
}

// ended says that what has no answer yet did not happen later than now.
func (r *recorder) ended() {
	now := r.clock.Add(1)
	for i := range r.history {
		if r.history[i].Return == math.MaxInt64 {
			r.history[i].Return = now
		}
	}
}

const (
	linearLogs    = 2
	linearClients = 4
	linearLives   = 4
	linearSteps   = 20 // of a client in a life
)

func TestLogsAreLinearizableThroughPowerLoss(t *testing.T) {
	runs := uint64(60)
	if testing.Short() {
		runs = 2
	}
	for seed := uint64(1); seed <= runs; seed++ {
		t.Run(fmt.Sprint("seed", seed), func(t *testing.T) {
			t.Parallel()
			r := &recorder{}
			mem := vfs.NewMem()
			for life := range uint64(linearLives) {
				mem = linearLife(t, r, mem, seed, life)
			}
			switch porcupine.CheckOperationsTimeout(logModel.ToModel(), r.history, time.Minute) {
			case porcupine.Illegal:
				for _, op := range r.history {
					t.Logf("client %d, %d to %d: %+v gives %+v", op.ClientId, op.Call, op.Return, op.Input, op.Output)
				}
				t.Errorf("no order of these %d steps explains the answers", len(r.history))
			case porcupine.Unknown:
				t.Logf("not decided about %d steps", len(r.history)) // a slow machine is no defect
			}
		})
	}
}

// linearLife has clients use an engine until it is closed or the power goes, and returns what that left.
func linearLife(t *testing.T, r *recorder, mem *vfs.Mem, seed, life uint64) *vfs.Mem {
	rng := rand.New(rand.NewPCG(seed, life))
	disk := vfs.Inject(mem)
	opts := tinyOptions(disk)
	opts.eager = rng.IntN(2) == 0
	e := mustOpen(t, opts)
	defer e.Close()
	if err := e.Create(t.Context(), "a", linearLogs); err != nil {
		t.Fatal(err)
	}
	crash, hook := vfs.CrashAt(mem, disk.Calls()+1+rng.Int64N(300), rng.Uint64())
	disk.Hook(hook)
	var clients sync.WaitGroup
	for n := range linearClients {
		c := &linearClient{r: r, e: e, n: n, rng: rand.New(rand.NewPCG(seed<<8+life, uint64(n)))}
		c.id = 'A' + rune(life*linearClients+uint64(n))*linearSteps
		clients.Go(c.run)
	}
	clients.Wait()
	e.Close()
	r.ended()
	if left := crash.After(); left != nil {
		return left
	}
	return mem
}

// linearClient is one of those that use the logs at the same time.
type linearClient struct {
	r   *recorder
	e   shard.Engine
	n   int
	rng *rand.Rand
	id  rune // of its next record
}

func (c *linearClient) run() {
	for range linearSteps {
		if c.step() != nil {
			return
		}
	}
}

func (c *linearClient) step() error {
	ctx := context.Background()
	in := logStep{log: c.rng.IntN(linearLogs)}
	log, err := c.e.Open(ctx, "a", in.log)
	if err != nil {
		return err
	}
	first, next := log.Bounds() // not a step: only to do what makes sense
	in.from = max(0, next-shard.Offset(c.rng.IntN(9)))
	switch p := c.rng.IntN(10); {
	case p < 4:
		in.what, in.id = "append", c.id
		c.id++
		value := string(in.id) + strings.Repeat("x", c.rng.IntN(1500))
		return c.r.do(c.n, in, func() (logAnswer, error) {
			at, err := log.Append(ctx, []shard.Record{{Value: []byte(value)}}).Wait(ctx)
			return logAnswer{first: at.First}, err
		})
	case p < 7:
		in.what, in.most = "read", 1+c.rng.IntN(20)
		in.from = first + shard.Offset(c.rng.IntN(1+int(next-first)))
		return c.r.do(c.n, in, func() (out logAnswer, err error) {
			got, err := log.Read(ctx, in.from, shard.Limit{Records: in.most})
			for i, r := range got {
				id, _ := utf8.DecodeRune(r.Value)
				if out.ids += string(id); i == 0 {
					out.offset = r.Offset
				}
			}
			return out, err
		})
	case p < 9:
		in.what = "bounds"
		return c.r.do(c.n, in, func() (out logAnswer, err error) {
			out.first, out.next = log.Bounds()
			return out, nil
		})
	}
	in.what = "trim"
	return c.r.do(c.n, in, func() (logAnswer, error) { return logAnswer{}, log.Trim(ctx, in.from) })
}

// A read may go to the disk more than once. Records that are trimmed meanwhile and records that are appended after that
// were never in the log at the same time.
func TestNoReadHasWhatWasTrimmedWithWhatCameLater(t *testing.T) {
	disk := vfs.Inject(vfs.NewMem())
	opts := tinyOptions(disk)
	opts.eager, opts.Compression = true, compressionOff
	e := mustOpen(t, opts)
	defer e.Close()
	l := mustLog(t, e, "a")
	fill(t, l, 20)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = mustOpen(t, opts) // with nothing in memory
	defer e.Close()
	l = mustLog(t, e, "a")
	var once sync.Once
	disk.Hook(func(c vfs.Call) error {
		if c.Op == vfs.OpRead {
			once.Do(func() {
				if err := l.Trim(t.Context(), 5); err != nil {
					t.Error(err)
				}
				fill(t, l, 1)
			})
		}
		return nil
	})
	got, err := l.Read(t.Context(), 0, shard.Limit{})
	if err != nil || len(got) == 0 {
		t.Fatalf("%d records: %v", len(got), err)
	}
	if first, last := got[0].Offset, got[len(got)-1].Offset; first < 5 && last >= 20 {
		t.Errorf("offsets %d to %d, though all before 5 were trimmed before 20 was there", first, last)
	}
}
