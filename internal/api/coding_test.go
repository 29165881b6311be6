package api_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func gzipped(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// coded makes a request whose body is as it is sent, and signed so.
func (s *server) coded(t *testing.T, target, coding, body string) answer {
	t.Helper()
	r := s.request(t, target, body)
	r.Header.Set("Content-Encoding", coding)
	sign(r, body)
	return s.do(t, r)
}

func TestCompressedBodiesAreTakenAndSignedAsTheyAreSent(t *testing.T) {
	s := start(t)
	if a := s.call(t, "Kinesis_20131202.CreateStream", `{"StreamName":"s","ShardCount":1}`); a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	put := func(data string) string { return `{"StreamName":"s","PartitionKey":"k","Data":"` + data + `"}` }
	for _, c := range []struct {
		name, coding, body string
		status             int
		want               string
	}{
		{"gzip", "gzip", gzipped(t, put("aGVsbG8=")), 200, `{"ShardId":`},
		{"however it is spelled", " GZIP", gzipped(t, put("aGVsbG8=")), 200, `{"ShardId":`},
		{"two members", "gzip", gzipped(t, `{"StreamName":"s","PartitionKey":"k",`) + gzipped(t, `"Data":""}`), 200, `{"ShardId":`},
		{"none", "identity", put(""), 200, `{"ShardId":`},
		{"a megabyte of one letter", "gzip", gzipped(t, put(strings.Repeat("AAAA", 1000<<10/4))), 200, `{"ShardId":`},
		{"no gzip", "gzip", put(""), 400, `{"__type":"SerializationException","Message":"The request body is not valid gzip`},
		{"nothing", "gzip", "", 400, `{"__type":"SerializationException"`},
		{"cut off", "gzip", gzipped(t, put(""))[:30], 400, `{"__type":"SerializationException","Message":"The request body is not valid gzip`},
		{"a wrong checksum", "gzip", gzipped(t, put(""))[:40] + strings.Repeat("x", 30), 400, `{"__type":"SerializationException","Message":"The request body is not valid gzip`},
		{"what grows by a thousand", "gzip", gzipped(t, put(strings.Repeat("AAAA", 12<<20/4))), 413, `{"__type":"RequestEntityTooLargeException"`},
		{"brotli", "br", "x", 415, `{"__type":"UnsupportedMediaTypeException"`},
		{"twice", "gzip, gzip", "x", 415, `{"__type":"UnsupportedMediaTypeException"`},
		{"chunks that are signed", "aws-chunked", "x", 415, `{"__type":"UnsupportedMediaTypeException"`},
	} {
		a := s.coded(t, putRecord, c.coding, c.body)
		if a.status != c.status || !strings.HasPrefix(string(a.body), c.want) {
			t.Errorf("%s: %d %.200s, want %d %s", c.name, a.status, a.body, c.status, c.want)
		}
	}
	signedPlain := s.request(t, putRecord, put(""))
	compressed := gzipped(t, put(""))
	signedPlain.Header.Set("Content-Encoding", "gzip")
	signedPlain.Body, signedPlain.ContentLength = io.NopCloser(strings.NewReader(compressed)), int64(len(compressed))
	if a := s.do(t, signedPlain); a.status != http.StatusBadRequest || !strings.Contains(string(a.body), "InvalidSignatureException") {
		t.Errorf("a signature over what was compressed: %d %.200s", a.status, a.body)
	}
	eventually(t, "no memory is reserved", func() bool { return s.metric(t, "sluice_api_memory_reserved_bytes") == 0 })
	s.stillServes(t)
}

func TestPayloadsAreSignedForWhatTheyAre(t *testing.T) {
	s := start(t)
	for _, given := range []string{"UNSIGNED-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "bad", strings.Repeat("0", 64)} {
		r := s.request(t, listStreams, "{}")
		r.Header.Set("X-Amz-Content-Sha256", given)
		sign(r, "{}")
		a := s.do(t, r)
		if a.status != http.StatusBadRequest || !strings.Contains(string(a.body), `"InvalidSignatureException"`) {
			t.Errorf("%s: %d %s", given, a.status, a.body)
		}
	}
	r := s.request(t, listStreams, "{}")
	r.Header.Set("X-Amz-Content-Sha256", "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a")
	r.Header.Set("X-Amz-Security-Token", "a token, as temporary keys of AWS have one")
	sign(r, "{}")
	if a := s.do(t, r); a.status != http.StatusOK {
		t.Errorf("the right hash: %d %s", a.status, a.body)
	}
}

func TestChunkedBodiesAndThoseThatWaitToBeAskedForAreTaken(t *testing.T) {
	s := start(t)
	r := s.request(t, listStreams, `{"Limit":10}`)
	r.Body, r.ContentLength = io.NopCloser(io.MultiReader(strings.NewReader(`{"Limit"`), strings.NewReader(`:10}`))), -1
	if a := s.do(t, r); a.status != http.StatusOK {
		t.Errorf("chunked: %d %s", a.status, a.body)
	}
	expect := func(target, authorization string) (asked bool, status int) {
		t.Helper()
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(time.Minute))
		r := s.request(t, target, "{}")
		head := "POST / HTTP/1.1\r\nHost: " + r.Host + "\r\nContent-Length: 2\r\nExpect: 100-continue\r\n"
		for name := range r.Header {
			if value := r.Header.Get(name); name != "Authorization" || authorization == "" {
				head += name + ": " + value + "\r\n"
			} else {
				head += name + ": " + authorization + "\r\n"
			}
		}
		if _, err := io.WriteString(conn, head+"\r\n"); err != nil {
			t.Fatal(err)
		}
		reader := bufio.NewReader(conn)
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusContinue {
			return false, response.StatusCode
		}
		if _, err := io.WriteString(conn, "{}"); err != nil {
			t.Fatal(err)
		}
		if response, err = http.ReadResponse(reader, nil); err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		return true, response.StatusCode
	}
	if asked, status := expect(listStreams, ""); !asked || status != http.StatusOK {
		t.Errorf("a good request: asked for its body %v, status %d", asked, status)
	}
	if asked, status := expect(listStreams, "AWS4-HMAC-SHA256 nonsense"); asked || status != http.StatusBadRequest {
		t.Errorf("a bad one: asked for its body %v, status %d", asked, status)
	}
}
