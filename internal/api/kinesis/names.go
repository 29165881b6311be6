package kinesis

import (
	"strings"

	"github.com/seed-462d9463/sluice/internal/api/arn"
	"github.com/seed-462d9463/sluice/internal/api/wire"
	"github.com/seed-462d9463/sluice/stream"
)

// What strings of the API must be, from the service model.
var (
	streamNameRule = &wire.StringRule{Min: 1, Max: 128, Pattern: "[a-zA-Z0-9_.-]+", Match: isName}
	shardIDRule    = &wire.StringRule{Min: 1, Max: 128, Pattern: "[a-zA-Z0-9_.-]+", Match: isName}
	streamARNRule  = &wire.StringRule{Min: 1, Max: 2048, Pattern: `arn:aws.*:kinesis:.*:\d{12}:stream/\S+`, Match: isStreamARN}
	sequenceRule   = &wire.StringRule{Min: 0, Max: 1 << 20, Pattern: `0|([1-9]\d{0,128})`, Match: isNumber(129)}
	hashKeyRule    = &wire.StringRule{Min: 0, Max: 1 << 20, Pattern: `0|([1-9]\d{0,38})`, Match: isNumber(39)}
	keyRule        = &wire.StringRule{Min: 1, Max: 256}
	iteratorRule   = &wire.StringRule{Min: 1, Max: 512}
	nextTokenRule  = &wire.StringRule{Min: 1, Max: 1 << 20}
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

func isNumber(maxDigits int) func(string) bool {
	return func(s string) bool {
		return s != "" && len(s) <= maxDigits && strings.Trim(s, "0123456789") == "" && (s[0] != '0' || s == "0")
	}
}

func isStreamARN(s string) bool {
	n, ok := arn.Parse(s)
	return ok && n.Service == "kinesis" && n.Type == "stream" && !strings.ContainsAny(n.Name, " \t\r\n\v\f")
}

// resolve is the stream that a request names by name, by ARN, or by both. Of v it asks whether what has been
// checked so far is right, too. A stream of another account or region is not here.
func resolve(c wire.Caller, v *wire.Validation, name, streamARN *string) (stream.Name, error) {
	if name == nil && streamARN == nil {
		v.Missing("streamName")
	}
	v.Optional(name, "streamName", streamNameRule)
	v.Optional(streamARN, "streamARN", streamARNRule)
	if err := v.Fault(); err != nil {
		return stream.Name{}, err
	}
	n := stream.Name{Account: c.Account, Region: c.Region}
	if name != nil {
		n.Name = *name
	}
	if streamARN == nil {
		return n, nil
	}
	parsed, _ := arn.Parse(*streamARN)
	if name != nil && *name != parsed.Name {
		return stream.Name{}, wire.Faultf(invalidArgument, "StreamName %s and StreamARN %s name different streams.", *name, *streamARN)
	}
	n.Name = parsed.Name
	if parsed.Account != c.Account || parsed.Region != c.Region || !isName(parsed.Name) || len(parsed.Name) > stream.MaxNameLength {
		return stream.Name{}, notFound(stream.Name{Account: parsed.Account, Region: parsed.Region, Name: parsed.Name})
	}
	return n, nil
}
