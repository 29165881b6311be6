package lane

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fixture is a server whose handler tells who called it: net/http gives its requests contexts of its own.
type fixture struct {
	t       *testing.T
	server  *Server
	address string
	lane    atomic.Int32 // requests served here, not by net/http
}

func start(t *testing.T, handler http.HandlerFunc) *fixture {
	return startWith(t, time.Minute, handler)
}

func startWith(t *testing.T, headTimeout time.Duration, handler http.HandlerFunc) *fixture {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, address: l.Addr().String()}
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, here := w.(*response); here {
				f.lane.Add(1)
			}
			handler(w, r)
		}),
		IdleTimeout: time.Minute, ReadHeaderTimeout: headTimeout, ErrorLog: log.New(io.Discard, "", 0),
	}
	f.server = New(server, func(target string) bool { return strings.HasPrefix(target, "S.") })
	served := make(chan error, 1)
	go func() { served <- f.server.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := f.server.Shutdown(ctx); err != nil {
			t.Errorf("shut down: %v", err)
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("Serve returned %v", err)
		}
	})
	return f
}

// echo answers with what it was sent.
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	answer := fmt.Appendf(nil, "%s %s %s", r.Method, r.Header.Get("X-Amz-Target"), body)
	w.Header().Set("Content-Length", fmt.Sprint(len(answer)))
	w.Header()["x-amzn-RequestId"] = []string{"id"}
	_, _ = w.Write(answer)
}

func (f *fixture) dial() (net.Conn, *bufio.Reader) {
	f.t.Helper()
	c, err := net.Dial("tcp", f.address)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = c.Close() })
	return c, bufio.NewReader(c)
}

func request(target, body string, headers ...string) string {
	return "POST / HTTP/1.1\r\nhost: localhost:4566\r\nX-Amz-Target: " + target + "\r\nContent-Length: " + fmt.Sprint(len(body)) +
		"\r\n" + strings.Join(append(headers, ""), "\r\n") + "\r\n" + body
}

func expect(t *testing.T, r *bufio.Reader, status int, want string) *http.Response {
	t.Helper()
	answer, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode != status || string(body) != want {
		t.Fatalf("answered %d %q, want %d %q", answer.StatusCode, body, status, want)
	}
	return answer
}

func TestPlainRequestsAreServedOneAfterTheOther(t *testing.T) {
	f := start(t, echo)
	c, r := f.dial()
	large := strings.Repeat("x", 3*maxHead)
	for i, body := range []string{"", "a", large, "b"} {
		_, _ = io.WriteString(c, request("S.A", body))
		answer := expect(t, r, 200, "POST S.A "+body)
		if answer.Header.Get("X-Amzn-Requestid") != "id" || answer.Header.Get("Date") == "" || answer.Close {
			t.Errorf("answer %d has the headers %v", i, answer.Header)
		}
	}
	if n := f.lane.Load(); n != 4 {
		t.Errorf("%d of 4 requests were served here", n)
	}
}

func TestRequestsMayArriveInAnyPieces(t *testing.T) {
	f := start(t, echo)
	text := request("S.A", "body") + request("S.B", "") + request("S.C", "more")
	for cut := 1; cut < len(text); cut += 7 {
		c, r := f.dial()
		_, _ = io.WriteString(c, text[:cut])
		if cut > len(request("S.A", "body")) {
			expect(t, r, 200, "POST S.A body")
			_, _ = io.WriteString(c, text[cut:])
		} else {
			_, _ = io.WriteString(c, text[cut:])
			expect(t, r, 200, "POST S.A body")
		}
		expect(t, r, 200, "POST S.B ")
		expect(t, r, 200, "POST S.C more")
		_ = c.Close()
	}
	c, r := f.dial()
	for i := range len(text) { // byte by byte
		_, _ = io.WriteString(c, text[i:i+1])
	}
	expect(t, r, 200, "POST S.A body")
	expect(t, r, 200, "POST S.B ")
	expect(t, r, 200, "POST S.C more")
	if got, all := int(f.lane.Load()), ((len(text)+5)/7+1)*3; got < all-3 {
		t.Errorf("%d of about %d requests were served here", got, all)
	}
}

