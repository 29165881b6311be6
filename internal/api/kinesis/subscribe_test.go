package kinesis

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/seed-462d9463/sluice/consumers/fanout"
	"github.com/seed-462d9463/sluice/internal/api/wire"
	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/stream"
)

func TestASubscriptionEndsWithAnErrorThatClientsKnowThere(t *testing.T) {
	var s subscription
	for err, want := range map[error]string{
		fanout.ErrTakenOver: "ResourceInUseException", fanout.ErrNotFound: "ResourceNotFoundException",
		stream.ErrNotFound: "ResourceNotFoundException", stream.ErrShardNotFound: "ResourceNotFoundException",
		stream.ErrKeyNotFound: "KMSNotFoundException", stream.ErrWrongKey: "KMSAccessDeniedException",
		shard.ErrClosed: "InternalFailureException", stream.ErrClosed: "InternalFailureException",
		stream.ErrInvalidPosition: "InternalFailureException",
	} {
		var told *wire.Fault
		if !errors.As(s.ending(err), &told) || told.Code != want {
			t.Errorf("%v: %+v, want %s", err, told, want)
		}
	}
	for _, err := range []error{nil, io.EOF, context.Canceled} {
		if got := s.ending(err); !errors.Is(got, err) {
			t.Errorf("%v: %v", err, got)
		}
	}
}
