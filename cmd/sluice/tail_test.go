package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-462d9463/sluice/internal/client"
	"github.com/seed-462d9463/sluice/stream/aggregate"
)

// read is an answer of GetRecords: records by their data, numbered from first, and the iterator after them.
func read(next string, first int, data ...string) answer {
	var records []string
	for i, d := range data {
		records = append(records, fmt.Sprintf(`{"SequenceNumber":"%d","PartitionKey":"k","Data":"%s","ApproximateArrivalTimestamp":1.5}`,
			first+i, base64.StdEncoding.EncodeToString([]byte(d))))
	}
	iterator := `"` + next + `"`
	if next == "" {
		iterator = "null"
	}
	return ok(`{"Records":[` + strings.Join(records, ",") + `],"NextShardIterator":` + iterator + `,"MillisBehindLatest":0}`)
}

func tailOf(t *testing.T, f *fakeServer, from string, limit int64) (output, messages string, err error) {
	t.Helper()
	start, err := parseStart(from, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	var out, told bytes.Buffer
	err = (&tailer{
		client: f.client(t), stream: "s", start: start, follow: true, messages: &told,
		out: newRecordPrinter(&out, false, limit),
	}).run(t.Context())
	return out.String(), told.String(), err
}

func TestTailGoesOnThroughExpiryThrottlingAndOutages(t *testing.T) {
	f := newFakeServer(t, map[string][]answer{
		"ListShards":       {ok(`{"Shards":[{"ShardId":"shard"}]}`)},
		"GetShardIterator": {refused("ProvisionedThroughputExceededException"), ok(`{"ShardIterator":"first"}`), ok(`{"ShardIterator":"again"}`)},
		"GetRecords": {
			read("second", 1, "a", "b"), refused("ProvisionedThroughputExceededException"), read("third", 3),
			refused("ExpiredIteratorException"), broken, answer{503, `{"__type":"ServiceUnavailable"}`},
			read("fourth", 3, "c", "d"), read("fifth", 5, "e", "f"),
		},
	})
	output, messages, err := tailOf(t, f, "start", 5)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("a\nb\nc\nd\ne\n", output); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(messages, "the server is away") || !strings.Contains(messages, "the server is back") {
		t.Errorf("%q", messages)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	after := 0
	for _, request := range f.asked {
		if strings.HasPrefix(request, "GetShardIterator") && strings.Contains(request, `"AFTER_SEQUENCE_NUMBER","StartingSequenceNumber":"2"`) {
			after++
		}
	}
	if after == 0 {
		t.Errorf("no iterator behind the record read last was asked for: %q", f.asked)
	}
}

func TestTailShowsTheUserRecordsOfAggregatedOnes(t *testing.T) {
	whole, err := aggregate.Append(nil, []aggregate.Record{
		{PartitionKey: []byte("k1"), Data: []byte("one")},
		{PartitionKey: []byte("k2"), ExplicitHashKey: []byte("7"), Data: []byte("two")},
	})
	if err != nil {
		t.Fatal(err)
	}
	f := newFakeServer(t, map[string][]answer{
		"ListShards":       {ok(`{"Shards":[{"ShardId":"shard"}]}`)},
		"GetShardIterator": {ok(`{"ShardIterator":"i"}`)},
		"GetRecords":       {read("j", 5, "before", string(whole), "after")},
	})
	var out bytes.Buffer
	err = (&tailer{
		client: f.client(t), stream: "s", start: startAt{kind: "TRIM_HORIZON"}, follow: true, messages: io.Discard,
		out: newRecordPrinter(&out, true, 4),
	}).run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const arrival = `"arrival":"1970-01-01T00:00:01.5Z",`
	want := `{"shard":"shard","sequenceNumber":"5","partitionKey":"k",` + arrival + `"data":"before"}
{"shard":"shard","sequenceNumber":"6","subSequenceNumber":0,"partitionKey":"k1",` + arrival + `"data":"one"}
{"shard":"shard","sequenceNumber":"6","subSequenceNumber":1,"partitionKey":"k2","explicitHashKey":"7",` + arrival + `"data":"two"}
{"shard":"shard","sequenceNumber":"7","partitionKey":"k",` + arrival + `"data":"after"}
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

// An iterator at the end that expires before the first record must not skip what came meanwhile.
func TestTailFromTheEndStartsOnce(t *testing.T) {
	f := newFakeServer(t, map[string][]answer{
		"ListShards":       {ok(`{"Shards":[{"ShardId":"shard"}]}`)},
		"GetShardIterator": {ok(`{"ShardIterator":"i"}`)},
		"GetRecords":       {refused("ExpiredIteratorException"), read("j", 1, "a")},
	})
	if output, _, err := tailOf(t, f, "end", 1); err != nil || output != "a\n" {
		t.Errorf("%q %v", output, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var kinds []string
	for _, request := range f.asked {
		if strings.HasPrefix(request, "GetShardIterator") {
			_, kind, _ := strings.Cut(request, `"ShardIteratorType":"`)
			kind, _, _ = strings.Cut(kind, `"`)
			kinds = append(kinds, kind)
		}
	}
	if diff := cmp.Diff([]string{"LATEST", "AT_TIMESTAMP"}, kinds); diff != "" {
		t.Error(diff)
	}
}

