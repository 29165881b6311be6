// Package baseline is what Sluice is measured beside: the least that net/http can do with the same requests,
// and the bare encoder on the same bytes.
package baseline

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
)

// answer is what the trivial handler says if it is asked for nothing longer.
const answer = `{"FailedRecordCount":0}`

// maxBody is the longest body that the trivial handler reads and the longest answer that it gives.
const maxBody = 20 << 20

// Trivial reads the body into a pooled buffer of the announced length and answers a few bytes, or, for
// "?answer=N", N bytes. It is the floor of what any server on net/http has to pay.
func Trivial() http.Handler {
	buffers := sync.Pool{New: func() any { return new([]byte) }}
	long := make([]byte, maxBody)
	copy(long, answer)
	for i := len(answer); i < len(long); i++ {
		long[i] = ' '
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength < 0 || r.ContentLength > maxBody {
			http.Error(w, "a body of known length, please", http.StatusLengthRequired)
			return
		}
		n := len(answer)
		if r.URL.RawQuery != "" {
			asked, err := strconv.Atoi(r.URL.Query().Get("answer"))
			if err != nil || asked < 0 || asked > maxBody {
				http.Error(w, "answer=N, please", http.StatusBadRequest)
				return
			}
			n = asked
		}
		buffer := buffers.Get().(*[]byte)
		defer buffers.Put(buffer)
		if cap(*buffer) < int(r.ContentLength) {
			*buffer = make([]byte, r.ContentLength)
		}
		if _, err := io.ReadFull(r.Body, (*buffer)[:r.ContentLength]); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.Header().Set("Content-Length", strconv.Itoa(n))
		_, _ = w.Write(long[:n]) // the client that is gone has noticed itself
	})
}

// ServeTrivial serves the trivial handler on the address until it is told to stop by SIGTERM or SIGINT.
func ServeTrivial(addr string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: Trivial()}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err = <-served:
		return err
	case <-ctx.Done():
	}
	err = server.Close()
	if served := <-served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}
