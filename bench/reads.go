package main

import (
	"context"
	"fmt"

	"github.com/seed-462d9463/sluice/bench/worker"
)

// engineReads are the scenarios in which readers read the engine's logs from start to end.
func engineReads() []scenario {
	read := func(name, title string, logs int, kinds ...[2]string) scenario {
		sc := scenario{name: name, title: title, rate: megabyteRate, unit: "MB/s"}
		sc.prepare = func(_ context.Context, s *stage) (all []contestant, err error) {
			for _, kind := range kinds {
				total := int64(512 << 20) // more than the cache of records holds
				if kind[1] == worker.ReadCache {
					total = 32 << 20
				}
				all = append(all, worked(s, kind[0], worker.Task{What: kind[1], Size: 1 << 10, Logs: logs, Total: total}))
			}
			return all, nil
		}
		return sc
	}
	return []scenario{
		read("read-cached", "engine alone: 4 readers of 1 MiB a read, records of 1KiB, nothing comes from the disk", 4,
			[2]string{"bare pread, page cache", worker.ReadBare},
			[2]string{"engine, cache of records", worker.ReadCache}, [2]string{"engine, page cache", worker.ReadCached}),
		read("read-cold", "engine alone: a reader of 1 MiB a read, records of 1KiB, page cache dropped before each round", 1,
			[2]string{"engine, page cache", worker.ReadCached}, [2]string{"engine, disk", worker.ReadCold}),
	}
}

// catchUp is the scenario in which writers keep a steady rate while readers catch up.
func catchUp() scenario {
	const aloneName = "writers alone"
	sc := scenario{
		name:  "catch-up",
		title: "engine alone: 20,000 records of 1KiB a second, paced, and readers that catch up; latencies are the writers'",
		rate:  func(m measurement) float64 { return 1e3 / m.P99 },
		unit:  "1/p99 ms",
	}
	tasks := []struct {
		name    string
		readers int
		cold    bool
	}{
		{aloneName, 0, false}, {"1 reader", 1, false}, {"8 readers", 8, false}, {"8 readers, page cache dropped", 8, true},
	}
	sc.prepare = func(_ context.Context, s *stage) (all []contestant, err error) {
		for _, task := range tasks {
			all = append(all, worked(s, task.name, worker.Task{What: worker.CatchUp, Writers: 256, Size: 1 << 10, Logs: 16,
				Settle: settleBytes, Small: true, Rate: 20_000, Readers: task.readers, Cold: task.cold}))
		}
		return all, nil
	}
	for _, task := range tasks[1:] {
		sc.budgets = append(sc.budgets, budget{contestant: task.name, most: 1.5,
			what:  fmt.Sprintf("%s: writers' p99 to that of writers alone", task.name),
			value: func(c contest) float64 { return 1 / c.RateRatio }})
	}
	return sc
}
