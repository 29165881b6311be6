package kinesis

import (
	"errors"
	"net/http"
	"strings"

	"github.com/seed-462d9463/sluice/consumers/fanout"
	"github.com/seed-462d9463/sluice/internal/api/wire"
	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/stream"
)

// AWS's error codes.
const (
	accessDenied       = "AccessDeniedException"
	expiredIterator    = "ExpiredIteratorException"
	expiredNextToken   = "ExpiredNextTokenException"
	kmsAccessDenied    = "KMSAccessDeniedException"
	kmsNotFound        = "KMSNotFoundException"
	internalFailure    = "InternalFailure"
	invalidArgument    = "InvalidArgumentException"
	limitExceeded      = "LimitExceededException"
	resourceInUse      = "ResourceInUseException"
	resourceNotFound   = "ResourceNotFoundException"
	serviceUnavailable = "ServiceUnavailable"
	throughputExceeded = "ProvisionedThroughputExceededException"
)

// Texts that a client gets for what happens to the server.
const (
	textInternal = "Internal service failure."
	textClosing  = "The server is shutting down."
)

// fault turns an error of the streams into AWS's: the one table of errors. Shard may be "".
func fault(err error, name stream.Name, shardID string) error {
	var quota *stream.QuotaError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, stream.ErrNotFound):
		return notFound(name)
	case errors.Is(err, stream.ErrShardNotFound):
		return shardNotFound(name, shardID)
	case errors.Is(err, stream.ErrExists):
		return wire.Faultf(resourceInUse, "Stream %s under account %s already exists.", name.Name, name.Account)
	case errors.As(err, &quota):
		return wire.Faultf(limitExceeded, "This request would exceed the shard limit for the account %s in %s. "+
			"Current shard count for the account: %d. Limit: %d. Number of additional shards that would have resulted "+
			"from this request: %d. Refer to the AWS Service Limits page "+
			"(http://docs.aws.amazon.com/general/latest/gr/aws_service_limits.html) for current limits and how to "+
			"request higher limits.", quota.Account, quota.Region, quota.Used, quota.Quota, quota.More)
	case errors.Is(err, stream.ErrLimitExceeded):
		return beyond(name, reason(err, stream.ErrLimitExceeded))
	case errors.Is(err, stream.ErrThroughputExceeded):
		return wire.Faultf(throughputExceeded, "%s", rateExceeded(name, shardID))
	case errors.Is(err, stream.ErrInvalidArgument), errors.Is(err, stream.ErrInvalidPosition):
		return wire.Faultf(invalidArgument, "%s", err)
	case errors.Is(err, fanout.ErrHasConsumers):
		return wire.Faultf(resourceInUse, "Stream %s under account %s has registered consumers. Deregister them, or set EnforceConsumerDeletion.",
			name.Name, name.Account)
	case errors.Is(err, stream.ErrKeyNotFound):
		return wire.Faultf(kmsNotFound, "The key of stream %s under account %s cannot be found: %s.",
			name.Name, name.Account, reason(err, stream.ErrKeyNotFound))
	case errors.Is(err, stream.ErrWrongKey):
		return wire.Faultf(kmsAccessDenied, "The key of stream %s under account %s cannot be used: %s.",
			name.Name, name.Account, reason(err, stream.ErrWrongKey))
	case errors.Is(err, stream.ErrKeyLimit):
		return beyond(name, reason(err, stream.ErrKeyLimit))
	case errors.Is(err, shard.ErrTooLarge):
		return wire.Faultf(invalidArgument, "%s", err)
	case errors.Is(err, shard.ErrNoSpace):
		return &wire.Fault{Code: serviceUnavailable, Message: wire.TextNoSpace(shard.Room(err)), Status: http.StatusServiceUnavailable}
	case errors.Is(err, shard.ErrClosed), errors.Is(err, stream.ErrClosed), errors.Is(err, fanout.ErrClosed):
		return &wire.Fault{Code: serviceUnavailable, Message: textClosing, Status: http.StatusServiceUnavailable}
	}
	return err // not foreseen: it is logged, and the client learns that it is not to blame
}

// recordFault is fault for one record among many, which has a code and a text but no status. One that is not foreseen
// is to be logged.
func recordFault(err error, name stream.Name, shardID string) (code, text string, foreseen bool) {
	switch {
	case errors.Is(err, stream.ErrThroughputExceeded):
		return throughputExceeded, rateExceeded(name, shardID), true
	case errors.Is(err, shard.ErrNoSpace):
		return internalFailure, wire.TextNoSpace(shard.Room(err)), true
	case errors.Is(err, shard.ErrClosed), errors.Is(err, stream.ErrClosed):
		return internalFailure, textClosing, true
	}
	return internalFailure, textInternal, false
}

func beyond(name stream.Name, reason string) error {
	return wire.Faultf(limitExceeded, "Limit exceeded for stream %s under account %s: %s.", name.Name, name.Account, reason)
}

// reason is what an error adds to the sentinel that it wraps. What was being done when it arose is for the log.
func reason(err, sentinel error) string {
	text := err.Error()
	if _, behind, found := strings.Cut(text, sentinel.Error()+": "); found {
		return behind
	}
	return text
}

func notFound(name stream.Name) error {
	return wire.Faultf(resourceNotFound, "Stream %s under account %s not found.", name.Name, name.Account)
}

func shardNotFound(name stream.Name, shardID string) error {
	return wire.Faultf(resourceNotFound, "Shard %s in stream %s under account %s does not exist", shardID, name.Name, name.Account)
}

func rateExceeded(name stream.Name, shardID string) string {
	return "Rate exceeded for shard " + shardID + " in stream " + name.Name + " under account " + name.Account + "."
}
