package firehose

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func destination(change func(*S3Destination)) func(*Definition) {
	return func(d *Definition) { change(&d.S3) }
}

func processors(p ...Processor) func(*Definition) {
	return destination(func(d *S3Destination) { d.Processing = &Processing{Enabled: true, Processors: p} })
}

func TestWhatIsNotSupportedIsRefusedByName(t *testing.T) {
	for want, change := range map[string]func(*Definition){
		"server-side encryption":            func(d *Definition) { d.ServerSideEncryption = true },
		"source MSKAsSource":                func(d *Definition) { d.Type = "MSKAsSource" },
		"source DatabaseAsSource":           func(d *Definition) { d.Type = "DatabaseAsSource" },
		"compression format ZIP":            destination(func(d *S3Destination) { d.Compression = "ZIP" }),
		"compression format Snappy":         destination(func(d *S3Destination) { d.Compression = "Snappy" }),
		"compression format HADOOP_SNAPPY":  destination(func(d *S3Destination) { d.Compression = "HADOOP_SNAPPY" }),
		"backup":                            destination(func(d *S3Destination) { d.BackupMode = "Enabled" }),
		"KMS key":                           destination(func(d *S3Destination) { d.KMSKeyARN = "arn:aws:kms:eu-west-1:000000000000:key/a" }),
		"conversion of the record format":   destination(func(d *S3Destination) { d.FormatConversion = true }),
		"dynamic partitioning":              destination(func(d *S3Destination) { d.DynamicPartitioning = true }),
		"processor Lambda":                  processors(Processor{Type: "Lambda"}),
		"processor RecordDeAggregation":     processors(Processor{Type: "RecordDeAggregation"}),
		"processor MetadataExtraction":      processors(Processor{Type: "MetadataExtraction"}),
		"processor Decompression":           processors(Processor{Type: "Decompression"}),
		"processor CloudWatchLogProcessing": processors(Processor{Type: "CloudWatchLogProcessing"}),
	} {
		_, err := check(clicks, definition(change))
		if e, ok := errors.AsType[*UnsupportedError](err); !ok || !strings.Contains(e.Feature, want) {
			t.Errorf("%s: error %v, want an *UnsupportedError", want, err)
		}
	}
}

func TestInvalidDefinitionsAreRefusedByField(t *testing.T) {
	for _, c := range []struct {
		field  string
		change func(*Definition)
	}{
		{"DeliveryStreamType", func(d *Definition) { d.Type = "directput" }},
		{"KinesisStreamSourceConfiguration", func(d *Definition) { d.Kinesis = &KinesisSource{} }},
		{"KinesisStreamSourceConfiguration", func(d *Definition) { d.Type = KinesisStreamAsSource }},
		{"KinesisStreamSourceConfiguration.KinesisStreamARN", func(d *Definition) {
			fromStream(d)
			d.Kinesis.StreamARN = "arn:aws:kinesis:eu-west-1:0:stream/input"
		}},
		{"KinesisStreamSourceConfiguration.RoleARN", func(d *Definition) { fromStream(d); d.Kinesis.RoleARN = "" }},
		{"DirectPutSourceConfiguration.ThroughputHintInMBs", func(d *Definition) { d.ThroughputHintMB = 101 }},
		{"DirectPutSourceConfiguration", func(d *Definition) { fromStream(d); d.ThroughputHintMB = 1 }},
		{"Tags", func(d *Definition) { d.Tags = map[string]string{"aws:a": ""} }},
		{"Tags", func(d *Definition) { d.Tags = map[string]string{"": ""} }},
		{"Tags", func(d *Definition) { d.Tags = map[string]string{"a": "#"} }},
		{"RoleARN", destination(func(d *S3Destination) { d.RoleARN = "" })},
		{"BucketARN", destination(func(d *S3Destination) { d.BucketARN = "clicks" })},
		{"CompressionFormat", destination(func(d *S3Destination) { d.Compression = "gzip" })},
		{"S3BackupMode", destination(func(d *S3Destination) { d.BackupMode = "On" })},
		{"BufferingHints", destination(func(d *S3Destination) { d.Buffering.SizeMB = nil })},
		{"BufferingHints", destination(func(d *S3Destination) { d.Buffering.IntervalSeconds = nil })},
		{"BufferingHints.SizeInMBs", buffering(0, 60)},
		{"BufferingHints.SizeInMBs", buffering(129, 60)},
		{"BufferingHints.IntervalInSeconds", buffering(5, -1)},
		{"BufferingHints.IntervalInSeconds", buffering(5, 901)},
		{"FileExtension", destination(func(d *S3Destination) { d.FileExtension = "gz" })},
		{"FileExtension", destination(func(d *S3Destination) { d.FileExtension = ".GZ" })},
		{"FileExtension", destination(func(d *S3Destination) { d.FileExtension = "." + strings.Repeat("a", 128) })},
		{"CustomTimeZone", destination(func(d *S3Destination) { d.CustomTimeZone = "Europe/Nowhere" })},
		{"CustomTimeZone", destination(func(d *S3Destination) { d.CustomTimeZone = "Local" })},
		{"CustomTimeZone", destination(func(d *S3Destination) { d.CustomTimeZone = "../etc" })},
		{"CloudWatchLoggingOptions", destination(func(d *S3Destination) { d.Logging = &CloudWatchLogging{Enabled: true} })},
		{"CloudWatchLoggingOptions.LogGroupName", destination(func(d *S3Destination) { d.Logging = &CloudWatchLogging{LogGroup: "a b"} })},
		{"ProcessingConfiguration.Processors", processors(Processor{Type: "Nothing"})},
		{"ProcessingConfiguration.Processors", processors(Processor{Type: AppendDelimiterToRecord}, Processor{Type: AppendDelimiterToRecord})},
		{"ProcessingConfiguration.Processors.Parameters", processors(Processor{
			Type: AppendDelimiterToRecord, Parameters: []ProcessorParameter{{"SubRecordType", "JSON"}},
		})},
		{"ProcessingConfiguration.Processors.Parameters", processors(Processor{
			Type: AppendDelimiterToRecord, Parameters: []ProcessorParameter{{"Delimiter", `\q`}},
		})},
		{"ProcessingConfiguration.Processors.Parameters", processors(Processor{
			Type: AppendDelimiterToRecord, Parameters: []ProcessorParameter{{"Delimiter", ""}},
		})},
	} {
		_, err := check(clicks, definition(c.change))
		if e, ok := errors.AsType[*InvalidError](err); !ok || e.Field != c.field {
			t.Errorf("error %v, want an *InvalidError for %s", err, c.field)
		}
	}
	for _, name := range []string{"", "a b", "ä", strings.Repeat("a", 65)} {
		if _, err := check(named(name), definition()); err == nil {
			t.Errorf("name %q was accepted", name)
		}
	}
}

