package kinesis

import (
	"strings"

	"github.com/seed-462d9463/sluice/internal/api/wire"
	"github.com/seed-462d9463/sluice/stream"
)

// resource is what an ARN names: a stream, or a consumer that is registered with it.
type resource struct {
	arn      string
	stream   stream.Name
	consumer string // its name; "" if it is the stream
	created  string // seconds since 1970, when the consumer was registered
}

// parseResource takes the ARN of a resource apart, of which the rules have been checked. What is in another account or
// region is not here.
func parseResource(c wire.Caller, text string) (resource, error) {
	r, ok := splitResource(text)
	switch {
	case !ok:
		return resource{}, wire.Faultf(invalidArgument, "Invalid ARN: %s", clip(text))
	case r.stream.Account != c.Account || r.stream.Region != c.Region:
		return resource{}, notFound(r.stream)
	case r.consumer != "":
		return resource{}, wire.Faultf(resourceNotFound, "Consumer %s not found.", r.arn)
	}
	return r, nil
}

// splitResource takes an ARN apart. False: it is neither a stream's nor a consumer's.
func splitResource(text string) (resource, bool) {
	parsed, ok := parseStreamARN(text)
	if !ok {
		return resource{}, false
	}
	name, rest, isConsumer := strings.Cut(parsed.Name, "/")
	r := resource{arn: text, stream: stream.Name{Account: parsed.Account, Region: parsed.Region, Name: name}}
	if isConsumer {
		kind, consumer, _ := strings.Cut(rest, "/")
		r.consumer, r.created, ok = strings.Cut(consumer, ":")
		if !ok || kind != "consumer" || !isName(r.consumer) || r.created == "" || strings.Trim(r.created, "0123456789") != "" {
			return resource{}, false
		}
	}
	return r, isName(name) && len(name) <= stream.MaxNameLength
}
