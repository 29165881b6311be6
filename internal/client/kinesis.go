package client

import (
	"context"
	"encoding/json"
	"math"
	"time"
)

// CreateStreamInput says what stream is to be made.
type CreateStreamInput struct {
	StreamName         string
	ShardCount         int               `json:",omitempty"`
	OnDemand           bool              `json:"-"`
	MaxRecordSizeInKiB int               `json:",omitempty"`
	Tags               map[string]string `json:",omitempty"`
}

// CreateStream makes a stream. It can be used at once.
func (c *Client) CreateStream(ctx context.Context, in CreateStreamInput) error {
	type mode struct{ StreamMode string }
	body := struct {
		CreateStreamInput
		StreamModeDetails *mode `json:",omitempty"`
	}{CreateStreamInput: in}
	if in.OnDemand {
		body.StreamModeDetails = &mode{"ON_DEMAND"}
	}
	return c.call(ctx, kinesis, "CreateStream", body, nil)
}

type streamName struct{ StreamName string }

// DeleteStream removes a stream with all its records.
func (c *Client) DeleteStream(ctx context.Context, stream string) error {
	return c.call(ctx, kinesis, "DeleteStream", streamName{stream}, nil)
}

// Summary describes a stream.
type Summary struct {
	StreamName              string
	StreamARN               string
	StreamStatus            string
	RetentionPeriodHours    int
	OpenShardCount          int
	MaxRecordSizeInKiB      int
	StreamCreationTimestamp Time
}

// DescribeStreamSummary describes a stream.
func (c *Client) DescribeStreamSummary(ctx context.Context, stream string) (Summary, error) {
	var out struct{ StreamDescriptionSummary Summary }
	err := c.call(ctx, kinesis, "DescribeStreamSummary", streamName{stream}, &out)
	return out.StreamDescriptionSummary, err
}

// ListStreamsInput says which page of streams is wanted.
type ListStreamsInput struct {
	Limit     int    `json:",omitempty"`
	NextToken string `json:",omitempty"`
}

// ListStreamsOutput is a page of streams.
type ListStreamsOutput struct {
	StreamNames    []string
	HasMoreStreams bool
	NextToken      string
}

// ListStreams lists streams by name.
func (c *Client) ListStreams(ctx context.Context, in ListStreamsInput) (ListStreamsOutput, error) {
	var out ListStreamsOutput
	err := c.call(ctx, kinesis, "ListStreams", in, &out)
	return out, err
}

// ListShardsInput says which shards are wanted: those of a stream, or the next page.
type ListShardsInput struct {
	StreamName string `json:",omitempty"`
	NextToken  string `json:",omitempty"`
	MaxResults int    `json:",omitempty"`
}

// ListShardsOutput is a page of shards.
type ListShardsOutput struct {
	Shards    []Shard
	NextToken string
}

// Shard describes a shard.
type Shard struct {
	ShardID               string `json:"ShardId"`
	ParentShardID         string `json:"ParentShardId"`
	AdjacentParentShardID string `json:"AdjacentParentShardId"`
	HashKeyRange          HashKeyRange
	SequenceNumberRange   struct{ StartingSequenceNumber, EndingSequenceNumber string }
}

// HashKeyRange is the part of the ring that a shard takes, both ends included.
type HashKeyRange struct{ StartingHashKey, EndingHashKey string }

// ListShards lists a stream's shards.
func (c *Client) ListShards(ctx context.Context, in ListShardsInput) (ListShardsOutput, error) {
	var out ListShardsOutput
	err := c.call(ctx, kinesis, "ListShards", in, &out)
	return out, err
}

// PutRecordInput is a record.
type PutRecordInput struct {
	StreamName   string
	PartitionKey string
	Data         []byte
}

// PutRecordOutput is where a record stands.
type PutRecordOutput struct {
	ShardID        string `json:"ShardId"`
	SequenceNumber string
}

// PutRecord writes a record.
func (c *Client) PutRecord(ctx context.Context, in PutRecordInput) (PutRecordOutput, error) {
	in.Data = present(in.Data)
	var out PutRecordOutput
	err := c.call(ctx, kinesis, "PutRecord", in, &out)
	if err == nil && out.SequenceNumber == "" {
		err = unanswered("PutRecord")
	}
	return out, err
}

// PutRecordsInput is at most 500 records of at most 10 MiB together.
type PutRecordsInput struct {
	StreamName string
	Records    []PutRecordsEntry
}

// PutRecordsEntry is a record among many.
type PutRecordsEntry struct {
	PartitionKey string
	Data         []byte
}

