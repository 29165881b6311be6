package kafka

import "errors"

var (
	// ErrSuperseded: another node has been started with the same topic prefix on the same cluster, and has taken
	// over. The engine has failed, and must not be opened again as long as the other one is meant to run.
	ErrSuperseded = errors.New("another node has taken over this log: two nodes were started with the same topic prefix on the same Kafka cluster; stop one of them")
	// ErrUnsafe: topics have settings with which Kafka may lose or drop records that were acknowledged. The error
	// names them.
	ErrUnsafe = errors.New("topics in Kafka have settings with which acknowledged records may be lost")
	// ErrForeign: Kafka does not have what this Sluice left there, or has something else under its name: a topic was
	// deleted, made anew or emptied by others.
	ErrForeign = errors.New("topics in Kafka are not as this log left them")
	// ErrLost: Kafka no longer has records that it had acknowledged.
	ErrLost = errors.New("acknowledged records are no longer in Kafka")
)
