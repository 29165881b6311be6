package edge

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/seed-462d9463/sluice/internal/api/eventstream"
	"github.com/seed-462d9463/sluice/internal/api/wire"
)

// initialResponse is the first message of every answer that goes on; without it some clients wait for ever.
var initialResponse = eventstream.Append(nil, eventstream.Event("initial-response", "application/x-amz-json-1.1"), []byte("{}"))

// answerOn answers a request with events for as long as there are any. Nothing is held while there is none: neither
// the request's body nor a buffer, only the connection. A client that does not take an event in time is cut off, as
// with any other answer, and earlier when others wait for the memory that the event takes.
func (h *Handler) answerOn(w http.ResponseWriter, r *http.Request, x *exchange, exchanged wire.Exchange, m *memory) error {
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	defer whenDraining(r, func() { cancel(errDraining) })()
	events, err := x.route.operation.Open(ctx, exchanged)
	if err != nil {
		return err
	}
	defer events.Close()
	m.letGo()
	s := &streaming{h: h, w: w, control: http.NewResponseController(w), x: x, m: m, headers: eventstream.Event(events.Type(), "application/json")}
	w.Header()["Content-Type"] = []string{eventstream.ContentType}
	if r.ProtoMajor == 1 {
		settle(ctx)
	}
	x.answered = h.now()
	w.WriteHeader(http.StatusOK)
	if err := s.send(initialResponse); err != nil {
		return s.gone(err)
	}
	for {
		err := events.Wait(ctx)
		if err == nil {
			err = s.next(ctx, events)
		}
		if err != nil {
			return s.end(ctx, err)
		}
	}
}

// settling is how much later an answer that goes on begins over HTTP/1.1: the AWS SDK for Go closes its connection under
// an answer that begins before its goroutine that writes has looked for the end of the request's body, some
// microseconds after the server has got all of it (github.com/aws/aws-sdk-go-v2, issue 2737). An answer that ends it asks for
// again; a subscription it gives up.
const settling = 10 * time.Millisecond

func settle(ctx context.Context) {
	timer := time.NewTimer(settling)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// errDraining ends answers that go on when the server is about to end.
var errDraining = errors.New("the server is ending")

// errNotTaken means that the client did not take an event.
var errNotTaken = errors.New("the client is gone or does not take its events")

// streaming is an answer that goes on.
type streaming struct {
	h       *Handler
	w       http.ResponseWriter
	control *http.ResponseController
	x       *exchange
	m       *memory
	headers eventstream.Headers
	armed   time.Time // when the deadline for writing was last set
}

// next sends one event, if there is one after all.
func (s *streaming) next(ctx context.Context, events wire.Events) error {
	defer s.m.letGo()
	if err := s.m.Hold(ctx, events.MaxBytes()); err != nil {
		return err
	}
	some, err := events.Next(ctx)
	if err != nil || !some {
		return err
	}
	if err := s.m.Hold(ctx, events.HeldBytes()); err != nil {
		return err
	}
	size := s.headers.Overhead() + events.Size()
	dst, err := s.m.Grow(ctx, size)
	if err != nil {
		return err
	}
	message := eventstream.End(events.Append(eventstream.Begin(dst, s.headers)), len(dst))
	if err := s.m.Hold(ctx, 0); err != nil {
		return err
	}
	holds := &s.m.request
	if len(message) > largestSmallAnswer {
		holds = &s.m.answer
	}
	holds.Slow(func() { _ = s.control.SetWriteDeadline(longAgo) })
	err = s.send(message)
	if cut := holds.Prompt(); err != nil || cut {
		return errNotTaken
	}
	return nil
}

// send writes a message, and does not leave it in a buffer. Deadlines stay in force between events, which come often
// enough; that spares setting one for each.
func (s *streaming) send(message []byte) error {
	if now := time.Now(); now.Sub(s.armed) > s.h.bodyTimeout/8 {
		s.armed = now
		_ = s.control.SetWriteDeadline(now.Add(s.h.bodyTimeout))
	}
	if _, err := s.w.Write(message); err != nil {
		return err
	}
	s.x.sent += len(message)
	return s.control.Flush()
}

// end ends the answer: in silence when there is nothing to say, else with an exception as the last message.
func (s *streaming) end(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, io.EOF), errors.Is(context.Cause(ctx), errDraining):
		return nil
	case ctx.Err() != nil: // which is how a client ends its subscription
		panic(http.ErrAbortHandler)
	case errors.Is(err, errNotTaken), errors.Is(err, errCut):
		return s.gone(err)
	}
	fault, foreseen := wire.AsFault(err)
	if !foreseen {
		s.h.logger.Error("an answer that goes on failed", "operation", s.x.target(), "error", err)
		fault = &wire.Fault{Code: "InternalFailureException", Message: fault.Message}
	}
	s.x.fault = fault
	payload := wire.AppendString([]byte(`{"message":`), fault.Message)
	if err := s.send(eventstream.Append(nil, eventstream.Exception(fault.Code), append(payload, '}'))); err != nil {
		return s.gone(err)
	}
	return nil
}

// gone ends the answer of a client that is not there any more, and closes its connection: so it does not take what it
// got for the whole.
func (s *streaming) gone(err error) error {
	s.x.fault = &wire.Fault{Code: "ClientGone", Message: err.Error()}
	panic(http.ErrAbortHandler)
}

// letGo gives back all memory.
func (m *memory) letGo() {
	m.in.release()
	m.out.release()
	m.decoded.release()
	m.request.Release()
	m.answer.Release()
	m.held = 0
}
