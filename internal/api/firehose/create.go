package firehose

import (
	"context"
	"regexp"
	"strconv"

	"github.com/seed-462d9463/sluice/firehose"
	"github.com/seed-462d9463/sluice/internal/api/arn"
	"github.com/seed-462d9463/sluice/internal/api/wire"
)

// What strings of the API must be, from the service model.
var (
	nameRule        = rule(1, 64, `[a-zA-Z0-9_.-]+`)
	roleRule        = rule(1, 512, `arn:.*:iam::\d{12}:role/[a-zA-Z_0-9+=,.@\-_/]+`)
	bucketRule      = rule(1, 2048, `arn:.*:s3:::[\w\.\-]{1,255}`)
	streamARNRule   = rule(1, 512, `arn:.*:kinesis:[a-zA-Z0-9\-]+:\d{12}:stream/[a-zA-Z0-9_.-]+`)
	prefixRule      = &wire.StringRule{Max: 1024}
	extensionRule   = rule(0, 128, `^$|\.[0-9a-z!\-_.*'()]+`)
	timeZoneRule    = rule(0, 50, `^$|[a-zA-Z/_]+`)
	destinationRule = rule(1, 100, `[a-zA-Z0-9-]+`)
	tagKeyRule      = &wire.StringRule{Min: 1, Max: 128}
	tagValueRule    = &wire.StringRule{Max: 256}
)

// rule is a rule whose pattern must match the whole string, as AWS has it.
func rule(low, high int, pattern string) *wire.StringRule {
	re := regexp.MustCompile("^(?:" + pattern + ")$")
	return &wire.StringRule{Min: low, Max: high, Pattern: pattern, Match: re.MatchString}
}

const maxTags = 50

// Names of the members that hold the destination.
const (
	memberS3         = "S3DestinationConfiguration"
	memberExtendedS3 = "ExtendedS3DestinationConfiguration"
)

func (a *api) createDeliveryStream(ctx context.Context, c wire.Caller, in *CreateDeliveryStreamInput, out *CreateDeliveryStreamOutput) error {
	var v wire.Validation
	v.Required(in.DeliveryStreamName, "deliveryStreamName", nameRule)
	in.check(&v)
	if err := v.Fault(); err != nil {
		return err
	}
	if member := in.unsupported(); member != "" {
		return wire.Faultf(invalidArgument, "%s is not supported by Sluice.", member)
	}
	if in.S3DestinationConfiguration == nil == (in.ExtendedS3DestinationConfiguration == nil) {
		return wire.Faultf(invalidArgument, "Exactly one destination configuration is supported for a Firehose")
	}
	name := firehose.Name{Account: c.Account, Region: c.Region, Name: *in.DeliveryStreamName}
	if err := checkSource(c, in.KinesisStreamSourceConfiguration); err != nil {
		return err
	}
	if err := a.delivery.Create(ctx, name, in.definition()); err != nil {
		return fault(err, name)
	}
	out.DeliveryStreamARN = arn.DeliveryStream(name.Region, name.Account, name.Name)
	return nil
}

// checkSource keeps a caller from reading what is not his: the source must be in his account and region.
func checkSource(c wire.Caller, source *KinesisStreamSource) error {
	if source == nil {
		return nil
	}
	n, ok := arn.Parse(*source.KinesisStreamARN)
	if !ok || n.Account != c.Account || n.Region != c.Region {
		return wire.Faultf(invalidArgument, "The Kinesis stream %s is not in account %s and region %s.",
			*source.KinesisStreamARN, c.Account, c.Region)
	}
	return nil
}

func (in *CreateDeliveryStreamInput) check(v *wire.Validation) {
	if in.DeliveryStreamType != nil {
		v.Enum(*in.DeliveryStreamType, "deliveryStreamType", "DirectPut", "KinesisStreamAsSource", "MSKAsSource", "DatabaseAsSource")
	}
	if s := in.DirectPutSourceConfiguration; s != nil {
		if s.ThroughputHintInMBs == nil {
			v.Missing("directPutSourceConfiguration.throughputHintInMBs")
		}
		v.Range(s.ThroughputHintInMBs, "directPutSourceConfiguration.throughputHintInMBs", 1, 100)
	}
	if s := in.KinesisStreamSourceConfiguration; s != nil {
		v.Required(s.KinesisStreamARN, "kinesisStreamSourceConfiguration.kinesisStreamARN", streamARNRule)
		v.Required(s.RoleARN, "kinesisStreamSourceConfiguration.roleARN", roleRule)
	}
	in.S3DestinationConfiguration.check(v, "s3DestinationConfiguration.")
	in.ExtendedS3DestinationConfiguration.check(v, "extendedS3DestinationConfiguration.")
	switch n := len(in.Tags); {
	case in.Tags != nil && n == 0:
		v.MinLength("[]", "tags", 1)
	case n > maxTags:
		v.MaxLength("["+strconv.Itoa(n)+" members]", "tags", maxTags)
	}
	for i := range in.Tags {
		path := "tags." + strconv.Itoa(i+1) + ".member."
		v.Required(in.Tags[i].Key, path+"key", tagKeyRule)
		v.Optional(in.Tags[i].Value, path+"value", tagValueRule)
	}
}

