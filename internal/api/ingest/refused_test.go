package ingest_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/stream"
)

func TestThrottledRecordsAreListedAsWorthARetry(t *testing.T) {
	s := serve(t)
	s.refuse = func(e stream.Entry) error {
		if strings.Contains(string(e.Data), "no") {
			return fmt.Errorf("shard: %w", stream.ErrThroughputExceeded)
		}
		return nil
	}
	a := s.post("\"yes\"\n\"no\"\nbroken\n\"no\"\n\"yes\"")
	if a.status != 200 || a.Records != 2 || a.Failed != 3 {
		t.Errorf("answer %+v", a)
	}
	if want := []string{"2 Throttled", "3 InvalidJSON", "4 Throttled"}; !slices.Equal(a.lines(), want) {
		t.Errorf("lines %q, want %q", a.lines(), want)
	}
	for _, e := range a.Errors {
		if e.Retry != (e.Code == "Throttled") {
			t.Errorf("%+v", e)
		}
	}
}

// The status tells what to do when nothing was written: change the request, slow down, or wait.
func TestTheStatusTellsWhyNothingWasWritten(t *testing.T) {
	throttled, noSpace, defect := stream.ErrThroughputExceeded, fmt.Errorf("append: %w", shard.ErrNoSpace), errors.New("a defect")
	for _, c := range []struct {
		errs   []error
		status int
		code   string
		retry  string
	}{
		{[]error{throttled, throttled}, 429, "Throttled", "1"},
		{[]error{noSpace}, 503, "NoSpace", "1"},
		{[]error{stream.ErrClosed}, 503, "Unavailable", "1"},
		{[]error{shard.ErrClosed}, 503, "Unavailable", "1"},
		{[]error{defect}, 500, "InternalFailure", ""},
		{[]error{defect, noSpace}, 503, "InternalFailure", "1"},
		{[]error{noSpace, throttled}, 429, "NoSpace", "1"},
	} {
		s := serve(t)
		n := 0
		s.refuse = func(stream.Entry) error { n++; return c.errs[n-1] }
		a := s.post(strings.Repeat("1\n", len(c.errs)))
		if a.status != c.status || a.Records != 0 || a.Failed != len(c.errs) || a.Errors[0].Code != c.code || a.header.Get("Retry-After") != c.retry {
			t.Errorf("%v: %+v", c.errs, a)
		}
		if logged := strings.Contains(s.log.String(), "a defect"); logged != slices.Contains(c.errs, defect) {
			t.Errorf("%v: the log has %q", c.errs, s.log.String())
		}
	}
}

func TestARecordThatIsTooLargeForItsStreamIsAloneRefused(t *testing.T) {
	s := serve(t)
	s.fail = func(entries []stream.Entry) error {
		for i, e := range entries {
			if len(e.Data) > 10 {
				return fmt.Errorf("put: %w", &stream.RecordError{Index: i, Reason: "too many bytes"})
			}
		}
		return nil
	}
	a := s.post("1\n\"0123456789\"\n2\n\"0123456789\"")
	if a.status != 200 || a.Records != 2 || !slices.Equal(a.lines(), []string{"2 InvalidRecord", "4 InvalidRecord"}) {
		t.Errorf("answer %+v", a)
	}
	s.wantData("1", "2")
	if a := s.post("\"0123456789\""); a.status != 400 || a.Failed != 1 {
		t.Errorf("answer %+v", a)
	}
}

func TestAStreamThatIsNotThereIsNotFound(t *testing.T) {
	s := serve(t)
	s.fail = func([]stream.Entry) error { return fmt.Errorf("%w: clicks", stream.ErrNotFound) }
	s.want(s.post("1"), 404, "StreamNotFound")

	// One that is deleted in the middle of a request has taken the first of its records.
	s = serve(t)
	puts := 0
	s.fail = func([]stream.Entry) error {
		if puts++; puts > 1 {
			return stream.ErrNotFound
		}
		return nil
	}
	a := s.post(strings.Repeat("1\n", 700))
	if a.status != 200 || a.Records != 500 || a.Failed != 200 || a.Errors[0].Code != "StreamNotFound" || a.Errors[0].Line != 501 {
		t.Errorf("%d, %d records, %d failed", a.status, a.Records, a.Failed)
	}
}
