package edge

import (
	"context"
	"errors"
	"io"
	"net/http"
	"runtime/debug"

	"github.com/seed-462d9463/sluice/internal/api/wire"
)

// Visitor serves requests that come in by the edge's listener and speak none of AWS's protocols. It shares the edge's
// memory, its deadlines, its metrics and its log.
type Visitor interface {
	// Serve answers a request, or returns why not: a *wire.Fault, an error that the visit's methods returned, or a
	// surprise that the client is told nothing of.
	Serve(w http.ResponseWriter, r *http.Request, v *Visit) error
	// Refuse answers it with an error. The fault's status is set.
	Refuse(w http.ResponseWriter, v *Visit, fault *wire.Fault)
}

// Visit is one request to a visitor. It belongs to one goroutine.
type Visit struct {
	handler *Handler
	x       exchange
	request Reservation
	in      buffer
}

// Beside returns the handler of a visitor's one operation. Service and operation name it in metrics and the log.
func (h *Handler) Beside(service, operation string, visitor Visitor) http.Handler {
	route := &route{
		service: &wire.Service{Name: service}, operation: &wire.Operation{Name: operation},
		metrics: h.metrics.of(service, operation),
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := &Visit{handler: h, x: exchange{route: route, http1: r.ProtoMajor == 1}, request: h.requests.Open()}
		h.receive(w, r, v, visitor)
	})
}

// receive is ServeHTTP for a visitor.
func (h *Handler) receive(w http.ResponseWriter, r *http.Request, v *Visit, visitor Visitor) {
	h.metrics.inFlight.Inc()
	defer h.metrics.inFlight.Dec()
	x := &v.x
	x.start = h.now()
	x.ids.make()
	if _, ok := w.(answerer); !ok {
		x.ids.put(w.Header())
	}
	expectBody(w, r, h.bodyTimeout)
	defer v.request.Release()
	defer func() {
		if problem := recover(); problem != nil {
			if err, ok := problem.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				h.finish(r, x)
				panic(problem)
			}
			h.metrics.panics.Inc()
			h.logger.Error("request failed by a defect in Sluice", "request", x.ids.request(), "operation", v.x.target(),
				"panic", problem, "stack", string(debug.Stack()))
			v.x.fault = wire.Internal()
			visitor.Refuse(w, v, v.x.fault)
		}
		h.finish(r, x)
	}()
	err := visitor.Serve(w, r, v)
	v.in.release() // not in a defer: what a panic has gone through is not used again
	if err == nil {
		return
	}
	if errors.Is(err, errGone) {
		v.x.fault = &wire.Fault{Code: "ClientGone", Message: err.Error()}
		panic(http.ErrAbortHandler)
	}
	fault, foreseen := wire.AsFault(err)
	switch {
	case errors.Is(err, errCut): // the deadline for its body has been let pass
		v.x.last(w)
		v.request.Release() // others wait for it, and this one may be slow to take its answer, too
		fault = slowClient()
	case !foreseen && r.Context().Err() == nil:
		h.logger.Error("request failed", "request", x.ids.request(), "operation", v.x.target(), "error", err)
	}
	if fault.Status == 0 {
		fault.Status = http.StatusBadRequest
	}
	if !errors.Is(err, errCut) {
		h.expectRest(w, r, err)
	}
	v.x.fault = fault
	if fault.Status != http.StatusRequestEntityTooLarge || r.ProtoMajor > 1 {
		visitor.Refuse(w, v, fault)
		return
	}
	v.request.Release() // what still comes is not kept
	whileMoreComes(w, r, func() { visitor.Refuse(w, v, fault) })
}

func slowClient() *wire.Fault {
	return &wire.Fault{Code: "ServiceUnavailable", Status: http.StatusServiceUnavailable,
		Message: "The request was slow to arrive while others waited for memory. Send it again."}
}

// Identify tells who sends the request, for the log: the name of a key, never a key.
func (v *Visit) Identify(name string, caller wire.Caller) { v.x.accessKey, v.x.caller = name, caller }

// Failed tells the code that the request counts under in the metrics, if it is answered though it has failed.
func (v *Visit) Failed(code string) { v.x.fault = &wire.Fault{Code: code} }

// Hold reserves more memory for the request, beside its body, until it is done. It waits until there is room.
func (v *Visit) Hold(ctx context.Context, bytes int) error { return v.request.Grow(ctx, int64(bytes)) }

