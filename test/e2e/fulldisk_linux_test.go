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
	if !strings.Contains(full.Error(), "space") && !strings.Contains(s.output.String(), "space") {
		t.Errorf("neither the error nor the log says that the disk is full: %v", full)
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
