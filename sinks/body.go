package sinks

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// BodyError is an error that an object's body gave, as opposed to one of the sink.
type BodyError struct{ Err error }

func (e *BodyError) Error() string { return "content of the object: " + e.Err.Error() }
func (e *BodyError) Unwrap() error { return e.Err }

// CopyBody writes a body's content to w, for sinks. It ends soon after ctx does, as soon as the body writes
// something, and returns how many bytes w took. What the body fails with becomes a *BodyError. Content that w did
// not take wholly is always an error, also when the body does not look at what its writes return.
func CopyBody(ctx context.Context, w io.Writer, body io.WriterTo) (int64, error) {
	b := &bodyWriter{ctx: ctx, w: w}
	_, err := body.WriteTo(b)
	if b.err != nil {
		return b.n, b.err
	}
	if err != nil {
		return b.n, &BodyError{Err: err}
	}
	// A body that wrote nothing since ctx ended has not noticed it.
	return b.n, ContextError(ctx)
}

// ContextError returns nil while ctx goes on, and then an error that wraps both ctx.Err and what the context
// was canceled for.
func ContextError(ctx context.Context) error {
	err := ctx.Err()
	if err == nil {
		return nil
	}
	cause := context.Cause(ctx)
	if errors.Is(cause, err) {
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}

// bodyWriter fails for good once ctx has ended or w has failed.
type bodyWriter struct {
	ctx context.Context
	w   io.Writer
	n   int64
	err error
}

func (b *bodyWriter) Write(p []byte) (int, error) {
	if b.err == nil && b.ctx.Err() != nil {
		b.err = ContextError(b.ctx)
	}
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.w.Write(p)
	b.n += int64(n)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	b.err = err
	return n, err
}