// ErrCoding is wrapped by the error of a body that decode could not decode.
var ErrCoding = errors.New("the body is not what its content coding promises")

// ReadBody reads the request's body, through decode unless that is nil. It may be limit bytes long, before decoding and
// after. The bytes are the caller's to change, until the request is done; they arrive in memory as they come, so that
// a client cannot make the server hold more than what it sends.
func (v *Visit) ReadBody(w http.ResponseWriter, r *http.Request, limit int, decode func(io.Reader) (io.Reader, error)) ([]byte, error) {
	if decode == nil {
		body, err := v.handler.readBody(r.Context(), w, r, limit, &v.in, &v.request)
		v.x.received = len(body)
		return body, err
	}
	if r.ContentLength > int64(limit) {
		return nil, tooLarge(limit)
	}
	inTime := hurry(w, r)
	defer inTime()
	defer v.request.Prompt()
	v.request.Slow(func() { _ = http.NewResponseController(w).SetReadDeadline(longAgo) })
	source := &source{body: r.Body, left: limit, arrived: inTime}
	body, err := v.readDecoded(r.Context(), source, limit, decode)
	v.x.received = limit - source.left
	if v.request.Prompt() {
		return nil, errCut
	}
	switch {
	case source.left < 0:
		return nil, tooLarge(limit)
	case source.err != nil && !errors.Is(source.err, io.EOF): // also when what was encoded had come to its end before
		return nil, readFault(source.err)
	case err != nil:
		return nil, err
	}
	_ = http.NewResponseController(w).SetReadDeadline(noDeadline)
	return body, nil
}

func (v *Visit) readDecoded(ctx context.Context, source io.Reader, limit int, decode func(io.Reader) (io.Reader, error)) ([]byte, error) {
	decoded, err := decode(source)
	if err != nil {
		return nil, errors.Join(ErrCoding, err)
	}
	for n := 0; ; {
		if v.in.bytes == nil || n == len(*v.in.bytes) {
			if err := v.in.grow(ctx, &v.request, max(smallestBuffer, n+1), n); err != nil {
				return nil, err
			}
		}
		m, err := decoded.Read((*v.in.bytes)[n:])
		n += m
		switch {
		case n > limit:
			return nil, tooLarge(limit)
		case errors.Is(err, io.EOF):
			// What follows the end of what was encoded is nobody's, but the connection is used again.
			if _, err := io.Copy(io.Discard, source); err != nil {
				return nil, err
			}
			return (*v.in.bytes)[:n], nil
		case err != nil:
			return nil, errors.Join(ErrCoding, err)
		}
	}
}

// source is a body that is decoded. It remembers how reading it failed, which decoders wrap or hide.
type source struct {
	body    io.Reader
	left    int    // bytes that may still come; −1 if there were more
	arrived func() // called when all has come: decoding it takes as long as it takes
	err     error
}

func (s *source) Read(p []byte) (int, error) {
	if s.left < 0 {
		return 0, io.ErrUnexpectedEOF
	}
	if len(p) > s.left+1 {
		p = p[:s.left+1]
	}
	n, err := s.body.Read(p)
	if s.left -= n; s.left < 0 {
		s.left = -1
	}
	if errors.Is(err, io.EOF) {
		s.arrived()
	}
	if s.err == nil { // net/http forgets that a body broke off, and says EOF when it is asked again
		s.err = err
	}
	return n, err
}

// Answer sends a JSON document. A client that does not take it is cut off in the end, or when others wait for memory.
func (v *Visit) Answer(w http.ResponseWriter, status int, document []byte) {
	v.x.sent = len(document)
	v.request.Slow(func() { _ = http.NewResponseController(w).SetWriteDeadline(longAgo) })
	defer v.request.Prompt()
	if status == http.StatusRequestEntityTooLarge || status == http.StatusRequestTimeout {
		v.x.last(w)
	}
	contentType := "application/json"
	if len(document) == 0 {
		contentType = ""
	}
	v.handler.write(w, &v.x.ids, status, contentType, document)
}

// FromForeignPage tells whether a browser sends the request to a name that need not be this machine's, and so perhaps
// on behalf of a page from anywhere.
func FromForeignPage(r *http.Request) bool { return fromForeignPage(r) }
