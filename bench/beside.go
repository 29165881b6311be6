package main

import (
	"context"
	"errors"

	"golang.org/x/sync/errgroup"

	"github.com/seed-462d9463/sluice/bench/loadgen"
)

// putBesideGets is the scenario in which records are put at a steady rate while consumers of another stream catch up by
// GetRecords, as fast as they can. What is measured is the answers to the puts.
func putBesideGets(g gets) scenario {
	e := steadyPuts()
	prepare := func(ctx context.Context, s *stage) ([]contestant, error) {
		target, err := s.sluice(ctx, s.signatures != "off")
		if err != nil {
			return nil, err
		}
		stream := s.name("get")
		if err := createStream(ctx, target, stream, s.shards); err != nil {
			return nil, err
		}
		if err := fill(ctx, target, stream, g.size, g.total); err != nil {
			return nil, err
		}
		beside := e
		beside.beside = func(ctx context.Context) (loadgen.Result, error) { return g.catchUp(ctx, s, target, stream) }
		return []contestant{
			{name: "puts alone", target: target, round: func(ctx context.Context, _ int) (measurement, error) {
				return e.round(ctx, s, target, 0)
			}},
			{name: "a consumer of each shard", target: target, round: func(ctx context.Context, _ int) (measurement, error) {
				return beside.round(ctx, s, target, 0)
			}},
		}, nil
	}
	return scenario{
		name:    "put-beside-gets",
		title:   "PutRecord, 1 KiB, 1,000 a second, and consumers that catch up by GetRecords; latencies are the puts'",
		rate:    func(m measurement) float64 { return 1e3 / m.P99 },
		unit:    "1/p99 ms",
		prepare: prepare,
	}
}

// catchUp reads a stream, a connection for each shard, for as long as a run lasts.
func (g gets) catchUp(ctx context.Context, s *stage, target *server, stream string) (loadgen.Result, error) {
	clients, err := loadgen.Connect(ctx, target.addr, s.shards)
	if err != nil {
		return loadgen.Result{}, err
	}
	defer clients.Close()
	return clients.Run(ctx, s.warmup+s.duration, g.readers(ctx, s, target, stream))
}

// runBeside puts records, and does meanwhile what is to be done beside, of which it returns how many bytes a second were read.
func (r *eventRound) runBeside(ctx context.Context, open func() (put, error)) (result loadgen.Result, read float64, err error) {
	var others errgroup.Group
	if r.beside != nil {
		others.Go(func() error {
			got, err := r.beside(ctx)
			read = float64(got.Worth.Bytes) / max(got.Elapsed.Seconds(), 1e-9)
			return err
		})
	}
	result, err = r.run(ctx, open)
	err = errors.Join(err, others.Wait())
	return result, read, err
}
