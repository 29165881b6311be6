package kinesis

import (
	"context"
	"errors"
	"time"

	"github.com/seed-462d9463/sluice/consumers/fanout"
	"github.com/seed-462d9463/sluice/internal/api/arn"
	"github.com/seed-462d9463/sluice/internal/api/wire"
	"github.com/seed-462d9463/sluice/stream"
)

// maxConsumersPage is how many consumers ListStreamConsumers returns at most, and unless it is told.
const maxConsumersPage = 100

// RegisterStreamConsumerInput is AWS's shape of that name.
type RegisterStreamConsumerInput struct {
	StreamARN    *string
	ConsumerName *string
	StreamId     *string
	Tags         map[string]string
}

// RegisterStreamConsumerOutput is AWS's shape of that name.
type RegisterStreamConsumerOutput struct {
	Consumer Consumer
}

// Consumer is AWS's shape of that name.
type Consumer struct {
	ConsumerName              string
	ConsumerARN               string
	ConsumerStatus            string
	ConsumerCreationTimestamp wire.Timestamp
}

// DeregisterStreamConsumerInput is AWS's shape of that name.
type DeregisterStreamConsumerInput struct {
	StreamARN    *string
	ConsumerName *string
	ConsumerARN  *string
	StreamId     *string
}

// DescribeStreamConsumerInput is AWS's shape of that name.
type DescribeStreamConsumerInput DeregisterStreamConsumerInput

// DescribeStreamConsumerOutput is AWS's shape of that name.
type DescribeStreamConsumerOutput struct {
	ConsumerDescription ConsumerDescription
}

// ConsumerDescription is AWS's shape of that name.
type ConsumerDescription struct {
	ConsumerName              string
	ConsumerARN               string
	ConsumerStatus            string
	ConsumerCreationTimestamp wire.Timestamp
	StreamARN                 string
}

// ListStreamConsumersInput is AWS's shape of that name.
type ListStreamConsumersInput struct {
	StreamARN               *string
	NextToken               *string
	MaxResults              *int32
	StreamCreationTimestamp wire.Timestamp
	StreamId                *string
}

// ListStreamConsumersOutput is AWS's shape of that name.
type ListStreamConsumersOutput struct {
	Consumers []Consumer
	NextToken string
}

func consumerARN(c *fanout.Consumer) string {
	return arn.Consumer(c.Stream.Region, c.Stream.Account, c.Stream.Name, c.Name, c.Created)
}

func consumerShape(c *fanout.Consumer) Consumer {
	return Consumer{
		ConsumerName: c.Name, ConsumerARN: consumerARN(c), ConsumerStatus: statusActive,
		ConsumerCreationTimestamp: wire.At(c.Created),
	}
}

// consumerFault is fault for what concerns a consumer.
func consumerFault(err error, name stream.Name, consumer string) error {
	switch {
	case errors.Is(err, fanout.ErrNotFound):
		return consumerNotFound(name, consumer)
	case errors.Is(err, fanout.ErrExists):
		return wire.Faultf(resourceInUse, "Consumer %s under stream %s already exists for account %s.", consumer, name.Name, name.Account)
	case errors.Is(err, fanout.ErrQuota):
		return wire.Faultf(limitExceeded, "Stream %s under account %s has as many registered consumers as it may have.", name.Name, name.Account)
	case errors.Is(err, fanout.ErrInvalidName):
		return wire.Faultf(invalidArgument, "%s", err)
	}
	return fault(err, name, "")
}

func consumerNotFound(name stream.Name, consumer string) error {
	return wire.Faultf(resourceNotFound, "Consumer %s under stream %s not found for account %s.", consumer, name.Name, name.Account)
}

func (a *api) registerStreamConsumer(ctx context.Context, c wire.Caller, in *RegisterStreamConsumerInput, out *RegisterStreamConsumerOutput) error {
	name, err := resolve(c, nil, in.StreamARN)
	if err != nil {
		return err
	}
	if _, err := addTags(name, nil, in.Tags); err != nil {
		return err
	}
	consumer, err := a.consumers.Register(ctx, name, *in.ConsumerName, in.Tags)
	if err != nil {
		return consumerFault(err, name, *in.ConsumerName)
	}
	out.Consumer = consumerShape(&consumer)
	return nil
}

