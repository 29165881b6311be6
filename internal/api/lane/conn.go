package lane

import (
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"time"
)

// conn is a connection that has sent nothing but plain requests so far.
//
//  1. state is idle only while the head of a request has not arrived. Whoever moves it from idle to closed closes it;
//     the connection's own goroutine moves it to active when there is a request, or finds it closed.
//  2. in[start:end] is what has been read and not used. What is handed over begins at start.
type conn struct {
	server *Server
	net    net.Conn
	state  atomic.Int32
	cut    atomic.Bool // a deadline of the past has been set: the connection is of no use any more

	in         [maxHead]byte
	start, end int

	head     head
	body     body
	request  *http.Request // one for all; handlers do not keep it
	url      url.URL       // its
	response response
	out      []byte // memory for an answer's head, and a short body

	readBy, writeBy time.Time // the deadlines as they are set
	used            bool      // there has been a request

	raw syscall.RawConn // the system's side, once somebody has asked how much of an answer has come
}

const (
	idle int32 = iota
	active
	closed
)

const (
	outSize    = 1 << 10
	maxDiscard = 256 << 10              // of a body that the handler left: as net/http
	linger     = 500 * time.Millisecond // for more after the last answer of a connection
	lingerMost = 5 * time.Second        // for all that comes after it
)

func (s *Server) newConn(c net.Conn) *conn {
	k := &conn{server: s, net: c, out: make([]byte, 0, outSize)}
	k.response = response{conn: k, header: http.Header{}}
	k.body.conn = k
	return k
}

// serve answers requests until the connection ends or is handed over.
func (c *conn) serve() {
	defer c.server.forget(c)
	defer func() { // as net/http does
		if problem := recover(); problem != nil {
			c.logf("panic serving %v: %v\n%s", c.net.RemoteAddr(), problem, debug.Stack())
			_ = c.net.Close()
		}
	}()
	for c.await() {
		size, v := c.readHead()
		switch {
		case !c.state.CompareAndSwap(idle, active):
			return
		case v == incomplete: // and there will be no more
			_ = c.net.Close()
			return
		case v == unusual || !c.server.takes(c.head.target):
			c.handOver()
			return
		}
		c.start += size
		if !c.answer() {
			c.part()
			return
		}
	}
}

// await waits for the first byte of a request. False: the connection is closed.
func (c *conn) await() bool {
	c.state.Store(idle)
	if c.server.closing.Load() { // or it may not be found idle by Shutdown
		_ = c.net.Close()
		return false
	}
	if c.start < c.end { // sent before the answer to the last request was taken
		return true
	}
	c.start, c.end = 0, 0
	now := time.Now()
	wait := c.server.idleTimeout
	if !c.used { // and there may be a handshake to make
		wait = c.server.headTimeout
	}
	c.used = true
	if c.readBy.Sub(now) < wait {
		if c.setReadDeadline(now.Add(wait+wait/2)) != nil {
			_ = c.net.Close()
			return false
		}
	}
	n, err := c.net.Read(c.in[:])
	c.end = n
	if n == 0 || err != nil && !errors.Is(err, io.EOF) {
		_ = c.net.Close()
		return false
	}
	return true
}

// readHead reads until the verdict on a request's head is certain. It is incomplete when the connection ends, or the
// client is too slow.
func (c *conn) readHead() (size int, v verdict) {
	for waited := false; ; {
		if size, v = c.head.parse(c.in[c.start:c.end]); v != incomplete {
			return size, v
		}
		if c.start > 0 {
			c.end = copy(c.in[:], c.in[c.start:c.end])
			c.start = 0
		}
		if !waited {
			waited = true
			if c.setReadDeadline(time.Now().Add(c.server.headTimeout)) != nil {
				return 0, incomplete
			}
		}
		n, err := c.net.Read(c.in[c.end:])
		if c.end += n; n == 0 && err != nil {
			return 0, incomplete
		}
	}
}

