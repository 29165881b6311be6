package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/segmentio/kafka-go/protocol"
)

// cluster is the brokers, and who leads which partition as far as it has been asked. It asks for the topics that are
// used and no others: a cluster may have many.
type cluster struct {
	dialer  *dialer
	seeds   []string
	timeout time.Duration // of a request
	logger  *slog.Logger

	refreshing chan struct{} // holds an element while metadata are asked for

	mu         sync.Mutex // guards what follows
	nodes      map[int32]*node
	controller int32
	topics     map[string]*topicInfo // by name in Kafka; none where it must be asked for
	closed     bool
}

// node is one broker. Connections that nobody uses are kept for the next one.
type node struct {
	c    *cluster
	id   int32 // −1: one of the addresses that were configured
	addr string

	mu     sync.Mutex // guards what follows
	idle   []*conn
	shut   bool
	failed bool // the last request came to nothing, and not because its caller gave up
}

const maxIdleConns = 8

func newCluster(d *dialer, seeds []string, timeout time.Duration, logger *slog.Logger) *cluster {
	return &cluster{
		dialer: d, seeds: seeds, timeout: timeout, logger: logger, refreshing: make(chan struct{}, 1),
		nodes: map[int32]*node{}, topics: map[string]*topicInfo{},
	}
}

func (c *cluster) close() {
	c.mu.Lock()
	c.closed = true
	nodes := c.nodes
	c.nodes = map[int32]*node{}
	c.mu.Unlock()
	for _, n := range nodes {
		n.close()
	}
}

func (n *node) close() {
	n.mu.Lock()
	idle := n.idle
	n.idle, n.shut = nil, true
	n.mu.Unlock()
	for _, c := range idle {
		c.net.Close()
	}
}

// use calls do with a connection, and keeps the connection if it succeeds.
func (n *node) use(ctx context.Context, do func(*conn) error) (err error) {
	defer func() {
		if err == nil || ctx.Err() == nil {
			n.mu.Lock()
			n.failed = err != nil
			n.mu.Unlock()
		}
	}()
	n.mu.Lock()
	var c *conn
	if last := len(n.idle) - 1; last >= 0 {
		c = n.idle[last]
		n.idle = n.idle[:last]
	}
	n.mu.Unlock()
	if c == nil {
		if c, err = n.c.dialer.dial(ctx, n.addr); err != nil {
			return err
		}
	}
	if err := do(c); err != nil {
		c.net.Close()
		return fmt.Errorf("broker %s: %w", n.addr, err)
	}
	n.mu.Lock()
	keep := !n.shut && len(n.idle) < maxIdleConns
	if keep {
		n.idle = append(n.idle, c)
	}
	n.mu.Unlock()
	if !keep {
		c.net.Close()
	}
	return nil
}

// rank orders brokers by whether the last request to them went well.
func (n *node) rank() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.failed {
		return 1
	}
	return 0
}

// forgetIdle drops the connections that nobody uses: one has just failed, and the others may be as dead.
func (n *node) forgetIdle() {
	n.mu.Lock()
	idle := n.idle
	n.idle = nil
	n.mu.Unlock()
	for _, c := range idle {
		c.net.Close()
	}
}

// message sends one of kafka-go's messages.
func (n *node) message(ctx context.Context, msg protocol.Message) (answer protocol.Message, err error) {
	err = n.use(ctx, func(c *conn) error {
		answer, err = c.message(ctx, n.c.timeout, spoken[msg.ApiKey()], msg)
		return err
	})
	if err != nil && ctx.Err() == nil {
		n.forgetIdle()
	}
	return answer, err
}

// raw sends what is encoded already. patience is how long beyond the request timeout the answer may take.
func (n *node) raw(ctx context.Context, key protocol.ApiKey, flexible bool, patience time.Duration, pieces ...[]byte) (answer []byte, err error) {
	err = n.use(ctx, func(c *conn) error {
		answer, err = c.raw(ctx, n.c.timeout+patience, key, spoken[key], flexible, pieces...)
		return err
	})
	if err != nil && ctx.Err() == nil {
		n.forgetIdle()
	}
	return answer, err
}

