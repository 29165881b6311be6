// Package node puts a node together: the log, the catalog, streams, delivery streams, sinks and the AWS edge,
// from one configuration. It is the only package that knows all of them.
//
// A node is made by New, which checks the configuration and opens the sockets, so that what is wrong with them
// is told at once. Run starts the parts from the lowest floor to the highest, serves until its context ends or
// the log fails, and takes the parts down again in the reverse order. What was acknowledged is safe at any
// moment; taking down is for the requests in flight and for a quick start the next time.
package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/seed-462d9463/sluice/firehose"
	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/kafka"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

// Options are what a node gets beside its configuration.
type Options struct {
	Logger  *slog.Logger // slog.Default if nil
	Version string       // shown in the log and in the metric sluice_build_info
}

// Node is one Sluice.
type Node struct {
	config   Config
	logger   *slog.Logger
	version  string
	registry *prometheus.Registry
	fs       vfs.FS // of the log; tests break it
	ready    readiness
	serving  chan struct{} // closed when requests are served

	services net.Listener
	admin    net.Listener
	sockets  sync.Once // closes both

	parts parts // while Run runs
}

// New checks the configuration and opens the sockets. The node must be run or closed.
func New(config Config, options Options) (*Node, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	if options.Logger == nil {
		options.Logger = slog.Default()
	}
	n := &Node{
		config:   config,
		logger:   options.Logger,
		version:  options.Version,
		registry: newRegistry(options.Version),
		fs:       vfs.OS(),
		serving:  make(chan struct{}),
	}
	n.ready.set(false, "starting")
	var err error
	if n.services, err = listen("listen", config.Listen); err != nil {
		return nil, err
	}
	if n.admin, err = listen("admin", config.Admin); err != nil {
		return nil, errors.Join(err, n.services.Close())
	}
	return n, nil
}

func newRegistry(version string) *prometheus.Registry {
	registry := prometheus.NewRegistry()
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "sluice_build_info", Help: "Always 1; the label tells the version.",
		ConstLabels: prometheus.Labels{"version": version},
	})
	info.Set(1)
	registry.MustRegister(
		info, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return registry
}

// Addr is the address of the services, also when the configuration left the port open.
func (n *Node) Addr() net.Addr { return n.services.Addr() }

// AdminAddr is the address of health, metrics and profiles.
func (n *Node) AdminAddr() net.Addr { return n.admin.Addr() }

// Serving is closed when requests are served.
func (n *Node) Serving() <-chan struct{} { return n.serving }

// Firehose is the node's delivery streams. It may be used after Serving is closed and until Run returns.
func (n *Node) Firehose() *firehose.Service { return n.parts.firehose }

// Close releases a node that is not run. After Run it does nothing.
func (n *Node) Close() error {
	var err error
	n.sockets.Do(func() { err = errors.Join(n.services.Close(), n.admin.Close()) })
	return err
}

// Run serves until ctx ends, and returns nil then, or until the node cannot go on, and returns why. It may be
// called once.
func (n *Node) Run(ctx context.Context) (err error) {
	for _, warning := range n.config.Warnings() {
		n.logger.Warn(warning)
	}
	admin := serve(n.adminServer(), n.admin)
	defer func() {
		err = errors.Join(err, n.parts.close(n.logger))
		_ = admin.server.Close()
		_ = n.Close()
		<-admin.done
		if err == nil {
			n.logger.Info("stopped")
		}
	}()

	started := time.Now()
	if err := n.parts.provision(ctx, n); err != nil {
		if ctx.Err() != nil {
			return nil // told to stop while starting
		}
		return err
	}
	services := serve(n.server(), n.listener())
	n.ready.set(true, "ready")
	close(n.serving)
	n.logger.Info("serving", "listen", n.Addr().String(), "tls", n.parts.tls != nil, "admin", n.AdminAddr().String(),
		"data", n.config.Data, "version", n.version, "started_in", time.Since(started).Round(time.Millisecond))

	select {
	case <-ctx.Done():
		n.logger.Info("stopping: no new requests; those in flight are finished")
		n.ready.set(false, "stopping")
		return services.stop(n.config.ShutdownGrace, n.logger)
	case <-n.parts.engine.Failed():
		return n.fail("the log", n.parts.engine.Err(), services)
	case <-n.parts.catalog.Failed():
		if err := n.parts.engine.Err(); err != nil {
			return n.fail("the log", err, services)
		}
		return n.fail("the catalog", n.parts.catalog.Err(), services)
	case <-services.done:
		return n.fail("the listener of the services", services.err, services)
	case <-admin.done:
		return n.fail("the listener of health and metrics", admin.err, services)
	}
}

// fail ends serving because a part cannot go on. Requests that need it fail by now; what is left is to send their
// answers.
func (n *Node) fail(what string, cause error, services *served) error {
	n.ready.set(false, "failed: %s: %v", what, cause)
	n.logger.Error(what+" cannot go on", "error", cause)
	_ = services.stop(min(n.config.ShutdownGrace, failedGrace), n.logger)
	return whyFailed(what, cause)
}

// whyFailed says what a start will do about it, if it will do anything.
func whyFailed(what string, cause error) error {
	var damage *shard.CorruptError
	switch {
	case errors.Is(cause, kafka.ErrSuperseded): // starting again would only turn the tables
		return cause
	case errors.As(cause, &damage): // the damage is there still, and says itself what to do
		return fmt.Errorf("%s cannot go on: %w", what, cause)
	}
	return fmt.Errorf("%s cannot go on: %w; what was acknowledged is recovered by the next start", what, cause)
}

// failedGrace is how long answers may take to go out when the log has failed.
const failedGrace = 5 * time.Second

// server is an *http.Server, or what is one to its listener.
type server interface {
	Serve(l net.Listener) error
	Shutdown(ctx context.Context) error
	Close() error
}

// served is a server on its listener.
type served struct {
	server server
	done   chan struct{} // closed when it has ended
	err    error         // why, unless it was shut down or closed; set before done is closed
}

func serve(server server, l net.Listener) *served {
	s := &served{server: server, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.err = err
		}
	}()
	return s
}

// stop lets requests in flight end, for as long as grace; then it cuts them off, which is no error: their clients
// see a broken connection and know that nothing was promised.
func (s *served) stop(grace time.Duration, logger *slog.Logger) error {
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	if err := s.server.Shutdown(ctx); err != nil {
		logger.Warn("requests did not end in time and were cut off", "shutdown_grace", grace)
		_ = s.server.Close()
	}
	<-s.done
	return s.err
}