func (s *S3Destination) check(v *wire.Validation, path string) {
	if s == nil {
		return
	}
	v.Required(s.RoleARN, path+"roleARN", roleRule)
	v.Required(s.BucketARN, path+"bucketARN", bucketRule)
	v.Optional(s.Prefix, path+"prefix", prefixRule)
	v.Optional(s.ErrorOutputPrefix, path+"errorOutputPrefix", prefixRule)
	if b := s.BufferingHints; b != nil {
		v.Range(b.SizeInMBs, path+"bufferingHints.sizeInMBs", 1, 128)
		v.Range(b.IntervalInSeconds, path+"bufferingHints.intervalInSeconds", 0, 900)
	}
	if s.CompressionFormat != nil {
		v.Enum(*s.CompressionFormat, path+"compressionFormat", "UNCOMPRESSED", "GZIP", "ZIP", "Snappy", "HADOOP_SNAPPY")
	}
	if e := s.EncryptionConfiguration; e != nil && e.NoEncryptionConfig != nil {
		v.Enum(*e.NoEncryptionConfig, path+"encryptionConfiguration.noEncryptionConfig", "NoEncryption")
	}
	if s.S3BackupMode != nil {
		v.Enum(*s.S3BackupMode, path+"s3BackupMode", "Disabled", "Enabled")
	}
	v.Optional(s.FileExtension, path+"fileExtension", extensionRule)
	v.Optional(s.CustomTimeZone, path+"customTimeZone", timeZoneRule)
	if s.ProcessingConfiguration != nil {
		s.ProcessingConfiguration.check(v, path+"processingConfiguration.processors.")
	}
}

func (p *ProcessingConfiguration) check(v *wire.Validation, path string) {
	for i := range p.Processors {
		processor := &p.Processors[i]
		at := path + strconv.Itoa(i+1) + ".member."
		if processor.Type == nil {
			v.Missing(at + "type")
		} else {
			v.Enum(*processor.Type, at+"type", "RecordDeAggregation", "Decompression", "CloudWatchLogProcessing",
				"Lambda", "MetadataExtraction", firehose.AppendDelimiterToRecord)
		}
		for j := range processor.Parameters {
			parameter := at + "parameters." + strconv.Itoa(j+1) + ".member."
			if processor.Parameters[j].ParameterName == nil {
				v.Missing(parameter + "parameterName")
			}
			if processor.Parameters[j].ParameterValue == nil {
				v.Missing(parameter + "parameterValue")
			}
		}
	}
}

// unsupported is the path of a member that is not known here, or is known and asks for what is not here; ""
// if there is none.
func (in *CreateDeliveryStreamInput) unsupported() string {
	if len(in.Others) > 0 {
		return in.Others[0]
	}
	if s := in.DirectPutSourceConfiguration; s != nil && len(s.Others) > 0 {
		return "DirectPutSourceConfiguration." + s.Others[0]
	}
	if s := in.KinesisStreamSourceConfiguration; s != nil && len(s.Others) > 0 {
		return "KinesisStreamSourceConfiguration." + s.Others[0]
	}
	for i := range in.Tags {
		if len(in.Tags[i].Others) > 0 {
			return "Tags." + in.Tags[i].Others[0]
		}
	}
	if s := in.S3DestinationConfiguration; s != nil {
		if member := s.extended(); member != "" {
			return memberS3 + "." + member
		}
		if member := s.unsupported(); member != "" {
			return memberS3 + "." + member
		}
	}
	if s := in.ExtendedS3DestinationConfiguration; s != nil {
		if member := s.unsupported(); member != "" {
			return memberExtendedS3 + "." + member
		}
	}
	return ""
}

// extended is a member that is set and that only the extended destination has.
func (s *S3Destination) extended() string {
	switch {
	case s.ProcessingConfiguration != nil:
		return "ProcessingConfiguration"
	case s.S3BackupMode != nil:
		return "S3BackupMode"
	case s.DataFormatConversionConfiguration != nil:
		return "DataFormatConversionConfiguration"
	case s.DynamicPartitioningConfiguration != nil:
		return "DynamicPartitioningConfiguration"
	case s.FileExtension != nil:
		return "FileExtension"
	case s.CustomTimeZone != nil:
		return "CustomTimeZone"
	}
	return ""
}

func (s *S3Destination) unsupported() string {
	if len(s.Others) > 0 {
		return s.Others[0]
	}
	if b := s.BufferingHints; b != nil && len(b.Others) > 0 {
		return "BufferingHints." + b.Others[0]
	}
	if e := s.EncryptionConfiguration; e != nil && len(e.Others) > 0 {
		return "EncryptionConfiguration." + e.Others[0]
	}
	if l := s.CloudWatchLoggingOptions; l != nil && len(l.Others) > 0 {
		return "CloudWatchLoggingOptions." + l.Others[0]
	}
	if p := s.ProcessingConfiguration; p != nil {
		if others := p.others(); len(others) > 0 {
			return "ProcessingConfiguration." + others[0]
		}
	}
	switch {
	case s.DataFormatConversionConfiguration.on():
		return "DataFormatConversionConfiguration"
	case s.DynamicPartitioningConfiguration.on():
		return "DynamicPartitioningConfiguration"
	case value(s.S3BackupMode) == "Enabled":
		return "S3BackupMode Enabled"
	}
	switch format := value(s.CompressionFormat); format {
	case "ZIP", "Snappy", "HADOOP_SNAPPY":
		return "CompressionFormat " + format
	}
	return ""
}

func (p *ProcessingConfiguration) others() wire.Unknown {
	others := p.Others
	for i := range p.Processors {
		if kind := value(p.Processors[i].Type); kind != firehose.AppendDelimiterToRecord && value(p.Enabled) {
			others = append(others, "Processors.Type "+kind)
		}
		for _, name := range p.Processors[i].Others {
			others = append(others, "Processors."+name)
		}
		for j := range p.Processors[i].Parameters {
			for _, name := range p.Processors[i].Parameters[j].Others {
				others = append(others, "Processors.Parameters."+name)
			}
		}
	}
	return others
}
