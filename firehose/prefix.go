package firehose

import (
	"crypto/rand"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// A prefix is what a user wants object names to start with: text with expressions in it, as in AWS's "Custom
// Prefixes for Amazon S3 Objects".
//
//	!{timestamp:yyyy/MM/dd}       the arrival of the object's oldest record; see parseTimeFormat for the letters
//	!{firehose:random-string}     11 characters, others at each place and in each object
//	!{firehose:error-output-type} what failed; in ErrorOutputPrefix only
//
// "!{" means nothing else, and an expression ends at the next "}".
type prefix struct{ segments []segment }

type segment struct {
	kind segmentKind
	text string     // with literal
	time timeFormat // with timestamp
}

type segmentKind int

const (
	literal segmentKind = iota
	timestamp
	randomString
	errorOutputType
)

const (
	randomChars = 11
	// longestErrorType is the longest value of error-output-type, "activePartitionExceeded" and its kin
	// included.
	longestErrorType = len("format-conversion-failed")
	// defaultTime is appended to a prefix that says nothing of time.
	defaultTime = "yyyy/MM/dd/HH/"
)

// parsePrefix reads a prefix. field is what errors call it.
func parsePrefix(field, s string) (prefix, error) {
	if n := utf8.RuneCountInString(s); n > maxPrefixChars {
		return prefix{}, invalid(field, "%d characters, at most %d are allowed", n, maxPrefixChars)
	}
	if !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		return prefix{}, invalid(field, "%q has characters that are not UTF-8 text", s)
	}
	var p prefix
	for s != "" {
		before, rest, found := strings.Cut(s, "!{")
		if before != "" {
			p.segments = append(p.segments, segment{kind: literal, text: before})
		}
		if !found {
			break
		}
		expression, after, closed := strings.Cut(rest, "}")
		if !closed {
			return prefix{}, invalid(field, `"!{%s" has no closing brace`, rest)
		}
		seg, err := parseExpression(field, expression)
		if err != nil {
			return prefix{}, err
		}
		p.segments = append(p.segments, seg)
		s = after
	}
	return p, nil
}

func parseExpression(field, expression string) (segment, error) {
	namespace, value, ok := strings.Cut(expression, ":")
	if !ok {
		return segment{}, invalid(field, `"!{%s}" is not of the form !{namespace:value}`, expression)
	}
	switch namespace {
	case "timestamp":
		format, err := parseTimeFormat(value)
		if err != nil {
			return segment{}, invalid(field, `"!{%s}": %s`, expression, err)
		}
		return segment{kind: timestamp, time: format}, nil
	case "firehose":
		switch value {
		case "random-string":
			return segment{kind: randomString}, nil
		case "error-output-type":
			return segment{kind: errorOutputType}, nil
		}
		return segment{}, invalid(field, `"!{%s}": the namespace firehose has random-string and error-output-type`, expression)
	case "partitionKeyFromQuery", "partitionKeyFromLambda":
		return segment{}, &UnsupportedError{Feature: `dynamic partitioning, and so "!{` + expression + `}" in ` + field + ","}
	default:
		return segment{}, invalid(field, `"!{%s}": the namespace is none of timestamp and firehose`, expression)
	}
}

func (p prefix) has(kinds ...segmentKind) bool {
	for _, s := range p.segments {
		for _, k := range kinds {
			if s.kind == k {
				return true
			}
		}
	}
	return false
}

// longest is how many characters and bytes the evaluated prefix can have.
func (p prefix) longest() (chars, bytes int) {
	for _, s := range p.segments {
		switch s.kind {
		case literal:
			chars += utf8.RuneCountInString(s.text)
			bytes += len(s.text)
		case timestamp:
			c, b := s.time.longest()
			chars, bytes = chars+c, bytes+b
		case randomString:
			chars, bytes = chars+randomChars, bytes+randomChars
		case errorOutputType:
			chars, bytes = chars+longestErrorType, bytes+longestErrorType
		}
	}
	return chars, bytes
}

// evaluate gives the prefix of one object. It is done once per object, when its intent is logged, because of
// the random strings.
func (p prefix) evaluate(t time.Time) string {
	var b strings.Builder
	for _, s := range p.segments {
		switch s.kind {
		case literal:
			b.WriteString(s.text)
		case timestamp:
			b.WriteString(s.time.format(t))
		case randomString:
			b.WriteString(rand.Text()[:randomChars])
		case errorOutputType: // refused by checkPrefixes
		}
	}
	return b.String()
}

// objectPrefix reads the prefix of objects, with the default time when it has no timestamp.
func objectPrefix(s string) (prefix, error) {
	p, err := parsePrefix("Prefix", s)
	if err != nil || p.has(timestamp) {
		return p, err
	}
	format, err := parseTimeFormat(defaultTime)
	p.segments = append(p.segments, segment{kind: timestamp, time: format})
	return p, err
}

// checkPrefixes checks both prefixes by the "Semantic rules" of the AWS page. Every part of an evaluated prefix
// has a known greatest length, so that no prefix that passes here can be too long later.
func checkPrefixes(name Name, d *S3Destination) error {
	asGiven, err := parsePrefix("Prefix", d.Prefix)
	if err != nil {
		return err
	}
	if asGiven.has(errorOutputType) {
		return invalid("Prefix", "!{firehose:error-output-type} is allowed in ErrorOutputPrefix only")
	}
	errorPrefix, err := parsePrefix("ErrorOutputPrefix", d.ErrorOutputPrefix)
	if err != nil {
		return err
	}
	if asGiven.has(timestamp, randomString) && d.ErrorOutputPrefix == "" {
		return invalid("ErrorOutputPrefix", "required when Prefix has expressions")
	}
	if errorPrefix.has(timestamp, randomString) && !errorPrefix.has(errorOutputType) {
		return invalid("ErrorOutputPrefix", "with expressions it needs !{firehose:error-output-type}")
	}
	p, err := objectPrefix(d.Prefix)
	if err != nil {
		return err
	}
	if n, _ := errorPrefix.longest(); n > maxEvaluatedPrefix {
		return invalid("ErrorOutputPrefix", "up to %d characters when evaluated, at most %d are allowed", n, maxEvaluatedPrefix)
	}
	chars, bytes := p.longest()
	if chars > maxEvaluatedPrefix {
		return invalid("Prefix", "up to %d characters when evaluated, at most %d are allowed", chars, maxEvaluatedPrefix)
	}
	if n := bytes + longestObjectName(name.Name, d); n > maxKeyBytes {
		return invalid("Prefix", "object keys would have up to %d bytes, at most %d are allowed", n, maxKeyBytes)
	}
	return nil
}
