package main

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	taken     = `{"SequenceNumber":"1","ShardId":"s"}`
	throttled = `{"ErrorCode":"ProvisionedThroughputExceededException","ErrorMessage":"Rate exceeded"}`
	failed    = `{"ErrorCode":"InternalFailure","ErrorMessage":"Internal service failure."}`
)

func results(of ...string) answer {
	body := `{"Records":[`
	for i, r := range of {
		if i > 0 {
			body += ","
		}
		body += r
	}
	return ok(body + "]}")
}

func abc() []record { return []record{{"1", []byte("a")}, {"2", []byte("b")}, {"3", []byte("c")}} }

func TestOnlyThrottledRecordsAreSentAgain(t *testing.T) {
	f := newFakeServer(t, map[string][]answer{"PutRecords": {
		refused("LimitExceededException"), results(taken, throttled, throttled), results(throttled, taken), results(taken),
	}})
	s := &sender{client: f.client(t), stream: "s"}
	if err := s.send(t.Context(), abc()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a b c", "a b c", "b c", "b"}, f.put(t)); diff != "" {
		t.Error(diff)
	}
	if s.records.Load() != 3 || s.bytes.Load() != 3 || s.again.Load() != 6 {
		t.Errorf("%d records, %d bytes, %d again", s.records.Load(), s.bytes.Load(), s.again.Load())
	}
}

// A record whose fate is unknown must not be sent again: it may be in the stream.
func TestWhatMayBeThereIsNotSentAgain(t *testing.T) {
	for _, c := range []struct {
		name    string
		answer  answer
		unknown int   // records that may be in the stream
		lost    int   // records that are not
		kept    int64 // acknowledged
	}{
		{"the connection breaks", broken, 3, 0, 0},
		{"the server fails", answer{500, `{"__type":"InternalFailure"}`}, 3, 0, 0},
		{"a record fails", results(taken, failed, throttled), 1, 1, 1},
		{"the stream is not there", refused("ResourceNotFoundException"), 0, 3, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFakeServer(t, map[string][]answer{"PutRecords": {c.answer}})
			s := &sender{client: f.client(t), stream: "s"}
			err := s.send(t.Context(), abc())
			var unknown *unknownOutcomeError
			var lost *notSentError
			if errors.As(err, &unknown) != (c.unknown > 0) || unknown != nil && unknown.records != c.unknown {
				t.Errorf("unknown: %v", err)
			}
			if errors.As(err, &lost) != (c.lost > 0) || lost != nil && lost.records != c.lost {
				t.Errorf("lost: %v", err)
			}
			if got := f.put(t); len(got) != 1 || s.records.Load() != c.kept {
				t.Errorf("%d requests, %d acknowledged", len(got), s.records.Load())
			}
		})
	}
}

func TestARefusedConnectionMeansThatNothingWasSent(t *testing.T) {
	f := newFakeServer(t, nil)
	c := f.client(t)
	f.Close()
	var lost *notSentError
	if err := (&sender{client: c, stream: "s"}).send(t.Context(), abc()); !errors.As(err, &lost) {
		t.Error(err)
	}
}

func TestSendingThrottledRecordsEndsWithTheContext(t *testing.T) {
	f := newFakeServer(t, map[string][]answer{"PutRecords": {results(throttled, throttled, throttled)}})
	ctx, stop := context.WithCancel(t.Context())
	stop()
	var lost *notSentError
	if err := (&sender{client: f.client(t), stream: "s"}).send(ctx, abc()); !errors.As(err, &lost) || lost.records != 3 {
		t.Error(err)
	}
}
