package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/firehose"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/seed-462d9463/sluice/test/loopback"
)

// binary is the sluice that the tests run, built once by TestMain.
var binary string

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "sluice-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	defer brokers.Stop()
	binary = filepath.Join(dir, "sluice")
	args := []string{"build", "-o", binary}
	if raceEnabled {
		args = append(args, "-race")
	}
	build := exec.Command("go", append(args, "../../cmd/sluice")...)
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "building sluice:", err)
		return 1
	}
	return m.Run()
}

const (
	accessKey = "AKIDEXAMPLE"
	secretKey = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	region    = "eu-central-1"
	account   = "000000000000"
	roleARN   = "arn:aws:iam::000000000000:role/delivery"
)

// server is one sluice process with its data directory, on ports that stay the same over restarts.
type server struct {
	t      testing.TB
	data   string
	listen string
	admin  string
	args   []string // beside those for data and addresses
	env    []string // beside the test's own
	cmd    *exec.Cmd
	exited chan error
	output *safeBuffer
}

// newServer prepares a server on free loopback ports with verified signatures; start runs it.
func newServer(t testing.TB, args ...string) *server {
	t.Helper()
	s := &server{
		t: t, data: t.TempDir(), listen: freeAddr(t), admin: freeAddr(t), args: args, output: &safeBuffer{},
		env: []string{"SLUICE_ACCESS_KEY_ID=" + accessKey, "SLUICE_SECRET_ACCESS_KEY=" + secretKey},
	}
	t.Cleanup(func() {
		s.kill()
		if out := s.output.String(); t.Failed() {
			t.Logf("sluice printed:\n%s", last(out, 6000))
		} else if strings.Contains(out, "DATA RACE") {
			t.Errorf("the race detector found something in sluice:\n%s", out)
		}
	})
	return s
}

// startServer is newServer and start.
func startServer(t testing.TB, args ...string) *server {
	t.Helper()
	s := newServer(t, args...)
	s.start()
	return s
}

func (s *server) start() {
	s.t.Helper()
	s.launch()
	s.waitReady()
}

// launch starts the process without waiting for it to be ready.
func (s *server) launch() {
	s.t.Helper()
	if err := lookAtSources(); err != nil {
		s.t.Fatal(err)
	}
	args := append([]string{"serve", "--data", s.data, "--listen", s.listen, "--admin", s.admin}, s.args...)
	s.cmd = exec.Command(binary, args...)
	s.cmd.Env = append(cleanEnv(), s.env...)
	s.cmd.Stdout, s.cmd.Stderr = s.output, s.output
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	exited, cmd := make(chan error, 1), s.cmd
	s.exited = exited
	go func() { exited <- cmd.Wait() }()
}

func (s *server) waitReady() {
	s.t.Helper()
	if err := s.readyOrEnded(); err != nil {
		s.t.Fatalf("sluice ended before it was ready: %v\n%s", err, last(s.output.String(), 4000))
	}
}

// readyOrEnded waits until the process is ready, and returns an error if it has ended instead.
func (s *server) readyOrEnded() (ended error) {
	s.t.Helper()
	eventually(s.t, "sluice is ready", func() error {
		select {
		case err := <-s.exited:
			s.exited <- err
			ended = fmt.Errorf("sluice has ended: %w", err)
			return nil
		default:
		}
		resp, err := http.Get("http://" + s.admin + "/readyz")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("readyz: %s %s", resp.Status, body)
		}
		return nil
	})
	return ended
}

// kill is kill -9. It does nothing when the process is not running.
func (s *server) kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	<-s.exited
	s.cmd = nil
}

// stop is SIGTERM and waits for a clean end.
func (s *server) stop() {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	if err := <-s.exited; err != nil {
		s.t.Fatalf("sluice did not end cleanly: %v\n%s", err, last(s.output.String(), 4000))
	}
	s.cmd = nil
}

func (s *server) endpoint() string { return "http://" + s.listen }

// buckets is where the directory sink keeps objects.
func (s *server) buckets() string { return filepath.Join(s.data, "buckets") }

