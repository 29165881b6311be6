package loadgen

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const request = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello"

// answering connects to a server that gives the answer, byte for byte, to every request of this file.
func answering(t *testing.T, answer string) *Conn {
	t.Helper()
	here, there := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer there.Close()
		in := make([]byte, len(request))
		for {
			if _, err := io.ReadFull(there, in); err != nil {
				return
			}
			if _, err := io.WriteString(there, answer); err != nil || !strings.Contains(answer, "\r\n\r\n") {
				return
			}
		}
	}()
	t.Cleanup(func() { here.Close(); <-done })
	return &Conn{net: here, in: bufio.NewReaderSize(here, 64)}
}

func TestAnswersAreReadWholeHoweverTheyAreFramed(t *testing.T) {
	long := strings.Repeat("0123456789", 1000)
	for name, test := range map[string]struct{ answer, want string }{
		"length":        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: y\r\n\r\nok", "ok"},
		"lower case":    {"HTTP/1.1 200 OK\r\ncontent-length:2\r\n\r\nok", "ok"},
		"empty":         {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ""},
		"long":          {"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n" + long, long},
		"chunks":        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n", "ab0123456789"},
		"trailers":      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n", "a"},
		"one big chunk": {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2710\r\n" + long + "\r\n0\r\n\r\n", long},
	} {
		t.Run(name, func(t *testing.T) {
			c := answering(t, test.answer)
			for range 3 { // a connection is used again and again
				body, err := c.Do([]byte(request))
				if err != nil {
					t.Fatal(err)
				}
				if string(body) != test.want {
					t.Fatalf("got %d bytes, want %d", len(body), len(test.want))
				}
			}
		})
	}
}

func TestAnswersThatAreNotGoodAreErrors(t *testing.T) {
	for name, answer := range map[string]string{
		"no HTTP":          "SSH-2.0-OpenSSH\r\n\r\n",
		"no status":        "HTTP/1.1 abc\r\n\r\n",
		"no length":        "HTTP/1.1 200 OK\r\n\r\n",
		"negative length":  "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"too long":         "HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n",
		"chunk too long":   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffff\r\n",
		"bad chunk":        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
		"chunk overflows":  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
		"ends in a header": "HTTP/1.1 200 OK\r\nContent-Le",
		"nothing":          "",
	} {
		t.Run(name, func(t *testing.T) {
			c := answering(t, answer)
			if body, err := c.Do([]byte(request)); err == nil {
				t.Fatalf("got %q and no error", body)
			}
		})
	}
}

func TestAnErrorFromTheServerIsToldWithItsBody(t *testing.T) {
	c := answering(t, "HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\n\r\nbad")
	_, err := c.Do([]byte(request))
	var status *StatusError
	if !errors.As(err, &status) || status.Status != 400 || status.Body != "bad" {
		t.Fatalf("got %v", err)
	}
}

// counter is a script that knows how often it was asked.
type counter struct {
	sent, done int
	limit      int
	fail       error
}

func (c *counter) Next() ([]byte, error) {
	if c.limit > 0 && c.sent == c.limit {
		return nil, ErrFinished
	}
	c.sent++
	return []byte(request), nil
}

func (c *counter) Done([]byte) (Worth, error) {
	c.done++
	return Worth{Records: 2, Bytes: 10}, c.fail
}

func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

func TestARunCountsWhatWasAnswered(t *testing.T) {
	var served atomic.Int64
	addr := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		if body, err := io.ReadAll(r.Body); err == nil && string(body) == "hello" {
			served.Add(1)
		}
	})
	clients, err := Connect(t.Context(), addr, 3)
	if err != nil {
		t.Fatal(err)
	}
	defer clients.Close()
	scripts := []Script{&counter{limit: 5}, &counter{limit: 7}, &counter{limit: 11}}
	result, err := clients.Run(t.Context(), time.Hour, scripts)
	if err != nil {
		t.Fatal(err)
	}
	if result.Requests != 23 || served.Load() != 23 || result.Latency.Count() != 23 {
		t.Errorf("%d requests, %d served, %d latencies; want 23", result.Requests, served.Load(), result.Latency.Count())
	}
	if want := (Worth{Records: 46, Bytes: 230}); result.Worth != want {
		t.Errorf("moved %+v, want %+v", result.Worth, want)
	}
}

func TestARunEndsWithTheFirstErrorOfAnyConnection(t *testing.T) {
	release := make(chan struct{})
	first := make(chan struct{}, 1)
	first <- struct{}{}
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case <-first:
			w.WriteHeader(http.StatusTeapot)
		default: // the other connection waits for an answer that does not come
			select {
			case <-release:
			case <-r.Context().Done():
			}
		}
	})
	defer close(release)
	clients, err := Connect(t.Context(), addr, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer clients.Close()
	_, err = clients.Run(t.Context(), time.Hour, []Script{&counter{}, &counter{}})
	var status *StatusError
	if !errors.As(err, &status) || status.Status != http.StatusTeapot {
		t.Fatalf("got %v", err)
	}
}

func TestARunEndsWhenAScriptObjectsToAnAnswer(t *testing.T) {
	addr := serve(t, func(http.ResponseWriter, *http.Request) {})
	clients, err := Connect(t.Context(), addr, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer clients.Close()
	want := errors.New("a record failed")
	if _, err = clients.Run(t.Context(), time.Hour, []Script{&counter{fail: want}}); !errors.Is(err, want) {
		t.Fatalf("got %v", err)
	}
}

func TestACancelledRunEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	addr := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		cancel()
		<-r.Context().Done()
	})
	clients, err := Connect(t.Context(), addr, 1)
	if err != nil {
		t.Fatal(err)
	}
	_, err = clients.Run(ctx, time.Hour, []Script{&counter{}})
	clients.Close()
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
}

func TestTheServersLengthIsWhatIsRead(t *testing.T) {
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Length", strconv.Itoa(1<<20))
		_, _ = w.Write(make([]byte, 1<<20))
	})
	c, err := Dial(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	body, err := c.Do([]byte(request))
	if err != nil || len(body) != 1<<20 {
		t.Fatalf("%d bytes, %v", len(body), err)
	}
}