func TestTailFollowsTheShardsThatComeAfterAClosedOne(t *testing.T) {
	f := newFakeServer(t, map[string][]answer{
		"ListShards":       {ok(`{"Shards":[{"ShardId":"parent"}],"NextToken":"t"}`), ok(`{"Shards":[{"ShardId":"other"}]}`)},
		"GetShardIterator": {ok(`{"ShardIterator":"i"}`)},
		"GetRecords": {
			ok(`{"Records":[],"NextShardIterator":null,"ChildShards":[{"ShardId":"child"}]}`),
			ok(`{"Records":[],"NextShardIterator":null,"ChildShards":[{"ShardId":"child"}]}`), // parents of one child
			ok(`{"Records":[],"NextShardIterator":null}`),
		},
	})
	if _, _, err := tailOf(t, f, "start", 0); err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var shards []string
	for _, request := range f.asked {
		if strings.HasPrefix(request, "GetShardIterator") {
			_, id, _ := strings.Cut(request, `"ShardId":"`)
			id, _, _ = strings.Cut(id, `"`)
			shards = append(shards, id)
		}
	}
	if diff := cmp.Diff(map[string]int{"parent": 1, "other": 1, "child": 1}, tally(shards)); diff != "" {
		t.Error(diff)
	}
}

func tally(of []string) map[string]int {
	counts := map[string]int{}
	for _, s := range of {
		counts[s]++
	}
	return counts
}

func TestTailEndsWithWhatCannotPass(t *testing.T) {
	f := newFakeServer(t, map[string][]answer{
		"ListShards":       {ok(`{"Shards":[{"ShardId":"shard"}]}`)},
		"GetShardIterator": {ok(`{"ShardIterator":"i"}`)},
		"GetRecords":       {refused("AccessDeniedException")},
	})
	var denied *client.Error
	if _, _, err := tailOf(t, f, "start", 0); !errors.As(err, &denied) || denied.Code != "AccessDeniedException" {
		t.Error(err)
	}
}

func TestTailInterruptedIsNoError(t *testing.T) {
	f := newFakeServer(t, map[string][]answer{
		"ListShards":       {ok(`{"Shards":[{"ShardId":"shard"}]}`)},
		"GetShardIterator": {ok(`{"ShardIterator":"i"}`)},
		"GetRecords":       {read("j", 1)},
	})
	ctx, stop := context.WithCancel(t.Context())
	printer := newRecordPrinter(&bytes.Buffer{}, false, 0)
	end := make(chan error, 1)
	go func() {
		end <- (&tailer{client: f.client(t), stream: "s", start: startAt{kind: "LATEST"}, follow: true, out: printer}).run(ctx)
	}()
	for asked := 0; asked == 0; { // until it reads
		f.mu.Lock()
		asked = strings.Count(strings.Join(f.asked, " "), "GetRecords")
		f.mu.Unlock()
	}
	stop()
	if err := <-end; err != nil {
		t.Error(err)
	}
}

func TestWhereTailBegins(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for from, want := range map[string]startAt{
		"start":                {kind: "TRIM_HORIZON"},
		"end":                  {kind: "LATEST"},
		"2026-02-03T04:05:06Z": {"AT_TIMESTAMP", time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)},
		"90m":                  {"AT_TIMESTAMP", now.Add(-90 * time.Minute)},
	} {
		if got, err := parseStart(from, now); err != nil || got.kind != want.kind || !got.time.Equal(want.time) {
			t.Errorf("%s: %v %v", from, got, err)
		}
	}
	for _, bad := range []string{"", "yesterday", "-5m", "2026-13-01T00:00:00Z"} {
		if _, err := parseStart(bad, now); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestRecordsArePrintedWhole(t *testing.T) {
	arrival := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	records := []printed{
		{Shard: "s", SequenceNumber: "1", PartitionKey: "k", Arrival: arrival, raw: []byte(`<a href="x">`)},
		{Shard: "s", SequenceNumber: "2", PartitionKey: "k", Arrival: arrival, raw: []byte{0xff, 0}},
		{Shard: "s", SequenceNumber: "3", PartitionKey: "k", Arrival: arrival},
	}
	for asJSON, want := range map[bool]string{
		false: "<a href=\"x\">\n\xff\x00\n\n",
		true: `{"shard":"s","sequenceNumber":"1","partitionKey":"k","arrival":"2026-03-01T12:00:00Z","data":"<a href=\"x\">"}` + "\n" +
			`{"shard":"s","sequenceNumber":"2","partitionKey":"k","arrival":"2026-03-01T12:00:00Z","dataBase64":"/wA="}` + "\n" +
			`{"shard":"s","sequenceNumber":"3","partitionKey":"k","arrival":"2026-03-01T12:00:00Z","data":""}` + "\n",
	} {
		var out bytes.Buffer
		if err := newRecordPrinter(&out, asJSON, 0).print(slices.Values(records)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, out.String()); diff != "" {
			t.Error(diff)
		}
	}
}
