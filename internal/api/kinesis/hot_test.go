package kinesis

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/seed-462d9463/sluice/internal/api/wire"
	"github.com/seed-462d9463/sluice/internal/yield"
	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/stream"
)

// slowGetRecords is the shape once more, without code of its own: the reflecting codec reads it. The others have such a
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
func both(t *testing.T, codec wire.Codec, document string, fast, slow any) bool {
	t.Helper()
	fastErr := codec.Decode([]byte(document), fast)
	slowErr := codec.Decode([]byte(document), slow)
	if (fastErr == nil) != (slowErr == nil) || fastErr != nil && fastErr.Error() != slowErr.Error() {
		var tooLong *wire.SyntaxError
		if errors.As(slowErr, &tooLong) && tooLong.Reason == "too many elements" {
			return false
		}
		t.Fatalf("%q:\nfast: %v\nslow: %v", document, fastErr, slowErr)
	}
	valid := json.Valid([]byte(document))
	if codec == (wire.CBOR{}) {
		valid = reference.Wellformed([]byte(document)) == nil
	}
	if fastErr == nil && !valid {
		t.Fatalf("%q was accepted", document)
	}
	return fastErr == nil
}

var reference = func() cbor.DecMode {
	mode, err := cbor.DecOptions{MaxNestedLevels: 1000, MaxArrayElements: math.MaxInt32, MaxMapPairs: math.MaxInt32}.DecMode()
	if err != nil {
		panic(err)
	}
	return mode
}()

func check(t *testing.T, codec wire.Codec, document string) {
	var put PutRecordInput
	var slowPut ruledPutRecord
	if both(t, codec, document, &put, &slowPut) {
		if diff := cmp.Diff(&slowPut, put.ruled()); diff != "" {
			t.Errorf("PutRecord %q (-slow +fast):\n%s", document, diff)
		}
	}
	var puts PutRecordsInput
	var slowPuts ruledPutRecords
	if both(t, codec, document, &puts, &slowPuts) && len(slowPuts.Records) <= stream.MaxPutRecords {
		if diff := cmp.Diff(&slowPuts, puts.ruled()); diff != "" || puts.Count != len(slowPuts.Records) {
			t.Errorf("PutRecords %q, count %d (-slow +fast):\n%s", document, puts.Count, diff)
		}
	}
	var get GetRecordsInput
	var slowGet slowGetRecords
	if both(t, codec, document, &get, &slowGet) {
		if diff := cmp.Diff(slowGet, slowGetRecords(get)); diff != "" {
			t.Errorf("GetRecords %q (-slow +fast):\n%s", document, diff)
		}
	}
}

// seedsCBOR are the seeds, as far as they are JSON, with blobs as bytes; and lengths that are not definite.
func seedsCBOR(t testing.TB) []string {
	t.Helper()
	out := []string{
		"", "\xf6", "\xbf\xff", "\xbfgRecords\x9f\xbfdData_AaAb\xff\xff\xff\xff", "\xbfgRecords\x9b\x00\x00\x00\xff\xff\xff\xff\xff",
		"\xa1dData\xc1A\x00", "\xa1\x7fbDabta\xffA\x01", "\xa1jStreamName\x7faaab\xff", "\xa1eLimit\xf9\x49\x00", "\xa1eLimit\x1b\xff\xff\xff\xff\xff\xff\xff\xff",
	}
	for _, s := range seeds {
		var tree any
		if json.Unmarshal([]byte(s), &tree) != nil {
			continue
		}
		document, err := cbor.Marshal(bytesFor(tree))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(document))
	}
	return out
}

// bytesFor is a tree with bytes in the place of base64.
func bytesFor(tree any) any {
	switch tree := tree.(type) {
	case []any:
		for i := range tree {
			tree[i] = bytesFor(tree[i])
		}
	case map[string]any:
		for name, value := range tree {
			tree[name] = bytesFor(value)
			if text, ok := value.(string); ok && name == "Data" {
				tree[name], _ = base64.StdEncoding.DecodeString(text)
			}
		}
	}
	return tree
}

func TestHotInputsAreReadAsReflectionReadsThem(t *testing.T) {
	for _, s := range seeds {
		check(t, wire.JSON{}, s)
	}
	for _, s := range seedsCBOR(t) {
		check(t, wire.CBOR{}, s)
	}
}

func FuzzHotInputsAreReadAsReflectionReadsThem(f *testing.F) {
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, document string) { check(t, wire.JSON{}, document) })
}