// someone calls do with one broker after the other until it succeeds, or fails with what a broker answered.
func (c *cluster) someone(ctx context.Context, do func(*node) error) error {
	c.mu.Lock()
	var nodes []*node
	for _, n := range c.nodes {
		nodes = append(nodes, n)
	}
	c.mu.Unlock()
	rand.Shuffle(len(nodes), func(i, j int) { nodes[i], nodes[j] = nodes[j], nodes[i] })
	slices.SortStableFunc(nodes, func(a, b *node) int { return a.rank() - b.rank() }) // one may hang
	var seeds []*node
	for _, addr := range c.seeds {
		seeds = append(seeds, &node{c: c, id: -1, addr: addr})
	}
	defer func() {
		for _, n := range seeds {
			n.close()
		}
	}()
	var errs []error
	for _, n := range append(nodes, seeds...) {
		err := do(n)
		var answered *codeError
		if err == nil || errors.As(err, &answered) || ctx.Err() != nil || errors.Is(err, errAuthentication) {
			return err
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// atController calls do with the broker that changes topics. All others may refuse.
func (c *cluster) atController(ctx context.Context, what string, do func(*node) error) error {
	return c.repeat(ctx, what, func() error {
		c.mu.Lock()
		n := c.nodes[c.controller]
		c.mu.Unlock()
		err := errNoController
		if n != nil {
			if err = do(n); err == nil {
				return nil
			}
		}
		if isTransient(err) && ctx.Err() == nil {
			if _, err := c.brokers(ctx); err != nil { // it may be another one by now
				return err
			}
		}
		return err
	})
}

var errNoController = asError(codeNotController, "no broker is known that changes topics")

// learn takes in who the brokers are. A broker may have moved.
func (c *cluster) learn(m *metadata) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.controller = m.controller
	for _, b := range m.brokers {
		addr := net.JoinHostPort(b.host, strconv.Itoa(int(b.port)))
		if old := c.nodes[b.id]; old == nil || old.addr != addr {
			if old != nil {
				go old.close()
			}
			c.nodes[b.id] = &node{c: c, id: b.id, addr: addr}
		}
	}
}

// metadata asks for topics, for all if names is nil, and for none if it is empty.
func (c *cluster) metadata(ctx context.Context, names []string) (m *metadata, err error) {
	err = c.someone(ctx, func(n *node) error {
		answer, err := n.raw(ctx, protocol.Metadata, true, 0, encodeMetadata(names))
		if err != nil {
			return err
		}
		m, err = parseMetadata(answer)
		return err
	})
	if err != nil {
		return nil, err
	}
	c.learn(m)
	return m, nil
}

// brokers returns how many there are now.
func (c *cluster) brokers(ctx context.Context) (int, error) {
	m, err := c.metadata(ctx, []string{})
	if err != nil {
		return 0, err
	}
	return len(m.brokers), nil
}

// maxAsked is how many topics one request asks for.
const maxAsked = 1000

// refresh asks for the topics that are not known.
func (c *cluster) refresh(ctx context.Context, names []string) error {
	select {
	case c.refreshing <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-c.refreshing }()
	c.mu.Lock()
	names = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return c.topics[name] != nil })
	c.mu.Unlock()
	for part := range slices.Chunk(names, maxAsked) {
		m, err := c.metadata(ctx, part)
		if err != nil {
			return err
		}
		c.mu.Lock()
		for i := range m.topics {
			if t := &m.topics[i]; t.code == 0 {
				c.topics[t.name] = t
			}
		}
		c.mu.Unlock()
	}
	return nil
}

// topic returns what is known of a topic.
func (c *cluster) topic(ctx context.Context, name string) (*topicInfo, error) {
	c.mu.Lock()
	t := c.topics[name]
	c.mu.Unlock()
	if t != nil {
		return t, nil
	}
	if err := c.refresh(ctx, []string{name}); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if t := c.topics[name]; t != nil {
		return t, nil
	}
	return nil, asError(codeUnknownTopic, "topic "+name)
}

// forget makes the next one who wants the topic ask for it: something about it was wrong.
func (c *cluster) forget(name string) {
	c.mu.Lock()
	delete(c.topics, name)
	c.mu.Unlock()
}

// leaderOf returns who leads a partition, as far as is known without asking, or nil.
func (c *cluster) leaderOf(name string, id topicID, partition int) *node {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.topics[name]
	if t == nil || t.id != id {
		return nil
	}
	for _, p := range t.partitions {
		if int(p.index) == partition {
			return c.nodes[p.leader]
		}
	}
	return nil
}

// leader asks who leads a partition, if need be. The topic must have the id: another one may have its name by now, or
// a broker may not have heard yet that the one before it has gone.
func (c *cluster) leader(ctx context.Context, name string, id topicID, partition int) (*node, error) {
	if n := c.leaderOf(name, id, partition); n != nil {
		return n, nil
	}
	t, err := c.topic(ctx, name)
	if err != nil {
		return nil, err
	}
	if t.id != id {
		c.forget(name)
		return nil, asError(codeInconsistentTopicID, fmt.Sprintf("topic %s has the id %s, not %s", name, t.id, id))
	}
	if n := c.leaderOf(name, id, partition); n != nil {
		return n, nil
	}
	c.forget(name)
	return nil, asError(5, fmt.Sprintf("partition %d of topic %s has no leader", partition, name))
}

// isTransient tells whether the same may go better later.
func isTransient(err error) bool {
	var answered *codeError
	if errors.As(err, &answered) {
		return isRetriable(answered.code)
	}
	if errors.Is(err, errAuthentication) || errors.Is(err, errDamaged) {
		return false
	}
	var network net.Error
	return errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, errMalformed)
}

// backoff is how long to wait before the n-th repetition.
func backoff(n int) time.Duration {
	d := min(10*time.Millisecond<<min(n, 7), time.Second)
	return d/2 + rand.N(d)
}

// pause waits for d, or for the end of ctx.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// patienceWith is how long an ordinary thing may go wrong before it is worth a word. Brokers that answer may be electing a
// leader, or making the topic of their transactions.
func patienceWith(err error) time.Duration {
	var answered *codeError
	if errors.As(err, &answered) {
		return 15 * time.Second
	}
	return 5 * time.Second
}

// repeat calls do until it succeeds or fails for good.
func (c *cluster) repeat(ctx context.Context, what string, do func() error) error {
	began, said := time.Now(), time.Time{}
	for n := 0; ; n++ {
		err := do()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%s: %w (last: %w)", what, context.Cause(ctx), err)
		}
		if !isTransient(err) {
			return fmt.Errorf("%s: %w", what, err)
		}
		if time.Since(began) > patienceWith(err) && time.Since(said) > complainEach {
			said = time.Now()
			c.logger.Warn("Kafka does not do what it is asked; trying on", "what", what, "attempts", n+1, "error", err)
		}
		if err := pause(ctx, backoff(n)); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
}

// atLeader calls do with the partition's leader until it succeeds or fails for good.
func (c *cluster) atLeader(ctx context.Context, what, name string, id topicID, partition int, do func(*node) error) error {
	return c.repeat(ctx, what, func() error {
		n, err := c.leader(ctx, name, id, partition)
		if err != nil {
			return err
		}
		if err = do(n); err != nil && isTransient(err) {
			c.forget(name)
		}
		return err
	})
}
