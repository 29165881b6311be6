package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/seed-462d9463/sluice/bench/worker"
)

// appends is the scenario in which writers append to the engine without any server above it, each waiting until its
// record is durable.
type appends struct {
	writers, size, logs int
}

const (
	bareName   = "bare recycled journal"
	twiceName  = "the same, and write-behind to segments"
	engineName = "engine, 256 MiB retained"
	allName    = "engine, everything retained"
)

const (
	// settleBytes is once around the engine's journal, and a little more.
	settleBytes = 17 * 64 << 20
	// keptBytes is what is retained where records go before they would be moved from the journal.
	keptBytes = 256 << 20
)

// appendMatrix has every number of writers with every size of records.
func appendMatrix() (all []scenario) {
	for _, size := range []int{128, 1 << 10, 64 << 10, 1 << 20} {
		for _, writers := range []int{1, 64, 256, 1024} {
			all = append(all, appends{writers: writers, size: size, logs: 16}.scenario())
		}
	}
	return all
}

func (a appends) scenario() scenario {
	sc := scenario{
		name: fmt.Sprintf("append-%dx%s", a.writers, sizeName(a.size)),
		title: fmt.Sprintf("engine alone: %d writers, records of %s, %d logs",
			a.writers, sizeName(a.size), a.logs),
		rate: recordRate,
		unit: "records/s",
	}
	sc.prepare = func(_ context.Context, s *stage) ([]contestant, error) {
		of := func(name, what string, keep int64) contestant {
			return worked(s, name, worker.Task{What: what, Writers: a.writers, Size: a.size, Logs: a.logs, Keep: keep, Settle: settleBytes})
		}
		return []contestant{
			of(bareName, worker.AppendBare, 0), of(engineName, worker.AppendEngine, keptBytes),
			of(twiceName, worker.AppendTwice, 0), of(allName, worker.AppendEngine, 0),
		}, nil
	}
	sc.budgets = []budget{{contestant: engineName, what: "share of the bare journal's records/s", least: 0.8,
		value: func(c contest) float64 { return c.RateRatio }}}
	return sc
}

// logCounts is the scenario in which the same load meets ever more logs. Before it is measured, each log has a segment, and the
// journal and the cache hold such small records as are measured.
func logCounts() scenario {
	counts := []int{10, 1000, 10_000}
	name := func(logs int) string { return fmt.Sprintf("engine, %d logs", logs) }
	sc := scenario{
		name:  "logs",
		title: "engine alone: 256 writers, records of 1KiB, spread over ever more logs",
		rate:  recordRate,
		unit:  "records/s",
	}
	sc.prepare = func(_ context.Context, s *stage) (all []contestant, err error) {
		for _, logs := range counts {
			all = append(all, worked(s, name(logs),
				worker.Task{What: worker.AppendEngine, Writers: 256, Size: 1 << 10, Logs: logs, Settle: 2 * settleBytes, Small: true}))
		}
		return all, nil
	}
	for _, logs := range counts[1:] {
		sc.budgets = append(sc.budgets, budget{contestant: name(logs), least: 0.8,
			what:  fmt.Sprintf("%d logs: share of the records/s with %d", logs, counts[0]),
			value: func(c contest) float64 { return c.RateRatio }})
	}
	return sc
}

// trickle is the scenario in which a little load, the same for all, meets ever more logs.
func trickle() scenario {
	const rate = 1024
	counts := []int{10, 1000, 10_000}
	name := func(logs int) string { return fmt.Sprintf("engine, %d logs", logs) }
	sc := scenario{
		name:  "trickle",
		title: "engine alone: 1,024 records of 1KiB a second, paced, spread over ever more logs",
		rate:  recordRate,
		unit:  "records/s",
	}
	sc.prepare = func(_ context.Context, s *stage) (all []contestant, err error) {
		for _, logs := range counts {
			all = append(all, worked(s, name(logs), worker.Task{What: worker.Paced, Writers: 256, Size: 1 << 10, Logs: logs,
				Rate: rate, Settle: 2 * settleBytes, Small: true}))
		}
		return all, nil
	}
	for _, logs := range counts {
		if logs > counts[0] {
			sc.budgets = append(sc.budgets, budget{contestant: name(logs), most: 1.2,
				what:  fmt.Sprintf("%d logs: CPU to that with %d", logs, counts[0]),
				value: func(c contest) float64 { return 1 / c.CPURatio }})
		}
		sc.budgets = append(sc.budgets, budget{contestant: name(logs), least: 0.99,
			what:  fmt.Sprintf("%d logs: share of the records/s that are due", logs),
			value: func(c contest) float64 { return c.Median.RecordRate / rate }},
			budget{contestant: name(logs), most: 512,
				what:  fmt.Sprintf("%d logs: peak MiB", logs),
				value: func(c contest) float64 { return c.Median.PeakRSS / (1 << 20) }})
	}
	return sc
}

// worked is a contestant whose work is done by a worker process in a directory of its own.
func worked(s *stage, name string, task worker.Task) contestant {
	task.Warmup, task.Duration = s.warmup, s.duration
	return contestant{name: name, works: true, round: func(ctx context.Context, _ int) (_ measurement, err error) {
		task := task
		if s.profiling != "" {
			task.Profile = filepath.Join(s.profileDir, s.profiling+".cpu.pprof")
		}
		if task.Dir, err = os.MkdirTemp(s.dataDir, "sluice-bench-"); err != nil {
			return measurement{}, err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(task.Dir)) }()
		if s.memory != nil {
			if err := s.memory.Fill(ctx); err != nil {
				return measurement{}, fmt.Errorf("filling the page cache: %w", err)
			}
		}
		result, err := worker.Run(ctx, task)
		return workMeasurement(result), err
	}}
}

func workMeasurement(r worker.Result) measurement {
	if r.Seconds == 0 {
		return measurement{}
	}
	return measurement{
		Seconds: r.Seconds, Requests: r.Records, Records: r.Records, Bytes: r.Bytes,
		RequestRate: r.Records / r.Seconds, RecordRate: r.Records / r.Seconds, ByteRate: r.Bytes / r.Seconds,
		P50: r.P50, P99: r.P99, P999: r.P999,
		CPU: r.CPU, PerCPU: r.Bytes / max(r.CPU, 0.001), PeakRSS: r.Peak, ReadRate: r.ReadBytes, Others: r.Others / r.Seconds,
	}
}

func sizeName(n int) string {
	switch {
	case n >= 1<<20:
		return strconv.Itoa(n>>20) + "MiB"
	case n >= 1<<10:
		return strconv.Itoa(n>>10) + "KiB"
	default:
		return strconv.Itoa(n) + "B"
	}
}
