package kinesis

import (
	"github.com/seed-462d9463/sluice/internal/api/wire"
	"github.com/seed-462d9463/sluice/stream"
)

// HashKeyRange is AWS's shape of that name.
type HashKeyRange struct {
	StartingHashKey string
	EndingHashKey   string
}

// SequenceNumberRange is AWS's shape of that name.
type SequenceNumberRange struct {
	StartingSequenceNumber string
	EndingSequenceNumber   string // "" while the shard is open
}

// Shard is AWS's shape of that name.
type Shard struct {
	ShardId               string
	ParentShardId         string
	AdjacentParentShardId string
	HashKeyRange          HashKeyRange
	SequenceNumberRange   SequenceNumberRange
}

// StreamModeDetails is AWS's shape of that name.
type StreamModeDetails struct {
	StreamMode *string
}

// EnhancedMetrics is AWS's shape of that name.
type EnhancedMetrics struct {
	ShardLevelMetrics []string
}

func shapeOf(s *stream.Shard) Shard {
	shape := Shard{
		ShardId: s.ID, ParentShardId: s.Parent, AdjacentParentShardId: s.AdjacentParent,
		HashKeyRange:        HashKeyRange{s.Range.Start.String(), s.Range.End.String()},
		SequenceNumberRange: SequenceNumberRange{StartingSequenceNumber: s.Starting().String()},
	}
	if end, closed := s.Ending(); closed {
		shape.SequenceNumberRange.EndingSequenceNumber = end.String()
	}
	return shape
}

// Bytes about a shard, and about a stream beside its name.
const (
	shardSize         = 512
	streamSummarySize = 320
)

// WireSize implements wire.Sizer.
func (out *DescribeStreamOutput) WireSize() (rest, blobs int) {
	return 1024 + len(out.StreamDescription.Shards)*shardSize, 0
}

// WireSize implements wire.Sizer.
func (out *ListShardsOutput) WireSize() (rest, blobs int) { return 512 + len(out.Shards)*shardSize, 0 }

// WireSize implements wire.Sizer.
func (out *ListStreamsOutput) WireSize() (rest, blobs int) {
	rest = 512
	for _, name := range out.StreamNames {
		rest += streamSummarySize + 3*len(name)
	}
	return rest, 0
}

const (
	modeOnDemand    = "ON_DEMAND"
	modeProvisioned = "PROVISIONED"
	statusActive    = "ACTIVE"
	encryptionNone  = "NONE"
	encryptionKMS   = "KMS"
)

func modeOf(d *stream.Description) *StreamModeDetails {
	mode := modeProvisioned
	if d.OnDemand {
		mode = modeOnDemand
	}
	return &StreamModeDetails{&mode}
}

// CreateStreamInput is AWS's shape of that name.
type CreateStreamInput struct {
	StreamName          *string
	ShardCount          *int32
	StreamModeDetails   *StreamModeDetails
	Tags                map[string]string
	WarmThroughputMiBps *int32
	MaxRecordSizeInKiB  *int32
}

// DeleteStreamInput is AWS's shape of that name.
type DeleteStreamInput struct {
	StreamName              *string
	StreamARN               *string
	EnforceConsumerDeletion *bool
	StreamId                *string
}

// DescribeStreamInput is AWS's shape of that name.
type DescribeStreamInput struct {
	StreamName            *string
	StreamARN             *string
	Limit                 *int32
	ExclusiveStartShardId *string
	StreamId              *string
}

// DescribeStreamOutput is AWS's shape of that name.
type DescribeStreamOutput struct {
	StreamDescription StreamDescription
}

// StreamDescription is AWS's shape of that name.
type StreamDescription struct {
	StreamName              string
	StreamARN               string
	StreamStatus            string
	StreamModeDetails       *StreamModeDetails
	Shards                  []Shard
	HasMoreShards           bool
	RetentionPeriodHours    int32
	StreamCreationTimestamp wire.Timestamp
	EnhancedMonitoring      []EnhancedMetrics
	EncryptionType          string
	KeyId                   string
}

// DescribeStreamSummaryInput is AWS's shape of that name.
type DescribeStreamSummaryInput struct {
	StreamName *string
	StreamARN  *string
	StreamId   *string
}

// DescribeStreamSummaryOutput is AWS's shape of that name.
type DescribeStreamSummaryOutput struct {
	StreamDescriptionSummary StreamDescriptionSummary
}

// StreamDescriptionSummary is AWS's shape of that name.
type StreamDescriptionSummary struct {
	StreamName              string
	StreamARN               string
	StreamStatus            string
	StreamModeDetails       *StreamModeDetails
	RetentionPeriodHours    int32
	StreamCreationTimestamp wire.Timestamp
	EnhancedMonitoring      []EnhancedMetrics
	EncryptionType          string
	KeyId                   string
	OpenShardCount          int32
	ConsumerCount           int32
	WarmThroughput          *WarmThroughputObject
	MaxRecordSizeInKiB      int32
}

// ListStreamsInput is AWS's shape of that name.
type ListStreamsInput struct {
	Limit                    *int32
	ExclusiveStartStreamName *string
	NextToken                *string
}

// ListStreamsOutput is AWS's shape of that name.
type ListStreamsOutput struct {
	StreamNames     []string
	HasMoreStreams  bool
	NextToken       string
	StreamSummaries []StreamSummary
}

// StreamSummary is AWS's shape of that name.
type StreamSummary struct {
	StreamName              string
	StreamARN               string
	StreamStatus            string
	StreamModeDetails       *StreamModeDetails
	StreamCreationTimestamp wire.Timestamp
}

// ListShardsInput is AWS's shape of that name.
type ListShardsInput struct {
	StreamName              *string
	StreamARN               *string
	NextToken               *string
	ExclusiveStartShardId   *string
	MaxResults              *int32
	StreamCreationTimestamp wire.Timestamp
	ShardFilter             *ShardFilter
	StreamId                *string
}

// ShardFilter is AWS's shape of that name.
type ShardFilter struct {
	Type      *string
	ShardId   *string
	Timestamp wire.Timestamp
}

// ListShardsOutput is AWS's shape of that name.
type ListShardsOutput struct {
	Shards    []Shard
	NextToken string
}

// GetShardIteratorInput is AWS's shape of that name.
type GetShardIteratorInput struct {
	StreamName             *string
	StreamARN              *string
	ShardId                *string
	ShardIteratorType      *string
	StartingSequenceNumber *string
	Timestamp              wire.Timestamp
	StreamId               *string
}

// GetShardIteratorOutput is AWS's shape of that name.
type GetShardIteratorOutput struct {
	ShardIterator string
}
