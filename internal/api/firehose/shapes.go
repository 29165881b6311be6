package firehose

import "github.com/seed-462d9463/sluice/internal/api/wire"

// Every input that configures something has a field of type wire.Unknown: what it collects is refused, since
// nothing that a user asks for may be ignored.

// CreateDeliveryStreamInput is AWS's shape of that name.
type CreateDeliveryStreamInput struct {
	DeliveryStreamName                 *string
	DeliveryStreamType                 *string
	DirectPutSourceConfiguration       *DirectPutSource
	KinesisStreamSourceConfiguration   *KinesisStreamSource
	S3DestinationConfiguration         *S3Destination
	ExtendedS3DestinationConfiguration *S3Destination
	Tags                               []Tag
	Others                             wire.Unknown
}

// DirectPutSource is AWS's DirectPutSourceConfiguration and -Description.
type DirectPutSource struct {
	ThroughputHintInMBs *int32
	Others              wire.Unknown
}

// KinesisStreamSource is AWS's KinesisStreamSourceConfiguration and -Description.
type KinesisStreamSource struct {
	KinesisStreamARN       *string
	RoleARN                *string
	DeliveryStartTimestamp wire.Timestamp // in descriptions
	Others                 wire.Unknown
}

// S3Destination is AWS's S3DestinationConfiguration, ExtendedS3DestinationConfiguration, and their
// descriptions. The former have fewer members than the latter.
type S3Destination struct {
	RoleARN                           *string
	BucketARN                         *string
	Prefix                            *string
	ErrorOutputPrefix                 *string
	BufferingHints                    *BufferingHints
	CompressionFormat                 *string
	EncryptionConfiguration           *EncryptionConfiguration
	CloudWatchLoggingOptions          *CloudWatchLoggingOptions
	ProcessingConfiguration           *ProcessingConfiguration
	S3BackupMode                      *string
	DataFormatConversionConfiguration *Switch
	DynamicPartitioningConfiguration  *Switch
	FileExtension                     *string
	CustomTimeZone                    *string
	Others                            wire.Unknown
}

// BufferingHints is AWS's shape of that name.
type BufferingHints struct {
	SizeInMBs         *int32
	IntervalInSeconds *int32
	Others            wire.Unknown
}

// EncryptionConfiguration is AWS's shape of that name.
type EncryptionConfiguration struct {
	NoEncryptionConfig *string
	Others             wire.Unknown
}

// CloudWatchLoggingOptions is AWS's shape of that name.
type CloudWatchLoggingOptions struct {
	Enabled       *bool
	LogGroupName  *string
	LogStreamName *string
	Others        wire.Unknown
}

// ProcessingConfiguration is AWS's shape of that name.
type ProcessingConfiguration struct {
	Enabled    *bool
	Processors []Processor
	Others     wire.Unknown
}

// Processor is AWS's shape of that name.
type Processor struct {
	Type       *string
	Parameters []ProcessorParameter
	Others     wire.Unknown
}

// ProcessorParameter is AWS's shape of that name.
type ProcessorParameter struct {
	ParameterName  *string
	ParameterValue *string
	Others         wire.Unknown
}

// Switch is a configuration of something that is not here: it may only be off.
type Switch struct {
	Enabled *bool
	Others  wire.Unknown
}

// Tag is AWS's shape of that name.
type Tag struct {
	Key    *string
	Value  *string
	Others wire.Unknown
}

// CreateDeliveryStreamOutput is AWS's shape of that name.
type CreateDeliveryStreamOutput struct {
	DeliveryStreamARN string
}

// DeleteDeliveryStreamInput is AWS's shape of that name.
type DeleteDeliveryStreamInput struct {
	DeliveryStreamName *string
	AllowForceDelete   *bool
}

// DeleteDeliveryStreamOutput is AWS's shape of that name.
type DeleteDeliveryStreamOutput struct{}

// DescribeDeliveryStreamInput is AWS's shape of that name.
type DescribeDeliveryStreamInput struct {
	DeliveryStreamName          *string
	Limit                       *int32
	ExclusiveStartDestinationId *string
}

// DescribeDeliveryStreamOutput is AWS's shape of that name.
type DescribeDeliveryStreamOutput struct {
	DeliveryStreamDescription DeliveryStreamDescription
}

// DeliveryStreamDescription is AWS's shape of that name.
type DeliveryStreamDescription struct {
	DeliveryStreamName                    string
	DeliveryStreamARN                     string
	DeliveryStreamStatus                  string
	DeliveryStreamEncryptionConfiguration EncryptionStatus
	DeliveryStreamType                    string
	VersionId                             string
	CreateTimestamp                       wire.Timestamp
	LastUpdateTimestamp                   wire.Timestamp
	Source                                *Source
	Destinations                          []Destination
	HasMoreDestinations                   bool
}

// EncryptionStatus is AWS's DeliveryStreamEncryptionConfiguration.
type EncryptionStatus struct {
	Status string
}

// Source is AWS's SourceDescription.
type Source struct {
	DirectPutSourceDescription     *DirectPutSource
	KinesisStreamSourceDescription *KinesisStreamSource
}

// Destination is AWS's DestinationDescription.
type Destination struct {
	DestinationId                    string
	S3DestinationDescription         *S3Destination
	ExtendedS3DestinationDescription *S3Destination
}

// ListDeliveryStreamsInput is AWS's shape of that name.
type ListDeliveryStreamsInput struct {
	Limit                            *int32
	DeliveryStreamType               *string
	ExclusiveStartDeliveryStreamName *string
}

// ListDeliveryStreamsOutput is AWS's shape of that name.
type ListDeliveryStreamsOutput struct {
	DeliveryStreamNames    []string
	HasMoreDeliveryStreams bool
}
