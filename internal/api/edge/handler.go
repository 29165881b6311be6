// Package edge is where requests come in: it finds the service and operation that a request is for, verifies
// its signature, reads its body within limits, and answers, always as AWS would.
package edge

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed-462d9463/sluice/internal/api/sigv4"
	"github.com/seed-462d9463/sluice/internal/api/wire"
)

// Options say what a Handler serves, and within which limits. Zero values mean the defaults.
type Options struct {
	Services []*wire.Service

	// Credentials are the keys whose signatures are accepted. None means that anybody is served, unsigned
	// too; then all requests are made on behalf of Account.
	Credentials []sigv4.Credential
	Account     string // default 000000000000; of credentials without one, and of everybody without credentials
	Region      string // default us-east-1; of requests whose signature names none

	CORS CORSConfig // which web pages may call

	MemoryBytes int64         // half for what requests in flight may hold, half for answers; default 192 MiB
	BodyTimeout time.Duration // for a whole body to arrive, and for an answer to be taken; default 60 s

	Logger     *slog.Logger
	Registerer prometheus.Registerer
	Now        func() time.Time // default time.Now
}

// Defaults of Options.
const (
	DefaultAccount     = "000000000000"
	DefaultRegion      = "us-east-1"
	DefaultMemoryBytes = 192 << 20
	DefaultBodyTimeout = time.Minute
)

// Handler serves the AWS API.
type Handler struct {
	routes      map[string]*route // by X-Amz-Target
	services    []*wire.Service
	verifier    *sigv4.Verifier // nil: anybody may do anything
	cors        *cors           // nil: no web page may call
	account     string
	region      string
	requests    *Budget // of bodies, and of what is small
	answers     *Budget // of large answers: those who take theirs slowly do not hold up those who write
	bodyTimeout time.Duration
	logger      *slog.Logger
	metrics     *metrics
	stray       *operationMetrics // of requests for no operation
	now         func() time.Time
}

// route is an operation with all that serving it takes.
type route struct {
	service   *wire.Service
	operation *wire.Operation
	metrics   *operationMetrics
}

var _ http.Handler = (*Handler)(nil)

// New returns a handler.
func New(o Options) (*Handler, error) {
	h := &Handler{
		routes: map[string]*route{}, services: o.Services,
		account: or(o.Account, DefaultAccount), region: or(o.Region, DefaultRegion),
		bodyTimeout: or(o.BodyTimeout, DefaultBodyTimeout),
		logger:      o.Logger, now: o.Now, cors: newCORS(o.CORS),
	}
	half := or(o.MemoryBytes, DefaultMemoryBytes) / 2
	h.requests, h.answers = NewBudget(half), NewBudget(half)
	if h.logger == nil {
		h.logger = slog.New(slog.DiscardHandler)
	}
	if h.now == nil {
		h.now = time.Now
	}
	if len(o.Credentials) > 0 {
		credentials := slices.Clone(o.Credentials)
		for i := range credentials {
			credentials[i].Account = or(credentials[i].Account, h.account)
		}
		var err error
		if h.verifier, err = sigv4.NewVerifier(credentials); err != nil {
			return nil, err
		}
	}
	var err error
	if h.metrics, err = newMetrics(o.Registerer, h.requests, h.answers); err != nil {
		return nil, fmt.Errorf("register metrics of the API: %w", err)
	}
	for _, s := range o.Services {
		for _, op := range s.Operations {
			h.routes[s.Target+"."+op.Name] = &route{s, op, h.metrics.of(s.Name, op.Name)}
		}
	}
	h.stray = h.metrics.of("", "")
	return h, nil
}

func or[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}

// exchange is what is learned of one request while it is served, and its memory.
type exchange struct {
	ids       ids
	start     time.Time
	route     *route
	codec     wire.Codec // of request and answer; nil if the request's content type is none of AWS's
	caller    wire.Caller
	accessKey string
	shared    bool // with the web page that makes the request
	http1     bool // so that the end of a connection ends nobody else's requests
	received  int
	sent      int
	answered  time.Time // when an answer that goes on has begun; else zero
	fault     *wire.Fault
	signature *sigv4.Signature // if there are credentials; not verified yet
	memory    memory
	small     [512]byte // of an answer that holds none of the request's memory while it is sent
}

// exchanges are for use again, but for those that a panic has gone through.
var exchanges = sync.Pool{New: func() any { return &exchange{signature: new(sigv4.Signature)} }}

