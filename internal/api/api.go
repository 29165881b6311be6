// Package api is the AWS API of Sluice, put together: the edge that takes requests in, and the services
// behind it.
package api

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed-462d9463/sluice/internal/api/edge"
	"github.com/seed-462d9463/sluice/internal/api/firehose"
	"github.com/seed-462d9463/sluice/internal/api/kinesis"
	"github.com/seed-462d9463/sluice/internal/api/sigv4"
	"github.com/seed-462d9463/sluice/internal/api/wire"
)

// Credential is a pair of keys whose signatures are accepted, and the account that owns what they create.
type Credential = sigv4.Credential

// Options say what the API serves. Streams and Firehose may be nil: then their operations are not there.
type Options struct {
	Streams  kinesis.Streams
	Firehose firehose.Delivery

	// Credentials are the keys whose signatures are accepted. None means that anybody is served, unsigned
	// too, so that the listener must not be open to others.
	Credentials []Credential
	// Account owns what is created with credentials that have no account, or without any; default 000000000000.
	Account string
	// Region is that of requests whose signature names none; default us-east-1.
	Region string

	MemoryBytes int64         // half for what requests in flight may hold, half for answers; default 192 MiB
	BodyTimeout time.Duration // for a whole body to arrive, and for an answer to be taken; default 60 s

	Logger     *slog.Logger
	Registerer prometheus.Registerer
	Now        func() time.Time // default time.Now
}

// New returns the handler of the API.
func New(o Options) (http.Handler, error) {
	var services []*wire.Service
	if o.Streams != nil {
		services = append(services, kinesis.New(kinesis.Options{Streams: o.Streams, Logger: o.Logger, Now: o.Now}))
	}
	if o.Firehose != nil {
		services = append(services, firehose.New(firehose.Options{Delivery: o.Firehose}))
	}
	return edge.New(edge.Options{
		Services: services, Credentials: o.Credentials, Account: o.Account, Region: o.Region,
		MemoryBytes: o.MemoryBytes, BodyTimeout: o.BodyTimeout,
		Logger: o.Logger, Registerer: o.Registerer, Now: o.Now,
	})
}
