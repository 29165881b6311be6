package firehose

import (
	"errors"
	"net/http"

	"github.com/seed-462d9463/sluice/firehose"
	"github.com/seed-462d9463/sluice/internal/api/wire"
	"github.com/seed-462d9463/sluice/shard"
)

// AWS's error codes.
const (
	invalidArgument    = "InvalidArgumentException"
	resourceInUse      = "ResourceInUseException"
	resourceNotFound   = "ResourceNotFoundException"
	serviceUnavailable = "ServiceUnavailableException"
)

// fault turns an error of the delivery streams into AWS's: the one table of errors.
func fault(err error, name firehose.Name) error {
	var invalid *firehose.InvalidError
	var unsupported *firehose.UnsupportedError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, firehose.ErrSourceNotFound):
		return wire.Faultf(invalidArgument, "The Kinesis stream that is to be the source was not found.")
	case errors.Is(err, firehose.ErrNotFound):
		return wire.Faultf(resourceNotFound, "Firehose %s under account %s not found.", name.Name, name.Account)
	case errors.Is(err, firehose.ErrExists):
		return wire.Faultf(resourceInUse, "Firehose %s under accountId %s already exists", name.Name, name.Account)
	case errors.Is(err, firehose.ErrInUse):
		return wire.Faultf(resourceInUse, "Firehose %s under accountId %s is being created or deleted", name.Name, name.Account)
	case errors.Is(err, firehose.ErrInvalidSource):
		return wire.Faultf(invalidArgument, "This operation is not permitted on KinesisStreamAsSource delivery stream type.")
	case errors.As(err, &invalid):
		return wire.Faultf(invalidArgument, "%s", invalid)
	case errors.As(err, &unsupported):
		return wire.Faultf(invalidArgument, "%s by Sluice.", unsupported)
	case errors.Is(err, shard.ErrTooLarge):
		return wire.Faultf(invalidArgument, "%s", err)
	case errors.Is(err, shard.ErrNoSpace):
		return unavailable(wire.TextNoSpace(shard.Room(err)))
	case errors.Is(err, shard.ErrClosed), errors.Is(err, firehose.ErrClosed):
		return unavailable("The server is shutting down.")
	}
	return err // not foreseen: it is logged, and the client learns that it is not to blame
}

func unavailable(text string) error {
	return &wire.Fault{Code: serviceUnavailable, Message: text, Status: http.StatusServiceUnavailable}
}
