package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/smithy-go"
)

// smallDisk mounts a tmpfs. Where that is not allowed the test is skipped, or fails when CI=true.
func smallDisk(t *testing.T, bytes int64) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", bytes)); err != nil {
		missing(t, fmt.Sprintf("a tmpfs cannot be mounted here (needs root): %v", err))
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestAFullDiskRefusesWritesAndLosesNothing(t *testing.T) {
	disk := smallDisk(t, 192<<20)
	ballast := filepath.Join(disk, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 64<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newServer(t, "--limits", "off", "--config", "testdata/small-log.yaml")
	s.data = filepath.Join(disk, "data")
	t.Cleanup(s.kill) // before the unmount
	s.start()
	createStream(t, s, "clicks", 2)
	createStream(t, s, "spare", 1)

	l := newLedger()
	n := 0
	put := func() error {
		e := entry{"producer", n, strings.Repeat("z", 200_000)}
		n++
		l.try(e)
		out, err := s.kinesis().PutRecord(t.Context(), &kinesis.PutRecordInput{
			StreamName: aws.String("clicks"), PartitionKey: aws.String("producer"), Data: e.encode(),
		})
		if err == nil {
			l.ack(acknowledgement{e, *out.ShardId, *out.SequenceNumber})
		}
		return err
	}
	var full error
	for full == nil {
		if full = put(); n > 2000 {
			t.Fatal("400 MB were accepted on a disk of 192 MiB")
		}
	}
	var api smithy.APIError
	if !errors.As(full, &api) {
		t.Fatalf("not an AWS error: %v", full)
	}
	t.Logf("after %d records: %v", len(l.acknowledged()), full)
	if api.ErrorCode() != "ServiceUnavailable" && api.ErrorCode() != "ServiceUnavailableException" {
		t.Errorf("the code of the error is %s", api.ErrorCode())
	}
	for _, part := range []string{"no space left on the server's disk", "MiB are free", "MiB must stay free", "when there is room"} {
		if !strings.Contains(full.Error(), part) {
			t.Errorf("the error does not say %q: %v", part, full)
		}
	}
	for _, part := range []string{"little disk space is left", "no space left: writes are refused", s.data} {
		if !strings.Contains(s.output.String(), part) {
			t.Errorf("the log does not say %q", part)
		}
	}
	eventually(t, "the metrics say that the disk is full", func() error {
		_ = put() // what was taken and flushed in the meantime may have left some room
		if full, low := s.metric("sluice_journal_disk_full"), s.metric("sluice_journal_disk_low"); full != 1 || low != 1 {
			return fmt.Errorf("full %v, low %v", full, low)
		}
		return nil
	})
	if _, err := s.kinesis().DeleteStream(t.Context(), &kinesis.DeleteStreamInput{StreamName: aws.String("spare")}); err != nil {
		t.Errorf("deleting a stream on the full disk: %v", err)
	}

	checkStream(t, l, readStream(t.Context(), t, s.reader(), "clicks")) // reads go on

	s.kill() // and nothing is lost through a crash on the full disk
	s.start()
	checkStream(t, l, readStream(t.Context(), t, s.reader(), "clicks"))

	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	eventually(t, "writes work again when there is room", put)
	for range 50 {
		if err := put(); err != nil {
			t.Errorf("a write with room again: %v", err)
		}
	}
	checkStream(t, l, readStream(t.Context(), t, s.reader(), "clicks"))
	s.stop()
	s.start()
	checkStream(t, l, readStream(t.Context(), t, s.reader(), "clicks"))
}
