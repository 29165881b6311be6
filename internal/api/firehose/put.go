package firehose

import (
	"context"
	"strconv"

	"github.com/seed-462d9463/sluice/firehose"
	"github.com/seed-462d9463/sluice/internal/api/wire"
)

// Limits of a PutRecordBatch.
const (
	maxBatchRecords = 500
	maxBatchBytes   = 4 << 20
)

// PutRecordInput is AWS's shape of that name. The bytes lie in the request's body.
type PutRecordInput struct {
	DeliveryStreamName *string
	HasRecord          bool
	Data               []byte // of the record; nil if absent
}

// PutRecordOutput is AWS's shape of that name.
type PutRecordOutput struct{ RecordID string }

// PutRecordBatchInput is AWS's shape of that name. The bytes lie in the request's body.
type PutRecordBatchInput struct {
	DeliveryStreamName *string
	Records            [][]byte // their data, nil if absent; no more than one over what is allowed
	Count              int      // how many there were
}

// PutRecordBatchOutput is AWS's shape of that name. A batch is written as a whole or not at all.
type PutRecordBatchOutput struct{ RecordIDs []string }

// Reset implements wire.Reusable.
func (in *PutRecordBatchInput) Reset() {
	records := in.Records
	clear(records)
	*in = PutRecordBatchInput{Records: records[:0]}
}

func (a *api) putRecord(ctx context.Context, c wire.Caller, in *PutRecordInput, out *PutRecordOutput) error {
	var v wire.Validation
	v.Required(in.DeliveryStreamName, "deliveryStreamName", nameRule)
	if in.HasRecord {
		checkData(&v, in.Data, "record.data")
	} else {
		v.Missing("record")
	}
	if err := v.Fault(); err != nil {
		return err
	}
	name := firehose.Name{Account: c.Account, Region: c.Region, Name: *in.DeliveryStreamName}
	ids, err := a.delivery.Put(ctx, name, [][]byte{in.Data})
	if err != nil {
		return fault(err, name)
	}
	out.RecordID = ids[0]
	return nil
}

func (a *api) putRecordBatch(ctx context.Context, c wire.Caller, in *PutRecordBatchInput, out *PutRecordBatchOutput) error {
	var v wire.Validation
	v.Required(in.DeliveryStreamName, "deliveryStreamName", nameRule)
	switch {
	case in.Records == nil:
		v.Missing("records")
	case in.Count == 0:
		v.MinLength("[]", "records", 1)
	case in.Count > maxBatchRecords:
		v.MaxLength("["+strconv.Itoa(in.Count)+" members]", "records", maxBatchRecords)
	}
	total := 0
	for i, data := range in.Records {
		if total += len(data); data == nil || len(data) > firehose.MaxRecordBytes {
			checkData(&v, data, "records."+strconv.Itoa(i+1)+".member.data")
		}
	}
	if err := v.Fault(); err != nil {
		return err
	}
	if total > maxBatchBytes {
		return wire.Faultf(invalidArgument, "Records size exceeds %d MB limit", maxBatchBytes>>20)
	}
	name := firehose.Name{Account: c.Account, Region: c.Region, Name: *in.DeliveryStreamName}
	var err error
	out.RecordIDs, err = a.delivery.Put(ctx, name, in.Records)
	return fault(err, name)
}

func checkData(v *wire.Validation, data []byte, path string) {
	switch {
	case data == nil:
		v.Missing(path)
	case len(data) > firehose.MaxRecordBytes:
		v.MaxLength(wire.Blob(len(data)), path, firehose.MaxRecordBytes)
	}
}
