package firehose

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

// The patterns are those of the service's API model (firehose/2015-08-04), anchored.
var (
	namePattern      = regexp.MustCompile(`^[a-zA-Z0-9_.-]+$`)
	rolePattern      = regexp.MustCompile(`^arn:.*:iam::\d{12}:role/[a-zA-Z_0-9+=,.@\-_/]+$`)
	bucketPattern    = regexp.MustCompile(`^arn:.*:s3:::[\w.\-]{1,255}$`)
	streamPattern    = regexp.MustCompile(`^arn:[^:]*:kinesis:[a-zA-Z0-9\-]+:\d{12}:stream/[a-zA-Z0-9_.-]+$`)
	extensionPattern = regexp.MustCompile(`^\.[0-9a-z!\-_.*'()]+$`)
	zonePattern      = regexp.MustCompile(`^[a-zA-Z/_]+$`)
	logGroupPattern  = regexp.MustCompile(`^[.\-_/#A-Za-z0-9]*$`)
	logStreamPattern = regexp.MustCompile(`^[^:*]*$`)
	tagPattern       = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@%]*$`)
)

// check returns the definition with its defaults filled in, or what is wrong with it.
func check(name Name, def Definition) (Definition, error) {
	if len(name.Name) == 0 || len(name.Name) > maxNameBytes || !namePattern.MatchString(name.Name) {
		return def, invalid("DeliveryStreamName", "%q is not 1 to %d letters, digits, '_', '.' or '-'", name.Name, maxNameBytes)
	}
	if def.ServerSideEncryption {
		return def, &UnsupportedError{Feature: "server-side encryption"}
	}
	if err := checkSource(&def); err != nil {
		return def, err
	}
	if err := checkTags(def.Tags); err != nil {
		return def, err
	}
	return def, checkDestination(name, &def.S3)
}

func checkSource(def *Definition) error {
	switch def.Type {
	case "":
		def.Type = DirectPut
	case DirectPut, KinesisStreamAsSource:
	case "MSKAsSource", "DatabaseAsSource":
		return &UnsupportedError{Feature: "the source " + string(def.Type)}
	default:
		return invalid("DeliveryStreamType", "%q is unknown", def.Type)
	}
	if def.ThroughputHintMB < 0 || def.ThroughputHintMB > 100 {
		return invalid("DirectPutSourceConfiguration.ThroughputHintInMBs", "%d is not between 1 and 100", def.ThroughputHintMB)
	}
	if def.Type == DirectPut {
		if def.Kinesis != nil {
			return invalid("KinesisStreamSourceConfiguration", "not allowed with the type DirectPut")
		}
		return nil
	}
	if def.ThroughputHintMB != 0 {
		return invalid("DirectPutSourceConfiguration", "not allowed with the type %s", def.Type)
	}
	if def.Kinesis == nil {
		return invalid("KinesisStreamSourceConfiguration", "required with the type %s", def.Type)
	}
	if !streamPattern.MatchString(def.Kinesis.StreamARN) || len(def.Kinesis.StreamARN) > 512 {
		return invalid("KinesisStreamSourceConfiguration.KinesisStreamARN", "%q is not the ARN of a data stream", def.Kinesis.StreamARN)
	}
	return checkRole("KinesisStreamSourceConfiguration.RoleARN", def.Kinesis.RoleARN)
}

func checkRole(field, arn string) error {
	if len(arn) > 512 || !rolePattern.MatchString(arn) {
		return invalid(field, "%q is not the ARN of a role", arn)
	}
	return nil
}

func checkTags(tags map[string]string) error {
	if len(tags) > maxTags {
		return invalid("Tags", "%d tags, at most %d are allowed", len(tags), maxTags)
	}
	for k, v := range tags {
		if n := utf8.RuneCountInString(k); n < 1 || n > 128 || !tagPattern.MatchString(k) || strings.HasPrefix(k, "aws:") {
			return invalid("Tags", "%q is not a valid key", k)
		}
		if utf8.RuneCountInString(v) > 256 || !tagPattern.MatchString(v) {
			return invalid("Tags", "%q is not a valid value", v)
		}
	}
	return nil
}

func checkDestination(name Name, d *S3Destination) error {
	if err := checkRole("RoleARN", d.RoleARN); err != nil {
		return err
	}
	if !bucketPattern.MatchString(d.BucketARN) || len(d.BucketARN) > 2048 {
		return invalid("BucketARN", "%q is not the ARN of a bucket", d.BucketARN)
	}
	if err := checkFeatures(d); err != nil {
		return err
	}
	if err := checkBuffering(&d.Buffering); err != nil {
		return err
	}
	if len(d.FileExtension) > 128 || d.FileExtension != "" && !extensionPattern.MatchString(d.FileExtension) {
		return invalid("FileExtension", "%q is not a dot and up to 127 of 0-9 a-z ! - _ . * ' ( )", d.FileExtension)
	}
	if d.CustomTimeZone != "" && (len(d.CustomTimeZone) > 50 || !zonePattern.MatchString(d.CustomTimeZone)) {
		return invalid("CustomTimeZone", "%q is not the name of a time zone", d.CustomTimeZone)
	}
	if _, err := d.location(); err != nil {
		return invalid("CustomTimeZone", "%q is unknown", d.CustomTimeZone)
	}
	if err := checkProcessing(d.Processing); err != nil {
		return err
	}
	if err := checkLogging(d.Logging); err != nil {
		return err
	}
	return checkPrefixes(name, d)
}

// checkFeatures refuses what AWS has and this service has not.
func checkFeatures(d *S3Destination) error {
	switch d.Compression {
	case "":
		d.Compression = Uncompressed
	case Uncompressed, GZIP:
	case "ZIP", "Snappy", "HADOOP_SNAPPY":
		return &UnsupportedError{Feature: "the compression format " + string(d.Compression)}
	default:
		return invalid("CompressionFormat", "%q is unknown", d.Compression)
	}
	switch d.BackupMode {
	case "", "Disabled":
	case "Enabled":
		return &UnsupportedError{Feature: "the backup of source records"}
	default:
		return invalid("S3BackupMode", "%q is unknown", d.BackupMode)
	}
	switch {
	case d.KMSKeyARN != "":
		return &UnsupportedError{Feature: "the encryption of objects by a KMS key"}
	case d.FormatConversion:
		return &UnsupportedError{Feature: "the conversion of the record format"}
	case d.DynamicPartitioning:
		return &UnsupportedError{Feature: "dynamic partitioning"}
	}
	return nil
}

func checkBuffering(b *BufferingHints) error {
	if (b.SizeMB == nil) != (b.IntervalSeconds == nil) {
		return invalid("BufferingHints", "SizeInMBs and IntervalInSeconds are given together or not at all")
	}
	if b.SizeMB == nil {
		b.SizeMB, b.IntervalSeconds = new(defaultSizeMB), new(defaultIntervalSeconds)
	}
	if *b.SizeMB < 1 || *b.SizeMB > 128 {
		return invalid("BufferingHints.SizeInMBs", "%d is not between 1 and 128", *b.SizeMB)
	}
	if *b.IntervalSeconds < 0 || *b.IntervalSeconds > 900 {
		return invalid("BufferingHints.IntervalInSeconds", "%d is not between 0 and 900", *b.IntervalSeconds)
	}
	return nil
}

func checkProcessing(p *Processing) error {
	if p == nil {
		return nil
	}
	seen := map[string]bool{}
	for _, proc := range p.Processors {
		switch proc.Type {
		case AppendDelimiterToRecord:
		case "RecordDeAggregation", "Decompression", "CloudWatchLogProcessing", "Lambda", "MetadataExtraction":
			// AWS keeps the processors of a disabled configuration, and so can we: they do nothing there.
			if p.Enabled {
				return &UnsupportedError{Feature: "the processor " + proc.Type}
			}
			continue
		default:
			return invalid("ProcessingConfiguration.Processors", "the processor %q is unknown", proc.Type)
		}
		if seen[proc.Type] {
			return invalid("ProcessingConfiguration.Processors", "%s is given twice", proc.Type)
		}
		seen[proc.Type] = true
		if err := checkDelimiter(proc); err != nil {
			return err
		}
	}
	return nil
}

func checkDelimiter(proc Processor) error {
	const field = "ProcessingConfiguration.Processors.Parameters"
	if len(proc.Parameters) > 1 {
		return invalid(field, "%s takes one parameter, Delimiter", proc.Type)
	}
	for _, q := range proc.Parameters {
		if q.Name != "Delimiter" {
			return invalid(field, "%s has no parameter %q", proc.Type, q.Name)
		}
		if q.Value == "" || utf8.RuneCountInString(q.Value) > 5120 {
			return invalid(field, "Delimiter has 1 to 5120 characters")
		}
		if _, err := unescape(q.Value); err != nil {
			return invalid(field, "Delimiter: %s", err)
		}
	}
	return nil
}

func checkLogging(l *CloudWatchLogging) error {
	if l == nil {
		return nil
	}
	if len(l.LogGroup) > 512 || !logGroupPattern.MatchString(l.LogGroup) {
		return invalid("CloudWatchLoggingOptions.LogGroupName", "%q is not a valid name", l.LogGroup)
	}
	if len(l.LogStream) > 512 || !logStreamPattern.MatchString(l.LogStream) {
		return invalid("CloudWatchLoggingOptions.LogStreamName", "%q is not a valid name", l.LogStream)
	}
	if l.Enabled && (l.LogGroup == "" || l.LogStream == "") {
		return invalid("CloudWatchLoggingOptions", "LogGroupName and LogStreamName are required when logging is enabled")
	}
	return nil
}
