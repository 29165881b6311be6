package edge

import (
	"net/http"
	"time"
)

// How the server guards its connections. Bodies have their own deadline, Options.BodyTimeout.
const (
	ReadHeaderTimeout = 10 * time.Second // for the request line and headers
	IdleTimeout       = 5 * time.Minute  // between requests; longer than the SDKs keep a connection
	MaxHeaderBytes    = 32 << 10
)

var (
	noDeadline time.Time
	longAgo    = time.Unix(1, 0) // ends what is under way
)

// NewServer returns a server for a handler with the limits that a listener open to others needs. It speaks
// HTTP/1.1, and HTTP/2 to clients that begin with its preface or, over TLS, ask for it.
func NewServer(handler http.Handler) *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: ReadHeaderTimeout,
		IdleTimeout:       IdleTimeout,
		MaxHeaderBytes:    MaxHeaderBytes,
		Protocols:         &protocols,
		// Answers have their own deadlines, but what HTTP/2 writes beside them has none.
		HTTP2: &http.HTTP2Config{WriteByteTimeout: DefaultBodyTimeout},
	}
}