func TestWhatIsNotPlainIsNetHTTPsFromThenOn(t *testing.T) {
	f := start(t, echo)
	for name, text := range map[string]string{
		"another method":       "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"another path":         "POST /v1 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
		"another version":      "POST / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
		"no target":            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
		"a target not taken":   request("T.A", ""),
		"chunks":               "POST / HTTP/1.1\r\nHost: a\r\nX-Amz-Target: S.A\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"an expectation":       request("S.A", "", "Expect: 100-continue"),
		"a folded header":      request("S.A", "", "A: b\r\n c"),
		"bare line feeds":      strings.ReplaceAll(request("S.A", ""), "\r\n", "\n"),
		"a header that is not": request("S.A", "", "B\x80: c"),
		"two hosts":            request("S.A", "", "Host: b"),
		"two lengths":          request("S.A", "", "Content-Length: 0"),
		"a long header":        request("S.A", "", "Long: "+strings.Repeat("x", maxHead)),
		"its last request":     request("S.A", "", "Connection: close"),
		"HTTP/2":               "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			before := f.lane.Load()
			c, r := f.dial()
			_, _ = io.WriteString(c, request("S.A", "first"))
			expect(t, r, 200, "POST S.A first")
			_, _ = io.WriteString(c, text)
			if _, err := http.ReadResponse(r, nil); err != nil && name != "HTTP/2" {
				t.Fatalf("no answer: %v", err)
			}
			if n := f.lane.Load() - before; n != 1 {
				t.Errorf("%d requests were served here, want the first only", n)
			}
		})
	}
}

func TestABodyThatIsNotReadDoesNotSpoilTheConnectionOrTheAnswer(t *testing.T) {
	f := start(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "2")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, "no")
	})
	c, r := f.dial()
	for range 3 {
		_, _ = io.WriteString(c, request("S.A", strings.Repeat("x", 100<<10)))
		expect(t, r, 400, "no")
	}
	go func() { _, _ = io.WriteString(c, request("S.A", strings.Repeat("x", 4<<20))) }()
	expect(t, r, 400, "no")
	if _, err := io.Copy(io.Discard, r); errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
}

func TestAHandlerThatPanicsEndsItsConnectionAlone(t *testing.T) {
	f := start(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.Header.Get("X-Amz-Target") {
		case "S.Abort":
			panic(http.ErrAbortHandler)
		case "S.Panic":
			panic("a defect")
		}
		echo(w, r)
	})
	good, answers := f.dial()
	for _, target := range []string{"S.Abort", "S.Panic"} {
		c, r := f.dial()
		_, _ = io.WriteString(c, request(target, ""))
		if _, err := r.ReadByte(); err == nil {
			t.Errorf("%s got an answer", target)
		}
		_, _ = io.WriteString(good, request("S.A", "on"))
		expect(t, answers, 200, "POST S.A on")
	}
}

func TestAnswersOfAnyLengthArriveWhole(t *testing.T) {
	f := start(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Header.Get("X-Amz-Target") == "S.Known" {
			w.Header().Set("Content-Length", fmt.Sprint(2*len(body)))
		}
		_, _ = w.Write(body)
		_, _ = w.Write(body)
	})
	for _, size := range []int{0, 1, outSize, 1 << 20} {
		body := strings.Repeat("y", size)
		c, r := f.dial()
		if size > 0 {
			_, _ = io.WriteString(c, request("S.Known", body))
			expect(t, r, 200, body+body)
		}
		_, _ = io.WriteString(c, request("S.Unknown", body))
		if answer := expect(t, r, 200, body+body); !answer.Close {
			t.Error("the connection goes on after an answer of unknown length")
		}
	}
}

func TestShutdownLetsRequestsInFlightEnd(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	f := start(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Amz-Target") == "S.Wait" {
			close(entered)
			<-leave
		}
		echo(w, r)
	})
	idle, idleAnswers := f.dial()
	_, _ = io.WriteString(idle, request("S.A", ""))
	expect(t, idleAnswers, 200, "POST S.A ")
	busy, answers := f.dial()
	_, _ = io.WriteString(busy, request("S.Wait", ""))
	<-entered

	ended := make(chan error, 1)
	go func() { ended <- f.server.Shutdown(context.Background()) }()
	if _, err := idleAnswers.ReadByte(); err == nil {
		t.Error("an idle connection was left open")
	}
	select {
	case err := <-ended:
		t.Fatalf("Shutdown returned %v while a request was in flight", err)
	default:
	}
	close(leave)
	if answer := expect(t, answers, 200, "POST S.Wait "); !answer.Close {
		t.Error("the client is not told that the connection ends")
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestCloseEndsContextsAndConnections(t *testing.T) {
	entered := make(chan struct{})
	f := start(t, func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
	})
	c, r := f.dial()
	_, _ = io.WriteString(c, request("S.A", ""))
	<-entered
	if err := f.server.Close(); err != nil {
		t.Error(err)
	}
	_, _ = io.Copy(io.Discard, r) // returns when the connection ends; there may have been time for an answer
}

func TestTheSlowAreCutOff(t *testing.T) {
	f := start(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0))
		if _, err := io.ReadAll(r.Body); err == nil {
			t.Error("a deadline of the past did not end the reading of a body")
		}
		w.Header().Set("Content-Length", "3")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, "cut")
	})
	c, r := f.dial()
	text := request("S.A", "body")
	_, _ = io.WriteString(c, text[:len(text)-1])
	expect(t, r, 503, "cut")
	if _, err := r.ReadByte(); err == nil {
		t.Error("the connection went on")
	}
}