func TestValidDefinitionsAreAccepted(t *testing.T) {
	for name, change := range map[string]func(*Definition){
		"plain":              func(*Definition) {},
		"stream":             fromStream,
		"greatest":           buffering(128, 900),
		"least":              buffering(1, 0),
		"another partition":  destination(func(d *S3Destination) { d.BucketARN = "arn:aws-cn:s3:::a.b-c_d" }),
		"zone":               destination(func(d *S3Destination) { d.CustomTimeZone = "Asia/Tokyo" }),
		"extension":          destination(func(d *S3Destination) { d.FileExtension = ".json.gz" }),
		"backup disabled":    destination(func(d *S3Destination) { d.BackupMode = "Disabled" }),
		"logging":            destination(func(d *S3Destination) { d.Logging = &CloudWatchLogging{Enabled: true, LogGroup: "/a", LogStream: "b"} }),
		"disabled processor": destination(func(d *S3Destination) { d.Processing = &Processing{Processors: []Processor{{Type: "Lambda"}}} }),
		"longest names": destination(func(d *S3Destination) {
			d.Prefix = strings.Repeat("a", maxEvaluatedPrefix-14)
			d.FileExtension = "." + strings.Repeat("a", 127)
		}),
	} {
		if _, err := check(named(strings.Repeat("n", 64)), definition(change)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDelimitersAreWrittenWithBackslashes(t *testing.T) {
	for value, want := range map[string]string{
		`\n`: "\n", `\r\n`: "\r\n", `,\t`: ",\t", `\\n`: `\n`, "|": "|", "\n": "\n", `\0`: "\x00",
	} {
		d := definition(processors(Processor{Type: AppendDelimiterToRecord, Parameters: []ProcessorParameter{{"Delimiter", value}}}))
		if _, err := check(clicks, d); err != nil {
			t.Errorf("%q: %v", value, err)
		}
		if got, _ := d.S3.delimiter(); got != want {
			t.Errorf("%q means %q, want %q", value, got, want)
		}
	}
	d := definition()
	d.S3.Processing.Enabled = false
	if got, _ := d.S3.delimiter(); got != "" {
		t.Errorf("delimiter %q though processing is disabled", got)
	}
}

func TestTheSourceStreamIsReadFromItsARN(t *testing.T) {
	k := KinesisSource{StreamARN: "arn:aws-cn:kinesis:cn-north-1:123456789012:stream/a.b-c_d"}
	want := Name{Account: "123456789012", Region: "cn-north-1", Name: "a.b-c_d"}
	if diff := cmp.Diff(want, k.stream()); diff != "" {
		t.Error(diff)
	}
}
