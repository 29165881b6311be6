package api_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/seed-462d9463/sluice/internal/api"
	"github.com/seed-462d9463/sluice/internal/api/edge"
	"github.com/seed-462d9463/sluice/internal/api/lane"
	"github.com/seed-462d9463/sluice/internal/api/sigv4"
)

// wheel is a connection whose client sends the same request over and over, so often as it is told.
type wheel struct {
	net.Conn
	request []byte
	rest    []byte
	left    int
	failed  []byte // the first answer that is not 200
	done    chan struct{}
}

func (w *wheel) Read(p []byte) (int, error) {
	if len(w.rest) == 0 {
		if w.left == 0 {
			return 0, io.EOF
		}
		w.left--
		w.rest = w.request
	}
	n := copy(p, w.rest)
	w.rest = w.rest[n:]
	return n, nil
}

func (w *wheel) Write(p []byte) (int, error) {
	if w.failed == nil && bytes.HasPrefix(p, []byte("HTTP/1.1 ")) && !bytes.HasPrefix(p, []byte("HTTP/1.1 200 ")) {
		w.failed = bytes.Clone(p)
	}
	return len(p), nil
}

func (w *wheel) Close() error                     { close(w.done); return nil }
func (w *wheel) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1234} }
func (w *wheel) SetDeadline(time.Time) error      { return nil }
func (w *wheel) SetReadDeadline(time.Time) error  { return nil }
func (w *wheel) SetWriteDeadline(time.Time) error { return nil }

// wheels is a listener whose clients are wheels.
type wheels chan net.Conn

func (w wheels) Accept() (net.Conn, error) {
	if c, ok := <-w; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}
func (w wheels) Close() error   { close(w); return nil }
func (w wheels) Addr() net.Addr { return &net.TCPAddr{} }

// requestText is a request of AWS's SDK for Go, as it is on the wire.
func requestText(b *testing.B, target string, body []byte) []byte {
	r, err := http.NewRequest(http.MethodPost, "http://127.0.0.1:4566/", nil)
	if err != nil {
		b.Fatal(err)
	}
	r.ContentLength = int64(len(body))
	r.Header = http.Header{
		"Accept-Encoding":       {"identity"},
		"Amz-Sdk-Invocation-Id": {"3b41e9f5-6b9e-4f4d-9c52-0e6c1a3d1f77"},
		"Amz-Sdk-Request":       {"attempt=1; max=3"},
		"Content-Type":          {"application/x-amz-json-1.1"},
		"User-Agent":            {"aws-sdk-go-v2/1.47.6 ua/2.1 os/linux lang/go#1.26 md/GOOS#linux api/kinesis"},
		"X-Amz-Target":          {target},
	}
	sigv4.Sign(r, sigv4.Credential{AccessKey: testKey, SecretKey: testSecret}, testRegion, "kinesis", sha256.Sum256(body), time.Now())
	var text bytes.Buffer
	fmt.Fprintf(&text, "POST / HTTP/1.1\r\nHost: 127.0.0.1:4566\r\nContent-Length: %d\r\n", len(body))
	if err := r.Header.Write(&text); err != nil {
		b.Fatal(err)
	}
	text.WriteString("\r\n")
	text.Write(body)
	return text.Bytes()
}

// benchmarkConn serves requests as they come from a connection: all of what one costs but for the network and the log.
func benchmarkConn(b *testing.B, signed bool, target string, body []byte, payload int) {
	options := api.Options{Streams: instant{}}
	if signed {
		options.Credentials = []api.Credential{{AccessKey: testKey, SecretKey: testSecret}}
	}
	handler, err := api.New(options)
	if err != nil {
		b.Fatal(err)
	}
	listener := make(wheels)
	server := lane.New(edge.NewServer(handler), edge.Prompt)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(listener)
	}()
	client := &wheel{request: requestText(b, target, body), left: b.N, done: make(chan struct{})}
	b.SetBytes(int64(payload))
	b.ReportAllocs()
	b.ResetTimer()
	listener <- client
	<-client.done
	b.StopTimer()
	if client.failed != nil {
		b.Fatalf("%s", client.failed)
	}
	if err := server.Shutdown(context.Background()); err != nil {
		b.Fatal(err)
	}
	<-served
}

func BenchmarkConnPutRecord(b *testing.B) {
	body := `{"StreamName":"orders","PartitionKey":"partition-key","Data":"` + base64.StdEncoding.EncodeToString(make([]byte, 1024)) + `"}`
	b.Run("unsigned", func(b *testing.B) { benchmarkConn(b, false, putRecord, []byte(body), 1<<10) })
	b.Run("signed", func(b *testing.B) { benchmarkConn(b, true, putRecord, []byte(body), 1<<10) })
}

func BenchmarkConnPutRecords500(b *testing.B) {
	body := putBody(500)
	b.Run("unsigned", func(b *testing.B) { benchmarkConn(b, false, putRecords, []byte(body), 500<<10) })
	b.Run("signed", func(b *testing.B) { benchmarkConn(b, true, putRecords, []byte(body), 500<<10) })
}