func (x *exchange) release() {
	*x = exchange{signature: x.signature}
	exchanges.Put(x)
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.metrics.inFlight.Inc()
	defer h.metrics.inFlight.Dec()
	x := exchanges.Get().(*exchange)
	x.start, x.http1 = h.now(), r.ProtoMajor == 1
	x.ids.make()
	if _, ok := w.(answerer); !ok {
		x.ids.put(w.Header())
	}
	expectBody(w, r, h.bodyTimeout)
	if h.cors != nil {
		x.shared = h.cors.share(w.Header(), r)
	}
	defer func() {
		if problem := recover(); problem != nil {
			if err, ok := problem.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				h.finish(r, x)
				panic(problem)
			}
			h.metrics.panics.Inc()
			h.logger.Error("request failed by a defect in Sluice", "request", x.ids.request(), "operation", x.target(),
				"panic", problem, "stack", string(debug.Stack()))
			h.answer(w, x, wire.Internal())
			h.finish(r, x)
			return
		}
		h.finish(r, x)
		x.release()
	}()
	if err := h.serve(w, r, x); err != nil {
		h.refuse(w, r, x, err)
	}
}

// serve answers a request, or returns why not.
func (h *Handler) serve(w http.ResponseWriter, r *http.Request, x *exchange) error {
	if done, err := h.find(w, r, x); done || err != nil {
		return err
	}
	if err := h.authenticate(r, x); err != nil {
		return err
	}
	m := &x.memory
	m.request, m.answer = h.requests.Open(), h.answers.Open()
	defer m.request.Release()
	defer m.answer.Release()
	small, err := h.exchange(w, r, x)
	// Not in a defer: what a panic has gone through is not used again.
	m.in.release()
	m.out.release()
	m.decoded.release()
	if small == nil || err != nil {
		return err
	}
	m.request.Release()
	h.write(w, &x.ids, http.StatusOK, x.codec.ContentType(), small)
	return nil
}

// memory is what one request holds while it is served.
type memory struct {
	request, answer Reservation
	in, out         buffer
	decoded         buffer // the body without its content coding
	held            int64  // of answer, by what is to be encoded
}

var _ wire.Memory = (*memory)(nil)

// Hold reserves so many bytes for what is to be encoded, instead of those before.
func (m *memory) Hold(ctx context.Context, bytes int64) error {
	if bytes > m.held {
		if err := m.answer.Grow(ctx, bytes-m.held); err != nil {
			return err
		}
	} else {
		m.answer.Shrink(m.held - bytes)
	}
	m.held = bytes
	return nil
}

// largestSmallAnswer is the largest answer that needs no room among the answers: that of a PutRecords.
const largestSmallAnswer = 64 << 10

// Grow returns an empty slice for an answer of so many bytes.
func (m *memory) Grow(ctx context.Context, size int) ([]byte, error) {
	reserved := &m.answer
	if size <= largestSmallAnswer {
		reserved = &m.request
	}
	if err := m.out.grow(ctx, reserved, max(size, smallestBuffer), 0); err != nil {
		return nil, err
	}
	return (*m.out.bytes)[:0], nil
}

// exchange reads the body of a request whose operation and caller are known, and answers it, or returns an answer that
// is small enough to be sent when the request's memory has been given back.
func (h *Handler) exchange(w http.ResponseWriter, r *http.Request, x *exchange) (small []byte, err error) {
	ctx, m := r.Context(), &x.memory
	body, err := h.readBody(ctx, w, r, x.route.operation.MaxBody, &m.in, &m.request)
	if err != nil {
		return nil, err
	}
	x.received = len(body)
	if h.verifier != nil {
		if err := x.signature.Verify(sha256.Sum256(body)); err != nil {
			return nil, err
		}
	}
	if body, err = m.decode(ctx, r, body, x.route.operation.MaxBody); err != nil {
		return nil, err
	}
	exchanged := wire.Exchange{Caller: x.caller, Codec: x.codec, Body: body, Memory: m}
	if x.route.operation.Open != nil {
		if x.codec != (wire.JSON{}) {
			return nil, wire.Internal() // as AWS does: events are JSON, and no SDK asks for others
		}
		return nil, h.answerOn(w, r, x, exchanged, m)
	}
	response, err := x.route.operation.Serve(ctx, exchanged)
	if err != nil {
		return nil, err
	}
	x.sent = len(response)
	if len(response) <= len(x.small) {
		return append(x.small[:0], response...), nil
	}
	cut := func() { _ = http.NewResponseController(w).SetWriteDeadline(longAgo) }
	if len(response) > largestSmallAnswer && m.answer.held > 0 {
		m.in.release()
		m.decoded.release()
		m.request.Release()
	} else { // who does not take the answer holds the request's memory
		m.request.Slow(cut)
		defer m.request.Prompt()
	}
	if len(response) <= largestSmallAnswer {
		h.write(w, &x.ids, http.StatusOK, x.codec.ContentType(), response)
		return nil, nil
	}
	m.answer.Slow(cut)
	defer m.answer.Prompt()
	if teller, ok := w.(teller); ok && teller.Tells() {
		m.answer.Watch(teller.Got)
	}
	h.writeLarge(w, &x.ids, x.codec.ContentType(), response, m.answer.Took)
	return nil, nil
}

