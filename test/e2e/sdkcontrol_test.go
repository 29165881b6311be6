package e2e

import (
	"fmt"
	"slices"
)

// resource is the stream's name as the operations with ARNs take it.
func (c *sdk) resource() string { return c.arn("stream/" + stream) }

// summary is DescribeStreamSummary's of the stream.
func (c *sdk) summary() object {
	c.t.Helper()
	return get[object](c.t, c.do("DescribeStreamSummary", object{"StreamName": stream}), "StreamDescriptionSummary")
}

// tags begins with those that CreateStream gave.
func tags(c *sdk) {
	c.do("AddTagsToStream", object{"StreamName": stream, "Tags": object{"stage": "test"}})
	c.do("TagResource", object{"ResourceARN": c.resource(), "Tags": object{"owner": "ключ"}})
	check(c.t, listed(c, c.do("ListTagsForStream", object{"StreamName": stream})), "größe=ü owner=ключ stage=test team=web")
	c.do("RemoveTagsFromStream", object{"StreamName": stream, "TagKeys": []any{"stage"}})
	c.do("UntagResource", object{"ResourceARN": c.resource(), "TagKeys": []any{"owner", "team"}})
	check(c.t, listed(c, c.do("ListTagsForResource", object{"ResourceARN": c.resource()})), "größe=ü")
}

// listed are the tags of an answer, in the order of their keys.
func listed(c *sdk, answer object) string {
	c.t.Helper()
	var all []string
	for _, tag := range get[[]any](c.t, answer, "Tags") {
		all = append(all, get[string](c.t, tag, "Key")+"="+get[string](c.t, tag, "Value"))
	}
	slices.Sort(all)
	text := fmt.Sprint(all)
	return text[1 : len(text)-1]
}

func retention(c *sdk) {
	c.do("IncreaseStreamRetentionPeriod", object{"StreamName": stream, "RetentionPeriodHours": 48})
	check(c.t, number(c.t, c.summary(), "RetentionPeriodHours"), 48)
	c.do("DecreaseStreamRetentionPeriod", object{"StreamName": stream, "RetentionPeriodHours": 24})
	check(c.t, number(c.t, c.summary(), "RetentionPeriodHours"), 24)
	c.refused("InvalidArgumentException", "IncreaseStreamRetentionPeriod", object{"StreamName": stream, "RetentionPeriodHours": 9000})
}

func monitoring(c *sdk) {
	enabled := c.do("EnableEnhancedMonitoring", object{"StreamName": stream, "ShardLevelMetrics": []any{"IncomingBytes", "OutgoingRecords"}})
	check(c.t, len(get[[]any](c.t, enabled, "DesiredShardLevelMetrics")), 2)
	disabled := c.do("DisableEnhancedMonitoring", object{"StreamName": stream, "ShardLevelMetrics": []any{"OutgoingRecords"}})
	check(c.t, fmt.Sprint(get[[]any](c.t, disabled, "DesiredShardLevelMetrics")), "[IncomingBytes]")
	check(c.t, get[string](c.t, c.summary(), "EnhancedMonitoring", 0, "ShardLevelMetrics", 0), "IncomingBytes")
}

func recordSize(c *sdk) {
	c.do("UpdateMaxRecordSize", object{"StreamARN": c.resource(), "MaxRecordSizeInKiB": 2048})
	check(c.t, number(c.t, c.summary(), "MaxRecordSizeInKiB"), 2048)
}

func accountSettings(c *sdk) {
	limits := c.do("DescribeLimits", object{})
	check(c.t, number(c.t, limits, "OpenShardCount"), 2)
	check(c.t, number(c.t, limits, "OnDemandStreamCount"), 0)
	const commitment = "MinimumThroughputBillingCommitment"
	check(c.t, get[string](c.t, c.do("DescribeAccountSettings", object{}), commitment, "Status"), "DISABLED")
	enabled := c.do("UpdateAccountSettings", object{commitment: object{"Status": "ENABLED"}})
	check(c.t, get[string](c.t, enabled, commitment, "Status"), "ENABLED")
	described := c.do("DescribeAccountSettings", object{})
	check(c.t, millis(c.t, described, commitment, "StartedAt"), millis(c.t, enabled, commitment, "StartedAt"))
}

