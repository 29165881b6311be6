package wire

import "context"

// Source is what an operation gives whose answer goes on: events, one after the other. It is used by one goroutine,
// which closes it.
type Source[E any] interface {
	// Wait blocks until Next is to be called. It holds little memory meanwhile. io.EOF: the answer has ended as it
	// should. A *Fault is told to the client.
	Wait(ctx context.Context) error
	// MaxBytes is how much memory the next event may take beyond what is in memory anyway.
	MaxBytes() int64
	// Next fills in the next event. False: there is none after all. Errors are those of Wait.
	Next(ctx context.Context, event *E) (bool, error)
	Close()
}

// Events is a Source in a codec, of whose events the shape is not known any more.
type Events interface {
	Wait(ctx context.Context) error
	MaxBytes() int64
	Next(ctx context.Context) (bool, error)
	Close()

	// Type names the events.
	Type() string
	// HeldBytes is how much memory the last event takes.
	HeldBytes() int64
	// Size is about how many bytes Append will append.
	Size() int
	// Append appends the last event, and drops it.
	Append(dst []byte) []byte
}

// NewStreamOperation makes an operation whose answer goes on, of a function that opens it. event is what AWS calls
// the events. Of the input nothing may be kept but what it points to. Such answers are in JSON alone, and so must
// requests be: AWS fails those in CBOR.
func NewStreamOperation[I, E any](name string, maxBody int, event string,
	open func(ctx context.Context, c Caller, in *I) (Source[E], error)) *Operation {
	return &Operation{Name: name, MaxBody: maxBody, Open: func(ctx context.Context, x Exchange) (Events, error) {
		if _, json := x.Codec.(JSON); !json {
			return nil, Internal()
		}
		in := new(I)
		if err := x.Codec.Decode(x.Body, in); err != nil {
			return nil, err
		}
		source, err := open(ctx, x.Caller, in)
		if err != nil {
			return nil, err
		}
		return &events[E]{Source: source, codec: x.Codec, name: event}, nil
	}}
}

type events[E any] struct {
	Source[E]
	codec Codec
	name  string
	event E
}

func (s *events[E]) Type() string { return s.name }

func (s *events[E]) Next(ctx context.Context) (bool, error) { return s.Source.Next(ctx, &s.event) }

func (s *events[E]) HeldBytes() int64 {
	if heavy, ok := any(&s.event).(interface{ HeldBytes() int64 }); ok {
		return heavy.HeldBytes()
	}
	return 0
}

func (s *events[E]) Size() int { return s.codec.Size(&s.event) }

func (s *events[E]) Append(dst []byte) []byte {
	dst = s.codec.Append(dst, &s.event)
	if reusable, ok := any(&s.event).(Reusable); ok {
		reusable.Reset()
	} else {
		var none E
		s.event = none
	}
	return dst
}
