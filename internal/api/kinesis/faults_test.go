package kinesis

import (
	"errors"
	"fmt"
	"testing"

	"github.com/seed-462d9463/sluice/internal/api/wire"
	"github.com/seed-462d9463/sluice/stream"
)

func TestClientsAreToldWhyAndNotOnWhichWay(t *testing.T) {
	name := stream.Name{Account: "123456789012", Region: "eu-central-1", Name: "orders"}
	for sentinel, want := range map[error]wire.Fault{
		stream.ErrLimitExceeded: {Code: "LimitExceededException", Message: "Limit exceeded for stream orders under account 123456789012: why."},
		stream.ErrKeyLimit:      {Code: "LimitExceededException", Message: "Limit exceeded for stream orders under account 123456789012: why."},
		stream.ErrKeyNotFound: {
			Code:    "KMSNotFoundException",
			Message: "The key of stream orders under account 123456789012 cannot be found: why.",
		},
		stream.ErrWrongKey: {
			Code:    "KMSAccessDeniedException",
			Message: "The key of stream orders under account 123456789012 cannot be used: why.",
		},
	} {
		err := fmt.Errorf("put to stream %s: data key 2: %w", name, fmt.Errorf("%w: why", sentinel))
		var got *wire.Fault
		if !errors.As(fault(err, name, ""), &got) || got.Code != want.Code || got.Message != want.Message {
			t.Errorf("%v: %+v, want %+v", err, got, want)
		}
	}
}
