package e2e

import (
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
)

// followed is the stream that is subscribed to.
const followed = "followed"

func consumers(c *sdk) {
	c.do("CreateStream", object{"StreamName": followed, "ShardCount": 1})
	c.wait("StreamExists", followed)
	registered := c.register("reader")
	consumer := get[string](c.t, registered, "ConsumerARN")
	description := get[object](c.t, c.do("DescribeStreamConsumer", object{"ConsumerARN": consumer}), "ConsumerDescription")
	check(c.t, get[string](c.t, description, "ConsumerStatus"), "ACTIVE")
	check(c.t, get[string](c.t, description, "StreamARN"), c.arn("stream/"+followed))
	check(c.t, millis(c.t, description, "ConsumerCreationTimestamp"), millis(c.t, registered, "ConsumerCreationTimestamp"))
	c.refused("ResourceInUseException", "RegisterStreamConsumer", object{"StreamARN": c.arn("stream/" + followed), "ConsumerName": "reader"})

	second := get[string](c.t, c.register("second"), "ConsumerARN")
	list := object{"StreamARN": c.arn("stream/" + followed), "MaxResults": 1}
	page := c.do("ListStreamConsumers", list)
	list["NextToken"] = get[string](c.t, page, "NextToken")
	names := []string{get[string](c.t, page, "Consumers", 0, "ConsumerName"), get[string](c.t, c.do("ListStreamConsumers", list), "Consumers", 0, "ConsumerName")}
	slices.Sort(names)
	check(c.t, fmt.Sprint(names), "[reader second]")

	if c.pushes {
		c.follow(consumer)
		c.end(second)
	}
	c.do("DeregisterStreamConsumer", object{"ConsumerARN": consumer})
	c.refused("ResourceNotFoundException", "DescribeStreamConsumer", object{"ConsumerARN": consumer})
	c.do("DeleteStream", object{"StreamName": followed, "EnforceConsumerDeletion": true})
	c.wait("StreamNotExists", followed)
}

func (c *sdk) register(name string) object {
	c.t.Helper()
	return get[object](c.t, c.do("RegisterStreamConsumer", object{"StreamARN": c.arn("stream/" + followed), "ConsumerName": name}), "Consumer")
}

// follow subscribes to a shard with two records, and has a third pushed that is put while the client waits.
func (c *sdk) follow(consumer string) {
	c.t.Helper()
	var puts []object
	for i := range 2 {
		puts = append(puts, c.do("PutRecord", object{"StreamName": followed, "PartitionKey": unicodeKey, "Data": data([]byte{byte(i), 255})}))
	}
	var got []any
	later := ""
	position := object{"Type": "AT_SEQUENCE_NUMBER", "SequenceNumber": get[string](c.t, puts[0], "SequenceNumber")}
	c.subscribe(object{"ConsumerARN": consumer, "ShardId": first, "StartingPosition": position}, 3, func(event object) {
		get[string](c.t, event, "ContinuationSequenceNumber")
		got = append(got, get[[]any](c.t, event, "Records")...)
		if len(got) == 2 && later == "" {
			put := must(c.other().PutRecord(c.t.Context(), &kinesis.PutRecordInput{
				StreamName: aws.String(followed), PartitionKey: aws.String("k"), Data: []byte("later"),
			}))(c.t)
			later = *put.SequenceNumber
		}
	})
	check(c.t, len(got), 3)
	for i, put := range puts {
		check(c.t, get[string](c.t, got[i], "SequenceNumber"), get[string](c.t, put, "SequenceNumber"))
		check(c.t, get[string](c.t, got[i], "PartitionKey"), unicodeKey)
		check(c.t, string(blob(c.t, got[i], "Data")), string([]byte{byte(i), 255}))
	}
	check(c.t, get[string](c.t, got[2], "SequenceNumber"), later)
	read := c.records(followed, first, 3)
	for i := range got {
		check(c.t, millis(c.t, got[i], "ApproximateArrivalTimestamp"), millis(c.t, read[i], "ApproximateArrivalTimestamp"))
	}
}

// end subscribes to a shard that has been split, from the time of its last record on, until it has ended.
func (c *sdk) end(consumer string) {
	c.t.Helper()
	c.do("SplitShard", object{"StreamName": followed, "ShardToSplit": first, "NewStartingHashKey": halfHashKeys})
	c.wait("StreamExists", followed)
	last := c.records(followed, first, 3)[2]
	var events []object
	position := object{"Type": "AT_TIMESTAMP", "Timestamp": at(millis(c.t, last, "ApproximateArrivalTimestamp"))}
	c.subscribe(object{"ConsumerARN": consumer, "ShardId": first, "StartingPosition": position}, 0, func(event object) {
		events = append(events, event)
	})
	var got []any
	for _, event := range events {
		got = append(got, get[[]any](c.t, event, "Records")...)
		children, _ := event["ChildShards"].([]any)
		if _, more := event["ContinuationSequenceNumber"]; more && len(children) > 0 { // which the KCL takes for an error
			c.t.Errorf("children beside a continuation: %v", event)
		}
	}
	check(c.t, get[string](c.t, got[len(got)-1], "SequenceNumber"), get[string](c.t, last, "SequenceNumber"))
	ended := events[len(events)-1]
	if number, more := ended["ContinuationSequenceNumber"]; more {
		c.t.Errorf("the last event goes on at %v", number)
	}
	check(c.t, len(get[[]any](c.t, ended, "ChildShards")), 2)
	check(c.t, get[string](c.t, ended, "ChildShards", 0, "ParentShards", 0), first)
}

// subscribe follows a shard until records have come, or with 0 until the server ends the subscription. It calls each
// for every event, in between.
func (c *sdk) subscribe(input object, records int, each func(event object)) {
	c.t.Helper()
	tell(c.t, c.in, object{"subscribe": true, "input": input, "records": records})
	for {
		switch r := c.read(); {
		case r.Event != nil:
			c.called["SubscribeToShard"] = true
			each(r.Event)
		case r.Error != nil:
			c.t.Fatalf("SubscribeToShard(%s): %+v", short(input), *r.Error)
		default:
			return
		}
	}
}
