package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/seed-462d9463/sluice/consumers/fanout"
	"github.com/seed-462d9463/sluice/firehose"
	"github.com/seed-462d9463/sluice/internal/api"
	"github.com/seed-462d9463/sluice/internal/catalog"
	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/sinks"
	"github.com/seed-462d9463/sluice/sinks/all"
	"github.com/seed-462d9463/sluice/stream"
)

// parts are what a running node is made of, from the lowest floor to the highest.
type parts struct {
	engine   shard.Engine
	catalog  *catalog.Catalog
	keys     stream.Keys // nil: none are configured
	streams  *stream.Service
	fanout   *fanout.Service
	buckets  sinks.Opener
	firehose *firehose.Service
	handler  http.Handler
	tls      *tls.Config // nil: plain HTTP

	started []part // in the order of their start
}

type part struct {
	name string
	end  func() error
}

func (p *parts) add(name string, end func() error) {
	p.started = append(p.started, part{name, end})
}

// close takes down what was started, the last first. It may be called after a start that failed half-way.
func (p *parts) close(logger *slog.Logger) error {
	var problems []error
	for len(p.started) > 0 {
		last := p.started[len(p.started)-1]
		p.started = p.started[:len(p.started)-1]
		logger.Debug("closing", "part", last.name)
		if err := last.end(); err != nil {
			problems = append(problems, fmt.Errorf("close %s: %w", last.name, err))
		}
	}
	return errors.Join(problems...)
}

// provision starts the parts, each on those below it.
func (p *parts) provision(ctx context.Context, n *Node) error {
	for _, start := range []func(context.Context, *Node) error{
		p.openEngine, p.openTLS, p.openCatalog, p.openKeys, p.openStreams, p.openFanout, p.openBuckets, p.openFirehose, p.openEdge,
	} {
		if err := start(ctx, n); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

func (p *parts) openCatalog(ctx context.Context, n *Node) error {
	n.ready.set(false, "reading the catalog")
	c, err := catalog.Open(ctx, p.engine, catalog.Options{Logger: n.logger})
	if err != nil {
		return fmt.Errorf("catalog: %w", err)
	}
	p.catalog = c
	p.add("the catalog", c.Close)
	return nil
}

func (p *parts) openStreams(ctx context.Context, n *Node) error {
	n.ready.set(false, "opening the streams")
	s, err := stream.New(ctx, stream.Options{
		Engine: p.engine, Catalog: p.catalog, Config: n.config.Streams, Keys: p.keys,
		Logger: n.logger, Registerer: n.registry,
	})
	if err != nil {
		return fmt.Errorf("streams: %w", err)
	}
	p.streams = s
	p.add("the streams", s.Close)
	return nil
}

func (p *parts) openFanout(ctx context.Context, n *Node) error {
	s, err := fanout.New(ctx, fanout.Options{
		Streams: p.streams, Catalog: p.catalog, Config: n.config.Fanout, Logger: n.logger, Registerer: n.registry,
	})
	if err != nil {
		return err
	}
	p.fanout = s
	p.add("the consumers", s.Close)
	return nil
}

func (p *parts) openBuckets(_ context.Context, n *Node) error {
	opener, err := all.Open(n.config.buckets())
	if err != nil {
		return fmt.Errorf("buckets: %w", err)
	}
	p.buckets = sinks.WithMetrics(opener, n.registry)
	p.add("the buckets", opener.Close)
	return nil
}

func (p *parts) openFirehose(ctx context.Context, n *Node) error {
	n.ready.set(false, "opening the delivery streams")
	s, err := firehose.New(ctx, firehose.Options{
		Engine: p.engine, Catalog: p.catalog, Sources: sources{p.streams}, Buckets: p.buckets,
		Config: n.config.Firehose, Logger: n.logger, Registerer: n.registry,
	})
	if err != nil {
		return fmt.Errorf("delivery streams: %w", err)
	}
	p.firehose = s
	p.add("the delivery streams", func() error { s.Close(); return nil })
	return nil
}

func (p *parts) openEdge(_ context.Context, n *Node) error {
	handler, err := api.New(api.Options{
		Streams: p.streams, Consumers: p.fanout, Firehose: p.firehose, Credentials: n.credentials(),
		Account: n.config.Account, Region: n.config.Region, Ingestion: &n.config.Ingest,
		Kinesis: n.config.Kinesis, CORS: n.config.CORS,
		Logger: n.logger, Registerer: n.registry,
	})
	if err != nil {
		return fmt.Errorf("edge: %w", err)
	}
	p.handler = handler
	return nil
}
