package edge

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-462d9463/sluice/internal/api/lane"
	"github.com/seed-462d9463/sluice/internal/api/wire"
)

// pipes is a listener for connections within the process.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	if c, ok := <-p; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}

func (p pipes) Close() error {
	close(p)
	return nil
}

func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// TestABodyThatDoesNotComeTakesNotAllOfTheGrace has clients that have sent the head of a request only when the server is about to
// end: one that is served past net/http, one that is not, and one whose body is decoded.
func TestABodyThatDoesNotComeTakesNotAllOfTheGrace(t *testing.T) {
	const grace = 20 * time.Second
	for name, head := range map[string]string{
		"plain":    "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-amz-json-1.1\r\nX-Amz-Target: K.Do\r\nContent-Length: 1000\r\n\r\n{",
		"net/http": "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-amz-json-1.1\r\nX-Amz-Target: K.Do\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
		"decoded":  "POST /beside HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				operation := wire.NewOperation("Do", 1<<20, func(context.Context, wire.Caller, *wire.Nothing, *wire.Nothing) error {
					t.Error("the operation was called")
					return nil
				})
				handler, err := New(Options{Services: []*wire.Service{wire.NewService("kinesis", "K", nil, operation)}})
				if err != nil {
					t.Fatal(err)
				}
				mux := http.NewServeMux()
				mux.Handle("/", handler)
				mux.Handle("/beside", handler.Beside("a service", "Visit", decodes{}))
				listener := make(pipes)
				server := lane.New(NewServer(mux), Prompt)
				served := make(chan struct{})
				go func() {
					defer close(served)
					_ = server.Serve(listener)
				}()
				client, conn := net.Pipe()
				defer func() { _ = client.Close() }()
				listener <- conn
				if _, err := io.WriteString(client, head); err != nil {
					t.Fatal(err)
				}
				status := make(chan int, 1)
				go func() {
					defer close(status)
					if answer, err := http.ReadResponse(bufio.NewReader(client), nil); err == nil {
						status <- answer.StatusCode
						_ = answer.Body.Close()
						_, _ = io.Copy(io.Discard, client)
					}
				}()
				synctest.Wait()
				ctx, cancel := context.WithTimeout(t.Context(), grace)
				defer cancel()
				if err := server.Shutdown(ctx); err != nil {
					t.Errorf("shut down: %v", err)
				}
				if got := <-status; got != http.StatusRequestTimeout {
					t.Errorf("answered with %d, want %d", got, http.StatusRequestTimeout)
				}
				_ = server.Close()
				<-served
			})
		})
	}
}

// decodes reads bodies that are encoded.
type decodes struct{}

func (decodes) Serve(w http.ResponseWriter, r *http.Request, v *Visit) error {
	_, err := v.ReadBody(w, r, 1<<20, func(body io.Reader) (io.Reader, error) { return body, nil })
	return err
}

func (decodes) Refuse(w http.ResponseWriter, _ *Visit, fault *wire.Fault) {
	w.WriteHeader(fault.Status)
}
