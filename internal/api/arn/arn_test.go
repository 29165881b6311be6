package arn

import "testing"

func TestNamesSurviveTheWayThroughAnARN(t *testing.T) {
	for text, n := range map[string]Name{
		"arn:aws:kinesis:eu-central-1:123456789012:stream/a.b-c_d":      {"kinesis", "eu-central-1", "123456789012", "stream", "a.b-c_d"},
		"arn:aws-cn:kinesis:cn-north-1:123456789012:stream/s":           {"kinesis", "cn-north-1", "123456789012", "stream", "s"},
		"arn:aws-us-gov:firehose:us-gov-west-1:1:deliverystream/s":      {},
		"arn:aws:firehose:local:123456789012:deliverystream/s":          {"firehose", "local", "123456789012", "deliverystream", "s"},
		"arn:aws:kinesis:eu-central-1:123456789012:stream/s/consumer/c": {"kinesis", "eu-central-1", "123456789012", "stream", "s/consumer/c"},
		"arn:aws:kinesis:eu-central-1:12345678901x:stream/s":            {},
		"arn:aws:kinesis:eu-central-1:123456789012:stream":              {},
		"arn:aws:kinesis:eu-central-1:123456789012:stream/":             {},
		"arn:gcp:kinesis:eu-central-1:123456789012:stream/s":            {},
		"":    {},
		"arn": {},
	} {
		got, ok := Parse(text)
		if got != n || ok != (n != Name{}) {
			t.Errorf("%s: %+v, %v", text, got, ok)
		}
		if ok && got.String() != text {
			t.Errorf("%s came back as %s", text, got)
		}
	}
	if got := DeliveryStream("us-gov-west-1", "123456789012", "d"); got != "arn:aws-us-gov:firehose:us-gov-west-1:123456789012:deliverystream/d" {
		t.Error(got)
	}
	if got := Stream("us-east-1", "123456789012", "s"); got != "arn:aws:kinesis:us-east-1:123456789012:stream/s" {
		t.Error(got)
	}
}
