// Package firehose is the API of Amazon Data Firehose (API version 2015-08-04) on the delivery streams of
// package firehose: what AWS calls operations, with AWS's validation, paging and errors. It knows neither HTTP
// nor JSON.
package firehose

import (
	"context"

	"github.com/seed-462d9463/sluice/firehose"
	"github.com/seed-462d9463/sluice/internal/api/wire"
)

// Delivery is what the operations need of package firehose, whose Service has it; the comments are there.
type Delivery interface {
	Create(ctx context.Context, name firehose.Name, definition firehose.Definition) error
	Delete(ctx context.Context, name firehose.Name) error
	Describe(name firehose.Name) (firehose.Description, error)
	List(account, region string, of firehose.SourceType, after string, limit int) (descriptions []firehose.Description, more bool)
	Put(ctx context.Context, name firehose.Name, records [][]byte) (recordIDs []string, err error)
}

var _ Delivery = (*firehose.Service)(nil)

// Options say what the service is made of.
type Options struct {
	Delivery Delivery
}

type api struct {
	delivery Delivery
}

// Bodies of requests, in bytes. Four MiB of records are six in base64.
const (
	maxBody      = 2 << 20
	maxBatchBody = 8 << 20
)

// planned are AWS's operations that are not here yet.
var planned = []string{
	"ListTagsForDeliveryStream", "StartDeliveryStreamEncryption", "StopDeliveryStreamEncryption",
	"TagDeliveryStream", "UntagDeliveryStream", "UpdateDestination",
}

// New returns the service.
func New(o Options) *wire.Service {
	a := &api{delivery: o.Delivery}
	return wire.NewService("firehose", "Firehose_20150804", planned,
		wire.NewOperation("CreateDeliveryStream", maxBody, a.createDeliveryStream),
		wire.NewOperation("DeleteDeliveryStream", maxBody, a.deleteDeliveryStream),
		wire.NewOperation("DescribeDeliveryStream", maxBody, a.describeDeliveryStream),
		wire.NewOperation("ListDeliveryStreams", maxBody, a.listDeliveryStreams),
		wire.NewOperation("PutRecord", maxBody, a.putRecord),
		wire.NewOperation("PutRecordBatch", maxBatchBody, a.putRecordBatch),
	)
}