// resharding has a stream of its own, whose shards change.
func resharding(c *sdk) {
	const name = "reshard"
	c.do("CreateStream", object{"StreamName": name, "ShardCount": 1})
	c.wait("StreamExists", name)
	c.do("PutRecord", object{"StreamName": name, "PartitionKey": "k", "Data": data([]byte("before"))})

	c.do("SplitShard", object{"StreamName": name, "ShardToSplit": first, "NewStartingHashKey": halfHashKeys})
	c.wait("StreamExists", name)
	shards := c.do("ListShards", object{"StreamName": name})
	check(c.t, get[string](c.t, shards, "Shards", 2, "ParentShardId"), first)
	get[string](c.t, shards, "Shards", 0, "SequenceNumberRange", "EndingSequenceNumber")

	end := c.last(name, first)
	check(c.t, len(get[[]any](c.t, end, "Records")), 1)
	check(c.t, len(get[[]any](c.t, end, "ChildShards")), 2)
	check(c.t, get[string](c.t, end, "ChildShards", 1, "ParentShards", 0), first)
	check(c.t, get[string](c.t, end, "ChildShards", 1, "HashKeyRange", "StartingHashKey"), halfHashKeys)

	c.do("MergeShards", object{"StreamName": name, "ShardToMerge": second, "AdjacentShardToMerge": "shardId-000000000002"})
	c.wait("StreamExists", name)
	shards = c.do("ListShards", object{"StreamName": name, "ShardFilter": object{"Type": "AT_LATEST"}})
	check(c.t, len(get[[]any](c.t, shards, "Shards")), 1)
	check(c.t, get[string](c.t, shards, "Shards", 0, "AdjacentParentShardId"), "shardId-000000000002")

	updated := c.do("UpdateShardCount", object{"StreamName": name, "TargetShardCount": 2, "ScalingType": "UNIFORM_SCALING"})
	check(c.t, number(c.t, updated, "CurrentShardCount"), 1)
	check(c.t, number(c.t, updated, "TargetShardCount"), 2)
	c.wait("StreamExists", name)

	c.do("UpdateStreamMode", object{"StreamARN": c.arn("stream/" + name), "StreamModeDetails": object{"StreamMode": "ON_DEMAND"}})
	c.wait("StreamExists", name)
	c.do("UpdateStreamWarmThroughput", object{"StreamName": name, "WarmThroughputMiBps": 10})
	c.wait("StreamExists", name)
	summary := get[object](c.t, c.do("DescribeStreamSummary", object{"StreamName": name}), "StreamDescriptionSummary")
	check(c.t, get[string](c.t, summary, "StreamModeDetails", "StreamMode"), "ON_DEMAND")
	check(c.t, number(c.t, summary, "WarmThroughput", "TargetMiBps"), 10)
	c.do("DeleteStream", object{"StreamName": name})
	c.wait("StreamNotExists", name)
}

// last reads a closed shard to its end, and returns the answer that has no iterator for another read.
func (c *sdk) last(stream, shard string) object {
	c.t.Helper()
	iterator := get[string](c.t, c.do("GetShardIterator", object{
		"StreamName": stream, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON",
	}), "ShardIterator")
	for {
		answer := c.getRecords(object{"ShardIterator": iterator})
		next, more := answer["NextShardIterator"].(string)
		if !more {
			return answer
		}
		iterator = next
	}
}

// encryption is that of a server with a key file.
func encryption(c *sdk) {
	const name = "secret"
	c.do("CreateStream", object{"StreamName": name, "ShardCount": 1})
	c.wait("StreamExists", name)
	key := object{"StreamName": name, "EncryptionType": "KMS", "KeyId": "alias/aws/kinesis"}
	c.do("StartStreamEncryption", key)
	c.wait("StreamExists", name)
	put := c.do("PutRecord", object{"StreamName": name, "PartitionKey": "k", "Data": data([]byte("secret"))})
	check(c.t, get[string](c.t, put, "EncryptionType"), "KMS")
	record := c.records(name, first, 1)[0]
	check(c.t, get[string](c.t, record, "EncryptionType"), "KMS")
	check(c.t, string(blob(c.t, record, "Data")), "secret")
	c.do("StopStreamEncryption", key)
	c.wait("StreamExists", name)
	d := get[object](c.t, c.do("DescribeStream", object{"StreamName": name}), "StreamDescription")
	check(c.t, get[string](c.t, d, "EncryptionType"), "NONE")
	c.do("DeleteStream", object{"StreamName": name})
	c.wait("StreamNotExists", name)
}

func policies(c *sdk) {
	policy := `{"Version":"2012-10-17","Statement":[{"Sid":"read","Effect":"Allow","Principal":{"AWS":"111122223333"},` +
		`"Action":["kinesis:DescribeStreamSummary","kinesis:GetRecords"],"Resource":"` + c.resource() + `"}]}`
	c.do("PutResourcePolicy", object{"ResourceARN": c.resource(), "Policy": policy})
	check(c.t, get[string](c.t, c.do("GetResourcePolicy", object{"ResourceARN": c.resource()}), "Policy"), policy)
	c.do("DeleteResourcePolicy", object{"ResourceARN": c.resource()})
	check(c.t, get[string](c.t, c.do("GetResourcePolicy", object{"ResourceARN": c.resource()}), "Policy"), "{}")
}
