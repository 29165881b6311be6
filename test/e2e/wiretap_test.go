package e2e

import (
	"bytes"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
)

// wiretap passes connections on to a server, so that a test knows what a client speaks to it.
type wiretap struct {
	to      string
	running sync.WaitGroup

	mu     sync.Mutex
	spoken map[string]bool
	open   []net.Conn
}

// What a client's bytes show of what it speaks.
var signs = map[string][]byte{
	"HTTP/1.1": []byte("POST / HTTP/1.1\r\n"),
	"HTTP/2":   []byte("PRI * HTTP/2.0\r\n"),
	"JSON":     []byte(`"StreamName"`),
	"CBOR":     []byte("\x6aStreamName"), // a text of ten bytes
}

const longestSign = 20

// tap listens on an address of its own until the test ends.
func tap(t *testing.T, s *server) (address string, w *wiretap) {
	t.Helper()
	w = &wiretap{to: s.listen, spoken: map[string]bool{}}
	l := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	w.running.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			w.mu.Lock()
			w.open = append(w.open, client)
			w.mu.Unlock()
			w.running.Go(func() { w.pass(client) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		w.mu.Lock()
		for _, client := range w.open { // clients may keep them for later
			client.Close()
		}
		w.mu.Unlock()
		w.running.Wait()
	})
	return l.Addr().String(), w
}

func (w *wiretap) pass(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", w.to)
	if err != nil {
		return
	}
	w.running.Go(func() {
		_, _ = io.Copy(client, server)
		client.Close()
	})
	_, _ = io.Copy(server, io.TeeReader(client, &ear{tap: w}))
	server.Close()
}

// heard is what was spoken, as docs/compatibility.md says it.
func (w *wiretap) heard() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(slices.Sorted(maps.Keys(w.spoken)), ", ")
}

// ear looks for signs in the bytes of one connection.
type ear struct {
	tap  *wiretap
	tail []byte // the last bytes, where a sign may begin
}

func (e *ear) Write(p []byte) (int, error) {
	e.tail = append(e.tail, p...)
	for name, sign := range signs {
		if bytes.Contains(e.tail, sign) {
			e.tap.mu.Lock()
			e.tap.spoken[name] = true
			e.tap.mu.Unlock()
		}
	}
	e.tail = bytes.Clone(e.tail[max(0, len(e.tail)-longestSign):])
	return len(p), nil
}
