package miniotest

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// Proxy stands between a client and a server, and lets a test see or break the connection at a certain byte of
// what the client sends. It listens on the loopback interface.
type Proxy struct {
	Address  string // host:port
	Endpoint string // http://host:port

	listener net.Listener
	target   string
	wg       sync.WaitGroup

	threshold  int64  // bytes from clients, over all connections, after which
	afterBytes func() // is called, once
	once       sync.Once
	sent       atomic.Int64

	mu     sync.Mutex
	conns  map[net.Conn]bool // open ones, both sides
	closed bool
}

// StartProxy starts a proxy to the server. When the client has sent threshold bytes, f is called, once; nothing
// further is forwarded before it returns.
func (s *Server) StartProxy(t testing.TB, threshold int64, f func()) *Proxy {
	t.Helper()
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	p := &Proxy{
		Address:    listener.Addr().String(),
		Endpoint:   "http://" + listener.Addr().String(),
		listener:   listener,
		target:     s.Address,
		afterBytes: f,
		threshold:  threshold,
		conns:      map[net.Conn]bool{},
	}
	p.wg.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

// Cut breaks all connections that are open now. New ones are taken.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.conns {
		_ = conn.Close()
	}
}

func (p *Proxy) close() {
	_ = p.listener.Close()
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.Cut()
	p.wg.Wait()
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = client.Close() // as a server that is away would
			continue
		}
		if !p.track(client, server) {
			return
		}
		p.wg.Go(func() { p.forward(client, server) })
	}
}

// track takes note of a pair of connections, or closes them if it is too late.
func (p *Proxy) track(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range conns {
		if p.closed {
			_ = conn.Close()
			continue
		}
		p.conns[conn] = true
	}
	return !p.closed
}

// forward carries bytes both ways until one side ends.
func (p *Proxy) forward(client, server net.Conn) {
	hangUp := func() {
		_ = client.Close()
		_ = server.Close()
	}
	var answers sync.WaitGroup
	answers.Go(func() {
		_, _ = io.Copy(client, server) // an end or a break: both end the pair
		hangUp()
	})
	_, _ = io.Copy(&counter{proxy: p, next: server}, client)
	hangUp()
	answers.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, client)
	delete(p.conns, server)
}

// counter counts what the client sends on its way to the server.
type counter struct {
	proxy *Proxy
	next  io.Writer
}

func (c *counter) Write(b []byte) (int, error) {
	if c.proxy.sent.Add(int64(len(b))) >= c.proxy.threshold && c.proxy.afterBytes != nil {
		c.proxy.once.Do(c.proxy.afterBytes)
	}
	return c.next.Write(b)
}