func FuzzHotInputsInCBORAreReadAsReflectionReadsThem(f *testing.F) {
	for _, s := range seedsCBOR(f) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, document string) { check(t, wire.CBOR{}, document) })
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

func TestAnOutputThatIsUsedAgainHasNothingOfTheRequestBefore(t *testing.T) {
	out := GetRecordsOutput{
		Shard: stream.Shard{ID: "shardId-000000000003"}, NextShardIterator: "next", MillisBehindLatest: 1, ChildShards: []ChildShard{{}},
	}
	out.Records = append(out.scratch.Begin(), shard.Record{Value: out.scratch.Room(nil, 100)})
	out.scratch.End(out.Records)
	before := out.Records
	out.Reset()
	if diff := cmp.Diff(GetRecordsOutput{}, out, cmpopts.IgnoreUnexported(GetRecordsOutput{})); diff != "" {
		t.Error(diff)
	}
	if before[0].Value != nil || out.scratch.Size() == 0 {
		t.Errorf("the records are kept, or %d bytes of memory", out.scratch.Size())
	}
	out.scratch.Room(nil, 3*stream.MaxReadBytes)
	if out.Reset(); out.scratch.Size() > 0 {
		t.Errorf("%d bytes are kept", out.scratch.Size())
	}
}

func TestHotOutputsAreValidAndOfTheSizeForetold(t *testing.T) {
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
	for name, out := range map[string]any{"GetRecords": get, "PutRecords": puts} {
		for _, codec := range []wire.Codec{wire.JSON{}, wire.CBOR{}} {
			text := codec.Append(nil, out)
			if codec == (wire.JSON{}) && !json.Valid(text) || codec == (wire.CBOR{}) && cbor.Wellformed(text) != nil {
				t.Errorf("%s: %q", name, text)
			}
			if size := codec.Size(out); size < len(text) || size > 2*len(text) {
				t.Errorf("%s in %T: %d bytes were foretold, %d it was", name, codec, size, len(text))
			}
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
	if err := json.Unmarshal(wire.AppendJSON(nil, get), &back); err != nil {
		t.Fatal(err)
	}
	r := back.Records[42]
	if n, err := stream.ParseSequence(r.SequenceNumber); err != nil || n != sh.SequenceNumber(42, time.Unix(1700000000, 0)) ||
		len(r.Data) != 42 || r.PartitionKey != "key \"é\"\n" || r.ApproximateArrivalTimestamp != 1700000000.123 {
		t.Errorf("record %+v, %v", r, err)
	}
	var inCBOR struct {
		Records []struct {
			Data                         []byte
			PartitionKey, SequenceNumber string
			ApproximateArrivalTimestamp  cbor.Tag
		}
		NextShardIterator  string
		MillisBehindLatest int64
	}
	if err := cbor.Unmarshal(wire.AppendCBOR(nil, get), &inCBOR); err != nil {
		t.Fatal(err)
	}
	if c := inCBOR.Records[42]; len(inCBOR.Records) != 100 || c.SequenceNumber != r.SequenceNumber || len(c.Data) != 42 || c.PartitionKey != r.PartitionKey ||
		c.ApproximateArrivalTimestamp != (cbor.Tag{Number: 1, Content: uint64(1700000000123)}) || inCBOR.NextShardIterator != "AAA=" || inCBOR.MillisBehindLatest != 7 {
		t.Errorf("in CBOR, record %+v", c)
	}
	closed := &GetRecordsOutput{ChildShards: []ChildShard{{ShardId: "c", ParentShards: []string{"p"}}}}
	want := `{"Records":[],"NextShardIterator":null,"MillisBehindLatest":0,"ChildShards":[{"ShardId":"c","ParentShards":["p"],"HashKeyRange":{}}]}`
	if got := string(wire.AppendJSON(nil, closed)); got != want {
		t.Errorf("the end of a shard is %s, want %s", got, want)
	}
}

func TestLargeAnswersGiveUpTheCoreBesideCommits(t *testing.T) {
	yield.Enable()
	out := &GetRecordsOutput{Records: make([]shard.Record, 1+2*yield.Each/recordSize)} // of no data: what is around them counts, too
	before := yield.Given()
	for try := 0; yield.Given() == before; try++ {
		if try == 1000 {
			t.Fatal("no core was given up")
		}
		yield.Busy()
		wire.AppendJSON(nil, out)
	}
}
