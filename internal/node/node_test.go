package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/seed-462d9463/sluice/internal/client"
	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testConfig is a node on free ports with its data in a directory of the test.
func testConfig(t *testing.T) Config {
	c := Default()
	c.Listen, c.Admin = "127.0.0.1:0", "127.0.0.1:0"
	c.Data = filepath.Join(t.TempDir(), "data")
	return c
}

// running is a node under test and how it ended.
type running struct {
	*Node
	t    *testing.T
	stop context.CancelFunc
	end  chan error
}

// start runs a node and returns when it serves. It is stopped by the end of the test at the latest.
func start(t *testing.T, config Config, change func(*Node)) *running {
	t.Helper()
	r := launch(t, config, change)
	select {
	case <-r.Serving():
	case err := <-r.end:
		t.Fatalf("the node ended: %v", err)
	}
	return r
}

func launch(t *testing.T, config Config, change func(*Node)) *running {
	t.Helper()
	n, err := New(config, Options{Logger: slog.New(slog.DiscardHandler), Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(n)
	}
	ctx, stop := context.WithCancel(context.Background())
	r := &running{Node: n, t: t, stop: stop, end: make(chan error, 1)}
	done := make(chan struct{})
	go func() { r.end <- n.Run(ctx); close(done) }()
	t.Cleanup(func() { stop(); <-done; http.DefaultClient.CloseIdleConnections() })
	return r
}

func (r *running) client() *client.Client {
	r.t.Helper()
	c, err := client.New(client.Options{
		Endpoint: "http://" + r.Addr().String(), Region: "us-east-1", AccessKey: "a", SecretKey: "b",
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(c.Close)
	return c
}

// get asks the admin listener.
func (r *running) get(path string) (int, string) {
	r.t.Helper()
	response, err := http.Get("http://" + r.AdminAddr().String() + path)
	if err != nil {
		r.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func TestWhatWasPutIsThereAfterARestart(t *testing.T) {
	config := testConfig(t)
	first := start(t, config, nil)
	c := first.client()
	if err := c.CreateStream(t.Context(), client.CreateStreamInput{StreamName: "s", ShardCount: 1}); err != nil {
		t.Fatal(err)
	}
	put, err := c.PutRecord(t.Context(), client.PutRecordInput{StreamName: "s", PartitionKey: "k", Data: []byte("v")})
	if err != nil {
		t.Fatal(err)
	}
	first.stop()
	if err := <-first.end; err != nil {
		t.Fatal(err)
	}

	second := start(t, config, nil)
	c = second.client()
	iterator, err := c.GetShardIterator(t.Context(), client.GetShardIteratorInput{
		StreamName: "s", ShardID: put.ShardID, ShardIteratorType: "TRIM_HORIZON",
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.GetRecords(t.Context(), client.GetRecordsInput{ShardIterator: iterator})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Records) != 1 || string(got.Records[0].Data) != "v" || got.Records[0].SequenceNumber != put.SequenceNumber {
		t.Errorf("%+v", got.Records)
	}
}

func TestTheAdminListenerTellsHealthMetricsAndProfiles(t *testing.T) {
	n := start(t, testConfig(t), nil)
	for path, want := range map[string]string{
		"/livez":               "alive",
		"/readyz":              "ready",
		"/metrics":             `sluice_build_info{version="test"} 1`,
		"/debug/pprof/":        "goroutine",
		"/debug/pprof/cmdline": "",
	} {
		if status, body := n.get(path); status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: %d %.200s", path, status, body)
		}
	}
	if _, body := n.get("/metrics"); !strings.Contains(body, "go_goroutines") || !strings.Contains(body, "process_cpu_seconds_total") {
		t.Error("the metrics of the process are missing")
	}
	if status, _ := n.get("/nothing"); status != http.StatusNotFound {
		t.Errorf("/nothing: %d", status)
	}
}

// slowFS holds up the opening of the log until it is told to go on.
type slowFS struct {
	vfs.FS
	reached, goOn chan struct{}
}

func (s *slowFS) Lock(name string) (io.Closer, error) {
	close(s.reached)
	<-s.goOn
	return s.FS.Lock(name)
}

func TestANodeIsNotReadyBeforeItServes(t *testing.T) {
	slow := &slowFS{FS: vfs.OS(), reached: make(chan struct{}), goOn: make(chan struct{})}
	n := launch(t, testConfig(t), func(n *Node) { n.fs = slow })
	<-slow.reached
	if status, body := n.get("/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "starting") {
		t.Errorf("/readyz: %d %s", status, body)
	}
	if status, _ := n.get("/livez"); status != http.StatusOK {
		t.Errorf("/livez: %d", status)
	}
	close(slow.goOn)
	<-n.Serving()
	if status, _ := n.get("/readyz"); status != http.StatusOK {
		t.Errorf("/readyz: %d", status)
	}
}

func TestANodeToldToStopWhileStartingStopsCleanly(t *testing.T) {
	slow := &slowFS{FS: vfs.OS(), reached: make(chan struct{}), goOn: make(chan struct{})}
	config := testConfig(t)
	n := launch(t, config, func(n *Node) { n.fs = slow })
	<-slow.reached
	n.stop()
	close(slow.goOn)
	if err := <-n.end; err != nil {
		t.Error(err)
	}
	start(t, config, nil) // the directory is free again
}

func TestAStartThatFailsHalfWayLeavesNothingOpen(t *testing.T) {
	config := testConfig(t)
	// Where the buckets should be is a file, which is found when the log, the catalog and the streams run.
	if err := os.MkdirAll(config.Data, 0o750); err != nil {
		t.Fatal(err)
	}
	inTheWay := filepath.Join(config.Data, "buckets")
	if err := os.WriteFile(inTheWay, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	n := launch(t, config, nil)
	if err := <-n.end; err == nil || !strings.Contains(err.Error(), inTheWay) {
		t.Errorf("the error does not name %s: %v", inTheWay, err)
	}
	if err := os.Remove(inTheWay); err != nil {
		t.Fatal(err)
	}
	start(t, config, nil)
}

func TestANodeWhoseLogFailsEndsWithTheCause(t *testing.T) {
	injector := vfs.Inject(vfs.OS())
	n := start(t, testConfig(t), func(n *Node) { n.fs = injector })
	broken := errors.New("the disk is gone")
	injector.Hook(vfs.FailOps(broken, vfs.OpDatasync))
	err := n.client().CreateStream(t.Context(), client.CreateStreamInput{StreamName: "s", ShardCount: 1})
	if err == nil {
		t.Error("a stream was made on a disk that cannot sync")
	}
	if err := <-n.end; !errors.Is(err, broken) {
		t.Errorf("the node ended with %v", err)
	}
}

func TestANodeThatEndsByDamageDoesNotPromiseThatAStartMendsIt(t *testing.T) {
	const promise = "is recovered by the next start"
	if err := whyFailed("the log", io.ErrUnexpectedEOF); !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), promise) {
		t.Errorf("after a failed write: %v", err)
	}
	damage := &shard.CorruptError{File: "journal/1", Offset: 4096, Reason: "wrong sum", Remedy: "sluice repair"}
	if err := whyFailed("the log", fmt.Errorf("moving records: %w", damage)); !errors.Is(err, damage) ||
		!strings.Contains(err.Error(), "sluice repair") || strings.Contains(err.Error(), promise) {
		t.Errorf("after damage: %v", err)
	}
}

func TestRequestsInFlightAreFinished(t *testing.T) {
	n := start(t, testConfig(t), nil)
	// A request whose body is not complete yet is in flight.
	connection, err := net.Dial("tcp", n.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	body := `{"StreamName":"s","ShardCount":1}`
	fmt.Fprintf(connection, "POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: Kinesis_20131202.CreateStream\r\n"+
		"Content-Type: application/x-amz-json-1.1\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", len(body))
	buffer := make([]byte, 1024)
	length, err := connection.Read(buffer) // the server has begun to read the body
	if err != nil || !bytes.Contains(buffer[:length], []byte("100 Continue")) {
		t.Fatalf("%s %v", buffer[:length], err)
	}
	n.stop()
	for {
		if status, _ := n.tryReady(); status == http.StatusServiceUnavailable {
			break
		}
	}
	if _, err := io.WriteString(connection, body); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(connection)
	if err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 200")) {
		t.Errorf("%s %v", answer, err)
	}
	if err := <-n.end; err != nil {
		t.Error(err)
	}
}

// tryReady is what /readyz answers.
func (r *running) tryReady() (int, error) {
	response, err := http.Get("http://" + r.AdminAddr().String() + "/readyz")
	if err != nil {
		return 0, err
	}
	return response.StatusCode, response.Body.Close()
}

func TestRequestsThatDoNotEndAreCutOff(t *testing.T) {
	config := testConfig(t)
	config.ShutdownGrace = time.Millisecond
	n := start(t, config, nil)
	connection, err := net.Dial("tcp", n.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	_, _ = io.WriteString(connection, "POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: Kinesis_20131202.CreateStream\r\n"+
		"Content-Type: application/x-amz-json-1.1\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n")
	if _, err := connection.Read(make([]byte, 1024)); err != nil {
		t.Fatal(err)
	}
	n.stop()
	if err := <-n.end; err != nil {
		t.Error(err)
	}
}

func TestAPortInUseIsToldBeforeAnythingIsMade(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, setting := range []string{"listen", "admin"} {
		config := testConfig(t)
		if setting == "listen" {
			config.Listen = taken.Addr().String()
		} else {
			config.Admin = taken.Addr().String()
		}
		_, err := New(config, Options{})
		if err == nil || !strings.Contains(err.Error(), "--"+setting) || !strings.Contains(err.Error(), "in use") {
			t.Errorf("%s: %v", setting, err)
		}
		if _, err := os.Stat(config.Data); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: a data directory was made: %v", setting, err)
		}
	}
}

func TestOneProcessAtATimeUsesADataDirectory(t *testing.T) {
	config := testConfig(t)
	start(t, config, nil)
	err := <-launch(t, config, nil).end
	if err == nil || !strings.Contains(err.Error(), config.Data) || !strings.Contains(err.Error(), "--data") {
		t.Errorf("%v", err)
	}
}

func TestANodeThatIsNotRunCanBeClosed(t *testing.T) {
	config := testConfig(t)
	n, err := New(config, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestSignaturesAreVerifiedWhenCredentialsAreSet(t *testing.T) {
	config := testConfig(t)
	config.Credentials = []Credential{{AccessKeyID: "a", SecretAccessKey: "b", Account: "123456789012"}}
	n := start(t, config, nil)
	if err := n.client().CreateStream(t.Context(), client.CreateStreamInput{StreamName: "s", ShardCount: 1}); err != nil {
		t.Fatal(err)
	}
	if summary, err := n.client().DescribeStreamSummary(t.Context(), "s"); err != nil || !strings.Contains(summary.StreamARN, "123456789012") {
		t.Errorf("%+v %v", summary, err)
	}
	other, err := client.New(client.Options{
		Endpoint: "http://" + n.Addr().String(), Region: "us-east-1", AccessKey: "a", SecretKey: "wrong",
	})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	var refused *client.Error
	if _, err := other.DescribeStreamSummary(t.Context(), "s"); !errors.As(err, &refused) {
		t.Errorf("a wrong key was accepted: %v", err)
	}
}

func TestProfilesAreForThisMachineOnly(t *testing.T) {
	for _, c := range []struct {
		caller, host string
		want         int
	}{
		{"127.0.0.1:1", "127.0.0.1:4567", http.StatusOK},
		{"[::1]:1", "[::1]:4567", http.StatusOK},
		{"127.0.0.1:1", "localhost", http.StatusOK},
		{"192.0.2.7:1", "192.0.2.1:4567", http.StatusForbidden},
		{"", "127.0.0.1:4567", http.StatusForbidden},
		{"127.0.0.1:1", "page.example:4567", http.StatusForbidden}, // a page's own name, resolved to here
		{"127.0.0.1:1", "", http.StatusForbidden},
	} {
		recorder := httptest.NewRecorder()
		fromThisMachine(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).
			ServeHTTP(recorder, &http.Request{RemoteAddr: c.caller, Host: c.host})
		if recorder.Code != c.want {
			t.Errorf("from %s to %s: %d, want %d", c.caller, c.host, recorder.Code, c.want)
		}
	}
}
