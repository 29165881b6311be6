package kafka

import (
	"fmt"

	kafkago "github.com/segmentio/kafka-go"
)

// The error codes of Kafka's protocol that mean something to us.
const (
	codeUnknown             = int16(kafkago.Unknown)
	codeOffsetOutOfRange    = int16(kafkago.OffsetOutOfRange)
	codeUnknownTopic        = int16(kafkago.UnknownTopicOrPartition)
	codeTopicExists         = int16(kafkago.TopicAlreadyExists)
	codeInvalidTopic        = int16(kafkago.InvalidTopic)
	codeInvalidPartitions   = int16(kafkago.InvalidPartitionNumber)
	codeTooLarge            = int16(kafkago.MessageSizeTooLarge)
	codeListTooLarge        = int16(kafkago.RecordListTooLarge)
	codeOutOfOrderSequence  = int16(kafkago.OutOfOrderSequenceNumber)
	codeDuplicateSequence   = int16(kafkago.DuplicateSequenceNumber)
	codeInvalidProducer     = int16(kafkago.InvalidProducerEpoch)
	codeNotController       = int16(kafkago.NotController)
	codeProducerFenced      = 90
	codeUnknownTopicID      = 100
	codeInconsistentTopicID = 103
)

// codeError is what a broker answered instead of doing what it was asked.
type codeError struct {
	code   int16
	detail string
}

func (e *codeError) Error() string {
	err := kafkago.Error(e.code)
	if text := err.Title(); text != "" {
		if e.detail != "" {
			return fmt.Sprintf("a broker answered: %s (%d): %s", text, e.code, e.detail)
		}
		return fmt.Sprintf("a broker answered: %s (%d)", text, e.code)
	}
	return fmt.Sprintf("a broker answered: error %d %s", e.code, e.detail)
}

func asError(code int16, detail string) error {
	if code == 0 {
		return nil
	}
	return &codeError{code, detail}
}

// isRetriable tells whether the same request may do better soon, perhaps at another broker.
func isRetriable(code int16) bool {
	switch code {
	case 2, // CORRUPT_MESSAGE: on its way
		codeUnknownTopic,  // the broker does not know it yet
		5, 6, 7, 8, 9, 13, // no leader, not the leader, timed out, broker or replica not available, network
		14, 15, 16, // coordinator loading, not available, not it
		19, 20, // too few replicas
		41, 51, 56, // not the controller, concurrent transactions, storage
		70, 71, 72, 74, 75, // fetch session, unknown session, leader epochs, fenced, unknown
		78, 89, // offset not available yet, throttled
		codeUnknownTopicID, codeInconsistentTopicID:
		return true
	}
	return false
}
