package miniotest_test

import (
	"errors"
	"net"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/seed-462d9463/sluice/sinks/sinktest/miniotest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestServerStopsAndComesBackAtItsAddress(t *testing.T) {
	server := miniotest.Start(t)
	server.CreateBucket(t, "stays")
	server.Stop(t)
	if conn, err := net.Dial("tcp", server.Address); err == nil {
		_ = conn.Close()
		t.Fatal("a stopped server takes connections")
	}
	server.Restart(t)
	if keys := server.Keys(t, "stays"); len(keys) != 0 {
		t.Fatalf("keys in an empty bucket: %q", keys)
	}
	server.Kill()
	server.Kill()
	server.Restart(t)
	if _, err := server.Open(t.Context(), "stays", "missing"); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("opening a missing object: %v", err)
	}
	server.RemoveBucket(t, "stays")
}
