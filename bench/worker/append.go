package worker

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/seed-462d9463/sluice/bench/baseline"
	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/journal"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

// appender is what is measured.
type appender interface {
	// writer returns what one goroutine appends with: it returns when the record is durable.
	writer(ctx context.Context) func(log int, payload []byte) error
	close() error
}

// appends has writers that each wait until their record is durable before they hand in the next one, the next log's.
func (t Task) appends(ctx context.Context) (Result, error) {
	a, err := t.appender(ctx)
	if err != nil {
		return Result{}, err
	}
	if err := t.settle(ctx, a); err != nil {
		return Result{}, errors.Join(err, a.close())
	}
	m := newMeter()
	result, err := t.measure(ctx, m, func(ctx context.Context) error { return t.write(ctx, a, m) })
	return result, errors.Join(err, a.close())
}

// settle appends so much, to all logs, that caches are as full as they will be; and again, as long as that has made more
// journal files, so that none is made while it is measured.
func (t Task) settle(ctx context.Context, a appender) error {
	for files := -1; ; {
		if err := t.fillCaches(ctx, a); err != nil {
			return err
		}
		now, err := os.ReadDir(filepath.Join(t.Dir, "journal"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // the bare one makes all when it is opened
			return err
		}
		if len(now) <= files || len(now) == 0 {
			return nil
		}
		files = len(now)
	}
}

func (t Task) fillCaches(ctx context.Context, a appender) error {
	size, among := min(t.Settle/int64(t.Logs), 64<<10), 64
	if t.Small {
		size, among = int64(t.Size), t.Writers
	}
	if size == 0 {
		return nil
	}
	payload := payloadOf(int(size))
	var number atomic.Int64
	var writers errgroup.Group
	for range among {
		append := a.writer(ctx)
		writers.Go(func() error {
			for n := number.Add(1); n*size <= t.Settle; n = number.Add(1) {
				if err := append(int(n)%t.Logs, payload); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return writers.Wait()
}

func (t Task) appender(ctx context.Context) (appender, error) {
	switch t.What {
	case AppendBare:
		r, err := baseline.OpenRecycled(vfs.OS(), t.Dir, 0)
		return bare{r}, err
	case AppendTwice:
		r, err := baseline.OpenRecycled(vfs.OS(), t.Dir, t.Logs)
		return bare{r}, err
	default:
		e, err := openEngine(ctx, t.Dir, t.Logs)
		if err != nil || t.Keep == 0 {
			return e, err
		}
		return e, e.Configure(ctx, topic, shard.Settings{RetentionBytes: t.Keep / int64(t.Logs)})
	}
}

// write runs the writers until ctx ends.
func (t Task) write(ctx context.Context, a appender, m *meter) error {
	payload := payloadOf(t.Size)
	var writers errgroup.Group
	for w := range t.Writers {
		writers.Go(func() error {
			// Each may be told to stop by itself, as a server's requests may.
			ctx, stop := context.WithCancel(ctx)
			defer stop()
			append := a.writer(ctx)
			for log := w % t.Logs; ctx.Err() == nil; log = (log + t.Writers) % t.Logs {
				start := time.Now()
				if err := append(log, payload); err != nil {
					if ctx.Err() != nil {
						return nil
					}
					return err
				}
				m.count(w, start, 1, t.Size)
			}
			return nil
		})
	}
	return writers.Wait()
}

// payloadOf makes bytes that nothing can compress.
func payloadOf(n int) []byte {
	b := make([]byte, n)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(b) // it never fails
	return b
}

type bare struct{ *baseline.Recycled }

func (b bare) writer(context.Context) func(int, []byte) error { return b.Append }
func (b bare) close() error                                   { return b.Close() }

const topic = "bench"

// engine is the embedded engine as the server opens it.
type engine struct {
	shard.Engine
	logs    []shard.Log
	metrics *prometheus.Registry
}

func openEngine(ctx context.Context, dir string, logs int) (*engine, error) {
	metrics := prometheus.NewRegistry()
	opened, err := journal.Open(journal.Options{FS: vfs.OS(), Dir: dir, Config: journal.DefaultConfig(),
		Logger: slog.New(slog.DiscardHandler), Registerer: metrics})
	if err != nil {
		return nil, err
	}
	e := &engine{Engine: opened, logs: make([]shard.Log, logs), metrics: metrics}
	if err := e.Create(ctx, topic, logs); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	for i := range e.logs {
		if e.logs[i], err = e.Open(ctx, topic, i); err != nil {
			return nil, errors.Join(err, e.Close())
		}
	}
	return e, nil
}

func (e *engine) writer(ctx context.Context) func(int, []byte) error {
	records := make([]shard.Record, 1)
	return func(log int, payload []byte) error {
		records[0].Value = payload
		_, err := e.logs[log].Append(ctx, records).Wait(ctx)
		return err
	}
}

func (e *engine) close() error { return e.Close() }
