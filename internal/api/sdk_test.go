package api_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"

	"github.com/seed-462d9463/sluice/stream"
	"github.com/seed-462d9463/sluice/stream/aggregate"
)

// code is the AWS error code of an SDK's error.
func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return fmt.Sprint(err)
}

func message(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorMessage()
	}
	return fmt.Sprint(err)
}

func TestTheSDKPutsAndReadsBackWhatItPut(t *testing.T) {
	ctx := t.Context()
	k := start(t).kinesis()
	name := aws.String("orders")
	if _, err := k.CreateStream(ctx, &awskinesis.CreateStreamInput{
		StreamName: name, ShardCount: aws.Int32(2), Tags: map[string]string{"team": "blue"},
	}); err != nil {
		t.Fatal(err)
	}
	want := map[string][]byte{
		"plain": []byte("hello"), "empty": {}, "binary": {0, 255, 10, 13, 34, 92},
		"long": bytes.Repeat([]byte{7}, 100_000), "ключ \"quoted\" \n": []byte("unicode key"),
	}
	for key, data := range want {
		out, err := k.PutRecord(ctx, &awskinesis.PutRecordInput{StreamName: name, PartitionKey: aws.String(key), Data: data})
		if err != nil {
			t.Fatalf("put %q: %v", key, err)
		}
		if _, err := stream.ParseSequence(*out.SequenceNumber); err != nil {
			t.Errorf("sequence number of %q: %v", key, err)
		}
	}
	var batch []types.PutRecordsRequestEntry
	for i := range 500 {
		key := fmt.Sprintf("batch-%d", i)
		want[key] = fmt.Appendf(nil, "data %d", i)
		batch = append(batch, types.PutRecordsRequestEntry{PartitionKey: aws.String(key), Data: want[key]})
	}
	put, err := k.PutRecords(ctx, &awskinesis.PutRecordsInput{StreamName: name, Records: batch})
	if err != nil || *put.FailedRecordCount != 0 || len(put.Records) != 500 {
		t.Fatalf("PutRecords: %+v, %v", put, err)
	}
	got := map[string][]byte{}
	for _, shardID := range []string{"shardId-000000000000", "shardId-000000000001"} {
		for _, r := range readAll(t, k, "orders", shardID) {
			if since := time.Since(*r.ApproximateArrivalTimestamp); since < -time.Minute || since > time.Minute {
				t.Errorf("record arrived %v ago", since)
			}
			got[*r.PartitionKey] = r.Data
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d records read, want %d", len(got), len(want))
	}
	for key, data := range want {
		if !bytes.Equal(got[key], data) {
			t.Errorf("data of %q differs", key)
		}
	}
}

// Taking aggregated records apart is the consumer's business: the KCL's, for instance.
func TestAggregatedRecordsAreReadAsTheyWerePut(t *testing.T) {
	ctx := t.Context()
	k := start(t).kinesis()
	name := aws.String("orders")
	if _, err := k.CreateStream(ctx, &awskinesis.CreateStreamInput{StreamName: name, ShardCount: aws.Int32(1)}); err != nil {
		t.Fatal(err)
	}
	data, err := aggregate.Append(nil, []aggregate.Record{
		{PartitionKey: []byte("a"), Data: []byte("first")}, {PartitionKey: []byte("b"), Data: []byte("second")},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.PutRecord(ctx, &awskinesis.PutRecordInput{StreamName: name, PartitionKey: aws.String("a"), Data: data}); err != nil {
		t.Fatal(err)
	}
	records := readAll(t, k, "orders", "shardId-000000000000")
	if len(records) != 1 || !bytes.Equal(records[0].Data, data) || *records[0].PartitionKey != "a" {
		t.Errorf("%+v", records)
	}
}

// readAll reads a shard from its beginning to its end as it is.
func readAll(t *testing.T, k *awskinesis.Client, name, shardID string) []types.Record {
	t.Helper()
	it, err := k.GetShardIterator(t.Context(), &awskinesis.GetShardIteratorInput{
		StreamName: &name, ShardId: &shardID, ShardIteratorType: types.ShardIteratorTypeTrimHorizon,
	})
	if err != nil {
		t.Fatal(err)
	}
	var records []types.Record
	next := it.ShardIterator
	for {
		out, err := k.GetRecords(t.Context(), &awskinesis.GetRecordsInput{ShardIterator: next, Limit: aws.Int32(100)})
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, out.Records...)
		if *out.MillisBehindLatest == 0 && len(out.Records) == 0 {
			return records
		}
		next = out.NextShardIterator
	}
}

func TestAllFiveIteratorTypesStartWhereTheySay(t *testing.T) {
	ctx := t.Context()
	k := start(t).kinesis()
	name, shardID := aws.String("s"), aws.String("shardId-000000000000")
	if _, err := k.CreateStream(ctx, &awskinesis.CreateStreamInput{StreamName: name, ShardCount: aws.Int32(1)}); err != nil {
		t.Fatal(err)
	}
	var sequences []*string
	put := func(text string) {
		out, err := k.PutRecord(ctx, &awskinesis.PutRecordInput{StreamName: name, PartitionKey: aws.String("k"), Data: []byte(text)})
		if err != nil {
			t.Fatal(err)
		}
		sequences = append(sequences, out.SequenceNumber)
	}
	for _, text := range []string{"a", "b", "c"} {
		put(text)
	}
	iterator := func(kind types.ShardIteratorType, sequence *string, at *time.Time) *string {
		out, err := k.GetShardIterator(ctx, &awskinesis.GetShardIteratorInput{
			StreamName: name, ShardId: shardID, ShardIteratorType: kind, StartingSequenceNumber: sequence, Timestamp: at,
		})
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		return out.ShardIterator
	}
	iterators := map[string]*string{
		"abcd": iterator(types.ShardIteratorTypeTrimHorizon, nil, nil),
		"d":    iterator(types.ShardIteratorTypeLatest, nil, nil),
		"bcd":  iterator(types.ShardIteratorTypeAtSequenceNumber, sequences[1], nil),
		"cd":   iterator(types.ShardIteratorTypeAfterSequenceNumber, sequences[1], nil),
	}
	hourAgo := time.Now().Add(-time.Hour)
	since := iterator(types.ShardIteratorTypeAtTimestamp, nil, &hourAgo)
	put("d")
	read := func(it *string) (text string) {
		out, err := k.GetRecords(ctx, &awskinesis.GetRecordsInput{ShardIterator: it})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range out.Records {
			text += string(r.Data)
		}
		return text
	}
	for want, it := range iterators {
		if got := read(it); got != want {
			t.Errorf("read %q, want %q", got, want)
		}
	}
	if got := read(since); got != "abcd" {
		t.Errorf("AT_TIMESTAMP an hour ago read %q", got)
	}
}

func TestStreamsAreDescribedAndListedInPages(t *testing.T) {
	ctx := t.Context()
	k := start(t).kinesis()
	for i := range 5 {
		if _, err := k.CreateStream(ctx, &awskinesis.CreateStreamInput{
			StreamName: aws.String(fmt.Sprintf("stream-%d", i)), ShardCount: aws.Int32(3), MaxRecordSizeInKiB: aws.Int32(2048),
		}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := k.CreateStream(ctx, &awskinesis.CreateStreamInput{
		StreamName: aws.String("wide"), StreamModeDetails: &types.StreamModeDetails{StreamMode: types.StreamModeOnDemand},
	}); err != nil {
		t.Fatal(err)
	}
	var names []string
	pages := awskinesis.NewListStreamsPaginator(k, &awskinesis.ListStreamsInput{Limit: aws.Int32(2)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range page.StreamSummaries {
			if *s.StreamName != page.StreamNames[i] || s.StreamStatus != types.StreamStatusActive || s.StreamCreationTimestamp.IsZero() {
				t.Errorf("summary %+v", s)
			}
		}
		names = append(names, page.StreamNames...)
	}
	if got, want := strings.Join(names, " "), "stream-0 stream-1 stream-2 stream-3 stream-4 wide"; got != want {
		t.Errorf("streams %q, want %q", got, want)
	}

	arn := aws.String("arn:aws:kinesis:" + testRegion + ":" + testAccount + ":stream/stream-1")
	d, err := k.DescribeStream(ctx, &awskinesis.DescribeStreamInput{StreamARN: arn, Limit: aws.Int32(2)})
	if err != nil {
		t.Fatal(err)
	}
	if d := d.StreamDescription; *d.StreamARN != *arn || len(d.Shards) != 2 || !*d.HasMoreShards || *d.RetentionPeriodHours != 24 ||
		d.StreamModeDetails.StreamMode != types.StreamModeProvisioned || len(d.EnhancedMonitoring) != 1 {
		t.Errorf("description %+v", d)
	}
	d, err = k.DescribeStream(ctx, &awskinesis.DescribeStreamInput{
		StreamARN: arn, ExclusiveStartShardId: d.StreamDescription.Shards[1].ShardId,
	})
	if err != nil || len(d.StreamDescription.Shards) != 1 || *d.StreamDescription.HasMoreShards {
		t.Errorf("second page %+v, %v", d, err)
	}
	if end := *d.StreamDescription.Shards[0].HashKeyRange.EndingHashKey; end != "340282366920938463463374607431768211455" {
		t.Errorf("the last shard ends at %s", end)
	}
	summary, err := k.DescribeStreamSummary(ctx, &awskinesis.DescribeStreamSummaryInput{StreamName: aws.String("wide")})
	if err != nil {
		t.Fatal(err)
	}
	if s := summary.StreamDescriptionSummary; *s.OpenShardCount != 4 || *s.ConsumerCount != 0 || *s.MaxRecordSizeInKiB != 1024 ||
		s.StreamModeDetails.StreamMode != types.StreamModeOnDemand {
		t.Errorf("summary %+v", s)
	}
	if _, err := k.DeleteStream(ctx, &awskinesis.DeleteStreamInput{StreamARN: arn}); err != nil {
		t.Fatal(err)
	}
	_, err = k.DescribeStreamSummary(ctx, &awskinesis.DescribeStreamSummaryInput{StreamARN: arn})
	if code(err) != "ResourceNotFoundException" || message(err) != "Stream stream-1 under account 123456789012 not found." {
		t.Errorf("a deleted stream: %v", err)
	}
}

func TestShardsAreListedInPagesAndByEveryFilter(t *testing.T) {
	ctx := t.Context()
	k := start(t).kinesis()
	name := aws.String("s")
	before := time.Now().Add(-time.Hour)
	if _, err := k.CreateStream(ctx, &awskinesis.CreateStreamInput{StreamName: name, ShardCount: aws.Int32(5)}); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	list := func(in *awskinesis.ListShardsInput) (ids string) {
		t.Helper()
		in.MaxResults = aws.Int32(2)
		for {
			out, err := k.ListShards(ctx, in)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range out.Shards {
				ids += strings.TrimPrefix(*s.ShardId, "shardId-00000000000")
			}
			if out.NextToken == nil {
				return ids
			}
			in = &awskinesis.ListShardsInput{NextToken: out.NextToken, MaxResults: aws.Int32(2)}
		}
	}
	for want, in := range map[string][]*awskinesis.ListShardsInput{
		"01234": {
			{StreamName: name},
			{StreamName: name, ShardFilter: &types.ShardFilter{Type: types.ShardFilterTypeAtLatest}},
			{StreamName: name, ShardFilter: &types.ShardFilter{Type: types.ShardFilterTypeAtTrimHorizon}},
			{StreamName: name, ShardFilter: &types.ShardFilter{Type: types.ShardFilterTypeFromTrimHorizon}},
			{StreamName: name, ShardFilter: &types.ShardFilter{Type: types.ShardFilterTypeAtTimestamp, Timestamp: &now}},
			{StreamName: name, ShardFilter: &types.ShardFilter{Type: types.ShardFilterTypeFromTimestamp, Timestamp: &before}},
		},
		"234": {
			{StreamName: name, ExclusiveStartShardId: aws.String("shardId-000000000001")},
			{StreamName: name, ShardFilter: &types.ShardFilter{
				Type: types.ShardFilterTypeAfterShardId, ShardId: aws.String("shardId-000000000001")}},
		},
		"": {{StreamName: name, ShardFilter: &types.ShardFilter{Type: types.ShardFilterTypeAtTimestamp, Timestamp: &before}}},
	} {
		for _, input := range in {
			filter := input.ShardFilter
			if got := list(input); got != want {
				t.Errorf("filter %+v: shards %q, want %q", filter, got, want)
			}
		}
	}
}

func TestRecordsOverTheLimitFailAloneAndSaySo(t *testing.T) {
	ctx := t.Context()
	k := start(t, func(s *setting) { s.streams = stream.DefaultConfig() }).kinesis()
	name := aws.String("s")
	if _, err := k.CreateStream(ctx, &awskinesis.CreateStreamInput{StreamName: name, ShardCount: aws.Int32(1)}); err != nil {
		t.Fatal(err)
	}
	var batch []types.PutRecordsRequestEntry
	for range 5 {
		batch = append(batch, types.PutRecordsRequestEntry{PartitionKey: aws.String("k"), Data: make([]byte, 300<<10)})
	}
	out, err := k.PutRecords(ctx, &awskinesis.PutRecordsInput{StreamName: name, Records: batch})
	if err != nil {
		t.Fatal(err)
	}
	failed := 0
	for _, r := range out.Records {
		if r.ErrorCode == nil {
			continue
		}
		failed++
		want := "Rate exceeded for shard shardId-000000000000 in stream s under account 123456789012."
		if *r.ErrorCode != "ProvisionedThroughputExceededException" || *r.ErrorMessage != want || r.SequenceNumber != nil {
			t.Errorf("result %+v", r)
		}
	}
	if failed == 0 || failed == 5 || int(*out.FailedRecordCount) != failed {
		t.Errorf("%d of 5 failed, and the count says %d", failed, *out.FailedRecordCount)
	}
}

func TestARecordOverTheStreamsMaximumIsRefused(t *testing.T) {
	ctx := t.Context()
	k := start(t).kinesis()
	for name, kib := range map[string]int32{"small": 1024, "large": 10240} {
		if _, err := k.CreateStream(ctx, &awskinesis.CreateStreamInput{
			StreamName: &name, ShardCount: aws.Int32(1), MaxRecordSizeInKiB: &kib,
		}); err != nil {
			t.Fatal(err)
		}
	}
	big := make([]byte, 1<<20)
	_, err := k.PutRecord(ctx, &awskinesis.PutRecordInput{StreamName: aws.String("small"), PartitionKey: aws.String("k"), Data: big})
	want := "1 validation error detected: Value 'java.nio.HeapByteBuffer[pos=0 lim=1048576 cap=1048576]' at 'data' " +
		"failed to satisfy constraint: Member must have length less than or equal to 1048576"
	if code(err) != "ValidationException" || message(err) != want {
		t.Errorf("PutRecord: %v", err)
	}
	_, err = k.PutRecords(ctx, &awskinesis.PutRecordsInput{StreamName: aws.String("small"), Records: []types.PutRecordsRequestEntry{
		{PartitionKey: aws.String("k"), Data: []byte("fine")}, {PartitionKey: aws.String("k"), Data: big},
	}})
	if code(err) != "ValidationException" || !strings.Contains(message(err), "at 'records.2.member.data' failed") {
		t.Errorf("PutRecords: %v", err)
	}
	huge := make([]byte, 10<<20-1)
	if _, err := k.PutRecord(ctx, &awskinesis.PutRecordInput{StreamName: aws.String("large"), PartitionKey: aws.String("k"), Data: huge}); err != nil {
		t.Errorf("a record of the largest size: %v", err)
	}
	_, err = k.PutRecords(ctx, &awskinesis.PutRecordsInput{StreamName: aws.String("large"), Records: []types.PutRecordsRequestEntry{
		{PartitionKey: aws.String("k"), Data: huge}, {PartitionKey: aws.String("k"), Data: []byte("one too many")},
	}})
	if code(err) != "InvalidArgumentException" || message(err) != "Records size exceeds 10 MB limit" {
		t.Errorf("too much at once: %v", err)
	}
}

func TestAccountsAndRegionsDoNotSeeEachOther(t *testing.T) {
	ctx := t.Context()
	s := start(t)
	if _, err := s.kinesis().CreateStream(ctx, &awskinesis.CreateStreamInput{StreamName: aws.String("s"), ShardCount: aws.Int32(1)}); err != nil {
		t.Fatal(err)
	}
	config := s.config()
	config.Region = "us-west-2"
	elsewhere := awskinesis.NewFromConfig(config)
	out, err := elsewhere.ListStreams(ctx, &awskinesis.ListStreamsInput{})
	if err != nil || len(out.StreamNames) != 0 {
		t.Errorf("another region lists %v, %v", out, err)
	}
	arn := aws.String("arn:aws:kinesis:" + testRegion + ":" + testAccount + ":stream/s")
	_, err = elsewhere.DescribeStreamSummary(ctx, &awskinesis.DescribeStreamSummaryInput{StreamARN: arn})
	if code(err) != "ResourceNotFoundException" {
		t.Errorf("another region describes: %v", err)
	}
}
