// Package miniotest runs a real MinIO server for tests, on a free port of the loopback interface.
package miniotest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/seed-462d9463/sluice/test/loopback"
)

// How long a server may take to answer before the test is given up: far more than it needs.
const startTimeout = 2 * time.Minute

// Server is a MinIO process with its data in a temporary directory. Both go away at the end of the test.
type Server struct {
	Address   string // host:port
	Endpoint  string // http://host:port
	AccessKey string
	SecretKey string

	binary    string
	dir       string
	transport *http.Transport
	client    *minio.Client

	mu      sync.Mutex
	running *process // nil while stopped
}

// Start starts a server. The binary is the one that SLUICE_TEST_MINIO names, else .tools/bin/minio in the
// repository. If it is missing the test is skipped; with CI=true it fails.
func Start(t testing.TB) *Server {
	t.Helper()
	transport := &http.Transport{DisableCompression: true}
	s := &Server{
		AccessKey: "sluice-test",
		SecretKey: rand.Text(),
		binary:    binary(t),
		dir:       t.TempDir(),
		transport: transport,
	}
	t.Cleanup(func() {
		s.stop(os.Kill)
		transport.CloseIdleConnections()
	})
	// A port that is free now may be taken when the server comes to it; another one is tried then.
	for attempt := 0; ; attempt++ {
		s.Address = freeAddress(t)
		err := s.start()
		if err == nil {
			break
		}
		if attempt == 4 {
			t.Fatalf("start MinIO: %v", err)
		}
		t.Logf("start MinIO again, because: %v", err)
	}
	s.Endpoint = "http://" + s.Address
	client, err := minio.New(s.Address, &minio.Options{
		Creds:     credentials.NewStaticV4(s.AccessKey, s.SecretKey, ""),
		Transport: transport,
		Region:    "us-east-1",
	})
	if err != nil {
		t.Fatalf("client for MinIO: %v", err)
	}
	s.client = client
	return s
}

// Stop ends the server in an orderly way; its data and its address stay, for Restart.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	if !s.stop(os.Interrupt) {
		t.Fatal("MinIO is not running")
	}
}

// Kill ends the server as a power cut would. It may be called while it is not running, and from any goroutine.
func (s *Server) Kill() { s.stop(os.Kill) }

// Restart starts the server again after Stop or Kill, at the same address with the same data.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	if err := s.start(); err != nil {
		t.Fatalf("restart MinIO: %v", err)
	}
}

// CreateBucket makes a bucket.
func (s *Server) CreateBucket(t testing.TB, bucket string) {
	t.Helper()
	if err := s.client.MakeBucket(t.Context(), bucket, minio.MakeBucketOptions{}); err != nil {
		t.Fatalf("create bucket %s: %v", bucket, err)
	}
}

// RemoveBucket removes a bucket with all that is in it.
func (s *Server) RemoveBucket(t testing.TB, bucket string) {
	t.Helper()
	if err := s.client.RemoveBucketWithOptions(t.Context(), bucket, minio.RemoveBucketOptions{ForceDelete: true}); err != nil {
		t.Fatalf("remove bucket %s: %v", bucket, err)
	}
}

// Open reads an object. The error wraps os.ErrNotExist if it is not there.
func (s *Server) Open(ctx context.Context, bucket, key string) (io.ReadCloser, error) {
	// One request, so that what is read is one version of the object.
	object, _, _, err := minio.Core{Client: s.client}.GetObject(ctx, bucket, key, minio.GetObjectOptions{})
	if minio.ToErrorResponse(err).Code == "NoSuchKey" {
		err = fmt.Errorf("object %s in bucket %s: %w", key, bucket, os.ErrNotExist)
	}
	return object, err
}

// Get returns the content of an object.
func (s *Server) Get(t testing.TB, bucket, key string) []byte {
	t.Helper()
	object, err := s.Open(t.Context(), bucket, key)
	if err != nil {
		t.Fatalf("get object %s from bucket %s: %v", key, bucket, err)
	}
	defer func() { _ = object.Close() }()
	content, err := io.ReadAll(object)
	if err != nil {
		t.Fatalf("read object %s from bucket %s: %v", key, bucket, err)
	}
	return content
}