// config is a client configuration that never retries, so that a ledger knows what was tried.
func (s *server) config() aws.Config {
	return aws.Config{
		Region:       region,
		BaseEndpoint: aws.String(s.endpoint()),
		Credentials:  credentials.NewStaticCredentialsProvider(accessKey, secretKey, ""),
		Retryer:      func() aws.Retryer { return aws.NopRetryer{} },
		HTTPClient:   plainBodies{awshttp.NewBuildableClient()},
	}
}

// plainBodies sends requests whose bodies have no WriteTo. That of smithy-go says io.EOF once the answer has begun, so
// that net/http closes the connection under the answer when the server was very quick (github.com/aws/aws-sdk-go-v2,
// issue 2737). How the SDK fares without this the tests of SDKs find out.
type plainBodies struct{ aws.HTTPClient }

func (c plainBodies) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		r.Body = struct{ io.ReadCloser }{r.Body}
	}
	return c.HTTPClient.Do(r)
}

func (s *server) kinesis() *kinesis.Client   { return kinesis.NewFromConfig(s.config()) }
func (s *server) firehose() *firehose.Client { return firehose.NewFromConfig(s.config()) }

// reader is a client that repeats what fails, for reads.
func (s *server) reader() *kinesis.Client {
	config := s.config()
	config.Retryer = nil
	return kinesis.NewFromConfig(config)
}

// memory is the resident set of the process in bytes, or 0 where it cannot be told.
func (s *server) memory() int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		var kib int64
		if n, _ := fmt.Sscanf(line, "VmRSS: %d kB", &kib); n == 1 {
			return kib << 10
		}
	}
	return 0
}

// metric is a metric without labels as the admin address shows it.
func (s *server) metric(name string) float64 {
	s.t.Helper()
	resp, err := http.Get("http://" + s.admin + "/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	for line := range strings.Lines(string(body)) {
		var value float64
		if n, _ := fmt.Sscanf(line, name+" %g", &value); n == 1 {
			return value
		}
	}
	s.t.Fatalf("there is no metric %s", name)
	return 0
}

// cleanEnv is the test's environment without what would steer sluice or an AWS client.
func cleanEnv() []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "SLUICE_") && !strings.HasPrefix(kv, "AWS_") {
			env = append(env, kv)
		}
	}
	if raceEnabled {
		env = append(env, "GORACE=halt_on_error=0")
	}
	return env
}

func freeAddr(t testing.TB) string {
	t.Helper()
	return must(loopback.FreeAddress())(t)
}

// eventually polls until check passes, and gives up after two minutes.
func eventually(t testing.TB, what string, check func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waiting until %s: %v", what, err)
		}
	}
}

// tool finds a program or file that `make test` installs below the repository's .tools folder. Without it the
// test is skipped, or fails when CI=true.
func tool(t testing.TB, path string) string {
	t.Helper()
	full, err := filepath.Abs(filepath.Join("..", "..", ".tools", path))
	if err == nil {
		_, err = os.Stat(full)
	}
	if err != nil {
		missing(t, fmt.Sprintf("%s is not installed (`make test` does it): %v", path, err))
	}
	return full
}

func missing(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(why)
	}
	t.Skip("SKIPPED, NOT TESTED: " + why)
}

// run runs a command and returns its standard output; it fails the test unless the command succeeds.
func run(t testing.TB, env []string, name string, args ...string) string {
	t.Helper()
	out, err := tryRun(env, name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v", filepath.Base(name), strings.Join(args, " "), err)
	}
	return out
}

func tryRun(env []string, name string, args ...string) (string, error) {
	if err := lookAtSources(); err != nil {
		return "", err
	}
	cmd := exec.Command(name, args...)
	cmd.Env = append(cleanEnv(), env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%w\n%s\n%s", err, last(stdout.String(), 3000), last(stderr.String(), 3000))
	}
	return stdout.String(), nil
}

func last(s string, n int) string {
	if len(s) > n {
		return "…" + s[len(s)-n:]
	}
	return s
}

// safeBuffer collects the output of a process that may still be running.
type safeBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// must fails the test on an error that nothing in the test expects.
func must[T any](v T, err error) func(t testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

var errNotYet = errors.New("not yet")
