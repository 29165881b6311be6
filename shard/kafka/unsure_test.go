package kafka

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"

	"github.com/seed-462d9463/sluice/shard"
)

// deaf is connections on which the answer to a Produce is lost when lose is set.
type deaf struct {
	lose     atomic.Bool
	lost     func()
	produced chan struct{} // an element for each answer to a Produce, as long as there is room
}

type deafConn struct {
	net.Conn
	d       *deaf
	asking  bool // the next Write continues a request
	produce bool // the request is a Produce
}

func (d *deaf) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &deafConn{Conn: c, d: d}, nil
}

// Write notes what kind of request begins.
func (c *deafConn) Write(b []byte) (int, error) {
	if !c.asking {
		c.asking = true
		c.produce = len(b) >= 6 && binary.BigEndian.Uint16(b[4:]) == uint16(protocol.Produce)
	}
	return c.Conn.Write(b)
}

// Read gets the broker's answer, which so has done its work, and may lose it.
func (c *deafConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.asking = false
	if c.produce && err == nil {
		if c.d.lose.CompareAndSwap(true, false) {
			c.Conn.Close()
			c.d.lost()
			return 0, net.ErrClosed
		}
		select {
		case c.d.produced <- struct{}{}:
		default:
		}
	}
	return n, err
}

// TestARefusalAfterALostAnswerGivesNothingUp has a broker append a batch, loses the answer, and has the repetition be
// refused. If the batch were given up, the next one would get its sequence, and the broker would take it for the one that
// it has: it would be acknowledged, and never written.
func TestARefusalAfterALostAnswerGivesNothingUp(t *testing.T) {
	cluster := fake(t, 1)
	transport := &kafkago.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	client := &kafkago.Client{Addr: kafkago.TCP(cluster.ListenAddrs()...), Transport: transport}
	d := &deaf{
		lost:     func() { setTopic(t, client, "log", "max.message.bytes", "20000") },
		produced: make(chan struct{}, 3),
	}
	opts := options(cluster.ListenAddrs())
	opts.dial = d.dial
	e := mustOpen(t, opts)
	t.Cleanup(func() { e.Close() })
	l := makeLog(t, e, "log")
	for len(d.produced) > 0 {
		<-d.produced
	}
	d.lose.Store(true)
	big := strings.Repeat("b", 30_000)
	first := l.Append(within(t), []shard.Record{{Value: []byte(big)}})
	second := l.Append(within(t), []shard.Record{{Value: []byte("small")}})
	for range cap(d.produced) { // repetitions that were refused
		select {
		case <-d.produced:
		case <-within(t).Done():
			t.Fatal("the batch was not sent again")
		}
	}
	setTopic(t, client, "log", "max.message.bytes", "1000000")
	for i, p := range []shard.Pending{first, second} {
		if _, err := p.Wait(within(t)); err != nil {
			t.Errorf("append %d: %v", i, err)
		}
	}
	if got := valuesOf(readAll(t, l)); !slices.Equal(got, []string{big, "small"}) {
		t.Fatalf("read %d records, want both", len(got))
	}
}

// TestCloseWaitsForAppendsBehindOtherClients closes while what stands before an append has not been looked at.
func TestCloseWaitsForAppendsBehindOtherClients(t *testing.T) {
	e := mustOpen(t, options(fake(t, 1).ListenAddrs()))
	t.Cleanup(func() { e.Close() })
	l := makeLog(t, e, "log")
	if r := rawBatch(t, e, l.(*logState), -1, -1, -1, shard.Record{Value: []byte("foreign")}); r.code != 0 {
		t.Fatalf("produce beside: code %d", r.code)
	}
	p := l.Append(within(t), []shard.Record{{Value: []byte("ours")}})
	if err := e.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if _, err := p.Wait(within(t)); err != nil {
		t.Errorf("append: %v", err)
	}
}

// TestGrowingATopicForgetsNothingOfItsLogs opens the first log of a topic while partitions are being added.
func TestGrowingATopicForgetsNothingOfItsLogs(t *testing.T) {
	e := mustOpen(t, options(fake(t, 1).ListenAddrs()))
	t.Cleanup(func() { e.Close() })
	if err := e.Create(within(t), "log", 1); err != nil {
		t.Fatalf("create: %v", err)
	}
	before, _ := e.control.doc("log")
	openLog(t, e, "log", 0)
	if err := e.grow(within(t), before, 2); err != nil {
		t.Fatalf("grow: %v", err)
	}
	if doc := e.control.logDoc("log", 0); len(doc.Starts) != 1 {
		t.Fatalf("the log has %d starts, want 1", len(doc.Starts))
	}
}

// TestOtherClientsHeadersAreBounded has a few bytes claim to be many headers.
func TestOtherClientsHeadersAreBounded(t *testing.T) {
	const headers = maxBatchHeaders + 1
	body := binary.AppendVarint(nil, -1)
	body = binary.AppendVarint(body, -1)
	body = binary.AppendVarint(body, headers)
	body = append(body, make([]byte, 2*headers)...)
	w := newBatchWriter(len(body) + 64)
	w.add(payload{bytes: body, ends: []int32{int32(len(body))}}, 0)
	b, _, err := cutBatch(w.seal(-1, -1, -1))
	if err != nil {
		t.Fatalf("cut: %v", err)
	}
	if err := b.records(func(shard.Record) bool { return true }); !errors.Is(err, errDamaged) {
		t.Fatalf("read: %v, want %v", err, errDamaged)
	}
}
