package kinesis

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-462d9463/sluice/internal/api/wire"
	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/stream"
)

// slowGetRecords is the shape once more, without JSON of its own: the reflecting codec reads it. The others have such a
// twin for their rules.
type slowGetRecords struct {
	ShardIterator *string
	Limit         *int32
	StreamARN     *string
	StreamId      *string
}

var seeds = []string{
	`{}`, `null`, `[]`, ``, `{"StreamName":"s","Records":[{"Data":"aGVsbG8=","PartitionKey":"k"},{"ExplicitHashKey":"0"},null]}`,
	`{"Records":[],"Records":[{"Data":"","PartitionKey":""}],"StreamName":null,"StreamName":"a"}`,
	`{"Records":[{"Data":"YQ==","Data":"Yg==","PartitionKey":"a","PartitionKey":null}],"Records":null}`,
	`{"Records":[{"D\u0061ta":"YQ\u003d=","PartitionKey":"\ud83d\ude00\n","X":{"Data":1}}],"StreamARN":"arn","data":1}`,
	`{"StreamName":"s","PartitionKey":"k","Data":"\/\/\/\/","SequenceNumberForOrdering":"5","ExplicitHashKey":"1","StreamId":"b"}`,
	`{"ShardIterator":"AAAA","Limit":10.5,"Limit":null,"StreamARN":"a","StreamId":"b"}`, `{"Records":{}}`, `{"Records":[1]}`, `{"Data":1}`, `{"Limit":"1"}`,
}

// both decodes a document in both ways and compares the errors. The second result is false if there was one.
func both(t *testing.T, document string, fast, slow any) bool {
	t.Helper()
	fastErr := wire.DecodeJSON([]byte(document), fast)
	slowErr := wire.DecodeJSON([]byte(document), slow)
	if (fastErr == nil) != (slowErr == nil) || fastErr != nil && fastErr.Error() != slowErr.Error() {
		var tooLong *wire.SyntaxError
		if errors.As(slowErr, &tooLong) && tooLong.Reason == "list too long" {
			return false
		}
		t.Fatalf("%q:\nfast: %v\nslow: %v", document, fastErr, slowErr)
	}
	if fastErr == nil && !json.Valid([]byte(document)) {
		t.Fatalf("%q was accepted", document)
	}
	return fastErr == nil
}

func check(t *testing.T, document string) {
	var put PutRecordInput
	var slowPut ruledPutRecord
	if both(t, document, &put, &slowPut) {
		if diff := cmp.Diff(&slowPut, put.ruled()); diff != "" {
			t.Errorf("PutRecord %q (-slow +fast):\n%s", document, diff)
		}
	}
	var puts PutRecordsInput
	var slowPuts ruledPutRecords
	if both(t, document, &puts, &slowPuts) && len(slowPuts.Records) <= stream.MaxPutRecords {
		if diff := cmp.Diff(&slowPuts, puts.ruled()); diff != "" || puts.Count != len(slowPuts.Records) {
			t.Errorf("PutRecords %q, count %d (-slow +fast):\n%s", document, puts.Count, diff)
		}
	}
	var get GetRecordsInput
	var slowGet slowGetRecords
	if both(t, document, &get, &slowGet) {
		if diff := cmp.Diff(slowGet, slowGetRecords(get)); diff != "" {
			t.Errorf("GetRecords %q (-slow +fast):\n%s", document, diff)
		}
	}
}

func TestHotInputsAreReadAsReflectionReadsThem(t *testing.T) {
	for _, s := range seeds {
		check(t, s)
	}
}

func FuzzHotInputsAreReadAsReflectionReadsThem(f *testing.F) {
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(check)
}

func TestAnInputThatIsUsedAgainForgetsTheRequestBefore(t *testing.T) {
	var in PutRecordsInput
	for _, c := range []struct {
		document string
		records  int
	}{
		{`{"StreamName":"a","Records":[{"Data":"YQ==","PartitionKey":"k"},{"Data":"YQ==","PartitionKey":"k","ExplicitHashKey":"1"}]}`, 2},
		{`{"Records":[{}]}`, 1},
		{`{}`, 0},
	} {
		if err := wire.DecodeJSON([]byte(c.document), &in); err != nil {
			t.Fatal(err)
		}
		if len(in.Records) != c.records || c.records == 1 && in.Records[0].Data != nil {
			t.Errorf("%s: %+v", c.document, in.Records)
		}
		if _, err := in.put.fill(in.Records); err != nil {
			t.Fatal(err)
		}
		if len(in.put.entries) != c.records {
			t.Errorf("%s: entries %+v", c.document, in.put.entries)
		}
		in.Reset()
	}
}

func TestHotOutputsAreValidJSONOfTheSizeForetold(t *testing.T) {
	sh := stream.Shard{ID: "shardId-000000000003", Index: 3, Created: time.Unix(1700000000, 0)}
	get := &GetRecordsOutput{Shard: sh, NextShardIterator: "AAA=", MillisBehindLatest: 7}
	puts := &PutRecordsOutput{fault: func(error, string) (string, string) { return "C", "text with \"quotes\"" }}
	for i := range 100 {
		at := time.UnixMilli(1700000000123)
		get.Records = append(get.Records, shard.Record{Offset: shard.Offset(i), Time: at, Key: []byte("key \"é\"\n"), Value: make([]byte, i)})
		result := stream.Result{ShardID: sh.ID, Sequence: sh.SequenceNumber(shard.Offset(i), at)}
		if i%10 == 0 {
			result.Err = errors.New("x")
			puts.Failed++
		}
		puts.Results = append(puts.Results, result)
	}
	for name, out := range map[string]interface {
		wire.JSONAppender
		wire.JSONSizer
	}{"GetRecords": get, "PutRecords": puts} {
		text := out.AppendJSON(nil)
		if !json.Valid(text) {
			t.Errorf("%s: %s", name, text)
		}
		if size := out.JSONSize(); size < len(text) || size > 2*len(text) {
			t.Errorf("%s: %d bytes were foretold, %d it was", name, size, len(text))
		}
	}
	var back struct {
		Records []struct {
			Data                        []byte
			PartitionKey                string
			SequenceNumber              string
			ApproximateArrivalTimestamp float64
		}
	}
	if err := json.Unmarshal(get.AppendJSON(nil), &back); err != nil {
		t.Fatal(err)
	}
	r := back.Records[42]
	if n, err := stream.ParseSequence(r.SequenceNumber); err != nil || n != sh.SequenceNumber(42, time.Unix(1700000000, 0)) ||
		len(r.Data) != 42 || r.PartitionKey != "key \"é\"\n" || r.ApproximateArrivalTimestamp != 1700000000.123 {
		t.Errorf("record %+v, %v", r, err)
	}
	closed := &GetRecordsOutput{ChildShards: []ChildShard{{ShardId: "c", ParentShards: []string{"p"}}}}
	want := `{"Records":[],"NextShardIterator":null,"MillisBehindLatest":0,"ChildShards":[{"ShardId":"c","ParentShards":["p"],"HashKeyRange":{}}]}`
	if got := string(closed.AppendJSON(nil)); got != want {
		t.Errorf("the end of a shard is %s, want %s", got, want)
	}
}
