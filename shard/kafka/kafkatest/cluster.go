// Package kafkatest runs real Kafka brokers for tests, one or a cluster of three, on free ports of the loopback
// interface: Kafka 4 in KRaft mode, each process broker and controller.
//
// A test that breaks brokers starts its own with Start; others share one that a Shared starts for the package.
package kafkatest

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/errgroup"

	"github.com/seed-462d9463/sluice/test/loopback"
)

// Options say what a cluster is like.
type Options struct {
	Brokers  int               // how many, 1 if 0
	Secure   bool              // listeners with TLS and SASL too; Cluster.Security has what they need
	ACLs     bool              // clients of Plain may do all; others what ACLs allow
	Settings map[string]string // for every broker, over those of this package
}

// Cluster is one or several brokers with their data in a directory.
type Cluster struct {
	Brokers  []*Broker // the i-th has the id i+1
	Security *Security // nil unless Options.Secure

	options Options
	tools   tools
	dir     string
	id      string
}

// Start starts a cluster and returns when it serves. It ends with the test. If Kafka is not installed the test is
// skipped; with CI=true it fails.
func Start(t testing.TB, options Options) *Cluster {
	t.Helper()
	found := findTools(t)
	c, err := start(t.TempDir(), found, options)
	if err != nil {
		t.Fatalf("start Kafka: %v", err)
	}
	t.Cleanup(func() {
		c.stop()
		c.logIfFailed(t)
	})
	return c
}

// Attempts to start a cluster; another process may take a port before a broker comes to it.
const attempts = 5

func start(dir string, found tools, options Options) (*Cluster, error) {
	if options.Brokers == 0 {
		options.Brokers = 1
	}
	for attempt := 1; ; attempt++ {
		c, err := prepare(filepath.Join(dir, fmt.Sprintf("kafka-%d", attempt)), found, options)
		if err != nil {
			return nil, err
		}
		err = c.startAll()
		if err == nil {
			return c, nil
		}
		c.stop()
		if attempt == attempts || !slices.ContainsFunc(c.Brokers, (*Broker).portTaken) {
			return nil, err
		}
	}
}

// prepare chooses ports and formats the brokers' directories.
func prepare(dir string, found tools, options Options) (*Cluster, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	id := make([]byte, 16)
	_, _ = rand.Read(id)
	id[0] &= 0x7f // the tool takes an id that begins with "-" for a flag
	c := &Cluster{options: options, tools: found, dir: dir, id: base64.RawURLEncoding.EncodeToString(id)}
	if options.Secure {
		var err error
		if c.Security, err = makeSecurity(dir); err != nil {
			return nil, err
		}
	}
	listeners := append([]Listener{controller}, options.listeners()...)
	addresses, err := loopback.FreeAddresses(options.Brokers * len(listeners))
	if err != nil {
		return nil, err
	}
	for i := range options.Brokers {
		b := &Broker{ID: i + 1, cluster: c, dir: filepath.Join(dir, fmt.Sprintf("broker-%d", i+1)), addresses: map[Listener]string{}}
		for _, l := range listeners {
			b.addresses[l], addresses = addresses[0], addresses[1:]
		}
		c.Brokers = append(c.Brokers, b)
	}
	var formats errgroup.Group
	for _, b := range c.Brokers {
		formats.Go(b.format)
	}
	return c, formats.Wait()
}

// startAll starts all brokers, at once because a controller needs a majority, and waits until each knows all.
func (c *Cluster) startAll() error {
	for _, b := range c.Brokers {
		if err := b.launch(); err != nil {
			return err
		}
	}
	for _, b := range c.Brokers {
		if err := b.awaitReady(c.Brokers); err != nil {
			return err
		}
	}
	return nil
}

// Addresses are host:port of all brokers, the running and the others.
func (c *Cluster) Addresses(l Listener) []string {
	var addresses []string
	for _, b := range c.Brokers {
		addresses = append(addresses, b.Address(l))
	}
	return addresses
}

// Client is a client of kafka-go's for what a test asks of the brokers itself, without encryption. It is closed by
// the end of the test.
func (c *Cluster) Client(t testing.TB) *kafka.Client {
	t.Helper()
	transport := &kafka.Transport{ClientID: "test"}
	t.Cleanup(transport.CloseIdleConnections)
	return &kafka.Client{Addr: kafka.TCP(c.Addresses(Plain)...), Transport: transport, Timeout: readyTimeout}
}

// stop kills all brokers.
func (c *Cluster) stop() {
	for _, b := range c.Brokers {
		b.end(os.Kill)
	}
}

// logIfFailed shows what the brokers wrote last, when the test failed.
func (c *Cluster) logIfFailed(t testing.TB) {
	if !t.Failed() {
		return
	}
	for _, b := range c.Brokers {
		t.Logf("broker %d wrote last:\n%s", b.ID, b.log())
	}
}

// Shared is a cluster that the tests of a package share. It starts when the first test asks for it; TestMain stops
// it. Each test chooses its own names for topics, and leaves the brokers alone.
type Shared struct {
	options Options

	mu      sync.Mutex
	dir     string
	cluster *Cluster
	err     error
}

// NewShared prepares a cluster and starts nothing.
func NewShared(options Options) *Shared { return &Shared{options: options} }

// Cluster returns the cluster, which may start it. If Kafka is not installed the test is skipped; with CI=true it
// fails.
func (s *Shared) Cluster(t testing.TB) *Cluster {
	t.Helper()
	found := findTools(t)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cluster == nil && s.err == nil {
		if s.dir, s.err = os.MkdirTemp("", "kafkatest-"); s.err == nil {
			s.cluster, s.err = start(s.dir, found, s.options)
		}
	}
	if s.err != nil {
		t.Fatalf("start Kafka: %v", s.err)
	}
	t.Cleanup(func() { s.cluster.logIfFailed(t) })
	return s.cluster
}

// Stop ends the cluster and removes its data. It may be called when it was never started.
func (s *Shared) Stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cluster != nil {
		s.cluster.stop()
	}
	s.cluster, s.err = nil, errors.New("it has been stopped")
	if s.dir == "" {
		return nil
	}
	return os.RemoveAll(s.dir)
}
