package sinks

import (
	"context"
	"fmt"
)

// WithLimit lets at most n Puts be under way at once, over all buckets of the opener. Further ones wait for
// their turn or for the end of their context. n must be positive.
func WithLimit(opener Opener, n int) Opener {
	if n <= 0 {
		panic(fmt.Sprintf("sinks.WithLimit: limit %d", n))
	}
	return &limitedOpener{opener: opener, slots: make(chan struct{}, n)}
}

type limitedOpener struct {
	opener Opener
	slots  chan struct{} // one element for each Put under way
}

func (o *limitedOpener) Open(bucket string) (Sink, error) {
	sink, err := o.opener.Open(bucket)
	if err != nil {
		return nil, err
	}
	return &limitedSink{Sink: sink, slots: o.slots}, nil
}

type limitedSink struct {
	Sink
	slots chan struct{}
}

func (s *limitedSink) Put(ctx context.Context, object Object) error {
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("waiting for other uploads to end: %w", ContextError(ctx))
	}
	defer func() { <-s.slots }()
	return s.Sink.Put(ctx, object)
}
