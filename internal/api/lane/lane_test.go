package lane

import (
	"bufio"
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
	"testing/synctest"
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
	server.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if h, ok := c.(interface{ NetConn() net.Conn }); ok {
			c = h.NetConn()
		}
		return context.WithValue(ctx, connKey{}, c)
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

// connKey is where requests find their connection.
type connKey struct{}

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

// expect takes the answer that is next. It returns its headers, and whether the connection ends with it.
func expect(t *testing.T, r *bufio.Reader, status int, want string) (header http.Header, last bool) {
	t.Helper()
	answer, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode != status || string(body) != want {
		t.Fatalf("answered %d %q, want %d %q", answer.StatusCode, body, status, want)
	}
	return answer.Header, answer.Close
}

func TestPlainRequestsAreServedOneAfterTheOther(t *testing.T) {
	f := start(t, echo)
	c, r := f.dial()
	large := strings.Repeat("x", 3*maxHead)
	for i, body := range []string{"", "a", large, "b"} {
		_, _ = io.WriteString(c, request("S.A", body))
		header, last := expect(t, r, 200, "POST S.A "+body)
		if header.Get("X-Amzn-Requestid") != "id" || header.Get("Date") == "" || last {
			t.Errorf("answer %d has the headers %v", i, header)
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
		"a bare end":           strings.Replace(request("S.A", ""), "\r\n\r\n", "\n\n", 1),
		"a last bare line":     strings.Replace(request("S.A", "", "A: b"), "b\r\n", "b\n", 1),
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
			if line, err := r.ReadString('\n'); name != "HTTP/2" && !strings.HasPrefix(line, "HTTP/1.") {
				t.Fatalf("no answer: %q, %v", line, err)
			}
			if n := f.lane.Load() - before; n != 1 {
				t.Errorf("%d requests were served here, want the first only", n)
			}
		})
	}
}

func TestRequestsKnowTheirConnectionWhoeverServesThem(t *testing.T) {
	f := start(t, func(w http.ResponseWriter, r *http.Request) {
		c, _ := r.Context().Value(connKey{}).(*net.TCPConn)
		if c == nil || c.RemoteAddr().String() != r.RemoteAddr {
			t.Errorf("the connection is %v", r.Context().Value(connKey{}))
		}
		echo(w, r)
	})
	c, r := f.dial()
	for _, target := range []string{"S.A", "T.A"} { // here, and by net/http
		_, _ = io.WriteString(c, request(target, ""))
		expect(t, r, 200, "POST "+target+" ")
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
	if _, last := expect(t, r, 400, "no"); !last {
		t.Error("the client is not told that the connection ends, and may send another request on it")
	}
	if _, err := io.Copy(io.Discard, r); errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
}

func TestWhoSendsAllBeforeReadingGetsTheAnswer(t *testing.T) {
	f := start(t, func(w http.ResponseWriter, r *http.Request) { http.Error(w, "no", http.StatusRequestEntityTooLarge) })
	c, r := f.dial()
	if _, err := io.WriteString(c, request("S.A", strings.Repeat("x", 8<<20))); err != nil {
		t.Fatalf("the connection was closed while the body was sent: %v", err)
	}
	if _, last := expect(t, r, http.StatusRequestEntityTooLarge, "no\n"); !last {
		t.Error("the client is not told that the connection ends, and may send another request on it")
	}
	if n, err := io.Copy(io.Discard, r); n != 0 || err != nil {
		t.Errorf("after the answer: %d bytes, %v", n, err)
	}
}

// piped is a connection in memory, for bubbles.
type piped struct{ net.Conn }

func (piped) CloseWrite() error { return nil }

func TestWhatIsLeftOfABodyIsTakenWhileItComesForAWhile(t *testing.T) {
	const piece, pause = 40 << 10, 150 * time.Millisecond // less than a discarded piece in the time for one
	for name, c := range map[string]struct {
		pieces       int
		closing, cut bool
		want         time.Duration
	}{
		"silent":                   {0, false, false, linger},
		"all comes":                {15, false, false, 15*pause + linger},
		"endless":                  {1000, false, false, lingerMost},
		"endless at a shutdown":    {1000, true, false, linger},
		"endless of one cut off":   {1000, false, true, linger},
		"all comes and it is done": {30, false, false, 30 * pause},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				here, there := net.Pipe()
				k := (&Server{}).newConn(piped{here})
				k.response.sent, k.body.left = true, int64(c.pieces)*piece
				k.server.closing.Store(c.closing)
				k.cut.Store(c.cut)
				if name == "all comes and it is done" {
					k.body.left -= maxDiscard
				}
				sent := make(chan struct{})
				go func() { // ends when the connection is closed
					defer close(sent)
					for range c.pieces {
						time.Sleep(pause)
						if _, err := there.Write(make([]byte, piece)); err != nil {
							return
						}
					}
				}()
				begun := time.Now()
				k.part()
				if d := time.Since(begun); d != c.want {
					t.Errorf("it was closed after %v, want %v", d, c.want)
				}
				if _, err := there.Write([]byte{0}); err == nil {
					t.Error("it is still open")
				}
				<-sent
			})
		})
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

// broken is a connection with a defect.
type broken struct{ net.Conn }

func (broken) Read([]byte) (int, error) { panic("a defect") }

func TestADefectBelowEndsItsConnectionAlone(t *testing.T) {
	f := start(t, echo)
	good, answers := f.dial()
	here, there := net.Pipe()
	f.server.start(broken{there})
	if _, err := here.Read(make([]byte, 1)); err == nil {
		t.Error("the connection goes on")
	}
	_, _ = io.WriteString(good, request("S.A", "on"))
	expect(t, answers, 200, "POST S.A on")
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
		if _, last := expect(t, r, 200, body+body); !last {
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
	if _, last := expect(t, answers, 200, "POST S.Wait "); !last {
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

func TestShutdownDoesNotWaitForRequestsThatHaveNotArrived(t *testing.T) {
	f := startWith(t, time.Hour, echo)
	for _, sent := range []string{"", "P", request("S.A", "")[:40], request("S.A", "") + request("S.A", "")[:40]} {
		c, r := f.dial()
		_, _ = io.WriteString(c, sent)
		if strings.Contains(sent, "\r\n\r\n") {
			expect(t, r, 200, "POST S.A ")
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // of an hour that they have
	defer cancel()
	if err := f.server.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}

func TestAWholeAnswerHasItsLinesBesideTheHeader(t *testing.T) {
	f := start(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["X-Of-The-Map"] = []string{"b"}
		w.(interface {
			Answer(status int, lines, body []byte)
		}).Answer(http.StatusTeapot, []byte("x-amzn-RequestId: a\r\nContent-Type: text/plain\r\n"), []byte("body"))
	})
	c, r := f.dial()
	for range 2 {
		_, _ = io.WriteString(c, request("S.A", ""))
		header, last := expect(t, r, http.StatusTeapot, "body")
		if header.Get("X-Amzn-Requestid") != "a" || header.Get("X-Of-The-Map") != "b" || header.Get("Content-Type") != "text/plain" || last {
			t.Errorf("%v, last: %v", header, last)
		}
	}
}
