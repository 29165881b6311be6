// Package api is the AWS API of Sluice, put together: the edge that takes requests in, and the services
// behind it.
package api

import (
	"cmp"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed-462d9463/sluice/internal/api/edge"
	"github.com/seed-462d9463/sluice/internal/api/firehose"
	"github.com/seed-462d9463/sluice/internal/api/ingest"
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
	// Consumers are those of Streams, and there if they are.
	Consumers kinesis.Consumers
	// Kinesis is what an operator sets for the operations of Streams.
	Kinesis kinesis.Config

	// Credentials are the keys whose signatures are accepted. None means that anybody is served, unsigned
	// too, so that the listener must not be open to others.
	Credentials []Credential
	// Account owns what is created with credentials that have no account, or without any; default 000000000000.
	Account string
	// Region is that of requests whose signature names none; default us-east-1.
	Region string

	// Ingestion is for those who send records by plain HTTP; nil: the endpoint is not there.
	Ingestion *ingest.Config

	// CORS says which web pages may call; none unless it is set.
	CORS edge.CORSConfig

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
		services = append(services, kinesis.New(kinesis.Options{
			Streams: o.Streams, Consumers: o.Consumers, Logger: o.Logger, Now: o.Now, Config: o.Kinesis,
		}))
	}
	if o.Firehose != nil {
		services = append(services, firehose.New(firehose.Options{Delivery: o.Firehose}))
	}
	handler, err := edge.New(edge.Options{
		Services: services, Credentials: o.Credentials, Account: o.Account, Region: o.Region,
		CORS: o.CORS, MemoryBytes: o.MemoryBytes, BodyTimeout: o.BodyTimeout,
		Logger: o.Logger, Registerer: o.Registerer, Now: o.Now,
	})
	if err != nil || o.Ingestion == nil || o.Streams == nil {
		return handler, err
	}
	return withIngestion(handler, o)
}

// withIngestion serves what goes to the paths of ingestion, and has the edge serve the rest.
func withIngestion(handler *edge.Handler, o Options) (http.Handler, error) {
	ingestion, err := ingest.New(ingest.Options{
		Streams: o.Streams, Config: *o.Ingestion, Open: len(o.Credentials) == 0,
		Account: cmp.Or(o.Account, edge.DefaultAccount), Region: cmp.Or(o.Region, edge.DefaultRegion),
		Logger: o.Logger, Registerer: o.Registerer,
	})
	if err != nil {
		return nil, fmt.Errorf("ingestion: %w", err)
	}
	records := handler.Beside("ingestion", "PostRecords", ingestion)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, ingest.Prefix) {
			records.ServeHTTP(w, r)
			return
		}
		handler.ServeHTTP(w, r)
	}), nil
}