func TestHalfARequestLineIsNotWaitedForLong(t *testing.T) {
	f := startWith(t, time.Millisecond, echo)
	c, r := f.dial()
	_, _ = io.WriteString(c, "POST")
	if _, err := r.ReadByte(); err == nil {
		t.Error("half a request line got an answer")
	}
}

// FuzzWhatIsPlainIsTheSameToNetHTTP holds the parser against http.ReadRequest.
func FuzzWhatIsPlainIsTheSameToNetHTTP(f *testing.F) {
	for _, text := range []string{
		request("S.A", ""), request("S.A", "body", "Accept-Encoding: identity", "authorization: AWS4-HMAC-SHA256 Credential=a/b"),
		request("S.A", "", "Connection: Keep-Alive", "x: 1", "X: 2", "x: 3"), request("S.A", "", "Empty:", "Tab:\tx y\t"),
		"POST / HTTP/1.1\r\nHost: [::1]:80\r\nContent-Length: 00\r\nX-AMZ-TARGET:S.A\r\n\r\n", "POST / HTTP/1.1\r\n\r\n", "PO",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var h head
		h.parse([]byte(request("S.B", "", "X: 1", "Y: 2"))) // whose memory is used again
		size, v := h.parse(text)
		for i := range text { // the verdict is never taken back
			if i > 300 {
				break
			}
			var part head
			if n, early := part.parse(text[:i]); early != incomplete && (early != v || n != size) {
				t.Fatalf("the first %d bytes are %d, all are %d", i, early, v)
			}
		}
		if v != plain {
			return
		}
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(text)))
		if err != nil {
			t.Fatalf("net/http refuses it: %v", err)
		}
		if r.Method != "POST" || r.URL.String() != "/" || r.Proto != "HTTP/1.1" || r.Host != h.host ||
			r.ContentLength != h.length || r.Close || r.TransferEncoding != nil || r.Trailer != nil {
			t.Errorf("net/http reads %+v", r)
		}
		if got, want := fmt.Sprint(h.header), fmt.Sprint(r.Header); got != want {
			t.Errorf("headers %s\nwant %s", got, want)
		}
		if text[size-1] != '\n' || h.target != r.Header.Get("X-Amz-Target") {
			t.Errorf("%d bytes, target %q", size, h.target)
		}
	})
}

// TestWhatTheRequestBeforeHadDoesNotShow parses one head after the other with the same memory, and each with new
// memory.
func TestWhatTheRequestBeforeHadDoesNotShow(t *testing.T) {
	texts := []string{
		request("S.A", "", "A: 1", "B: 2"), request("S.A", "", "A: 3", "B: 4"), request("S.A", "", "A: 3"), request("S.A", ""),
		request("S.A", "", "A: 5", "a: 6"), request("S.A", "", "A: 7", "a: 8"), request("S.A", "", "A: 9", "C: 1"),
		request("S.A", "", "C: 1", "A: 2"), request("S.A", "", "Expect: x"), request("S.A", "", "C: 1", "D: 2", "a: 3"),
		request("S.A", "", "c: 1", "d: 2", "A: 3"), request("S.A", "", "c: 1", "\x80: 2"), request("S.A", "", "c: 1", "d: 2"),
		request("S.A", "", strings.Repeat("m: 1\r\n", maxLines-3)+"n: 1"), request("S.A", "", "c: 1", "d: 2"),
	}
	var used head
	for _, text := range texts {
		var fresh head
		size, v := used.parse([]byte(text))
		wantSize, want := fresh.parse([]byte(text))
		if size != wantSize || v != want {
			t.Errorf("%q: %d, %d bytes, want %d, %d bytes", text, v, size, want, wantSize)
		}
		if v == plain && (fmt.Sprint(used.header) != fmt.Sprint(fresh.header) || used.host != fresh.host ||
			used.length != fresh.length || used.target != fresh.target) {
			t.Errorf("%q: %v\nwant %v", text, used.header, fresh.header)
		}
	}
}

func BenchmarkHead(b *testing.B) {
	text := []byte(request("Kinesis_20131202.PutRecord", "", "Content-Type: application/x-amz-json-1.1", "X-Amz-Date: 20261129T100000Z",
		"User-Agent: aws-sdk-go-v2/1.2", "Amz-Sdk-Invocation-Id: 8f7c", "Amz-Sdk-Request: attempt=1; max=3",
		"Authorization: AWS4-HMAC-SHA256 Credential=AKID/20261129/us-east-1/kinesis/aws4_request, SignedHeaders=host;x-amz-date, Signature=abc"))
	var h head
	b.ReportAllocs()
	for b.Loop() {
		if _, v := h.parse(text); v != plain {
			b.Fatal(v)
		}
	}
}
