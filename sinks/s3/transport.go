package s3

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// newTransport is the client's default one, with the configured timeout and trust. HTTP/1.1 only: uploads gain
// nothing from sharing a connection. An upload has a watchdog beside the timeout for an answer, but others of its parts keep
// that quiet, and the request that gives an upload up does not have it.
func newTransport(config Config, timeout time.Duration) (*http.Transport, error) {
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: min(timeout, 10*time.Second), KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:   min(timeout, 10*time.Second),
		ResponseHeaderTimeout: timeout,
		ExpectContinueTimeout: time.Second,
		MaxIdleConns:          64,
		MaxIdleConnsPerHost:   64,
		IdleConnTimeout:       30 * time.Second,
		DisableCompression:    true,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: config.InsecureSkipVerify}, //nolint:gosec // asked for
	}
	roots, err := config.roots()
	if err != nil {
		return nil, err
	}
	transport.TLSClientConfig.RootCAs = roots
	return transport, nil
}

// roots are the certificates to trust; nil means the system's.
func (c *Config) roots() (*x509.CertPool, error) {
	if c.CAFile == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(c.CAFile)
	if err != nil {
		return nil, fmt.Errorf("ca_file: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("ca_file: " + c.CAFile + " holds no certificate in PEM form")
	}
	return pool, nil
}

// uploads is what requests with a body need beside the plain transport.
//
// A large one asks the store before it sends the body, as Amazon's own clients do: a store that refuses the
// request, and closes the connection on the rest of the body, is then heard, and nothing is sent in vain.
//
// A request that was answered early, or given up, lets go of its body before its outcome is told. net/http may
// go on reading the body for a while after that, but the client does not expect it: the reader that signs the
// body on plain HTTP would be read while it is closed, and crash.
type uploads struct{ next http.RoundTripper }

const (
	expectContinueBytes = 1 << 20
	maxErrorBytes       = 1 << 20 // of an answer that is an error
)

func (u uploads) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body == nil || req.Body == http.NoBody {
		return u.next.RoundTrip(req)
	}
	body := &looseBody{body: req.Body}
	req = req.Clone(req.Context()) // a RoundTripper must not change the request
	req.Body = body
	if req.Method == http.MethodPut && req.ContentLength > expectContinueBytes {
		req.Header.Set("Expect", "100-continue")
	}
	resp, err := u.next.RoundTrip(req)
	if err != nil {
		_ = body.Close()
		return nil, err
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	// The answer is read first, because the connection ends with the body.
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBytes))
	_ = resp.Body.Close()
	_ = body.Close()
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(answer))
	return resp, nil
}

// looseBody is a request's body that may be closed while it is read. Close waits for a read that is under way.
type looseBody struct {
	mu     sync.Mutex
	body   io.ReadCloser
	closed bool
}

func (b *looseBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return 0, errPayloadClosed
	}
	return b.body.Read(p)
}

func (b *looseBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil
	}
	b.closed = true
	return b.body.Close()
}
