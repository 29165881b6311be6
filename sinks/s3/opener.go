package s3

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/s3utils"

	"github.com/seed-462d9463/sluice/sinks"
)

// Opener opens the buckets of one object store.
type Opener struct {
	client    *minio.Client
	transport *http.Transport
	spool     *spool
	endpoint  *url.URL
	timeout   time.Duration
	region    string
	create    bool
	amazon    bool // the endpoint is Amazon's own
}

var _ sinks.OpenCloser = (*Opener)(nil)

// New returns the opener for the store's buckets. It reads the files that the options name and prepares the
// spool directory, but does not talk to the store: it may be away for now.
func New(config Config) (*Opener, error) {
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("object store: %w", err)
	}
	endpoint, err := config.endpoint()
	if err != nil {
		return nil, fmt.Errorf("object store: %w", err)
	}
	timeout := config.Timeout
	if timeout == 0 {
		timeout = DefaultTimeout
	}
	transport, err := newTransport(config, timeout)
	if err != nil {
		return nil, fmt.Errorf("object store: %w", err)
	}
	client, err := minio.New(endpoint.Host, &minio.Options{
		Creds:        credentials.NewStaticV4(config.AccessKey, config.SecretKey, config.SessionToken),
		Secure:       endpoint.Scheme == "https",
		Transport:    expectContinue{transport},
		Region:       config.Region,
		BucketLookup: lookup(config.PathStyle),
		// The caller repeats a Put. The client must not: its second attempt would read the content while
		// net/http may still be busy with the first.
		MaxRetries: 1,
	})
	if err != nil {
		return nil, fmt.Errorf("object store %s: %w", endpoint, err)
	}
	spool, err := newSpool(config.SpoolDir)
	if err != nil {
		return nil, fmt.Errorf("object store %s: %w", endpoint, err)
	}
	return &Opener{
		client: client, transport: transport, spool: spool, endpoint: endpoint,
		timeout: timeout, region: config.Region, create: config.CreateBuckets,
		amazon: s3utils.IsAmazonEndpoint(*endpoint),
	}, nil
}

// Open returns the sink of a bucket.
func (o *Opener) Open(bucket string) (sinks.Sink, error) {
	if err := sinks.CheckBucket(bucket); err != nil {
		return nil, err
	}
	return &sink{opener: o, bucket: bucket}, nil
}

// Close drops the idle connections.
func (o *Opener) Close() error {
	o.transport.CloseIdleConnections()
	return nil
}

func lookup(pathStyle *bool) minio.BucketLookupType {
	switch {
	case pathStyle == nil:
		return minio.BucketLookupAuto
	case *pathStyle:
		return minio.BucketLookupPath
	default:
		return minio.BucketLookupDNS
	}
}

// newTransport is the client's default one, with the configured timeout and trust. HTTP/1.1 only: uploads gain
// nothing from sharing a connection.
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
	if config.CAFile == "" {
		return transport, nil
	}
	pem, err := os.ReadFile(config.CAFile)
	if err != nil {
		return nil, fmt.Errorf("ca_file: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("ca_file: " + config.CAFile + " holds no certificate in PEM form")
	}
	transport.TLSClientConfig.RootCAs = pool
	return transport, nil
}

// expectContinue asks the store before a large body is sent, as Amazon's own clients do: a store that refuses
// the request, and closes the connection on the rest of the body, is then heard, and nothing is sent in vain.
type expectContinue struct{ next http.RoundTripper }

const expectContinueBytes = 1 << 20

func (e expectContinue) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method == http.MethodPut && req.ContentLength > expectContinueBytes {
		req = req.Clone(req.Context()) // a RoundTripper must not change the request
		req.Header.Set("Expect", "100-continue")
	}
	return e.next.RoundTrip(req)
}
