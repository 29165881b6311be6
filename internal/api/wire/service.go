package wire

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
)

// Caller is on whose behalf a request is made, and where.
type Caller struct {
	Account string // twelve digits
	Region  string

	Verified bool   // a signature has proved it; else it is whoever can reach the server
	Address  string // of the client, with its port; "" if that is not known
	Secure   bool   // the request came over TLS

	// Owner is the account whose resources the request may use by their ARN, once a service has found that it may; ""
	// for Account alone.
	Owner string
}

// Fault is an error as AWS tells it to a client.
type Fault struct {
	Code    string // "ResourceNotFoundException"
	Message string
	Status  int // of HTTP; 0 means 400
}

func (f *Fault) Error() string { return f.Code + ": " + f.Message }

// Faultf makes a fault with status 400.
func Faultf(code, format string, args ...any) *Fault {
	return &Fault{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Internal is the fault that tells a client nothing but that it is not to blame.
func Internal() *Fault {
	return &Fault{Code: "InternalFailure", Message: "Internal service failure.", Status: http.StatusInternalServerError}
}

// Service is one AWS service: its operations by name.
type Service struct {
	Name       string // as signatures name it, "kinesis"
	Target     string // the part of X-Amz-Target before the dot
	Codecs     []Codec
	Operations map[string]*Operation
	// Planned has the operations of AWS's service that are not here yet, so that a client can be told so.
	Planned []string
}

// NewService puts the operations of a service together. It speaks JSON; whoever has more protocols adds their codecs.
func NewService(name, target string, planned []string, operations ...*Operation) *Service {
	s := &Service{Name: name, Target: target, Codecs: []Codec{JSON{}}, Operations: map[string]*Operation{}, Planned: planned}
	for _, o := range operations {
		s.Operations[o.Name] = o
	}
	return s
}

// Reusable is implemented by inputs and outputs that are worth keeping for another request. Reset must drop
// what belongs to this one.
type Reusable interface{ Reset() }

// Heavy is implemented by outputs that may hold much: MaxBytes at most while the operation is at work, which any output of
// the type tells, and HeldBytes when it is done, with what it keeps for another request.
type Heavy interface {
	MaxBytes() int64
	HeldBytes() int64
}

// Nothing is the output of an operation whose answer has no body.
type Nothing struct{}

// Exchange is one request on its way through an operation.
type Exchange struct {
	Caller Caller
	Codec  Codec
	Body   []byte // of the request; lost afterwards
	Memory
}

// Memory is what an exchange may use.
type Memory interface {
	// Hold is told how many bytes an output holds that is Heavy; it waits until there is room for more.
	Hold(ctx context.Context, bytes int64) error
	// Grow is asked for room before a response is encoded. It returns the slice to append the response to.
	Grow(ctx context.Context, size int) ([]byte, error)
}

// Operation is one operation of a service, ready to be served in any codec.
type Operation struct {
	Name    string
	MaxBody int // bytes that a request's body may have
	Serve   func(ctx context.Context, x Exchange) (response []byte, err error)
	// Open is there instead of Serve if the answer goes on.
	Open func(ctx context.Context, x Exchange) (Events, error)
}

// NewOperation makes an operation of a function from an input to an output. The function must not keep
// either. Its error is a *Fault, or one of ctx, or else a surprise that the client is told nothing of.
func NewOperation[I, O any](name string, maxBody int, do func(ctx context.Context, c Caller, in *I, out *O) error) *Operation {
	inputs, outputs := newPool[I](), newPool[O]()
	heavy, isHeavy := any(new(O)).(Heavy)
	serve := func(ctx context.Context, x Exchange) ([]byte, error) {
		in := inputs.get()
		err := x.Codec.Decode(x.Body, in)
		if err == nil && isHeavy { // nothing is read that there is no room for
			err = x.Hold(ctx, heavy.MaxBytes())
		}
		if err != nil {
			inputs.put(in)
			return nil, err
		}
		// Not before there is room: it may have memory of its own that is used again.
		out := outputs.get()
		// Not in a defer: what a panic has gone through is not used again.
		response, err := serveOne(ctx, x, in, out, do)
		inputs.put(in)
		outputs.put(out)
		return response, err
	}
	return &Operation{Name: name, MaxBody: maxBody, Serve: serve}
}

func serveOne[I, O any](ctx context.Context, x Exchange, in *I, out *O,
	do func(context.Context, Caller, *I, *O) error) ([]byte, error) {
	if heavy, ok := any(out).(Heavy); ok {
		return serveHeavy(ctx, x, in, heavy, out, do)
	}
	if err := do(ctx, x.Caller, in, out); err != nil {
		return nil, err
	}
	return encode(ctx, x, out)
}

func serveHeavy[I, O any](ctx context.Context, x Exchange, in *I, heavy Heavy, out *O,
	do func(context.Context, Caller, *I, *O) error) ([]byte, error) {
	if err := do(ctx, x.Caller, in, out); err != nil {
		return nil, err
	}
	if err := x.Hold(ctx, heavy.HeldBytes()); err != nil {
		return nil, err
	}
	response, err := encode(ctx, x, out)
	if err != nil {
		return nil, err
	}
	return response, x.Hold(ctx, 0)
}

func encode(ctx context.Context, x Exchange, out any) ([]byte, error) {
	if _, empty := out.(*Nothing); empty {
		return nil, nil
	}
	dst, err := x.Grow(ctx, x.Codec.Size(out))
	if err != nil {
		return nil, err
	}
	return x.Codec.Append(dst, out), nil
}

// pool keeps values of a type that is Reusable, and makes new ones of any other.
type pool[T any] struct {
	pool     sync.Pool
	reusable bool
}

func newPool[T any]() *pool[T] {
	_, reusable := any(new(T)).(Reusable)
	return &pool[T]{pool: sync.Pool{New: func() any { return new(T) }}, reusable: reusable}
}

func (p *pool[T]) get() *T {
	if !p.reusable {
		return new(T)
	}
	return p.pool.Get().(*T)
}

func (p *pool[T]) put(v *T) {
	if p.reusable {
		any(v).(Reusable).Reset()
		p.pool.Put(v)
	}
}

// AsFault turns any error of an operation into what the client is told. The second result is false if it was
// not foreseen and somebody should know.
func AsFault(err error) (*Fault, bool) {
	var fault *Fault
	var badSyntax *SyntaxError
	var badType *TypeError
	switch {
	case errors.As(err, &fault):
		return fault, true
	case errors.As(err, &badSyntax), errors.As(err, &badType):
		return &Fault{Code: "SerializationException", Message: err.Error()}, true
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return &Fault{Code: "ServiceUnavailable", Message: "The request was not finished in time.",
			Status: http.StatusServiceUnavailable}, true
	}
	return Internal(), false
}

// TextNoSpace tells a client what it can know of a full disk, which is not where it is. Room is shard.Room's.
func TextNoSpace(room string) string {
	return "There is no space left on the server's disk (" + room + "). Reads, deliveries and deletions go on; " +
		"writing works again when there is room: free space on that disk, delete streams, or keep records for a shorter time."
}
