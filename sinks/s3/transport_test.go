package s3

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-462d9463/sluice/sinks"
)

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// endless is a request's body that knows whether it is read after it was closed.
type endless struct {
	closed atomic.Bool
	late   atomic.Bool
}

func (b *endless) Read(p []byte) (int, error) {
	if b.closed.Load() {
		b.late.Store(true)
	}
	return len(p), nil
}

func (b *endless) Close() error {
	b.closed.Store(true)
	return nil
}

func TestABodyIsNotReadOnceItsRequestIsAnswered(t *testing.T) {
	for name, outcome := range map[string]func() (*http.Response, error){
		"redirect": func() (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusMovedPermanently, Body: io.NopCloser(strings.NewReader("elsewhere"))}, nil
		},
		"refusal": func() (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusForbidden, Body: io.NopCloser(strings.NewReader("no"))}, nil
		},
		"error": func() (*http.Response, error) { return nil, errors.New("connection lost") },
	} {
		t.Run(name, func(t *testing.T) {
			started, ended := make(chan struct{}), make(chan struct{})
			transport := uploads{roundTrip(func(req *http.Request) (*http.Response, error) {
				// As net/http does, whose writing goroutine may outlive the answer.
				go func() {
					defer close(ended)
					close(started)
					for buffer := make([]byte, 100); ; {
						if _, err := req.Body.Read(buffer); err != nil {
							return
						}
					}
				}()
				<-started
				return outcome()
			})}
			body := &endless{}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://store/bucket/key", body)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := transport.RoundTrip(req)
			if !body.closed.Load() {
				t.Error("the body is still open when the outcome is told")
			}
			<-ended
			if body.late.Load() {
				t.Error("the body was read after it was closed")
			}
			if err != nil {
				return
			}
			defer func() { _ = resp.Body.Close() }()
			if answer, err := io.ReadAll(resp.Body); err != nil || len(answer) == 0 {
				t.Errorf("answer %q, %v", answer, err)
			}
		})
	}
}

func TestALargeObjectThatIsRefusedIsNotSent(t *testing.T) {
	var listen net.ListenConfig
	listener, err := listen.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	sent := make(chan int64, 1)
	go func() {
		defer close(sent)
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		reader := bufio.NewReader(conn)
		if _, err := http.ReadRequest(reader); err != nil {
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 40\r\n\r\n<Error><Code>AccessDenied</Code></Error>")
		n, _ := io.Copy(io.Discard, reader)
		sent <- n
	}()
	opener, err := New(Config{
		Endpoint: "http://" + listener.Addr().String(), AccessKey: "access", SecretKey: "secret", Region: "us-east-1",
		SpoolDir: t.TempDir(),
	})
	if err != nil {
		t.Fatal(err)
	}
	sink, err := opener.Open("bucket")
	if err != nil {
		t.Fatal(err)
	}
	err = sink.Put(t.Context(), sinks.Object{Key: "key", Body: strings.NewReader(strings.Repeat("x", 32<<20))})
	if !sinks.IsPermanent(err) || !isCode(err, "AccessDenied") {
		t.Errorf("put: %v, want the store's refusal", err)
	}
	if err := opener.Close(); err != nil {
		t.Error(err)
	}
	if n := <-sent; n != 0 {
		t.Errorf("%d bytes were sent to a store that had refused them", n)
	}
}

func TestAnAnswerThatDoesNotComeInTimeIsTheStoresFault(t *testing.T) {
	hangs := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hangs }))
	defer server.Close()
	defer close(hangs)
	transport, err := newTransport(Config{}, 50*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer transport.CloseIdleConnections()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = (&http.Client{Transport: transport}).Do(r) //nolint:bodyclose // there is no answer
	if got := classify(t.Context(), err); !errors.Is(got, errStalled) || sinks.IsPermanent(got) {
		t.Errorf("%v", got)
	}
}
