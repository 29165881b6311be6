// Package kafka is the log engine on Apache Kafka: a topic for every topic, a partition for every log, and the records
// as they are, for any Kafka client to read. FORMAT.md describes what is in Kafka and what happens in a crash.
package kafka

import (
	"context"

	"github.com/seed-462d9463/sluice/shard"
)

// Engine implements shard.Engine on a Kafka cluster.
type Engine struct {
	opts   Options
	failed chan struct{}
}

var _ shard.Engine = (*Engine)(nil)

// Open connects to the cluster and takes over what belongs to the topic prefix: a node that had it until now stops
// with ErrSuperseded. The context is for the opening only.
func Open(_ context.Context, opts Options) (*Engine, error) {
	if err := opts.complete(); err != nil {
		return nil, err
	}
	return &Engine{opts: opts, failed: make(chan struct{})}, nil
}

// Create implements shard.Engine.
func (e *Engine) Create(context.Context, string, int) error { return shard.ErrClosed }

// Open implements shard.Engine.
func (e *Engine) Open(context.Context, string, int) (shard.Log, error) { return nil, shard.ErrClosed }

// Delete implements shard.Engine.
func (e *Engine) Delete(context.Context, string) error { return shard.ErrClosed }

// Configure implements shard.Engine.
func (e *Engine) Configure(context.Context, string, shard.Settings) error { return shard.ErrClosed }

// Topics implements shard.Engine.
func (e *Engine) Topics(context.Context) ([]shard.Topic, error) { return nil, shard.ErrClosed }

// Failed implements shard.Engine.
func (e *Engine) Failed() <-chan struct{} { return e.failed }

// Err implements shard.Engine.
func (e *Engine) Err() error { return nil }

// Close implements shard.Engine.
func (e *Engine) Close() error { return nil }