// Keys lists the objects of a bucket, sorted.
func (s *Server) Keys(t testing.TB, bucket string) []string {
	t.Helper()
	var keys []string
	for object := range s.client.ListObjects(t.Context(), bucket, minio.ListObjectsOptions{Recursive: true}) {
		if object.Err != nil {
			t.Fatalf("list bucket %s: %v", bucket, object.Err)
		}
		keys = append(keys, object.Key)
	}
	return keys
}

// IncompleteUploads lists the keys of uploads in parts that were begun in the bucket and neither completed nor
// given up.
func (s *Server) IncompleteUploads(t testing.TB, bucket string) []string {
	t.Helper()
	var keys []string
	for upload := range s.client.ListIncompleteUploads(t.Context(), bucket, "", true) {
		if upload.Err != nil {
			t.Fatalf("list incomplete uploads of bucket %s: %v", bucket, upload.Err)
		}
		keys = append(keys, upload.Key)
	}
	return keys
}

func (s *Server) start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running != nil {
		return errors.New("it is running")
	}
	output := &tail{}
	command := exec.Command(s.binary, "server", "--quiet", "--address", s.Address, s.dir)
	command.Stdout, command.Stderr = output, output
	command.Env = append(environ(),
		"MINIO_ROOT_USER="+s.AccessKey,
		"MINIO_ROOT_PASSWORD="+s.SecretKey,
		"MINIO_BROWSER=off", // no second listener
		"MINIO_UPDATE=off",
		"MINIO_CALLHOME_ENABLE=off",
	)
	p, err := startProcess(command)
	if err != nil {
		return err
	}
	if err := s.awaitReady(p); err != nil {
		p.end(os.Kill)
		return fmt.Errorf("%w; its last words: %s", err, output)
	}
	s.running = p
	return nil
}

// awaitReady returns when the server answers requests, by its own word.
func (s *Server) awaitReady(p *process) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		if s.healthy(ctx) {
			return nil
		}
		select {
		case <-p.done:
			return errors.New("it ended at once")
		case <-ctx.Done():
			return fmt.Errorf("not ready after %s", startTimeout)
		case <-ticker.C:
		}
	}
}

func (s *Server) healthy(ctx context.Context) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.Address+"/minio/health/cluster", http.NoBody)
	if err != nil {
		return false
	}
	resp, err := s.transport.RoundTrip(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// stop ends the process and waits for it. It reports whether there was one.
func (s *Server) stop(signal os.Signal) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running == nil {
		return false
	}
	s.running.end(signal)
	s.running = nil
	return true
}

// process is a child with an owner: a goroutine that started it and waits for it.
type process struct {
	command *exec.Cmd
	done    chan struct{} // closed when it has ended
}

func startProcess(command *exec.Cmd) (*process, error) {
	dieWithParent(command)
	p := &process{command: command, done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		defer close(p.done)
		// Linux ties the child's life to the thread that made it, so this one must stay.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := command.Start()
		started <- err
		if err == nil {
			_ = command.Wait() // how it ends is the test's doing
		}
	}()
	return p, <-started
}

func (p *process) end(signal os.Signal) {
	_ = p.command.Process.Signal(signal) // it may have ended by itself
	<-p.done
}

// tail keeps the last lines that a server wrote, to be shown when it does not start.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (l *tail) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	if extra := len(l.text) - 4096; extra > 0 {
		l.text = l.text[extra:]
	}
	return len(p), nil
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(bytes.TrimSpace(l.text))
}

// environ is the environment without settings for other MinIO servers.
func environ() []string {
	var kept []string
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "MINIO_") {
			kept = append(kept, variable)
		}
	}
	return kept
}

func freeAddress(t testing.TB) string {
	t.Helper()
	address, err := loopback.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// binary finds the server's program.
func binary(t testing.TB) string {
	t.Helper()
	path := os.Getenv("SLUICE_TEST_MINIO")
	if path == "" {
		path = filepath.Join(repository(t), ".tools", "bin", "minio")
	}
	if _, err := os.Stat(path); err != nil {
		message := fmt.Sprintf("NOT TESTED: no MinIO at %s; run `make test` once, or set SLUICE_TEST_MINIO to the program", path)
		if os.Getenv("CI") == "true" {
			t.Fatal(message)
		}
		t.Skip(message)
	}
	return path
}

// repository is the directory above the working directory that has the go.mod.
func repository(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("no go.mod above the working directory")
		}
		dir = parent
	}
}
