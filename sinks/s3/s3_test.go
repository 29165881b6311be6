package s3_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/seed-462d9463/sluice/sinks"
	"github.com/seed-462d9463/sluice/sinks/s3"
	"github.com/seed-462d9463/sluice/sinks/sinktest"
	"github.com/seed-462d9463/sluice/sinks/sinktest/miniotest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// config is for the server, with a spool directory of its own.
func config(t *testing.T, server *miniotest.Server) s3.Config {
	t.Helper()
	return s3.Config{
		Endpoint:  server.Endpoint,
		AccessKey: server.AccessKey,
		SecretKey: server.SecretKey,
		SpoolDir:  t.TempDir(),
	}
}

// open returns the sink of a bucket.
func open(t *testing.T, config s3.Config, bucket string) sinks.Sink {
	t.Helper()
	opener, err := s3.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := opener.Close(); err != nil {
			t.Error(err)
		}
	})
	sink, err := opener.Open(bucket)
	if err != nil {
		t.Fatal(err)
	}
	return sink
}

func object(key, content string) sinks.Object {
	return sinks.Object{Key: key, Body: strings.NewReader(content)}
}

func expectEmpty(t *testing.T, dir string) {
	t.Helper()
	if left := entries(t, dir); len(left) != 0 {
		t.Errorf("%s holds %q", dir, left)
	}
}

func entries(t *testing.T, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range list {
		names = append(names, entry.Name())
	}
	return names
}

func TestSinkKeepsItsPromises(t *testing.T) {
	server := miniotest.Start(t)
	var buckets atomic.Int64
	sinktest.Run(t, func(t *testing.T) sinktest.Harness {
		bucket := fmt.Sprintf("bucket-%d", buckets.Add(1))
		server.CreateBucket(t, bucket)
		config := config(t, server)
		return sinktest.Harness{
			Sink: open(t, config, bucket),
			Open: func(ctx context.Context, key string) (io.ReadCloser, error) {
				return server.Open(ctx, bucket, key)
			},
			Leftovers: func(t *testing.T) []string {
				return append(entries(t, config.SpoolDir), server.IncompleteUploads(t, bucket)...)
			},
		}
	})
}
