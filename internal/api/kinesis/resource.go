package kinesis

import (
	"github.com/seed-462d9463/sluice/consumers/fanout"
	"github.com/seed-462d9463/sluice/internal/api/arn"
	"github.com/seed-462d9463/sluice/internal/api/wire"
	"github.com/seed-462d9463/sluice/stream"
)

// resource is what an ARN names: a stream, or a consumer that is registered with it.
type resource struct {
	arn      string
	stream   stream.Name
	consumer string // its name; "" if it is the stream
}

// parseResource takes the ARN of a resource apart, of which the rules have been checked. What is in another region is
// not here, and what is in another account only if the caller may use it.
func parseResource(c wire.Caller, text string) (resource, error) {
	r, ok := splitResource(text)
	switch {
	case !ok:
		return resource{}, wire.Faultf(invalidArgument, "Invalid ARN: %s", clip(text))
	case !acts(c, r.stream) && r.consumer != "":
		return resource{}, consumerNotFound(r.stream, r.consumer)
	case !acts(c, r.stream):
		return resource{}, notFound(r.stream)
	}
	return r, nil
}

// splitResource takes an ARN apart. False: it is neither a stream's nor a consumer's.
func splitResource(text string) (resource, bool) {
	n, ok := parseStreamARN(text)
	r := resource{arn: text}
	if consumer, isConsumer := arn.ParseConsumer(text); isConsumer {
		n, r.consumer = consumer.Stream, consumer.Consumer
		ok = ok && isName(r.consumer)
	}
	r.stream = stream.Name{Account: n.Account, Region: n.Region, Name: n.Name}
	return r, ok && isName(n.Name) && len(n.Name) <= stream.MaxNameLength
}

// consumerOf is the consumer that a resource is.
func (a *api) consumerOf(c wire.Caller, r resource) (fanout.Consumer, error) {
	return a.consumer(c, nil, nil, &r.arn)
}
