package kinesis

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/seed-462d9463/sluice/internal/api/wire"
	"github.com/seed-462d9463/sluice/stream"
)

// brokenStreams refuse every record for a reason that nobody has foreseen.
type brokenStreams struct{ Streams }

func (brokenStreams) PutInto(_ context.Context, _ stream.Name, entries []stream.Entry, results []stream.Result) ([]stream.Result, error) {
	for range entries {
		results = append(results, stream.Result{Err: errors.New("the disk is broken")})
	}
	return results, nil
}

func TestAPutThatFailsIsLoggedOnceForAllItsRecords(t *testing.T) {
	var log bytes.Buffer
	a := &api{streams: brokenStreams{}, logger: slog.New(slog.NewTextHandler(&log, nil))}
	name := "clicks"
	in := &PutRecordsInput{StreamName: &name, Count: 300}
	for range in.Count {
		in.Records = append(in.Records, PutRecordsEntry{Data: []byte("data"), PartitionKey: []byte("key")})
	}
	var out PutRecordsOutput
	if err := a.putRecords(t.Context(), wire.Caller{Account: "000000000000", Region: "us-east-1"}, in, &out); err != nil {
		t.Fatal(err)
	}
	for _, r := range out.Results {
		if code, text := out.fault(r.Err, r.ShardID); code != internalFailure || text != textInternal {
			t.Fatalf("%s: %s", code, text)
		}
	}
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "the disk is broken") ||
		!strings.Contains(got, "refused=300") {
		t.Errorf("logged:\n%s", got)
	}
}