// answer serves the request whose head has been read. False: the connection cannot be used for another.
func (c *conn) answer() bool {
	c.body.left = c.head.length
	r := c.request
	if r == nil {
		ctx := c.server.ctx
		if more := c.server.http.ConnContext; more != nil {
			ctx = more(ctx, c.net)
		}
		r = new(http.Request).WithContext(ctx)
		c.request = r
		r.Method, r.Proto, r.ProtoMajor, r.ProtoMinor = http.MethodPost, "HTTP/1.1", 1, 1
		r.RemoteAddr = c.net.RemoteAddr().String()
	}
	c.url = url.URL{Path: "/"}
	r.URL, r.RequestURI = &c.url, "/"
	r.Header, r.Host, r.ContentLength, r.Body = c.head.header, c.head.host, c.head.length, http.NoBody
	if c.head.length > 0 {
		r.Body = &c.body
	}
	c.response.reset()
	if !c.handle(r) {
		return false
	}
	c.response.finish()
	if c.response.ends || c.cut.Load() {
		return false
	}
	return c.body.discard()
}

// handle calls the handler. False: it panicked, and the client gets no answer.
func (c *conn) handle(r *http.Request) (ok bool) {
	defer func() {
		if problem := recover(); problem != nil {
			if err, is := problem.(error); !is || !errors.Is(err, http.ErrAbortHandler) {
				c.logf("panic serving %s: %v\n%s", r.RemoteAddr, problem, debug.Stack())
			}
			c.response.ends = true
		}
	}()
	c.server.http.Handler.ServeHTTP(&c.response, r)
	return true
}

func (c *conn) logf(format string, args ...any) {
	if logger := c.server.http.ErrorLog; logger != nil {
		logger.Printf(format, args...)
		return
	}
	log.Printf(format, args...)
}

// part closes the connection after an answer, in such a way that the client can read it: closing a socket with
// unread bytes, or having more of them come, would have the answer thrown away. Many clients read only once they have
// sent the whole body, so the rest of it is taken while it comes, for a while.
func (c *conn) part() {
	defer func() { _ = c.net.Close() }()
	half, ok := c.net.(interface{ CloseWrite() error })
	if !ok || !c.response.sent || half.CloseWrite() != nil {
		return
	}
	begun := time.Now()
	for left := c.body.left + maxDiscard; left > 0; {
		most := lingerMost
		if c.cut.Load() || c.server.closing.Load() {
			most = linger
		}
		now := time.Now()
		if now.Sub(begun) >= most || c.net.SetReadDeadline(now.Add(min(linger, most-now.Sub(begun)))) != nil {
			return
		}
		n, err := c.net.Read(c.in[:])
		if err != nil {
			return
		}
		left -= int64(n)
	}
}

// handOver gives the connection to net/http, which reads first what has been read here.
func (c *conn) handOver() {
	if c.net.SetDeadline(time.Time{}) != nil || !c.server.handOver(&handed{Conn: c.net, read: c.in[c.start:c.end]}) {
		_ = c.net.Close()
	}
}

func (c *conn) setReadDeadline(t time.Time) error {
	c.readBy = t
	return c.net.SetReadDeadline(t)
}

// body is a request's.
type body struct {
	conn *conn
	left int64
}

// Arrived tells whether nothing of the body is still to come.
func (b *body) Arrived() bool { return b.left <= int64(b.conn.end-b.conn.start) }

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), b.left)]
	c := b.conn
	if c.start < c.end {
		n := copy(p, c.in[c.start:c.end])
		c.start += n
		b.left -= int64(n)
		return n, nil
	}
	n, err := c.net.Read(p)
	b.left -= int64(n)
	if errors.Is(err, io.EOF) {
		if b.left > 0 {
			err = io.ErrUnexpectedEOF
		} else {
			err = nil
		}
	}
	return n, err
}

// Close implements io.Closer.
func (b *body) Close() error { return nil }

// discard reads what the handler has left of the body. False: that is too much, or does not come.
func (b *body) discard() bool {
	if b.left == 0 {
		return true
	}
	if b.left > maxDiscard || b.conn.setReadDeadline(time.Now().Add(b.conn.server.headTimeout)) != nil {
		return false
	}
	_, err := io.Copy(io.Discard, b)
	return err == nil
}

// handed is a connection of which something has been read already.
type handed struct {
	net.Conn

	read []byte
}

// Read implements io.Reader.
func (h *handed) Read(p []byte) (int, error) {
	if len(h.read) == 0 {
		return h.Conn.Read(p)
	}
	n := copy(p, h.read)
	if h.read = h.read[n:]; len(h.read) == 0 {
		h.read = nil
	}
	return n, nil
}

// NetConn is the connection that was handed over, for http.Server.ConnContext.
func (h *handed) NetConn() net.Conn { return h.Conn }

// CloseWrite lets net/http end a connection without losing its last answer.
func (h *handed) CloseWrite() error {
	if half, ok := h.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}
