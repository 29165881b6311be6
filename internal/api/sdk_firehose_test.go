package api_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsfirehose "github.com/aws/aws-sdk-go-v2/service/firehose"
	firehosetypes "github.com/aws/aws-sdk-go-v2/service/firehose/types"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"
)

func TestFirehoseDeliversWhatTheSDKPuts(t *testing.T) {
	ctx := t.Context()
	s := start(t)
	f := s.firehose()
	name := aws.String("clicks")
	created, err := f.CreateDeliveryStream(ctx, &awsfirehose.CreateDeliveryStreamInput{
		DeliveryStreamName: name,
		ExtendedS3DestinationConfiguration: &firehosetypes.ExtendedS3DestinationConfiguration{
			RoleARN: aws.String("arn:aws:iam::123456789012:role/r"), BucketARN: aws.String("arn:aws:s3:::lake"),
			BufferingHints: &firehosetypes.BufferingHints{IntervalInSeconds: aws.Int32(0), SizeInMBs: aws.Int32(1)},
			Prefix:         aws.String("in/"),
			ProcessingConfiguration: &firehosetypes.ProcessingConfiguration{Enabled: aws.Bool(true), Processors: []firehosetypes.Processor{
				{Type: firehosetypes.ProcessorTypeAppendDelimiterToRecord}}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := "arn:aws:firehose:eu-central-1:123456789012:deliverystream/clicks"; *created.DeliveryStreamARN != want {
		t.Errorf("ARN %s, want %s", *created.DeliveryStreamARN, want)
	}
	if out, err := f.PutRecord(ctx, &awsfirehose.PutRecordInput{DeliveryStreamName: name,
		Record: &firehosetypes.Record{Data: []byte("one")}}); err != nil || *out.RecordId == "" {
		t.Fatalf("%+v, %v", out, err)
	}
	batch, err := f.PutRecordBatch(ctx, &awsfirehose.PutRecordBatchInput{DeliveryStreamName: name,
		Records: []firehosetypes.Record{{Data: []byte("two")}, {Data: []byte{}}, {Data: []byte("three")}}})
	if err != nil || *batch.FailedPutCount != 0 || len(batch.RequestResponses) != 3 || *batch.Encrypted {
		t.Fatalf("%+v, %v", batch, err)
	}
	eventually(t, "all records are in objects", func() bool { return delivered(t, s.buckets) == "one\ntwo\n\nthree\n" })
	described, err := f.DescribeDeliveryStream(ctx, &awsfirehose.DescribeDeliveryStreamInput{DeliveryStreamName: name})
	if err != nil {
		t.Fatal(err)
	}
	d := described.DeliveryStreamDescription
	if d.DeliveryStreamStatus != firehosetypes.DeliveryStreamStatusActive || *d.VersionId != "1" || d.DeliveryStreamType != "DirectPut" ||
		len(d.Destinations) != 1 || *d.Destinations[0].ExtendedS3DestinationDescription.Prefix != "in/" ||
		d.Destinations[0].ExtendedS3DestinationDescription.CompressionFormat != "UNCOMPRESSED" {
		t.Errorf("description %+v", d)
	}
	list, err := f.ListDeliveryStreams(ctx, &awsfirehose.ListDeliveryStreamsInput{})
	if err != nil || len(list.DeliveryStreamNames) != 1 || *list.HasMoreDeliveryStreams {
		t.Errorf("list %+v, %v", list, err)
	}
	if _, err := f.DeleteDeliveryStream(ctx, &awsfirehose.DeleteDeliveryStreamInput{DeliveryStreamName: name}); err != nil {
		t.Fatal(err)
	}
	_, err = f.PutRecord(ctx, &awsfirehose.PutRecordInput{DeliveryStreamName: name, Record: &firehosetypes.Record{Data: []byte("x")}})
	if code(err) != "ResourceNotFoundException" || message(err) != "Firehose clicks under account 123456789012 not found." {
		t.Errorf("a deleted delivery stream: %v", err)
	}
}

// delivered is the content of all objects, in the order of their names.
func delivered(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasPrefix(entry.Name(), ".") {
			return nil //nolint:nilerr // an object that is just being renamed
		}
		content, err := os.ReadFile(path)
		all.Write(content)
		return err
	})
	if err != nil {
		t.Log(err)
	}
	return all.String()
}

func TestFirehoseReadsAStream(t *testing.T) {
	ctx := t.Context()
	s := start(t)
	k, f := s.kinesis(), s.firehose()
	if _, err := k.CreateStream(ctx, &awskinesis.CreateStreamInput{StreamName: aws.String("in"), ShardCount: aws.Int32(1)}); err != nil {
		t.Fatal(err)
	}
	create := func(name, arn string) error {
		_, err := f.CreateDeliveryStream(ctx, &awsfirehose.CreateDeliveryStreamInput{
			DeliveryStreamName: &name, DeliveryStreamType: firehosetypes.DeliveryStreamTypeKinesisStreamAsSource,
			KinesisStreamSourceConfiguration: &firehosetypes.KinesisStreamSourceConfiguration{
				KinesisStreamARN: &arn, RoleARN: aws.String("arn:aws:iam::123456789012:role/r")},
			S3DestinationConfiguration: &firehosetypes.S3DestinationConfiguration{
				RoleARN: aws.String("arn:aws:iam::123456789012:role/r"), BucketARN: aws.String("arn:aws:s3:::lake"),
				BufferingHints: &firehosetypes.BufferingHints{IntervalInSeconds: aws.Int32(0), SizeInMBs: aws.Int32(1)},
			},
		})
		return err
	}
	if err := create("out", "arn:aws:kinesis:eu-central-1:123456789012:stream/in"); err != nil {
		t.Fatal(err)
	}
	for arn, why := range map[string]string{
		"arn:aws:kinesis:eu-central-1:123456789012:stream/gone": "a stream that is not there",
		"arn:aws:kinesis:eu-central-1:999999999999:stream/in":   "another account's stream",
		"arn:aws:kinesis:us-west-2:123456789012:stream/in":      "another region's stream",
	} {
		if err := create("bad", arn); code(err) != "InvalidArgumentException" {
			t.Errorf("%s as the source: %v", why, err)
		}
	}
	if _, err := k.PutRecord(ctx, &awskinesis.PutRecordInput{StreamName: aws.String("in"), PartitionKey: aws.String("k"), Data: []byte("through")}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the record is in an object", func() bool { return delivered(t, s.buckets) == "through" })
	_, err := f.PutRecord(ctx, &awsfirehose.PutRecordInput{DeliveryStreamName: aws.String("out"), Record: &firehosetypes.Record{Data: []byte("x")}})
	if code(err) != "InvalidArgumentException" || message(err) != "This operation is not permitted on KinesisStreamAsSource delivery stream type." {
		t.Errorf("a direct put: %v", err)
	}
}
