package e2e

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// stream is the one that most of a conversation is about, with two shards.
const (
	stream       = "orders"
	first        = "shardId-000000000000"
	second       = "shardId-000000000001"
	toFirst      = "0"
	toSecond     = "340282366920938463463374607431768211455"
	allHashKeys  = "340282366920938463463374607431768211455"
	halfHashKeys = "170141183460469231731687303715884105728"
)

func createdAndDescribed(c *sdk) {
	before := time.Now().Add(-time.Second)
	c.do("CreateStream", object{"StreamName": stream, "ShardCount": 2, "Tags": object{"team": "web", "größe": "ü"}})
	c.wait("StreamExists", stream)
	d := get[object](c.t, c.do("DescribeStream", object{"StreamName": stream}), "StreamDescription")
	created := time.UnixMilli(millis(c.t, d, "StreamCreationTimestamp"))
	if created.Before(before) || created.After(time.Now().Add(time.Second)) {
		c.t.Errorf("created at %v", created)
	}
	check(c.t, get[string](c.t, d, "StreamStatus"), "ACTIVE")
	check(c.t, get[string](c.t, d, "StreamARN"), c.arn("stream/"+stream))
	check(c.t, number(c.t, d, "RetentionPeriodHours"), 24)
	check(c.t, get[string](c.t, d, "EncryptionType"), "NONE")
	check(c.t, get[string](c.t, d, "StreamModeDetails", "StreamMode"), "PROVISIONED")
	check(c.t, get[bool](c.t, d, "HasMoreShards"), false)
	check(c.t, get[string](c.t, d, "Shards", 1, "HashKeyRange", "StartingHashKey"), halfHashKeys)
	check(c.t, get[string](c.t, d, "Shards", 1, "HashKeyRange", "EndingHashKey"), allHashKeys)

	summary := get[object](c.t, c.do("DescribeStreamSummary", object{"StreamARN": c.arn("stream/" + stream)}), "StreamDescriptionSummary")
	check(c.t, number(c.t, summary, "OpenShardCount"), 2)
	check(c.t, number(c.t, summary, "ConsumerCount"), 0)
	check(c.t, millis(c.t, summary, "StreamCreationTimestamp"), millis(c.t, d, "StreamCreationTimestamp"))

	streams := c.do("ListStreams", object{})
	check(c.t, fmt.Sprint(get[[]any](c.t, streams, "StreamNames")), "["+stream+"]")
	check(c.t, millis(c.t, streams, "StreamSummaries", 0, "StreamCreationTimestamp"), millis(c.t, d, "StreamCreationTimestamp"))
	check(c.t, get[string](c.t, c.do("ListShards", object{"StreamName": stream}), "Shards", 1, "ShardId"), second)
}

// unicodeKey is at the limit of 256 characters, which are far more bytes.
var unicodeKey = "ключ \"quoted\" \\ \n\t 💣" + strings.Repeat("ü", 236)

func putAndRead(c *sdk) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	put := c.do("PutRecord", object{"StreamName": stream, "PartitionKey": unicodeKey, "ExplicitHashKey": toSecond, "Data": data(every)})
	check(c.t, get[string](c.t, put, "ShardId"), second)

	entries := make([]any, 500)
	for i := range entries {
		payload := fmt.Appendf(nil, "record %d", i)
		if i == 7 {
			payload = nil
		}
		entries[i] = object{"PartitionKey": fmt.Sprint("key-", i), "ExplicitHashKey": toSecond, "Data": data(payload)}
	}
	batch := c.do("PutRecords", object{"StreamARN": c.arn("stream/" + stream), "Records": entries})
	check(c.t, number(c.t, batch, "FailedRecordCount"), 0)
	check(c.t, len(get[[]any](c.t, batch, "Records")), 500)

	records := c.records(stream, second, 501)
	check(c.t, get[string](c.t, records[0], "PartitionKey"), unicodeKey)
	check(c.t, get[string](c.t, records[0], "SequenceNumber"), get[string](c.t, put, "SequenceNumber"))
	if got := blob(c.t, records[0], "Data"); !bytes.Equal(got, every) {
		c.t.Errorf("data %x", got)
	}
	for i, r := range records[1:] {
		check(c.t, get[string](c.t, r, "SequenceNumber"), get[string](c.t, batch, "Records", i, "SequenceNumber"))
		check(c.t, get[string](c.t, r, "PartitionKey"), fmt.Sprint("key-", i))
		want := blob(c.t, entries[i], "Data")
		if got := blob(c.t, r, "Data"); !bytes.Equal(got, want) {
			c.t.Fatalf("record %d is %q, want %q", i, got, want)
		}
	}
}

