package edge

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-462d9463/sluice/internal/api/lane"
	"github.com/seed-462d9463/sluice/internal/api/wire"
)

// TestABodyThatComesSlowlyWhileTheServerDrains is for the race detector.
func TestABodyThatComesSlowlyWhileTheServerDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		operation := wire.NewOperation("Do", 1<<20, func(context.Context, wire.Caller, *wire.Nothing, *wire.Nothing) error { return nil })
		handler, err := New(Options{Services: []*wire.Service{wire.NewService("kinesis", "K", nil, operation)}})
		if err != nil {
			t.Fatal(err)
		}
		for pause, want := range map[time.Duration]int{10 * time.Millisecond: http.StatusOK, 100 * time.Millisecond: http.StatusRequestTimeout} {
			client, shutdown := drained(t, handler)
			const length = 200
			var sender sync.WaitGroup
			sender.Go(func() {
				_, err := fmt.Fprintf(client, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-amz-json-1.1\r\n"+
					"X-Amz-Target: K.Do\r\nContent-Length: %d\r\n\r\n{}", length)
				for range length - 2 {
					if time.Sleep(pause); err == nil {
						_, err = io.WriteString(client, " ")
					}
				}
			})
			done := make(chan error, 1)
			go func() {
				time.Sleep(5 * pause)
				done <- shutdown(time.Minute)
			}()
			answer, err := http.ReadResponse(bufio.NewReader(client), nil)
			if err != nil {
				t.Fatal(err)
			}
			_ = answer.Body.Close()
			if answer.StatusCode != want {
				t.Errorf("a byte each %v: answered with %d, want %d", pause, answer.StatusCode, want)
			}
			go func() { _, _ = io.Copy(io.Discard, client) }()
			if err := <-done; err != nil {
				t.Errorf("shut down: %v", err)
			}
			_ = client.Close()
			sender.Wait()
		}
	})
}

// drained starts a server and returns a connection to it, and what shuts it down.
func drained(t *testing.T, handler http.Handler) (client net.Conn, shutdown func(grace time.Duration) error) {
	listener := make(pipes)
	server := lane.New(NewServer(handler), Prompt)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(listener)
	}()
	client, conn := net.Pipe()
	listener <- conn
	return client, func(grace time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), grace)
		defer cancel()
		err := server.Shutdown(ctx)
		_ = server.Close()
		<-served
		return err
	}
}

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
	const grace = drainedBody + 2*time.Second // it takes net/http and the lane some time to close a connection
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
				client, shutdown := drained(t, mux)
				defer func() { _ = client.Close() }()
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
				if err := shutdown(grace); err != nil {
					t.Errorf("shut down: %v", err)
				}
				if got := <-status; got != http.StatusRequestTimeout {
					t.Errorf("answered with %d, want %d", got, http.StatusRequestTimeout)
				}
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

// TestWhoSendsAllOfALargeBodyBeforeReadingGetsTheAnswer has a client that takes two seconds to send a body that is refused at once.
func TestWhoSendsAllOfALargeBodyBeforeReadingGetsTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handler, err := New(Options{})
		if err != nil {
			t.Fatal(err)
		}
		client, shutdown := drained(t, handler.Beside("a service", "Visit", decodes{}))
		var reader sync.WaitGroup
		reader.Go(func() { // a pipe holds nothing, so that somebody has to take the answer
			answer, err := http.ReadResponse(bufio.NewReader(client), nil)
			if err != nil {
				t.Errorf("read the answer: %v", err)
				return
			}
			_ = answer.Body.Close()
			if answer.StatusCode != http.StatusRequestEntityTooLarge {
				t.Errorf("answered with %d", answer.StatusCode)
			}
		})
		const pieces, piece = 20, 100 << 10
		if _, err := fmt.Fprintf(client, "POST /beside HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n", pieces*piece); err != nil {
			t.Fatal(err)
		}
		for n := range pieces {
			time.Sleep(100 * time.Millisecond)
			if _, err := client.Write(make([]byte, piece)); err != nil {
				t.Fatalf("piece %d: %v", n, err)
			}
		}
		reader.Wait()
		if err := shutdown(time.Minute); err != nil {
			t.Error(err)
		}
		_ = client.Close()
	})
}
