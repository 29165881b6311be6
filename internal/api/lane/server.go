package lane

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Server serves connections: plain requests by itself, all others by an http.Server. Both call that server's Handler.
type Server struct {
	http        *http.Server
	takes       func(target string) bool
	idleTimeout time.Duration
	headTimeout time.Duration

	ctx     context.Context // of all requests; ends with Close
	cancel  context.CancelFunc
	closing atomic.Bool // no connection takes another request

	mu    sync.Mutex // guards conns
	conns map[*conn]struct{}
	gone  sync.Cond // by mu: conns has become fewer

	accepted chan accepted // for the http.Server
	done     chan struct{} // closed with the listener
	listener net.Listener  // set by Serve, before anything else happens
	closed   sync.Once     // of done
}

type accepted struct {
	conn net.Conn
	err  error
}

// New returns a server that serves here the targets that takes says yes to. The timeouts, the handler and
// ConnContext are the http.Server's, and so is BaseContext, which gets no listener; IdleTimeout and ReadHeaderTimeout must be set.
// A connection may be idle half as long again.
func New(server *http.Server, takes func(target string) bool) *Server {
	s := &Server{
		http: server, takes: takes, idleTimeout: server.IdleTimeout, headTimeout: server.ReadHeaderTimeout,
		conns: map[*conn]struct{}{}, accepted: make(chan accepted), done: make(chan struct{}),
	}
	s.gone.L = &s.mu
	base := context.Background()
	if server.BaseContext != nil {
		base = server.BaseContext(nil)
	}
	s.ctx, s.cancel = context.WithCancel(base)
	return s
}

// Serve accepts connections until the listener fails or the server is shut down or closed: http.ErrServerClosed. It
// may be called once.
func (s *Server) Serve(l net.Listener) error {
	s.listener = l
	var accepting sync.WaitGroup
	accepting.Go(s.accept)
	err := s.http.Serve((*handoverListener)(s))
	_ = (*handoverListener)(s).Close()
	accepting.Wait()
	return err
}

func (s *Server) accept() {
	for {
		c, err := s.listener.Accept()
		if err == nil {
			s.start(c)
			continue
		}
		// net/http knows which errors pass, and how long to wait.
		select {
		case s.accepted <- accepted{err: err}:
		case <-s.done:
			return
		}
	}
}

// start serves a connection in a goroutine of its own.
func (s *Server) start(c net.Conn) {
	k := s.newConn(c)
	s.mu.Lock()
	s.conns[k] = struct{}{}
	s.mu.Unlock()
	go k.serve() // ends when the connection does, or is handed over; Shutdown and Close see to it
}

func (s *Server) forget(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	s.gone.Broadcast()
}

func (s *Server) handOver(c net.Conn) bool {
	select {
	case s.accepted <- accepted{conn: c}:
		return true
	case <-s.done:
		return false
	}
}

// Shutdown stops accepting, closes idle connections, and waits until requests in flight have been answered, or ctx
// ends, and returns its error then.
func (s *Server) Shutdown(ctx context.Context) error {
	s.closing.Store(true)
	s.mu.Lock()
	for c := range s.conns {
		if c.state.CompareAndSwap(idle, closed) {
			_ = c.net.Close()
		}
	}
	s.mu.Unlock()
	err := s.http.Shutdown(ctx)
	wake := context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.gone.Broadcast()
	})
	defer wake()
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.conns) > 0 && ctx.Err() == nil {
		s.gone.Wait()
	}
	if len(s.conns) > 0 {
		err = errors.Join(err, ctx.Err())
	}
	return err
}

// Close closes all connections at once. Like http.Server's it does not wait for handlers, whose contexts end.
func (s *Server) Close() error {
	s.closing.Store(true)
	s.cancel()
	err := s.http.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.net.Close()
	}
	return err
}

// handoverListener is the listener that the http.Server has.
type handoverListener Server

// Accept implements net.Listener.
func (l *handoverListener) Accept() (net.Conn, error) {
	select {
	case a := <-l.accepted:
		return a.conn, a.err
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *handoverListener) Close() error {
	var err error
	l.closed.Do(func() {
		close(l.done)
		err = l.listener.Close()
	})
	return err
}

// Addr implements net.Listener.
func (l *handoverListener) Addr() net.Addr { return l.listener.Addr() }
