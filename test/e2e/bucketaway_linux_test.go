package e2e

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/firehose"
	firehosetypes "github.com/aws/aws-sdk-go-v2/service/firehose/types"
	"github.com/aws/smithy-go"

	"github.com/seed-462d9463/sluice/sinks/sinktest/miniotest"
)

// TestABucketThatIsAwayUntilTheDiskIsFullLosesNothing puts records into a delivery stream while its bucket is away, until
// the disk is full of them. When the bucket is back, delivery alone must make room again, and deliver each record once.
func TestABucketThatIsAwayUntilTheDiskIsFullLosesNothing(t *testing.T) {
	disk := smallDisk(t, 160<<20)
	store := miniotest.Start(t)
	const bucket = "away-bucket"
	store.CreateBucket(t, bucket)
	store.Stop(t)

	s := newServer(t, "--config", "testdata/small-log.yaml")
	s.data = filepath.Join(disk, "data")
	s.env = append(s.env, "SLUICE_S3_ENDPOINT="+store.Endpoint,
		"SLUICE_S3_ACCESS_KEY="+store.AccessKey, "SLUICE_S3_SECRET_KEY="+store.SecretKey)
	t.Cleanup(s.kill) // before the unmount
	s.start()
	createDelivery(t, s, "away", bucket, "")

	l := newLedger()
	n := 0
	put := func() error {
		var batch []entry
		var records []firehosetypes.Record
		for range 20 {
			random := make([]byte, 20_000) // gzip must not make it small
			_, _ = rand.Read(random)
			e := entry{"producer", n, hex.EncodeToString(random)}
			n++
			batch = append(batch, e)
			records = append(records, firehosetypes.Record{Data: e.encode()})
		}
		l.try(batch...)
		out, err := s.firehose().PutRecordBatch(t.Context(), &firehose.PutRecordBatchInput{
			DeliveryStreamName: aws.String("away"), Records: records,
		})
		if err != nil {
			return err
		}
		for i, r := range out.RequestResponses {
			if r.ErrorCode != nil {
				return fmt.Errorf("%s: %s", *r.ErrorCode, *r.ErrorMessage)
			}
			l.ack(acknowledgement{entry: batch[i]})
		}
		return nil
	}
	var full error
	for full == nil {
		if full = put(); n > 20_000 {
			t.Fatal("800 MB were accepted on a disk of 160 MiB while the bucket was away")
		}
	}
	var api smithy.APIError
	if !errors.As(full, &api) {
		t.Fatalf("not an AWS error: %v", full)
	}
	t.Logf("after %d records: %v", len(l.acknowledged()), full)

	s.kill() // the full disk must not hinder the restart either
	s.start()
	store.Restart(t)
	eventually(t, "delivery has made room for more records", put)

	checkDirect(t, l, func() map[string]int { return countLines(minioObjects(t, store, bucket)) })
}
