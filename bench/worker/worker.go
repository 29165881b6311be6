// Package worker measures what needs no server: the log engine alone, and the least that could do the same. Each
// measurement is a process of its own, so that its memory and its CPU are nobody else's.
package worker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime/pprof"
	"time"

	"github.com/seed-462d9463/sluice/bench/child"
	"github.com/seed-462d9463/sluice/bench/loadgen"
	"github.com/seed-462d9463/sluice/internal/node"
)

// Role as the first argument makes this program a worker; the second one is its task, in JSON.
const Role = "work"

// Task is what a worker does.
type Task struct {
	What     string        `json:"what"` // one of the kinds below
	Dir      string        `json:"dir"`  // empty, or what another task has left for this one
	Writers  int           `json:"writers"`
	Size     int           `json:"size"` // bytes in a record
	Logs     int           `json:"logs"`
	Segments int           `json:"segments"` // of each log
	Total    int64         `json:"total"`    // bytes that are there to be read
	Rate     int           `json:"rate"`     // records a second
	Keep     int64         `json:"keep"`     // bytes that are retained of all logs; 0: all
	Settle   int64         `json:"settle"`   // bytes appended before anything is measured, and again while that makes journal files
	Small    bool          `json:"small"`    // in records of Size, by Writers; else in longer ones, which takes less time
	Readers  int           `json:"readers"`
	Cold     bool          `json:"cold"` // drop the page cache before each round of the readers
	Warmup   time.Duration `json:"warmup"`
	Duration time.Duration `json:"duration"`
	Profile  string        `json:"profile"` // file for a CPU profile of the measured time; none if empty
}

// Kinds of tasks.
const (
	AppendBare   = "append to the bare journal"
	AppendTwice  = "append to the bare journal and move to segments"
	AppendEngine = "append to the engine"
	ReadBare     = "read plain files"
	ReadCache    = "read what the engine has in memory"
	ReadCached   = "read segments that are in the page cache"
	ReadCold     = "read segments that are on the disk only"
	CatchUp      = "read beside paced writers"
	Paced        = "append to the engine at a steady rate"
)

// Result is what a worker has found. Latencies are in microseconds.
type Result struct {
	Seconds float64 `json:"seconds"`
	Records float64 `json:"records"`
	Bytes   float64 `json:"bytes"`
	P50     float64 `json:"p50"`
	P99     float64 `json:"p99"`
	P999    float64 `json:"p999"`
	CPU     float64 `json:"cpu"`    // seconds of this process
	Peak    float64 `json:"peak"`   // bytes resident
	Others  float64 `json:"others"` // seconds of CPU that others used
	// ReadBytes is what readers beside those who are measured have read in a second.
	ReadBytes float64 `json:"read_bytes,omitempty"`
}

// Run has another process of this program do the task.
func Run(ctx context.Context, task Task) (Result, error) {
	self, err := os.Executable()
	if err != nil {
		return Result{}, err
	}
	text, err := json.Marshal(task)
	if err != nil {
		return Result{}, err
	}
	var words, out bytes.Buffer
	command := exec.CommandContext(ctx, self, Role, string(text))
	command.Stdout, command.Stderr = &out, &words
	if err := command.Run(); err != nil {
		return Result{}, fmt.Errorf("%s: %w\n%s", task.What, err, words.Bytes())
	}
	var result Result
	if err := json.Unmarshal(out.Bytes(), &result); err != nil {
		return Result{}, fmt.Errorf("%s: %w", task.What, err)
	}
	return result, nil
}

// Main does the task that is described and prints what came out.
func Main(text string) error {
	// As the server has it, for the engine and for what it is measured beside.
	node.Tune(node.Default())
	var task Task
	if err := json.Unmarshal([]byte(text), &task); err != nil {
		return err
	}
	result, err := task.do(context.Background())
	if err != nil {
		return err
	}
	peak, err := child.OwnPeak()
	if err != nil {
		return err
	}
	result.Peak = float64(peak)
	return json.NewEncoder(os.Stdout).Encode(result)
}

func (t Task) do(ctx context.Context) (Result, error) {
	switch t.What {
	case AppendBare, AppendTwice, AppendEngine:
		return t.appends(ctx)
	case ReadBare, ReadCache, ReadCached, ReadCold:
		return t.reads(ctx)
	case CatchUp:
		return t.catchUp(ctx)
	case Paced:
		return t.paced(ctx)
	case Fabricate:
		return t.fabricate(ctx)
	default:
		return Result{}, fmt.Errorf("no task of the kind %q", t.What)
	}
}

// measure lets the load run: first for the warmup, then for as long as is measured. load runs until its context ends,
// and counts what happens while the meter is on.
func (t Task) measure(ctx context.Context, m *meter, load func(context.Context) error) (Result, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- load(ctx) }()

	var result Result
	err := wait(done, t.Warmup)
	if err == nil {
		result, err = t.window(m, done)
	}
	if errors.Is(err, errEarly) {
		return Result{}, err
	}
	stop()
	return result, errors.Join(err, <-done)
}

// errEarly says that the load ended by itself.
var errEarly = errors.New("the load ended too early")

func wait(done <-chan error, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case err := <-done:
		return errors.Join(errEarly, err)
	case <-timer.C:
		return nil
	}
}

func (t Task) window(m *meter, done <-chan error) (result Result, err error) {
	if t.Profile != "" {
		f, err := os.Create(t.Profile)
		if err != nil {
			return Result{}, err
		}
		if err := pprof.StartCPUProfile(f); err != nil {
			return Result{}, errors.Join(err, f.Close())
		}
		defer func() {
			pprof.StopCPUProfile()
			err = errors.Join(err, f.Close())
		}()
	}
	own, machine, err := cpu()
	if err != nil {
		return Result{}, err
	}
	m.start()
	if err := wait(done, t.Duration); err != nil {
		return Result{}, err
	}
	select { // a short run may see nothing end
	case <-m.some:
	case err := <-done:
		return Result{}, errors.Join(errEarly, err)
	}
	result = m.stop()
	ownEnd, machineEnd, err := cpu()
	result.CPU = (ownEnd - own).Seconds()
	result.Others = max((machineEnd - machine - (ownEnd - own)).Seconds(), 0)
	return result, err
}

func cpu() (own, machine time.Duration, err error) {
	if own, err = child.OwnCPU(); err != nil {
		return 0, 0, err
	}
	machine, err = child.MachineCPU()
	return own, machine, err
}

func microseconds(h *loadgen.Histogram, q float64) float64 {
	return float64(h.Quantile(q)) / float64(time.Microsecond)
}
