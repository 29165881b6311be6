package firehose

import (
	"context"

	"github.com/seed-462d9463/sluice/firehose"
	"github.com/seed-462d9463/sluice/internal/api/wire"
)

const (
	defaultPage = 10
	maxPage     = 10_000
)

func (a *api) deleteDeliveryStream(ctx context.Context, c wire.Caller, in *DeleteDeliveryStreamInput, _ *DeleteDeliveryStreamOutput) error {
	var v wire.Validation
	v.Required(in.DeliveryStreamName, "deliveryStreamName", nameRule)
	if err := v.Fault(); err != nil {
		return err
	}
	name := firehose.Name{Account: c.Account, Region: c.Region, Name: *in.DeliveryStreamName}
	return fault(a.delivery.Delete(ctx, name), name)
}

func (a *api) describeDeliveryStream(_ context.Context, c wire.Caller, in *DescribeDeliveryStreamInput, out *DescribeDeliveryStreamOutput) error {
	var v wire.Validation
	v.Required(in.DeliveryStreamName, "deliveryStreamName", nameRule)
	v.Range(in.Limit, "limit", 1, maxPage)
	v.Optional(in.ExclusiveStartDestinationId, "exclusiveStartDestinationId", destinationRule)
	if err := v.Fault(); err != nil {
		return err
	}
	name := firehose.Name{Account: c.Account, Region: c.Region, Name: *in.DeliveryStreamName}
	d, err := a.delivery.Describe(name)
	if err != nil {
		return fault(err, name)
	}
	out.DeliveryStreamDescription = describe(&d)
	if in.ExclusiveStartDestinationId != nil && *in.ExclusiveStartDestinationId >= destinationID {
		out.DeliveryStreamDescription.Destinations = []Destination{}
	}
	return nil
}

func (a *api) listDeliveryStreams(_ context.Context, c wire.Caller, in *ListDeliveryStreamsInput, out *ListDeliveryStreamsOutput) error {
	var v wire.Validation
	v.Range(in.Limit, "limit", 1, maxPage)
	if in.DeliveryStreamType != nil {
		v.Enum(*in.DeliveryStreamType, "deliveryStreamType", "DirectPut", "KinesisStreamAsSource", "MSKAsSource", "DatabaseAsSource")
	}
	v.Optional(in.ExclusiveStartDeliveryStreamName, "exclusiveStartDeliveryStreamName", nameRule)
	if err := v.Fault(); err != nil {
		return err
	}
	limit := defaultPage
	if in.Limit != nil {
		limit = int(*in.Limit)
	}
	descriptions, more := a.delivery.List(c.Account, c.Region, firehose.SourceType(value(in.DeliveryStreamType)),
		value(in.ExclusiveStartDeliveryStreamName), limit)
	out.DeliveryStreamNames, out.HasMoreDeliveryStreams = make([]string, 0, len(descriptions)), more
	for i := range descriptions {
		out.DeliveryStreamNames = append(out.DeliveryStreamNames, descriptions[i].Name.Name)
	}
	return nil
}