// find looks up the operation that a request is for. It may answer the request itself.
func (h *Handler) find(w http.ResponseWriter, r *http.Request, x *exchange) (done bool, err error) {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		if r.URL.Path == "/" && r.Header.Get("Authorization") == "" {
			h.write(w, &x.ids, http.StatusOK, "text/plain; charset=utf-8", []byte(greeting))
			return true, nil
		}
	}
	if x.shared && preflight(w.Header(), r) {
		h.write(w, &x.ids, http.StatusOK, "", nil)
		return true, nil
	}
	x.codec = codecOf(r.Header["Content-Type"])
	target := sigv4.Target(r)
	if r.Method != http.MethodPost || target == "" && x.codec == nil {
		if r.Header.Get("Authorization") == "" {
			return false, &wire.Fault{Code: "MissingAuthenticationTokenException",
				Message: "Missing Authentication Token", Status: http.StatusForbidden}
		}
		return false, &wire.Fault{Code: "AccessDeniedException",
			Message: "Unable to determine service/operation name to be authorized", Status: http.StatusForbidden}
	}
	if x.route = h.routes[target]; x.route == nil {
		return false, h.unknown(target, x)
	}
	if x.codec == nil || !slices.Contains(x.route.service.Codecs, x.codec) {
		return false, &wire.Fault{Code: "UnknownOperationException", Status: http.StatusNotFound,
			Message: "The content type must be " + wire.JSON{}.ContentType() + "."}
	}
	return false, nil
}

// codecs are the protocols of AWS's that are spoken.
var codecs = []wire.Codec{wire.JSON{}, wire.CBOR{}}

// codecOf finds the protocol of a content type; nil if there is none.
func codecOf(contentType []string) wire.Codec {
	if len(contentType) == 0 {
		return nil
	}
	for _, c := range codecs { // as SDKs write it
		if c.ContentType() == contentType[0] {
			return c
		}
	}
	name, _, _ := strings.Cut(contentType[0], ";")
	name = strings.ToLower(strings.TrimSpace(name))
	for _, c := range codecs {
		if c.ContentType() == name {
			return c
		}
	}
	return nil
}

// unknown is the error for a target that is no operation here.
func (h *Handler) unknown(target string, x *exchange) *wire.Fault {
	fault := &wire.Fault{Code: "UnknownOperationException"}
	if x.codec == nil {
		fault.Status = http.StatusNotFound
	}
	prefix, name, _ := strings.Cut(target, ".")
	for _, s := range h.services {
		if s.Target == prefix && slices.Contains(s.Planned, name) {
			fault.Message = "Sluice does not have the operation " + name + " yet."
		}
	}
	return fault
}

const greeting = "Sluice is here. It speaks the APIs of Amazon Kinesis Data Streams and Amazon Data Firehose:\n" +
	"point an AWS SDK or the AWS CLI at this address with --endpoint-url or AWS_ENDPOINT_URL.\n"

// refuse answers a request with an error.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, x *exchange, err error) {
	if errors.Is(err, errCut) { // the deadline for its body has been let pass
		x.last(w)
		h.answer(w, x, &wire.Fault{Code: "ServiceUnavailable", Status: http.StatusServiceUnavailable,
			Message: "The request was slow to arrive while others waited for memory. Send it again."})
		return
	}
	h.expectRest(w, r, err)
	if errors.Is(err, errGone) {
		x.fault = &wire.Fault{Code: "ClientGone", Message: err.Error()}
		panic(http.ErrAbortHandler) // closes the connection; there is nobody to answer
	}
	var refused *sigv4.Error
	if errors.As(err, &refused) {
		h.answer(w, x, &wire.Fault{Code: refused.Code, Message: refused.Message})
		return
	}
	fault, foreseen := wire.AsFault(err)
	if !foreseen && r.Context().Err() == nil {
		h.logger.Error("request failed", "request", x.ids.request(), "operation", x.target(), "error", err)
	}
	h.answer(w, x, fault)
}

func (h *Handler) answer(w http.ResponseWriter, x *exchange, fault *wire.Fault) {
	x.fault = fault
	h.writeFault(w, x, fault)
}

// last ends the connection with the answer, because there is more of the body, and nobody will read it. In HTTP/2 it is
// the stream alone that ends, and needs no header for it.
func (x *exchange) last(w http.ResponseWriter) {
	if x.http1 {
		w.Header().Set("Connection", "close")
	}
}