// PutRecordsOutput tells what became of each record, in their order.
type PutRecordsOutput struct {
	FailedRecordCount int
	Records           []PutRecordsResult
}

// PutRecordsResult is where a record stands, or why it was not written.
type PutRecordsResult struct {
	ShardID        string `json:"ShardId"`
	SequenceNumber string
	ErrorCode      string // "" when the record was written
	ErrorMessage   string
}

// PutRecords writes records. Some may be refused while others are written; see FailedRecordCount.
func (c *Client) PutRecords(ctx context.Context, in PutRecordsInput) (PutRecordsOutput, error) {
	records := in.Records
	in.Records = make([]PutRecordsEntry, len(records))
	for i, r := range records {
		in.Records[i] = PutRecordsEntry{PartitionKey: r.PartitionKey, Data: present(r.Data)}
	}
	var out PutRecordsOutput
	if err := c.call(ctx, kinesis, "PutRecords", in, &out); err != nil {
		return out, err
	}
	told := func(r PutRecordsResult) bool { return r.SequenceNumber != "" || r.ErrorCode != "" }
	if !tellsOfEach(out.Records, len(records), told) {
		return out, unanswered("PutRecords")
	}
	return out, nil
}

// present makes no data empty data: JSON tells them apart.
func present(data []byte) []byte {
	if data == nil {
		return []byte{}
	}
	return data
}

// GetShardIteratorInput says where reading a shard begins.
type GetShardIteratorInput struct {
	StreamName             string
	ShardID                string
	ShardIteratorType      string    // TRIM_HORIZON, LATEST, AT_SEQUENCE_NUMBER, AFTER_SEQUENCE_NUMBER, AT_TIMESTAMP
	StartingSequenceNumber string    // for those with a sequence number
	Timestamp              time.Time // for AT_TIMESTAMP
}

// GetShardIterator returns an iterator for GetRecords. It is good for five minutes.
func (c *Client) GetShardIterator(ctx context.Context, in GetShardIteratorInput) (string, error) {
	body := struct {
		StreamName             string
		ShardID                string `json:"ShardId"`
		ShardIteratorType      string
		StartingSequenceNumber string   `json:",omitempty"`
		Timestamp              *float64 `json:",omitempty"`
	}{in.StreamName, in.ShardID, in.ShardIteratorType, in.StartingSequenceNumber, nil}
	if !in.Timestamp.IsZero() {
		body.Timestamp = new(float64(in.Timestamp.UnixMilli()) / 1000)
	}
	var out struct{ ShardIterator string }
	err := c.call(ctx, kinesis, "GetShardIterator", body, &out)
	return out.ShardIterator, err
}

// GetRecordsInput says from where records are wanted, and how many at most.
type GetRecordsInput struct {
	ShardIterator string
	Limit         int `json:",omitempty"`
}

// GetRecordsOutput is what there was to read.
type GetRecordsOutput struct {
	Records            []Record
	NextShardIterator  string // "" at the end of a closed shard
	MillisBehindLatest int64
	ChildShards        []ChildShard // at the end of a closed shard
}

// Record is a record.
type Record struct {
	SequenceNumber              string
	PartitionKey                string
	Data                        []byte
	ApproximateArrivalTimestamp time.Time
}

// UnmarshalJSON implements json.Unmarshaler.
func (r *Record) UnmarshalJSON(text []byte) error {
	type plain Record
	in := struct {
		*plain
		ApproximateArrivalTimestamp Time
	}{plain: (*plain)(r)}
	err := json.Unmarshal(text, &in)
	r.ApproximateArrivalTimestamp = in.ApproximateArrivalTimestamp.Time
	return err
}

// ChildShard is a shard that took the place of one that was closed.
type ChildShard struct {
	ShardID      string `json:"ShardId"`
	ParentShards []string
	HashKeyRange HashKeyRange
}

// GetRecords reads records.
func (c *Client) GetRecords(ctx context.Context, in GetRecordsInput) (GetRecordsOutput, error) {
	var out GetRecordsOutput
	err := c.call(ctx, kinesis, "GetRecords", in, &out)
	return out, err
}

// Time is a time as AWS's JSON has it: seconds since 1970.
type Time struct{ time.Time }

// UnmarshalJSON implements json.Unmarshaler.
func (t *Time) UnmarshalJSON(text []byte) error {
	var seconds float64
	if err := json.Unmarshal(text, &seconds); err != nil {
		return err
	}
	t.Time = time.UnixMilli(int64(math.Round(seconds * 1000))).UTC()
	return nil
}
