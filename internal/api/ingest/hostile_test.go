package ingest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/seed-462d9463/sluice/internal/api/edge"
	"github.com/seed-462d9463/sluice/internal/api/ingest"
	"github.com/seed-462d9463/sluice/stream"
)

// raw sends bytes on a connection of its own and returns all that comes back until the server closes it.
func (s *site) raw(request string) string {
	s.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, request); err != nil {
		s.t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(answer)
}

func TestABodyThatDoesNotArriveIsRefusedAfterAWhile(t *testing.T) {
	s := serveWith(t, edge.Options{BodyTimeout: 50 * time.Millisecond})
	for coding, body := range map[string]string{"identity": "{\"a\":1}\n{", "gzip": zipped(t, "1\n2")[:12], "zstd": zstandard(t, "1\n2")[:6]} {
		answer := s.raw("POST /v1/streams/clicks/records HTTP/1.1\r\nHost: a\r\nContent-Encoding: " + coding + "\r\nContent-Length: 100\r\n\r\n" + body)
		if !strings.HasPrefix(answer, "HTTP/1.1 408 ") || !strings.Contains(answer, "Connection: close") {
			t.Errorf("%s: %q", coding, answer)
		}
	}
	s.wantData()
}

func TestABodyThatBreaksOffWritesNothing(t *testing.T) {
	s := serve(t)
	for coding, body := range map[string]string{"identity": "1\n2\n", "gzip": zipped(t, "1\n2\n"), "zstd": zstandard(t, "1\n2\n")} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "POST /v1/streams/clicks/records HTTP/1.1\r\nHost: a\r\nContent-Encoding: %s\r\nContent-Length: 1000\r\n\r\n%s", coding, body)
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		answer, _ := io.ReadAll(conn)
		if len(answer) != 0 {
			t.Errorf("%s: answered %q", coding, answer)
		}
		conn.Close()
	}
	s.wantData()
}

func TestManyLargeBodiesShareLittleMemory(t *testing.T) {
	s := serveWith(t, edge.Options{MemoryBytes: 4 << 20}) // half of it for requests
	body := strings.Repeat(`{"a":"`+strings.Repeat("x", 1000)+"\"}\n", 1000)
	encoded := map[string]string{"identity": body, "gzip": zipped(t, body), "zstd": zstandard(t, body)}
	var senders sync.WaitGroup
	for range 3 {
		for coding, text := range encoded {
			senders.Go(func() {
				if a := s.post(text, "Content-Encoding", coding); a.status != 200 || a.Records != 1000 {
					t.Errorf("%s: %+v", coding, a)
				}
			})
		}
	}
	senders.Wait()
}

func TestADefectFailsItsRequestAlone(t *testing.T) {
	s := serve(t)
	s.fail = func([]stream.Entry) error { panic("a defect") }
	s.want(s.post("1"), 500, "InternalFailure")
	if n := s.metric("sluice_api_panics_total"); n != 1 {
		t.Errorf("%v panics counted", n)
	}
	s.fail = nil
	if a := s.post("1"); a.Records != 1 {
		t.Errorf("after it: %+v", a)
	}
}

func TestWindowsThatAreTooLargeAreRefused(t *testing.T) {
	body := []byte(strings.Repeat(`"`+strings.Repeat("x", 1000)+"\"\n", 12_000))
	s := serve(t)
	for window, status := range map[int]int{8 << 20: 200, 16 << 20: 400} {
		var b bytes.Buffer
		w, err := zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(window))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = w.Write(body)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if a := s.post(b.String(), "Content-Encoding", "zstd"); a.status != status {
			t.Errorf("a window of %d: %+v", window, a)
		}
	}
}

func TestHTTP2ClientsAreServedAlike(t *testing.T) {
	s := serve(t, withKey(ingest.Key{Origins: []string{"https://shop.example"}}))
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: &protocols, DisableCompression: true}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	large := strings.Repeat("{\"a\":1}\n", 50_000)
	for _, c := range []struct {
		body, coding string
		status       int
	}{{large, "identity", 200}, {zipped(t, large), "gzip", 200}, {strings.Repeat("x", 17<<20), "identity", 413}, {"[1,2", "identity", 400}, {"1", "gzip", 400}} {
		request, err := http.NewRequest(http.MethodPost, s.url+"/v1/streams/clicks/records?api_key="+webKey, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Encoding", c.coding)
		request.Header.Set("Origin", "https://shop.example")
		response, err := client.Do(request)
		if err != nil {
			t.Fatalf("%s of %d bytes: %v", c.coding, len(c.body), err)
		}
		var a answer
		err = json.NewDecoder(response.Body).Decode(&a)
		_ = response.Body.Close()
		if err != nil || response.StatusCode != c.status || response.ProtoMajor != 2 || response.Header.Get("Access-Control-Allow-Origin") == "" {
			t.Errorf("%s of %d bytes: %s %s %+v %v", c.coding, len(c.body), response.Proto, response.Status, a, err)
		}
	}
	if n := len(s.data()); n != 100_000 {
		t.Errorf("%d records", n)
	}
}

// Each of the records is refused with a text that names the field, so that a long name would become a huge answer.
func TestALongFieldIsRefusedOnce(t *testing.T) {
	s := serve(t)
	a := s.post(strings.Repeat("1\n", 10_000), "X-Partition-Key-Field", strings.Repeat("x", 20_000))
	s.want(a, 400, "InvalidRequest")
	a = s.post(strings.Repeat("1\n", 100), "X-Partition-Key-Field", strings.Repeat("x", 256))
	if a.status != 400 || a.Failed != 100 {
		t.Errorf("%+v", a)
	}
}
