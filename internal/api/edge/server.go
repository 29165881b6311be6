package edge

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// How the server guards its connections. Bodies have their own deadline, Options.BodyTimeout.
const (
	ReadHeaderTimeout = 10 * time.Second // for the TLS handshake, and for the request line and headers
	IdleTimeout       = 5 * time.Minute  // between requests; longer than the SDKs keep a connection
	MaxHeaderBytes    = 32 << 10
)

// How it guards those of HTTP/2, on which many requests are under way. What has arrived of a body and has not been read
// lies in memory that no budget knows; the windows bound it. One stream cannot fill that of its connection, so that a
// body that waits for memory does not hold up the others.
const (
	maxStreams       = 250
	connectionWindow = 1 << 20
	streamWindow     = 512 << 10
	maxFrame         = 64 << 10 // memory is taken for a frame before it has arrived
	pingAfter        = 30 * time.Second
)

var (
	noDeadline time.Time
	longAgo    = time.Unix(1, 0) // ends what is under way
)

// Prompt tells whether an operation has one answer of known length, and not many as they come.
func Prompt(target string) bool { return !strings.HasSuffix(target, ".SubscribeToShard") }

// NewServer returns a server for a handler with the limits that a listener open to others needs. It speaks
// HTTP/1.1, and HTTP/2 to clients that begin with its preface. For TLS it needs a listener that Secure has made.
func NewServer(handler http.Handler) *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	draining, drain := context.WithCancel(context.Background())
	connections := context.WithValue(context.Background(), drainingKey{}, draining)
	server := &http.Server{
		BaseContext:       func(net.Listener) context.Context { return connections },
		ConnContext:       withSecured,
		Handler:           handler,
		ReadHeaderTimeout: ReadHeaderTimeout,
		IdleTimeout:       IdleTimeout,
		MaxHeaderBytes:    MaxHeaderBytes,
		Protocols:         &protocols,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          maxStreams,
			MaxReceiveBufferPerConnection: connectionWindow,
			MaxReceiveBufferPerStream:     streamWindow,
			MaxReadFrameSize:              maxFrame,
			// A peer that is gone without a word is found out, though it has a subscription and nothing to send.
			SendPingTimeout: pingAfter,
			// Answers have their own deadlines, but what HTTP/2 writes beside them has none.
			WriteByteTimeout: DefaultBodyTimeout,
		},
	}
	server.RegisterOnShutdown(drain)
	return server
}

// drainingKey is where requests find the context that ends when their server is about to, so that answers that go on
// end then, and bodies that do not come, and do not hold it up.
type drainingKey struct{}

// draining returns the context that ends when the server that a request came to is about to; one that does not end, where
// there is no server.
func draining(r *http.Request) context.Context {
	if ctx, ok := r.Context().Value(drainingKey{}).(context.Context); ok {
		return ctx
	}
	return context.Background()
}

// whenDraining has f called when the server that a request came to is about to end. What it returns makes sure that it is not
// called later.
func whenDraining(r *http.Request, f func()) (stop func()) {
	called := make(chan struct{})
	unless := context.AfterFunc(draining(r), func() {
		defer close(called)
		f()
	})
	return sync.OnceFunc(func() {
		if !unless() {
			<-called
		}
	})
}
