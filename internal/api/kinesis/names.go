package kinesis

import (
	"github.com/seed-462d9463/sluice/internal/api/arn"
	"github.com/seed-462d9463/sluice/internal/api/wire"
	"github.com/seed-462d9463/sluice/stream"
)

func isName(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '.', c == '-':
		default:
			return false
		}
	}
	return s != ""
}

// parseStreamARN takes the ARN of a stream apart.
func parseStreamARN(text string) (arn.Name, bool) {
	n, ok := arn.Parse(text)
	return n, ok && n.Service == "kinesis" && n.Type == "stream"
}

// resolve is the stream that a request names by name, by ARN, or by both, of which the rules have been checked. A
// stream of another region is not here, and one of another account only if the caller may use it.
func resolve(c wire.Caller, name, streamARN *string) (stream.Name, error) {
	n := stream.Name{Account: c.Account, Region: c.Region}
	if name != nil {
		n.Name = *name
	}
	if streamARN == nil {
		return n, nil
	}
	parsed, ok := parseStreamARN(*streamARN)
	if !ok { // the rule lets more pass than can be taken apart
		return stream.Name{}, wire.Faultf(invalidArgument, "Invalid StreamARN: %s", clip(*streamARN))
	}
	if name != nil && *name != parsed.Name {
		return stream.Name{}, wire.Faultf(invalidArgument, "StreamName %s and StreamARN %s name different streams.", *name, *streamARN)
	}
	n = stream.Name{Account: parsed.Account, Region: parsed.Region, Name: parsed.Name}
	if !acts(c, n) || !isName(n.Name) || len(n.Name) > stream.MaxNameLength {
		return stream.Name{}, notFound(n)
	}
	return n, nil
}

// clip cuts what a client sent to what is worth repeating.
func clip(text string) string {
	const most = 256
	if len(text) > most {
		return text[:most] + "…"
	}
	return text
}
