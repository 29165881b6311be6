package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
)

// A stream with a bound on its size drops its oldest records, keeps at least the bound, and goes on so after a restart.
func TestAStreamKeepsWhatItsSizeAllows(t *testing.T) {
	const bound, record = 8 << 20, 200_000
	s := newServer(t, "--limits", "off", "--config", "testdata/small-log.yaml")
	s.env = append(s.env, fmt.Sprint("SLUICE_RETENTION_BYTES=", bound), "SLUICE_LOG_COMPRESSION=off") // of what goes to disk
	s.start()
	createStream(t, s, "clicks", 1)
	n := 0
	put := func() {
		t.Helper()
		e := entry{"producer", n, strings.Repeat("z", record)}
		n++
		if _, err := s.kinesis().PutRecord(t.Context(), &kinesis.PutRecordInput{
			StreamName: aws.String("clicks"), PartitionKey: aws.String("producer"), Data: e.encode(),
		}); err != nil {
			t.Fatal(err)
		}
	}
	oldest := -1
	// check waits until records have been dropped since the last time, and holds what is left against the bound.
	check := func() {
		t.Helper()
		before := oldest
		eventually(t, "the oldest records are dropped", func() error {
			for range 10 {
				put()
			}
			if oldest = parseEntry(t, readStream(t.Context(), t, s.reader(), "clicks")[0].data).N; oldest <= before+1 {
				return fmt.Errorf("%d of %d are dropped", oldest, n)
			}
			return nil
		})
		records := readStream(t.Context(), t, s.reader(), "clicks")
		for i, r := range records {
			if want := n - len(records) + i; parseEntry(t, r.data).N != want {
				t.Fatalf("record %d of %d is number %d, want %d", i, len(records), parseEntry(t, r.data).N, want)
			}
		}
		if len(records)*record < bound-record {
			t.Errorf("%d records of %d bytes are left, the bound is %d", len(records), record, bound)
		}
	}
	check()
	s.kill()
	s.start()
	check()
}
