package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/seed-462d9463/sluice/bench/worker"
)

// manyShards is a server with streams that have so many shards in all.
type manyShards struct {
	streams, shards int // each stream has shards
	segments        int // of each shard, for restarts
	window          time.Duration
}

func tenThousandShards() manyShards {
	return manyShards{streams: 10, shards: 1000, segments: 24, window: 10 * time.Second}
}

func (m manyShards) create(ctx context.Context, target *server) error {
	for i := range m.streams {
		if err := createStream(ctx, target, fmt.Sprintf("many-%d", i), m.shards); err != nil {
			return err
		}
	}
	return nil
}

// idle is the scenario in which a server has very many shards and nothing to do.
func (m manyShards) idle() scenario {
	const name = "sluice, idle"
	return scenario{
		name:   "idle",
		serves: true,
		title:  fmt.Sprintf("a server with %d shards and no traffic for %v", m.streams*m.shards, m.window),
		rate:   func(measurement) float64 { return 1 },
		prepare: func(ctx context.Context, s *stage) ([]contestant, error) {
			target, err := s.fresh(ctx, false)
			if err != nil {
				return nil, err
			}
			if err := m.create(ctx, target); err != nil {
				return nil, err
			}
			return []contestant{{name: name, target: target, round: func(ctx context.Context, _ int) (measurement, error) {
				return m.rest(ctx, target)
			}}}, nil
		},
		budgets: []budget{
			{contestant: name, what: "MiB resident", most: 64, value: func(c contest) float64 { return c.Median.PeakRSS / (1 << 20) }},
			{contestant: name, what: "cores", most: 0.001, value: func(c contest) float64 { return c.Median.CPU / c.Median.Seconds }},
			{contestant: name, what: "open files", most: 560, value: func(c contest) float64 { return c.Median.Files }},
		},
	}
}

// rest watches a server that has nothing to do.
func (m manyShards) rest(ctx context.Context, target *server) (measurement, error) {
	if err := target.Quiet(ctx, quietLimit); err != nil {
		return measurement{}, err
	}
	if err := target.ResetPeak(); err != nil {
		return measurement{}, err
	}
	before, err := readClocks(target.CPU)
	if err != nil {
		return measurement{}, err
	}
	start := time.Now()
	timer := time.NewTimer(m.window)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-target.Exited():
		return measurement{}, target.Failure()
	case <-ctx.Done():
		return measurement{}, ctx.Err()
	}
	after, err := readClocks(target.CPU)
	if err != nil {
		return measurement{}, err
	}
	r := measurement{Seconds: time.Since(start).Seconds(), Requests: 1, CPU: (after.contestant - before.contestant).Seconds()}
	r.Others = max((after.machine-before.machine).Seconds()-r.CPU, 0) / r.Seconds
	return r, occupies(target, &r)
}

// occupies adds what the server holds of the machine.
func occupies(target *server, r *measurement) error {
	peak, err := target.Peak()
	files, filesErr := target.OpenFiles()
	r.PeakRSS, r.Files = float64(peak), float64(files)
	return errors.Join(err, filesErr)
}

const (
	warmName = "sluice, files in the page cache"
	coldName = "sluice, page cache dropped"
)

// restart is the scenario in which a server was killed with very many shards that have many segments each, and with
// the journal full. What is measured is the time from its start to ready.
func (m manyShards) restart() scenario {
	within := func(name string) budget {
		return budget{contestant: name, what: "seconds to ready (" + name + ")", most: 3,
			value: func(c contest) float64 { return c.Median.Seconds }}
	}
	return scenario{
		name:   "restart",
		serves: true,
		title:  fmt.Sprintf("start after kill -9 with %d shards, %d segments each, and a full journal", m.streams*m.shards, m.segments),
		rate:   func(m measurement) float64 { return 1 / m.Seconds },
		unit:   "starts/s",
		prepare: func(ctx context.Context, s *stage) ([]contestant, error) {
			data, err := m.fabricate(ctx, s)
			if err != nil {
				return nil, err
			}
			one := func(name string, cold bool) contestant {
				return contestant{name: name, round: func(ctx context.Context, _ int) (measurement, error) {
					return m.start(ctx, s, data, cold)
				}}
			}
			return []contestant{one(warmName, false), one(coldName, true)}, nil
		},
		budgets: []budget{within(warmName), within(coldName)},
	}
}

// complete is a file in a fabricated directory that is made last.
const complete = "saved/complete"

// fabricate makes the data directory that all rounds start from, and removes it at the end, unless it is to be kept.
func (m manyShards) fabricate(ctx context.Context, s *stage) (string, error) {
	if data := s.fabricated; data != "" {
		if _, err := os.Stat(filepath.Join(data, complete)); err == nil {
			return data, nil
		}
		return data, errors.Join(os.MkdirAll(data, 0o750), m.fill(ctx, s, data))
	}
	data, err := os.MkdirTemp(s.dataDir, "sluice-bench-")
	if err != nil {
		return "", err
	}
	s.cleanup = append(s.cleanup, func() error { return os.RemoveAll(data) })
	return data, m.fill(ctx, s, data)
}

// fill makes a directory what a kill leaves.
func (m manyShards) fill(ctx context.Context, s *stage, data string) error {
	target, err := serveData(ctx, s.binary, data, false)
	if err != nil {
		return err
	}
	if err := errors.Join(m.create(ctx, target), target.Stop(stopGrace)); err != nil {
		return err
	}
	slog.Info("fabricating", "shards", m.streams*m.shards, "segments", m.streams*m.shards*m.segments)
	if _, err := worker.Run(ctx, worker.Task{What: worker.Fabricate, Dir: data, Segments: m.segments, Size: 1 << 10}); err != nil {
		return err
	}
	for _, part := range restored {
		if err := os.CopyFS(filepath.Join(data, "saved", part), os.DirFS(filepath.Join(data, part))); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(data, complete), nil, 0o600)
}

// restored are the parts of a data directory that say what else counts in it: with them as they were, a start finds
// the same work again, whatever the one before has done to segments.
var restored = []string{"journal", "meta"}

func (m manyShards) start(ctx context.Context, s *stage, data string, cold bool) (_ measurement, err error) {
	for _, part := range restored {
		dir := filepath.Join(data, part)
		if err := os.RemoveAll(dir); err != nil {
			return measurement{}, err
		}
		if err := os.CopyFS(dir, os.DirFS(filepath.Join(data, "saved", part))); err != nil {
			return measurement{}, err
		}
	}
	syscall.Sync()
	if cold {
		if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0); err != nil {
			return measurement{}, fmt.Errorf("emptying the page cache needs root: %w", err)
		}
	}
	before, err := readClocks(func() (time.Duration, error) { return 0, nil })
	if err != nil {
		return measurement{}, err
	}
	began := time.Now()
	target, err := serveData(ctx, s.binary, data, false)
	if err != nil {
		return measurement{}, err
	}
	r := measurement{Seconds: time.Since(began).Seconds(), Requests: 1}
	defer func() { err = errors.Join(err, target.Kill()) }()
	after, err := readClocks(target.CPU)
	if err != nil {
		return measurement{}, err
	}
	r.CPU = after.contestant.Seconds()
	r.Others = max((after.machine-before.machine).Seconds()-r.CPU, 0) / r.Seconds
	return r, occupies(target, &r)
}
