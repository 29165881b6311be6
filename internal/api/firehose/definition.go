package firehose

import (
	"strconv"

	"github.com/seed-462d9463/sluice/firehose"
	"github.com/seed-462d9463/sluice/internal/api/arn"
	"github.com/seed-462d9463/sluice/internal/api/wire"
)

// definition is what the input asks for, in the words of package firehose.
func (in *CreateDeliveryStreamInput) definition() firehose.Definition {
	d := firehose.Definition{
		Type: firehose.SourceType(value(in.DeliveryStreamType)),
	}
	if s := in.DirectPutSourceConfiguration; s != nil {
		d.ThroughputHintMB = int(*s.ThroughputHintInMBs)
	}
	if s := in.KinesisStreamSourceConfiguration; s != nil {
		d.Kinesis = &firehose.KinesisSource{StreamARN: *s.KinesisStreamARN, RoleARN: *s.RoleARN}
	}
	for _, tag := range in.Tags {
		if d.Tags == nil {
			d.Tags = map[string]string{}
		}
		d.Tags[*tag.Key] = value(tag.Value)
	}
	destination := in.ExtendedS3DestinationConfiguration
	if destination == nil {
		destination = in.S3DestinationConfiguration
	}
	d.S3 = destination.definition()
	return d
}

func (s *S3Destination) definition() firehose.S3Destination {
	d := firehose.S3Destination{
		RoleARN: *s.RoleARN, BucketARN: *s.BucketARN,
		Prefix: value(s.Prefix), ErrorOutputPrefix: value(s.ErrorOutputPrefix),
		Compression:   firehose.Compression(value(s.CompressionFormat)),
		FileExtension: value(s.FileExtension), CustomTimeZone: value(s.CustomTimeZone),
		BackupMode: value(s.S3BackupMode),
	}
	if b := s.BufferingHints; b != nil {
		d.Buffering = firehose.BufferingHints{SizeMB: number(b.SizeInMBs), IntervalSeconds: number(b.IntervalInSeconds)}
	}
	if l := s.CloudWatchLoggingOptions; l != nil {
		d.Logging = &firehose.CloudWatchLogging{
			Enabled: value(l.Enabled), LogGroup: value(l.LogGroupName), LogStream: value(l.LogStreamName),
		}
	}
	if p := s.ProcessingConfiguration; p != nil {
		d.Processing = &firehose.Processing{Enabled: value(p.Enabled)}
		for i := range p.Processors {
			processor := firehose.Processor{Type: *p.Processors[i].Type}
			for _, q := range p.Processors[i].Parameters {
				processor.Parameters = append(processor.Parameters,
					firehose.ProcessorParameter{Name: *q.ParameterName, Value: *q.ParameterValue})
			}
			d.Processing.Processors = append(d.Processing.Processors, processor)
		}
	}
	return d
}

// on tells whether something is configured that is more than an explicit off. As with AWS it is on unless
// Enabled says false.
func (s *Switch) on() bool {
	return s != nil && (s.Enabled == nil || *s.Enabled || len(s.Others) > 0)
}

// value is what a pointer points to, or the zero value.
func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// given is a pointer to a string that is not "".
func given(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func number(n *int32) *int {
	if n == nil {
		return nil
	}
	return new(int(*n))
}

func number32(n *int) *int32 {
	if n == nil {
		return nil
	}
	return new(int32(*n))
}

// There is one destination, and its id never changes.
const destinationID = "destinationId-000000000001"

// describe is a delivery stream in AWS's words.
func describe(d *firehose.Description) DeliveryStreamDescription {
	s3 := describeS3(&d.Definition.S3)
	basic := s3 // AWS describes an extended destination in the old shape, too
	basic.ProcessingConfiguration, basic.S3BackupMode = nil, nil
	basic.FileExtension, basic.CustomTimeZone = nil, nil
	shape := DeliveryStreamDescription{
		DeliveryStreamName:                    d.Name.Name,
		DeliveryStreamARN:                     arn.DeliveryStream(d.Name.Region, d.Name.Account, d.Name.Name),
		DeliveryStreamStatus:                  "ACTIVE",
		DeliveryStreamEncryptionConfiguration: EncryptionStatus{"DISABLED"},
		DeliveryStreamType:                    string(d.Definition.Type),
		VersionId:                             strconv.Itoa(d.Version),
		CreateTimestamp:                       wire.At(d.Created),
		Destinations: []Destination{{
			DestinationId: destinationID, S3DestinationDescription: &basic, ExtendedS3DestinationDescription: &s3,
		}},
	}
	if !d.Updated.Equal(d.Created) {
		shape.LastUpdateTimestamp = wire.At(d.Updated)
	}
	switch {
	case d.Definition.Kinesis != nil:
		shape.Source = &Source{KinesisStreamSourceDescription: &KinesisStreamSource{
			KinesisStreamARN: &d.Definition.Kinesis.StreamARN, RoleARN: &d.Definition.Kinesis.RoleARN,
			DeliveryStartTimestamp: wire.At(d.Created),
		}}
	case d.Definition.ThroughputHintMB != 0:
		shape.Source = &Source{DirectPutSourceDescription: &DirectPutSource{
			ThroughputHintInMBs: number32(&d.Definition.ThroughputHintMB),
		}}
	}
	return shape
}

func describeS3(d *firehose.S3Destination) S3Destination {
	shape := S3Destination{
		RoleARN: &d.RoleARN, BucketARN: &d.BucketARN,
		Prefix: given(d.Prefix), ErrorOutputPrefix: given(d.ErrorOutputPrefix),
		BufferingHints:           &BufferingHints{SizeInMBs: number32(d.Buffering.SizeMB), IntervalInSeconds: number32(d.Buffering.IntervalSeconds)},
		CompressionFormat:        new(string(d.Compression)),
		EncryptionConfiguration:  &EncryptionConfiguration{NoEncryptionConfig: new("NoEncryption")},
		CloudWatchLoggingOptions: &CloudWatchLoggingOptions{Enabled: new(false)},
		S3BackupMode:             new("Disabled"),
		FileExtension:            given(d.FileExtension), CustomTimeZone: given(d.CustomTimeZone),
	}
	if l := d.Logging; l != nil {
		shape.CloudWatchLoggingOptions = &CloudWatchLoggingOptions{
			Enabled: &l.Enabled, LogGroupName: given(l.LogGroup), LogStreamName: given(l.LogStream),
		}
	}
	if p := d.Processing; p != nil {
		shape.ProcessingConfiguration = &ProcessingConfiguration{Enabled: &p.Enabled, Processors: []Processor{}}
		for _, processor := range p.Processors {
			described := Processor{Type: new(processor.Type), Parameters: []ProcessorParameter{}}
			for _, q := range processor.Parameters {
				described.Parameters = append(described.Parameters,
					ProcessorParameter{ParameterName: new(q.Name), ParameterValue: new(q.Value)})
			}
			shape.ProcessingConfiguration.Processors = append(shape.ProcessingConfiguration.Processors, described)
		}
	}
	return shape
}
