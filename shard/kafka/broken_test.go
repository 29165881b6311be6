package kafka

import (
	"context"
	"flag"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/seed-462d9463/sluice/shard/kafka/kafkatest"
)

// wires are connections that can be cut, all at once or at random places of what goes through them.
type wires struct {
	mu    sync.Mutex
	conns map[net.Conn]struct{}
	every int // one of so many reads and writes fails; 0: none
	left  int // reads and writes before then is called
	then  func()
}

type wire struct {
	net.Conn
	w *wires
}

func (w *wires) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.conns == nil {
		w.conns = map[net.Conn]struct{}{}
	}
	w.conns[c] = struct{}{}
	return &wire{c, w}, nil
}

// limit calls then before the n-th read or write from now on.
func (w *wires) limit(n int, then func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.left, w.then = n, then
}

func (w *wires) fails() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.left--; w.left == 0 && w.then != nil {
		w.then()
	}
	return w.every > 0 && rand.IntN(w.every) == 0
}

func (w *wires) set(every int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.every = every
}

// cutAll breaks every connection that is open.
func (w *wires) cutAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.conns {
		c.Close()
	}
	clear(w.conns)
}

// Read cuts before or after what was read, so that an answer is lost.
func (c *wire) Read(b []byte) (int, error) {
	if c.w.fails() {
		c.Conn.Close()
		return 0, net.ErrClosed
	}
	return c.Conn.Read(b)
}

// Write cuts in the middle of a request, or behind it.
func (c *wire) Write(b []byte) (int, error) {
	if c.w.fails() {
		n, _ := c.Conn.Write(b[:rand.IntN(len(b)+1)])
		c.Conn.Close()
		return n, net.ErrClosed
	}
	return c.Conn.Write(b)
}

func (c *wire) Close() error {
	c.w.mu.Lock()
	delete(c.w.conns, c.Conn)
	c.w.mu.Unlock()
	return c.Conn.Close()
}

func TestCutConnectionsLoseRepeatAndReorderNothing(t *testing.T) {
	w := &wires{}
	opts := options(one.Cluster(t).Addresses(kafkatest.Plain))
	opts.TopicPrefix = "cut."
	opts.dial = w.dial
	e := mustOpen(t, opts)
	t.Cleanup(func() { e.Close() })
	l := keepLedger(t, e, "ledger", 4)
	for range 10 {
		l.more(20)
		w.cutAll()
	}
	w.set(20)
	l.more(150)
	w.set(0)
	l.end()
	l.check(l.logs)
	_, logs := reopen(t, e, opts, "ledger", 4)
	l.check(logs)
}

var long = flag.Bool("kafka.long", false, "run the long versions of the tests")

// TestBrokersMayDieAndHang has three brokers under load, and kills, stops and starts them.
func TestBrokersMayDieAndHang(t *testing.T) {
	cluster := kafkatest.Start(t, kafkatest.Options{Brokers: 3})
	opts := options(cluster.Addresses(kafkatest.Plain))
	opts.RequestTimeout = 4 * time.Second // so that a hanging broker is given up soon
	e := mustOpen(t, opts)
	t.Cleanup(func() { e.Close() })
	l := keepLedger(t, e, "ledger", 6) // two led by each
	l.more(50)

	leader := func() *kafkatest.Broker {
		n := e.cluster.leaderOf(l.logs[0].(*logState).topic.kafka, l.logs[0].(*logState).topic.id, 0)
		for _, b := range cluster.Brokers {
			if n != nil && b.Address(kafkatest.Plain) == n.addr {
				return b
			}
		}
		return cluster.Brokers[0]
	}
	// all waits until every log has been written to again.
	all := func() {
		t.Helper()
		for _, log := range l.logs {
			_, next := log.Bounds()
			if err := log.Wait(within(t), next+1); err != nil {
				t.Fatalf("wait for more: %v", err)
			}
		}
	}
	dead := leader()
	dead.Kill()
	all()
	dead.Restart(t)
	all()

	hung := leader()
	hung.Pause(t)
	all()
	hung.Continue(t)
	all()

	if *long {
		for _, b := range cluster.Brokers { // all at once, as when the power goes, but nothing that was written is lost
			b.Kill()
		}
		for _, b := range cluster.Brokers {
			b.Launch(t)
		}
		all()
	}
	l.end()
	l.check(l.logs)
	_, logs := reopen(t, e, opts, "ledger", 6)
	l.check(logs)
}
