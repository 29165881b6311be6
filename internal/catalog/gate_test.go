package catalog_test

import (
	"context"
	"sync"

	"github.com/seed-462d9463/sluice/shard"
)

// gate is an engine whose logs can be held up: while it is shut, Read waits. It can also fail trims.
type gate struct {
	shard.Engine

	mu      sync.Mutex
	way     chan struct{} // closed while the gate is open
	trimErr error
	trims   int
}

func newGate(e shard.Engine) *gate {
	g := &gate{Engine: e, way: make(chan struct{})}
	close(g.way)
	return g
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.way = make(chan struct{})
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.way)
}

func (g *gate) failTrims(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.trimErr = err
}

func (g *gate) trimsTried() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.trims
}

func (g *gate) Open(ctx context.Context, topic string, partition int) (shard.Log, error) {
	l, err := g.Engine.Open(ctx, topic, partition)
	return &gateLog{l, g}, err
}

type gateLog struct {
	shard.Log
	gate *gate
}

func (l *gateLog) Read(ctx context.Context, from shard.Offset, limit shard.Limit) ([]shard.Record, error) {
	l.gate.mu.Lock()
	way := l.gate.way
	l.gate.mu.Unlock()
	select {
	case <-way:
		return l.Log.Read(ctx, from, limit)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *gateLog) Trim(ctx context.Context, before shard.Offset) error {
	l.gate.mu.Lock()
	l.gate.trims++
	err := l.gate.trimErr
	l.gate.mu.Unlock()
	if err != nil {
		return err
	}
	return l.Log.Trim(ctx, before)
}
