package edge

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Secure returns a listener whose connections speak TLS. If plain is set, those that do not begin with a TLS handshake
// are served as they are.
//
// net/http is not told that there is TLS: it looks at the first bytes inside, as it does without TLS, and so speaks
// HTTP/2 to whoever begins with its preface, whether that was agreed on by ALPN or, as older clients in Java do, not.
func Secure(l net.Listener, config *tls.Config, plain bool, logger *slog.Logger) net.Listener {
	return &secureListener{Listener: l, config: config, plain: plain, logger: logger}
}

type secureListener struct {
	net.Listener
	config *tls.Config
	plain  bool
	logger *slog.Logger
}

// Accept implements net.Listener. It waits for no client: the handshake is part of the first read.
func (l *secureListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &secureConn{Conn: conn, listener: l}, nil
}

// secureConn is a connection on which TLS may be spoken. Deadlines and addresses are those of the connection below.
type secureConn struct {
	net.Conn
	listener *secureListener
	begin    sync.Once
	inner    net.Conn // what is read and written; set by begin, unless err is
	err      error
	tls      atomic.Pointer[tls.Conn] // inner, once the handshake is done; for Close, which does not wait for begin
	closing  atomic.Bool
}

// Read implements net.Conn.
func (c *secureConn) Read(p []byte) (int, error) {
	c.begin.Do(c.start)
	if c.err != nil {
		return 0, c.err
	}
	return c.inner.Read(p)
}

// Write implements net.Conn.
func (c *secureConn) Write(p []byte) (int, error) {
	c.begin.Do(c.start)
	if c.err != nil {
		return 0, c.err
	}
	return c.inner.Write(p)
}

// Close implements net.Conn.
func (c *secureConn) Close() error {
	c.closing.Store(true)
	if secured := c.tls.Load(); secured != nil {
		return secured.Close()
	}
	return c.Conn.Close()
}

// partingTime is how long a client may take to let the last word of a connection pass. Servers close one connection
// after the other when they end, and crypto/tls would wait for five seconds for each whose client reads nothing.
const partingTime = 20 * time.Millisecond

// parting is the connection below TLS.
type parting struct {
	net.Conn
	closing *atomic.Bool
}

// SetWriteDeadline is what crypto/tls bounds its last word with.
func (c *parting) SetWriteDeadline(t time.Time) error {
	if latest := time.Now().Add(partingTime); c.closing.Load() && t.After(latest) {
		t = latest
	}
	return c.Conn.SetWriteDeadline(t)
}

// CloseWrite ends what is sent, as net/http does before it closes a connection on which the client still sends.
func (c *secureConn) CloseWrite() error {
	if secured := c.tls.Load(); secured != nil {
		return secured.CloseWrite()
	}
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// NetConn is the connection below, as tls.Conn has it.
func (c *secureConn) NetConn() net.Conn { return c.Conn }

const recordHandshake = 0x16 // what a TLS connection begins with

// start finds out what is spoken, and makes the handshake. The deadline for reading has been set by net/http, to that
// for the headers of the first request.
func (c *secureConn) start() {
	below := c.Conn
	if c.listener.plain {
		var first [1]byte
		if _, err := io.ReadFull(below, first[:]); err != nil {
			c.err = err
			return
		}
		below = &unread{Conn: below, bytes: first[:]}
		if first[0] != recordHandshake {
			c.inner = below
			return
		}
	}
	secured := tls.Server(&parting{below, &c.closing}, c.listener.config)
	_ = c.Conn.SetWriteDeadline(time.Now().Add(ReadHeaderTimeout))
	if err := secured.HandshakeContext(context.Background()); err != nil {
		c.refuse(err)
		return
	}
	_ = c.Conn.SetWriteDeadline(noDeadline)
	c.inner = secured
	c.tls.Store(secured)
}

// refuse ends a connection whose handshake failed. One that speaks plain HTTP is told so.
func (c *secureConn) refuse(err error) {
	c.err = io.EOF // which net/http makes no words of
	var record tls.RecordHeaderError
	if errors.As(err, &record) && record.Conn != nil && looksLikeHTTP(record.RecordHeader) {
		_, _ = io.WriteString(record.Conn, "HTTP/1.0 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain\r\n\r\n"+
			"This port of Sluice speaks TLS. Use https://, or set tls.allow_plain.\n")
	}
	c.listener.logger.Debug("TLS handshake failed", "client", c.RemoteAddr().String(), "error", err)
}

// securedKey is where requests find the *secureConn that they came by, if it is one. What net/http looks for instead, it
// would take for a reason not to speak HTTP/2.
type securedKey struct{}

// withSecured is for http.Server.ConnContext. Wrappers of a connection have a method NetConn, as tls.Conn has.
func withSecured(ctx context.Context, conn net.Conn) context.Context {
	for {
		switch c := conn.(type) {
		case *secureConn:
			return context.WithValue(ctx, securedKey{}, c)
		case interface{ NetConn() net.Conn }:
			conn = c.NetConn()
		default:
			return ctx
		}
	}
}

// overTLS tells whether a request came over TLS.
func overTLS(r *http.Request) bool {
	conn, ok := r.Context().Value(securedKey{}).(*secureConn)
	return ok && conn.tls.Load() != nil
}

func looksLikeHTTP(header [5]byte) bool {
	switch text := string(header[:]); {
	case strings.HasPrefix(text, "GET /"), strings.HasPrefix(text, "HEAD "), strings.HasPrefix(text, "POST "),
		strings.HasPrefix(text, "PUT /"), strings.HasPrefix(text, "OPTIO"), strings.HasPrefix(text, "PRI *"):
		return true
	}
	return false
}

// unread is a connection some of whose bytes have been read already.
type unread struct {
	net.Conn
	bytes []byte
}

// Read implements net.Conn.
func (c *unread) Read(p []byte) (int, error) {
	if len(c.bytes) > 0 {
		n := copy(p, c.bytes)
		c.bytes = c.bytes[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}