// iterators begins with an empty first shard.
func iterators(c *sdk) {
	latest := c.iterator(object{"ShardIteratorType": "LATEST"})
	var puts []object
	for i := range 3 {
		puts = append(puts, c.do("PutRecord", object{
			"StreamName": stream, "PartitionKey": "k", "ExplicitHashKey": toFirst, "Data": data(fmt.Appendf(nil, "%d", i)),
		}))
	}
	middle := get[string](c.t, puts[1], "SequenceNumber")
	for _, start := range []struct {
		iterator string
		want     []string
	}{
		{latest, []string{"0", "1", "2"}},
		{c.iterator(object{"ShardIteratorType": "TRIM_HORIZON"}), []string{"0", "1", "2"}},
		{c.iterator(object{"ShardIteratorType": "AT_SEQUENCE_NUMBER", "StartingSequenceNumber": middle}), []string{"1", "2"}},
		{c.iterator(object{"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": middle}), []string{"2"}},
		{c.iterator(object{"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": at(1_600_000_000_123)}), []string{"0", "1", "2"}},
		{c.iterator(object{"ShardIteratorType": "LATEST"}), nil},
	} {
		answer := c.getRecords(object{"ShardIterator": start.iterator})
		var got []string
		for _, r := range get[[]any](c.t, answer, "Records") {
			got = append(got, string(blob(c.t, r, "Data")))
		}
		if !slices.Equal(got, start.want) {
			c.t.Errorf("%v, want %v", got, start.want)
		}
		check(c.t, number(c.t, answer, "MillisBehindLatest"), 0)
	}
}

// times compares what this client and another say, and starts at a time that this client gives.
func times(c *sdk) {
	records := c.records(stream, first, 3)
	previous := millis(c.t, records[2], "ApproximateArrivalTimestamp")
	for time.Now().UnixMilli() <= previous+1 { // so that the next record is of another millisecond
		time.Sleep(time.Millisecond)
	}
	c.do("PutRecord", object{"StreamName": stream, "PartitionKey": "k", "ExplicitHashKey": toFirst, "Data": data([]byte("later"))})
	records = c.records(stream, first, 4)
	k := c.other()
	iterator := must(k.GetShardIterator(c.t.Context(), &kinesis.GetShardIteratorInput{
		StreamName: aws.String(stream), ShardId: aws.String(first), ShardIteratorType: types.ShardIteratorTypeTrimHorizon,
	}))(c.t).ShardIterator
	others := must(k.GetRecords(c.t.Context(), &kinesis.GetRecordsInput{ShardIterator: iterator}))(c.t).Records
	for i, r := range records {
		if ms, want := millis(c.t, r, "ApproximateArrivalTimestamp"), others[i].ApproximateArrivalTimestamp.UnixMilli(); ms != want {
			c.t.Errorf("record %d came at %d ms, and for another client at %d ms", i, ms, want)
		}
	}
	later := millis(c.t, records[3], "ApproximateArrivalTimestamp")
	for _, start := range []struct {
		ms   int64
		want int
	}{{later, 1}, {later + 1, 0}} {
		answer := c.getRecords(object{"ShardIterator": c.iterator(object{"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": at(start.ms)})})
		if got := len(get[[]any](c.t, answer, "Records")); got != start.want {
			c.t.Errorf("%d records from %d ms on, want %d: the last one is of %d ms", got, start.ms, start.want, later)
		}
	}
}