// consumer is the one that a request names by its ARN, by its stream's ARN and its name, or by all of them.
func (a *api) consumer(c wire.Caller, streamARN, consumerName, byARN *string) (fanout.Consumer, error) {
	var name stream.Name
	var consumer string
	created := int64(-1)
	switch {
	case byARN != nil:
		n, ok := arn.ParseConsumer(*byARN)
		if !ok { // the rule lets more pass than can be taken apart
			return fanout.Consumer{}, wire.Faultf(invalidArgument, "Invalid ConsumerARN: %s", clip(*byARN))
		}
		if streamARN != nil && *streamARN != n.Stream.String() || consumerName != nil && *consumerName != n.Consumer {
			return fanout.Consumer{}, wire.Faultf(invalidArgument, "ConsumerARN does not match the StreamARN or the ConsumerName.")
		}
		name = stream.Name{Account: n.Stream.Account, Region: n.Stream.Region, Name: n.Stream.Name}
		consumer, created = n.Consumer, n.Created
		if !acts(c, name) {
			return fanout.Consumer{}, consumerNotFound(name, consumer)
		}
	case streamARN != nil && consumerName != nil:
		var err error
		if name, err = resolve(c, nil, streamARN); err != nil {
			return fanout.Consumer{}, err
		}
		consumer = *consumerName
	default:
		return fanout.Consumer{}, wire.Faultf(invalidArgument, "Either ConsumerARN, or StreamARN and ConsumerName, must be specified.")
	}
	found, err := a.consumers.Consumer(name, consumer)
	if err == nil && created >= 0 && found.Created.Unix() != created {
		err = fanout.ErrNotFound // an earlier one of the name is meant
	}
	return found, consumerFault(err, name, consumer)
}

func (a *api) deregisterStreamConsumer(ctx context.Context, c wire.Caller, in *DeregisterStreamConsumerInput, _ *wire.Nothing) error {
	consumer, err := a.consumer(c, in.StreamARN, in.ConsumerName, in.ConsumerARN)
	if err == nil {
		err = a.undenied(c, "DeregisterStreamConsumer", &consumer)
	}
	if err != nil {
		return err
	}
	return consumerFault(a.consumers.Deregister(ctx, consumer), consumer.Stream, consumer.Name)
}

func (a *api) describeStreamConsumer(_ context.Context, c wire.Caller, in *DescribeStreamConsumerInput, out *DescribeStreamConsumerOutput) error {
	consumer, err := a.consumer(c, in.StreamARN, in.ConsumerName, in.ConsumerARN)
	if err == nil {
		err = a.undenied(c, "DescribeStreamConsumer", &consumer)
	}
	if err != nil {
		return err
	}
	out.ConsumerDescription = ConsumerDescription{
		ConsumerName: consumer.Name, ConsumerARN: consumerARN(&consumer), ConsumerStatus: statusActive,
		ConsumerCreationTimestamp: wire.At(consumer.Created),
		StreamARN:                 arn.Stream(consumer.Stream.Region, consumer.Stream.Account, consumer.Stream.Name),
	}
	return nil
}

func (a *api) listStreamConsumers(_ context.Context, c wire.Caller, in *ListStreamConsumersInput, out *ListStreamConsumersOutput) error {
	if in.NextToken != nil && !in.StreamCreationTimestamp.IsZero() {
		return wire.Faultf(invalidArgument, "NextToken and StreamCreationTimestamp cannot be provided together.")
	}
	d, err := a.describe(c, nil, in.StreamARN)
	if err != nil {
		return err
	}
	if t := in.StreamCreationTimestamp; !t.IsZero() && !t.Truncate(time.Second).Equal(d.Created.Truncate(time.Second)) {
		return notFound(d.Name) // they mean an earlier stream of this name
	}
	after, limit := "", maxConsumersPage
	if in.NextToken != nil {
		if after, err = openConsumersToken(*in.NextToken, d.Name.Name, c, d.ID, a.now()); err != nil {
			return err
		}
	}
	if in.MaxResults != nil {
		limit = min(limit, int(*in.MaxResults))
	}
	consumers, more, err := a.consumers.Consumers(&d, after, limit)
	if err != nil {
		return fault(err, d.Name, "")
	}
	out.Consumers = make([]Consumer, 0, len(consumers))
	for i := range consumers {
		out.Consumers = append(out.Consumers, consumerShape(&consumers[i]))
	}
	if more {
		out.NextToken = sealConsumersToken(d.Name.Name, consumers[len(consumers)-1].Name, c, d.ID, a.now())
	}
	return nil
}
