// Package client is a small client of the Kinesis and Firehose APIs, signed and with connections kept alive:
// what the command line needs, without the weight of an SDK.
package client

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/seed-462d9463/sluice/internal/api/sigv4"
)

// Options say where the server is and who calls it. Endpoint, Region and the keys are required; a server
// without credentials takes any keys.
type Options struct {
	Endpoint  string // "http://127.0.0.1:4566"
	Region    string
	AccessKey string
	SecretKey string

	// SessionToken belongs to temporary keys, which AWS gives and Sluice does not.
	SessionToken string

	// Retries is how often a request is made again that was throttled, that the server failed to serve, or
	// whose connection broke. Then it may be served twice; 0 leaves that to the caller.
	Retries int

	// CAFile is a PEM file with certificates to trust instead of the system's; "" for those.
	CAFile string

	HTTPClient *http.Client // default: one of its own, which trusts CAFile
}

// Client calls a server. It may be used concurrently.
type Client struct {
	endpoint   string
	region     string
	credential sigv4.Credential
	token      string
	retries    int
	http       *http.Client
}

// Error is a server's refusal.
type Error struct {
	Code    string // as AWS names it, "ResourceNotFoundException"
	Message string
	Status  int // of HTTP
}

func (e *Error) Error() string {
	if e.Message == "" {
		return e.Code
	}
	return e.Code + ": " + e.Message
}

// Retryable tells whether the same request may succeed a little later.
func (e *Error) Retryable() bool {
	if e.Status >= http.StatusInternalServerError || e.Status == http.StatusTooManyRequests {
		return true
	}
	switch e.Code {
	case "ProvisionedThroughputExceededException", "ThrottlingException", "LimitExceededException",
		"KMSThrottlingException":
		return true
	}
	return false
}

// New returns a client.
func New(o Options) (*Client, error) {
	u, err := url.Parse(o.Endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("endpoint %q is not a URL like http://127.0.0.1:4566", o.Endpoint)
	}
	if o.Region == "" || o.AccessKey == "" || o.SecretKey == "" {
		return nil, errors.New("a region, an access key and a secret key are required")
	}
	if u.Path == "" {
		u.Path = "/"
	}
	c := &Client{
		endpoint: u.String(), region: o.Region, token: o.SessionToken, retries: o.Retries, http: o.HTTPClient,
		credential: sigv4.Credential{AccessKey: o.AccessKey, SecretKey: o.SecretKey},
	}
	if c.http == nil {
		trusted, err := roots(o.CAFile)
		if err != nil {
			return nil, err
		}
		// A signature is good for one host, so there is no use in following anybody to another one.
		stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		c.http = &http.Client{CheckRedirect: stay, Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
			MaxIdleConnsPerHost: 64, // as many requests at once as a producer may make
			IdleConnTimeout:     90 * time.Second,
			TLSHandshakeTimeout: 10 * time.Second,
			ForceAttemptHTTP2:   true,
			TLSClientConfig:     &tls.Config{RootCAs: trusted, MinVersion: tls.VersionTLS12},
		}}
	}
	return c, nil
}

// roots are the certificates in a PEM file; nil if there is none.
func roots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("certificates to trust: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("certificates to trust: there is none in %s", file)
	}
	return pool, nil
}

// Close gives up idle connections. The client may be used again.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// service is one of AWS's services.
type service struct{ name, target string }

var (
	kinesis  = service{"kinesis", "Kinesis_20131202."}
	firehose = service{"firehose", "Firehose_20150804."}
)

// maxAnswer bounds what is read of an answer: GetRecords returns 10 MiB of data, in base64, and keys.
const maxAnswer = 64 << 20

// Pauses between attempts.
const (
	firstPause   = 50 * time.Millisecond
	longestPause = 5 * time.Second
)

// call makes a request, again if it may, and decodes the answer into output, unless that is nil.
func (c *Client) call(ctx context.Context, s service, operation string, input, output any) error {
	body, err := json.Marshal(input)
	if err != nil {
		return fmt.Errorf("%s: %w", operation, err)
	}
	pause := firstPause
	for attempt := 0; ; attempt++ {
		err := c.attempt(ctx, s, operation, body, output)
		var refused *Error
		if err == nil || attempt >= c.retries || ctx.Err() != nil || errors.As(err, &refused) && !refused.Retryable() {
			return err
		}
		// Half of it by chance, so that clients that were refused together do not come back together.
		timer := time.NewTimer(pause/2 + rand.N(pause/2))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return err
		}
		pause = min(2*pause, longestPause)
	}
}

func (c *Client) attempt(ctx context.Context, s service, operation string, body []byte, output any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.endpoint, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%s: %w", operation, err)
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", s.target+operation)
	if c.token != "" {
		r.Header.Set("X-Amz-Security-Token", c.token)
	}
	sigv4.Sign(r, c.credential, c.region, s.name, sha256.Sum256(body), time.Now())
	answer, err := c.http.Do(r)
	if err != nil {
		return fmt.Errorf("%s: %w", operation, err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("%s: read the answer: %w", operation, err)
	}
	if answer.StatusCode != http.StatusOK {
		return refusal(answer.StatusCode, text)
	}
	if output == nil {
		return nil
	}
	if err := json.Unmarshal(text, output); err != nil {
		return fmt.Errorf("%s: decode the answer: %w", operation, err)
	}
	return nil
}

// tellsOfEach tells whether an answer has a result for each of so many records. What stands between here and
// the server may answer anything, and nothing that is not acknowledged may pass for it.
func tellsOfEach[R any](results []R, records int, told func(R) bool) bool {
	for _, r := range results {
		if !told(r) {
			return false
		}
	}
	return len(results) == records
}

// unanswered is the error for an answer that leaves open what became of a record: it may be written or not.
func unanswered(operation string) error {
	return errors.New(operation + ": the answer does not tell what became of each record")
}

// refusal makes an Error of an answer, whoever has given it.
func refusal(status int, text []byte) error {
	var told struct {
		Type    string `json:"__type"`
		Message string `json:"message"` // matches Message, too
	}
	if json.Unmarshal(text, &told) != nil || told.Type == "" {
		return &Error{Code: http.StatusText(status), Status: status, Message: string(bytes.TrimSpace(text[:min(len(text), 512)]))}
	}
	return &Error{Code: told.Type, Message: told.Message, Status: status}
}