// largeRecords has a stream of its own, whose shards' limits are not used up.
func largeRecords(c *sdk) {
	const large, mib = "large", 1 << 20
	c.do("CreateStream", object{"StreamName": large, "ShardCount": 2})
	c.wait("StreamExists", large)
	payload := bytes.Repeat([]byte("0123456789abcdef"), mib/16)[1:] // the key counts too
	c.do("PutRecord", object{"StreamName": large, "PartitionKey": "k", "ExplicitHashKey": toFirst, "Data": data(payload)})
	records := c.records(large, first, 1)
	if got := blob(c.t, records[0], "Data"); !bytes.Equal(got, payload) {
		c.t.Errorf("%d bytes came back, and not those that were put", len(got))
	}
	c.tooLarge(object{"StreamName": large, "PartitionKey": "k", "ExplicitHashKey": toSecond, "Data": data(append(payload, 'x'))})

	// The second of two records is beyond a shard's MiB a second, and no SDK tries a part of a batch again.
	half := object{"PartitionKey": "k", "ExplicitHashKey": toSecond, "Data": data(payload[:600<<10])}
	batch := c.do("PutRecords", object{"StreamName": large, "Records": []any{half, half}})
	check(c.t, number(c.t, batch, "FailedRecordCount"), 1)
	check(c.t, get[string](c.t, batch, "Records", 1, "ErrorCode"), "ProvisionedThroughputExceededException")
	c.do("DeleteStream", object{"StreamName": large})
	c.wait("StreamNotExists", large)
}

func exceptions(c *sdk) {
	for _, r := range []struct {
		exception, operation string
		input                object
		says                 string
	}{
		{"ResourceNotFoundException", "DescribeStream", object{"StreamName": "nowhere"}, "Stream nowhere under account 000000000000 not found."},
		{"ResourceInUseException", "CreateStream", object{"StreamName": stream, "ShardCount": 1}, "already exists"},
		{"InvalidArgumentException", "GetRecords", object{"ShardIterator": "nonsense"}, ""},
	} {
		if message := c.refused(r.exception, r.operation, r.input); !strings.Contains(message, r.says) {
			c.t.Errorf("%s says %q", r.exception, message)
		}
	}
}

func pages(c *sdk) {
	page := c.do("ListShards", object{"StreamName": stream, "MaxResults": 1})
	check(c.t, get[string](c.t, page, "Shards", 0, "ShardId"), first)
	page = c.do("ListShards", object{"NextToken": get[string](c.t, page, "NextToken")})
	check(c.t, get[string](c.t, page, "Shards", 0, "ShardId"), second)
	if _, more := page["NextToken"]; more {
		c.t.Error("a page after the last")
	}
	page = get[object](c.t, c.do("DescribeStream", object{"StreamName": stream, "Limit": 1}), "StreamDescription")
	check(c.t, get[bool](c.t, page, "HasMoreShards"), true)
	check(c.t, len(get[[]any](c.t, page, "Shards")), 1)
}

func deleted(c *sdk) {
	c.do("DeleteStream", object{"StreamName": stream, "EnforceConsumerDeletion": true})
	c.wait("StreamNotExists", stream)
}

// iterator is one of the stream's first shard.
func (c *sdk) iterator(start object) string {
	c.t.Helper()
	start["StreamName"], start["ShardId"] = stream, first
	return get[string](c.t, c.do("GetShardIterator", start), "ShardIterator")
}

// getRecords reads, at the pace that a shard allows.
func (c *sdk) getRecords(input object) object {
	c.t.Helper()
	for {
		answer, err := c.try("GetRecords", input)
		if err == nil {
			return answer
		}
		if err.Type != "ProvisionedThroughputExceededException" {
			c.t.Fatalf("GetRecords: %+v", *err)
		}
	}
}

// records reads a shard from its beginning until it has so many records.
func (c *sdk) records(stream, shard string, n int) []any {
	c.t.Helper()
	iterator := get[string](c.t, c.do("GetShardIterator", object{
		"StreamName": stream, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON",
	}), "ShardIterator")
	var records []any
	for {
		answer := c.getRecords(object{"ShardIterator": iterator})
		if records = append(records, get[[]any](c.t, answer, "Records")...); len(records) >= n {
			break
		}
		iterator = get[string](c.t, answer, "NextShardIterator")
	}
	if len(records) > n {
		c.t.Fatalf("%d records in %s, want %d", len(records), shard, n)
	}
	return records
}

// tooLarge puts a record that is over the limit.
func (c *sdk) tooLarge(input object) {
	c.t.Helper()
	_, err := c.try("PutRecord", input)
	if err == nil || err.Status != 400 {
		c.t.Fatalf("a record over the limit: %+v", err)
	}
}

func check[T comparable](t testing.TB, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}
