package edge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/seed-462d9463/sluice/internal/api/wire"
)

// Buffers come in sizes of powers of two, each with its own pool.
const (
	smallestBuffer = 4 << 10
	bodyGrowth     = 16 // how many times as much as has arrived there is memory for, if that much is announced
	largestBuffer  = 32 << 20
)

var buffers [bits.UintSize]sync.Pool // by log2 of the size; of *[]byte

// class is the index of the smallest buffers that hold size bytes.
func class(size int) int { return bits.Len(uint(max(size, smallestBuffer) - 1)) }

// buffer is memory from a pool, accounted for in a budget. The zero value has none. Release must be called
// when the bytes are no longer used.
type buffer struct {
	bytes *[]byte // its length is its capacity
}

// grow makes sure that the buffer has room for size bytes. The first keep bytes stay.
func (b *buffer) grow(ctx context.Context, r *Reservation, size, keep int) error {
	if b.bytes != nil && size <= len(*b.bytes) {
		return nil
	}
	c := class(size)
	if err := r.Grow(ctx, 1<<c); err != nil {
		return err
	}
	bigger, ok := buffers[c].Get().(*[]byte)
	if !ok {
		memory := make([]byte, 1<<c)
		bigger = &memory
	}
	if b.bytes != nil {
		copy(*bigger, (*b.bytes)[:keep])
	}
	// The smaller one stays accounted for until the request is done: it may be in use twice for a moment.
	b.release()
	b.bytes = bigger
	return nil
}

func (b *buffer) release() {
	if b.bytes == nil {
		return
	}
	if n := len(*b.bytes); n <= largestBuffer {
		buffers[class(n)].Put(b.bytes)
	}
	b.bytes = nil
}

// expectBody limits the time for a request's body to arrive: also of one that is refused, whose body net/http
// reads to its end before it answers.
func expectBody(w http.ResponseWriter, r *http.Request, timeout time.Duration) {
	if whole, ok := r.Body.(arriver); ok && whole.Arrived() {
		return
	}
	if r.ContentLength != 0 {
		if draining(r).Err() != nil {
			timeout = min(timeout, drainedBody)
		}
		// Recorders and the like know no deadlines; every real connection does.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(timeout))
	}
}

// drainedBody is how long a body may still take when the server is about to end: the rest of the time that requests have then is
// for those that have come. refusedBody is how long the rest of one may take that is not wanted, at any time.
const (
	drainedBody = 5 * time.Second
	refusedBody = 10 * time.Second
)

// hurry limits the time for a body when the server is about to end, until what it returns is called.
func hurry(w http.ResponseWriter, r *http.Request) (stop func()) {
	arrived := make(chan struct{})
	unless := whenDraining(r, func() {
		timer := time.NewTimer(drainedBody)
		defer timer.Stop()
		select {
		case <-timer.C:
			_ = http.NewResponseController(w).SetReadDeadline(longAgo) // another one is for the reader alone to set
		case <-arrived:
		}
	})
	return sync.OnceFunc(func() {
		close(arrived)
		unless()
	})
}

// expectRest is expectBody for what a refused request has left of its body. One that was late has had its time.
func (h *Handler) expectRest(w http.ResponseWriter, r *http.Request, why error) {
	var fault *wire.Fault
	if errors.As(why, &fault) && fault.Status == http.StatusRequestTimeout {
		return
	}
	expectBody(w, r, min(h.bodyTimeout/2, refusedBody)) // half at most, so that there is time left for the answer
}

// mostRest is how much is taken of a body behind the answer that refuses it.
const mostRest = 64 << 20

// whileMoreComes answers a request whose body is too large, and then takes what comes of it, until the deadline: who sends all of it
// before reading would lose the answer when the connection ends. It is for net/http's HTTP/1.1, which does that for half a
// second.
func whileMoreComes(w http.ResponseWriter, r *http.Request, answer func()) {
	control := http.NewResponseController(w)
	duplex := control.EnableFullDuplex() == nil
	answer()
	if duplex && control.Flush() == nil {
		_, _ = io.CopyN(io.Discard, r.Body, mostRest) // how it ends is nobody's
	}
}

// arriver is implemented by bodies that know whether all of them has arrived, so that reading waits for nobody.
type arriver interface{ Arrived() bool }

// readBody reads a request's body into the buffer, which grows as bytes arrive, never because they are
// announced: a client cannot make the server allocate more than bodyGrowth times what it sends.
func (h *Handler) readBody(ctx context.Context, w http.ResponseWriter, r *http.Request, limit int, b *buffer, reserved *Reservation) ([]byte, error) {
	if r.ContentLength > int64(limit) {
		return nil, tooLarge(limit)
	}
	if r.ContentLength == 0 || r.Body == nil {
		return nil, nil
	}
	announced := int(r.ContentLength) // −1 if it is not known
	if err := b.grow(ctx, reserved, smallestBuffer, 0); err != nil {
		return nil, err
	}
	if whole, ok := r.Body.(arriver); ok && whole.Arrived() && announced <= len(*b.bytes) {
		if _, err := io.ReadFull(r.Body, (*b.bytes)[:announced]); err != nil {
			return nil, readFault(err)
		}
		return (*b.bytes)[:announced], nil
	}
	if r.ProtoMajor > 1 { // what arrives waits in memory until it is read, as much as the stream's window lets in
		window := int64(streamWindow)
		if announced >= 0 {
			window = min(window, r.ContentLength)
		}
		if err := reserved.Grow(ctx, window); err != nil {
			return nil, err
		}
	}
	inTime := hurry(w, r)
	defer inTime()
	defer reserved.Prompt() // before the deadline is lifted below, or it might be set again for the next request
	reserved.Slow(func() { _ = http.NewResponseController(w).SetReadDeadline(longAgo) })
	n := 0
	for {
		if n == len(*b.bytes) {
			if n > limit {
				return nil, tooLarge(limit)
			}
			if err := b.grow(ctx, reserved, max(n+1, min(announced, bodyGrowth*n)), n); err != nil {
				return nil, err
			}
		}
		m, err := r.Body.Read((*b.bytes)[n:])
		n += m
		switch {
		case n > limit:
			return nil, tooLarge(limit)
		case errors.Is(err, io.EOF) || n == announced:
			if reserved.Prompt() {
				return nil, errCut
			}
			inTime()
			_ = http.NewResponseController(w).SetReadDeadline(noDeadline)
			return (*b.bytes)[:n], nil
		case err != nil && reserved.Prompt():
			return nil, errCut
		case err != nil:
			return nil, readFault(err)
		}
	}
}

func tooLarge(limit int) *wire.Fault {
	return &wire.Fault{
		Code:    "RequestEntityTooLargeException",
		Message: fmt.Sprintf("The request body is larger than %d bytes.", limit),
		Status:  http.StatusRequestEntityTooLarge,
	}
}

// errGone means that there is nobody left to answer.
var errGone = errors.New("the client went away while sending its request")

func readFault(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return &wire.Fault{
			Code:    "RequestTimeoutException",
			Message: "The request body did not arrive in time.",
			Status:  http.StatusRequestTimeout,
		}
	}
	return fmt.Errorf("%w: %w", errGone, err)
}
