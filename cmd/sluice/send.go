package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"time"

	"github.com/seed-462d9463/sluice/internal/client"
)

// sender puts batches of records into a stream and counts what was acknowledged. It sends a record again only
// when the server has said that it was not taken, so that nothing is in the stream twice by its doing. A
// connection that breaks before the answer came leaves that open; then sending ends with an
// *unknownOutcomeError instead of guessing.
type sender struct {
	client  *client.Client
	stream  string
	records atomic.Int64 // acknowledged
	bytes   atomic.Int64 // of data in those
	again   atomic.Int64 // records sent once more because they had been throttled
}

// unknownOutcomeError says that records may be in the stream or not.
type unknownOutcomeError struct {
	records int
	cause   error
}

func (e *unknownOutcomeError) Error() string {
	return fmt.Sprintf("%d records may be in the stream or not: %v", e.records, e.cause)
}
func (e *unknownOutcomeError) Unwrap() error { return e.cause }

// notSentError says that records are not in the stream.
type notSentError struct {
	records int
	cause   error
}

func (e *notSentError) Error() string {
	return fmt.Sprintf("%d records were not taken: %v", e.records, e.cause)
}
func (e *notSentError) Unwrap() error { return e.cause }

const (
	firstPause = 50 * time.Millisecond
	longPause  = 2 * time.Second
)

// send puts the records and returns when all are acknowledged. Throttled ones are sent again for as long as it
// takes, or until ctx ends; a request under way is not broken off by that.
func (s *sender) send(ctx context.Context, records []record) error {
	pause := firstPause
	for {
		left, err := s.attempt(context.WithoutCancel(ctx), records)
		if err != nil || len(left) == 0 {
			return err
		}
		if len(left) < len(records) {
			pause = firstPause
		}
		records = left
		// Half of the pause at random, so that producers do not come back together.
		if err := wait(ctx, pause/2+rand.N(pause/2)); err != nil {
			return &notSentError{len(records), err}
		}
		pause = min(2*pause, longPause)
		s.again.Add(int64(len(records)))
	}
}

// attempt makes one request and returns the records that were throttled.
func (s *sender) attempt(ctx context.Context, records []record) (throttled []record, err error) {
	entries := make([]client.PutRecordsEntry, len(records))
	for i, r := range records {
		entries[i] = client.PutRecordsEntry{PartitionKey: r.key, Data: r.data}
	}
	out, err := s.client.PutRecords(ctx, client.PutRecordsInput{StreamName: s.stream, Records: entries})
	if err != nil {
		var refused *client.Error
		var network *net.OpError
		switch {
		case errors.As(err, &network) && network.Op == "dial": // it has not come to a request
			return nil, &notSentError{len(records), err}
		case !errors.As(err, &refused):
			return nil, &unknownOutcomeError{len(records), err}
		case throttling(refused.Code):
			return records, nil
		case refused.Status >= 500:
			return nil, &unknownOutcomeError{len(records), err}
		default:
			return nil, &notSentError{len(records), err}
		}
	}
	var failed error
	unknown := 0
	for i, result := range out.Records {
		switch {
		case result.ErrorCode == "":
			s.records.Add(1)
			s.bytes.Add(int64(len(records[i].data)))
		case throttling(result.ErrorCode):
			throttled = append(throttled, records[i])
		default:
			unknown++
			failed = fmt.Errorf("%s: %s", result.ErrorCode, result.ErrorMessage)
		}
	}
	if failed != nil {
		return nil, errors.Join(&unknownOutcomeError{unknown, failed}, notSent(throttled))
	}
	return throttled, nil
}

func notSent(records []record) error {
	if len(records) == 0 {
		return nil
	}
	return &notSentError{len(records), errors.New("throttled")}
}

// throttling reports whether an error of AWS's says that nothing was taken and a later attempt may succeed.
func throttling(code string) bool {
	switch code {
	case "ProvisionedThroughputExceededException", "ThrottlingException", "LimitExceededException", "KMSThrottlingException":
		return true
	}
	return false
}
