package fanout

import "errors"

var (
	// ErrNotFound: there is no such consumer, or it was deregistered meanwhile.
	ErrNotFound = errors.New("consumer not found")
	// ErrExists: the stream has a consumer of that name.
	ErrExists = errors.New("consumer exists already")
	// ErrInvalidName: the name of a consumer breaks the rule. Nothing was done.
	ErrInvalidName = errors.New("invalid consumer name")
	// ErrQuota: the stream would have more consumers than its quota.
	ErrQuota = errors.New("consumer quota exceeded")
	// ErrHasConsumers: the stream has consumers, and is not to be deleted then.
	ErrHasConsumers = errors.New("stream has registered consumers")
	// ErrSubscribed: the consumer subscribed to the shard less than Exclusive ago.
	ErrSubscribed = errors.New("consumer is subscribed to the shard")
	// ErrTakenOver: a later subscription has taken this one's place.
	ErrTakenOver = errors.New("a later subscription has taken over")
	// ErrClosed: the service has been closed.
	ErrClosed = errors.New("fan-out service closed")
)
