package e2e

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/firehose"
	firehosetypes "github.com/aws/aws-sdk-go-v2/service/firehose/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	kinesistypes "github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// objectsIn reads every object of a bucket of the directory sink, decompressed when its name ends in .gz.
func objectsIn(t testing.TB, bucket string) map[string][]byte {
	t.Helper()
	objects := map[string][]byte{}
	err := filepath.WalkDir(bucket, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		objects[strings.TrimPrefix(path, bucket+"/")] = plain(t, path, data)
		return nil
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return objects
}

func plain(t testing.TB, name string, data []byte) []byte {
	t.Helper()
	if !strings.HasSuffix(name, ".gz") {
		return data
	}
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	out, err := io.ReadAll(z)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return out
}

// linesIn counts how often each line is in the objects of a bucket.
func linesIn(t testing.TB, bucket string) map[string]int {
	t.Helper()
	return countLines(objectsIn(t, bucket))
}

func countLines(objects map[string][]byte) map[string]int {
	lines := map[string]int{}
	for _, data := range objects {
		for line := range bytes.Lines(data) {
			lines[string(bytes.TrimSuffix(line, []byte("\n")))]++
		}
	}
	return lines
}

// lines counts, when it is called, how often each line is in the objects of a bucket of the directory sink.
func (s *server) lines(bucket string) func() map[string]int {
	return func() map[string]int { return linesIn(s.t, filepath.Join(s.buckets(), bucket)) }
}

// createStream makes a stream and waits for it as an SDK user does.
func createStream(t testing.TB, s *server, name string, shards int32) string {
	t.Helper()
	client := s.kinesis()
	if _, err := client.CreateStream(t.Context(), &kinesis.CreateStreamInput{
		StreamName: aws.String(name), ShardCount: aws.Int32(shards),
	}); err != nil {
		t.Fatal(err)
	}
	var arn string
	eventually(t, "the stream is active", func() error {
		out, err := client.DescribeStreamSummary(t.Context(), &kinesis.DescribeStreamSummaryInput{StreamName: aws.String(name)})
		if err != nil {
			t.Fatal(err)
		}
		if out.StreamDescriptionSummary.StreamStatus != kinesistypes.StreamStatusActive {
			return errNotYet
		}
		arn = *out.StreamDescriptionSummary.StreamARN
		return nil
	})
	return arn
}

// createDelivery makes a delivery stream into a bucket, gzip, one record a line, in small objects. An empty source is
// DirectPut.
func createDelivery(t testing.TB, s *server, name, bucket, sourceARN string) {
	t.Helper()
	in := &firehose.CreateDeliveryStreamInput{
		DeliveryStreamName: aws.String(name),
		ExtendedS3DestinationConfiguration: &firehosetypes.ExtendedS3DestinationConfiguration{
			RoleARN:           aws.String(roleARN),
			BucketARN:         aws.String("arn:aws:s3:::" + bucket),
			CompressionFormat: firehosetypes.CompressionFormatGzip,
			BufferingHints:    &firehosetypes.BufferingHints{SizeInMBs: aws.Int32(1), IntervalInSeconds: aws.Int32(1)},
			ProcessingConfiguration: &firehosetypes.ProcessingConfiguration{
				Enabled: aws.Bool(true),
				Processors: []firehosetypes.Processor{{
					Type: firehosetypes.ProcessorTypeAppendDelimiterToRecord,
					Parameters: []firehosetypes.ProcessorParameter{{
						ParameterName: firehosetypes.ProcessorParameterNameDelimiter, ParameterValue: aws.String("\\n"),
					}},
				}},
			},
		},
	}
	if sourceARN != "" {
		in.DeliveryStreamType = firehosetypes.DeliveryStreamTypeKinesisStreamAsSource
		in.KinesisStreamSourceConfiguration = &firehosetypes.KinesisStreamSourceConfiguration{
			KinesisStreamARN: aws.String(sourceARN), RoleARN: aws.String(roleARN),
		}
	}
	if _, err := s.firehose().CreateDeliveryStream(t.Context(), in); err != nil {
		t.Fatal(err)
	}
}

// readRecord is one record as GetRecords gave it.
type readRecord struct {
	shard, sequence, key, data string
}

// readStream reads every shard of a stream from its beginning to its present end.
func readStream(ctx context.Context, t testing.TB, client *kinesis.Client, name string) []readRecord {
	t.Helper()
	shards, err := client.ListShards(ctx, &kinesis.ListShardsInput{StreamName: aws.String(name)})
	if err != nil {
		t.Fatal(err)
	}
	var records []readRecord
	for _, shard := range shards.Shards {
		at, err := client.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{
			StreamName: aws.String(name), ShardId: shard.ShardId, ShardIteratorType: kinesistypes.ShardIteratorTypeTrimHorizon,
		})
		if err != nil {
			t.Fatal(err)
		}
		for iterator := at.ShardIterator; iterator != nil; {
			out, err := client.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: iterator, Limit: aws.Int32(5000)})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range out.Records {
				records = append(records, readRecord{*shard.ShardId, *r.SequenceNumber, *r.PartitionKey, string(r.Data)})
			}
			if len(out.Records) == 0 && *out.MillisBehindLatest == 0 {
				break
			}
			iterator = out.NextShardIterator
		}
	}
	return records
}

// records reads a stream, when it is called, from its beginning to its end at that time.
func (s *server) records(stream string) func() []readRecord {
	return func() []readRecord { return readStream(s.t.Context(), s.t, s.reader(), stream) }
}
