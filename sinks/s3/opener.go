package s3

import (
	"fmt"
	"net/http"
	"net/url"
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
		Transport:    uploads{transport},
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
