package firehose

import (
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // so that a delivery stream's time zone is known on every machine
)

// Name names a delivery stream. It is unique in its account and region.
type Name struct{ Account, Region, Name string }

func (n Name) String() string { return n.Account + "/" + n.Region + "/" + n.Name }

// SourceType tells where a delivery stream's records come from, in AWS's words.
type SourceType string

// The sources.
const (
	DirectPut             SourceType = "DirectPut"
	KinesisStreamAsSource SourceType = "KinesisStreamAsSource"
)

// Compression is the encoding of objects, in AWS's words.
type Compression string

// The encodings.
const (
	Uncompressed Compression = "UNCOMPRESSED"
	GZIP         Compression = "GZIP"
)

// Definition is what a user asks for when he creates a delivery stream. It is kept as a JSON document in the
// catalog, with the defaults filled in.
//
// Some fields exist only so that what they ask for can be refused by name: see UnsupportedError.
type Definition struct {
	Type             SourceType        `json:"type"`                         // default DirectPut
	ThroughputHintMB int               `json:"throughput_hint_mb,omitempty"` // 0 or 1–100; information only, as in AWS
	Kinesis          *KinesisSource    `json:"kinesis,omitempty"`            // with KinesisStreamAsSource, and only then
	S3               S3Destination     `json:"s3"`
	Tags             map[string]string `json:"tags,omitempty"`

	ServerSideEncryption bool `json:"-"` // refused: records are not encrypted at rest
}

// KinesisSource is the data stream that a delivery stream reads.
type KinesisSource struct {
	StreamARN string `json:"stream_arn"`
	RoleARN   string `json:"role_arn"`
}

// S3Destination is the bucket where the objects go, and their shape: AWS's ExtendedS3DestinationConfiguration.
type S3Destination struct {
	RoleARN           string             `json:"role_arn"`
	BucketARN         string             `json:"bucket_arn"`
	Prefix            string             `json:"prefix,omitempty"`              // see prefix
	ErrorOutputPrefix string             `json:"error_output_prefix,omitempty"` // checked and kept; nothing fails to be processed yet
	Buffering         BufferingHints     `json:"buffering"`
	Compression       Compression        `json:"compression"`              // default UNCOMPRESSED
	FileExtension     string             `json:"file_extension,omitempty"` // instead of ".gz" or nothing
	CustomTimeZone    string             `json:"custom_time_zone,omitempty"`
	Logging           *CloudWatchLogging `json:"logging,omitempty"`
	Processing        *Processing        `json:"processing,omitempty"`

	BackupMode          string `json:"backup_mode,omitempty"` // "" or "Disabled"; "Enabled" is refused
	KMSKeyARN           string `json:"-"`                     // refused
	FormatConversion    bool   `json:"-"`                     // refused
	DynamicPartitioning bool   `json:"-"`                     // refused
}

// BufferingHints bound how much and how long records are buffered before they are delivered. Both are given, or
// neither.
type BufferingHints struct {
	SizeMB          *int `json:"size_mb"`          // MiB before compression, 1–128, default 5
	IntervalSeconds *int `json:"interval_seconds"` // since the oldest record's arrival, 0–900, default 300
}

// CloudWatchLogging has no CloudWatch to go to: errors of delivery are always in Sluice's own log. When it is
// enabled, those lines carry the names given here.
type CloudWatchLogging struct {
	Enabled   bool   `json:"enabled"`
	LogGroup  string `json:"log_group,omitempty"`
	LogStream string `json:"log_stream,omitempty"`
}

// Processing is what happens to records on their way.
type Processing struct {
	Enabled    bool        `json:"enabled"`
	Processors []Processor `json:"processors,omitempty"`
}

// AppendDelimiterToRecord is the processor that writes a delimiter, by default a newline, after every record.
const AppendDelimiterToRecord = "AppendDelimiterToRecord"

// Processor is one step of Processing.
type Processor struct {
	Type       string               `json:"type"`
	Parameters []ProcessorParameter `json:"parameters,omitempty"`
}

// ProcessorParameter is a named value of a Processor.
type ProcessorParameter struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Description is what is known of a delivery stream. There is no status: it is active as long as it is there.
type Description struct {
	Name       Name
	ID         string // of this delivery stream, never used again
	Version    int    // of the definition, from 1
	Created    time.Time
	Updated    time.Time // the last change of the definition; Created if there was none
	Definition Definition
}

// Limits, from "Amazon Data Firehose Quota" and the service's API model.
const (
	MaxRecordBytes = 1000 << 10 // one record, before base64

	maxNameBytes       = 64
	maxPrefixChars     = 1024
	maxEvaluatedPrefix = 512
	maxTags            = 50

	defaultSizeMB          = 5
	defaultIntervalSeconds = 300
)

// bucket is the bucket's name.
func (d *S3Destination) bucket() string {
	_, name, _ := strings.Cut(d.BucketARN, ":::")
	return name
}

func (d *S3Destination) sizeBytes() int64 { return int64(*d.Buffering.SizeMB) << 20 }

func (d *S3Destination) interval() time.Duration {
	return time.Duration(*d.Buffering.IntervalSeconds) * time.Second
}

// location is the time zone of object names. The definition has been checked, so the zone is known.
func (d *S3Destination) location() (*time.Location, error) {
	if d.CustomTimeZone == "" {
		return time.UTC, nil
	}
	if d.CustomTimeZone == "Local" { // Go's word for the machine's zone, which is nobody's business
		return nil, fmt.Errorf("unknown time zone %s", d.CustomTimeZone)
	}
	return time.LoadLocation(d.CustomTimeZone)
}

// extension is what object names end with.
func (d *S3Destination) extension() string {
	switch {
	case d.FileExtension != "":
		return d.FileExtension
	case d.Compression == GZIP:
		return ".gz"
	default:
		return ""
	}
}

// delimiter is what follows each record. The definition has been checked.
func (d *S3Destination) delimiter() (string, error) {
	if d.Processing == nil || !d.Processing.Enabled {
		return "", nil
	}
	for _, p := range d.Processing.Processors {
		if p.Type != AppendDelimiterToRecord {
			continue
		}
		for _, q := range p.Parameters {
			if q.Name == "Delimiter" {
				return unescape(q.Value)
			}
		}
		return "\n", nil
	}
	return "", nil
}

// stream is the data stream that the ARN names.
func (k *KinesisSource) stream() Name {
	part := strings.SplitN(k.StreamARN, ":", 6)
	return Name{Region: part[3], Account: part[4], Name: strings.TrimPrefix(part[5], "stream/")}
}

// unescape reads the backslash sequences that AWS's delimiter parameter is written with: a value may not be
// blank, so a newline has to be given as \n.
func unescape(s string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			continue
		}
		i++
		if i == len(s) {
			return "", fmt.Errorf("%q ends in a single backslash", s)
		}
		c, ok := map[byte]byte{'n': '\n', 'r': '\r', 't': '\t', '0': 0, '\\': '\\'}[s[i]]
		if !ok {
			return "", fmt.Errorf(`unknown sequence \%c in %q (\n, \r, \t, \0 and \\ are known)`, s[i], s)
		}
		b.WriteByte(c)
	}
	return b.String(), nil
}
