// Package arn reads and writes Amazon Resource Names of streams and delivery streams
// (arn:partition:service:region:account:type/name).
package arn

import (
	"strconv"
	"strings"
	"time"
)

// Name says where a resource is and what it is called.
type Name struct {
	Service string // "kinesis"
	Region  string
	Account string
	Type    string // "stream"
	Name    string // what follows the type's slash
}

// String is the ARN.
func (n Name) String() string {
	return "arn:" + partition(n.Region) + ":" + n.Service + ":" + n.Region + ":" + n.Account + ":" + n.Type + "/" + n.Name
}

// Stream is the ARN of a data stream.
func Stream(region, account, name string) string {
	return Name{Service: "kinesis", Region: region, Account: account, Type: "stream", Name: name}.String()
}

// ConsumerName says which consumer of which stream is meant.
type ConsumerName struct {
	Stream   Name
	Consumer string
	Created  int64 // seconds since 1970
}

// Consumer is the ARN of a consumer of a data stream.
func Consumer(region, account, stream, consumer string, created time.Time) string {
	return Stream(region, account, stream) + "/consumer/" + consumer + ":" + strconv.FormatInt(created.Unix(), 10)
}

// ParseConsumer takes the ARN of a consumer apart. False: it does not have the parts that Consumer writes.
func ParseConsumer(text string) (ConsumerName, bool) {
	n, ok := Parse(text)
	name, rest, isConsumer := strings.Cut(n.Name, "/consumer/")
	consumer, created, hasTime := strings.Cut(rest, ":")
	seconds, err := strconv.ParseInt(created, 10, 64)
	if !ok || !isConsumer || !hasTime || err != nil || n.Service != "kinesis" || n.Type != "stream" || name == "" || consumer == "" {
		return ConsumerName{}, false
	}
	n.Name = name
	return ConsumerName{Stream: n, Consumer: consumer, Created: seconds}, true
}

// DeliveryStream is the ARN of a delivery stream.
func DeliveryStream(region, account, name string) string {
	return Name{Service: "firehose", Region: region, Account: account, Type: "deliverystream", Name: name}.String()
}

// Parse takes an ARN apart. False: it does not have the parts that String writes.
func Parse(text string) (Name, bool) {
	parts := strings.SplitN(text, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" || !strings.HasPrefix(parts[1], "aws") || !IsAccount(parts[4]) {
		return Name{}, false
	}
	kind, name, ok := strings.Cut(parts[5], "/")
	if !ok || kind == "" || name == "" {
		return Name{}, false
	}
	return Name{Service: parts[2], Region: parts[3], Account: parts[4], Type: kind, Name: name}, true
}

// IsAccount tells whether a text is the number of an account.
func IsAccount(text string) bool {
	return len(text) == 12 && strings.Trim(text, "0123456789") == ""
}

// partition is the group of regions that a region belongs to.
func partition(region string) string {
	switch {
	case strings.HasPrefix(region, "cn-"):
		return "aws-cn"
	case strings.HasPrefix(region, "us-gov-"):
		return "aws-us-gov"
	}
	return "aws"
}
