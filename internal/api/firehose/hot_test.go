package firehose

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-462d9463/sluice/internal/api/wire"
)

// The same shapes once more, without code of their own: the reflecting codec reads them.
type (
	slowRecord    struct{ Data []byte }
	slowPutRecord struct {
		DeliveryStreamName *string
		Record             *slowRecord
	}
	slowPutRecordBatch struct {
		DeliveryStreamName *string
		Records            []slowRecord
	}
)

var seeds = []string{
	`{}`, `null`, `[]`, ``, `{"DeliveryStreamName":"s","Record":{"Data":"aGVsbG8="}}`, `{"Record":null}`, `{"Record":{}}`, `{"Record":[]}`,
	`{"Record":{"Data":"YQ=="},"Record":{}}`, `{"Record":{"Data":"YQ=="},"Record":null}`,
	`{"DeliveryStreamName":"s","Records":[{"Data":"aGVsbG8="},{},null,{"Data":null}]}`, `{"Records":[],"Records":null}`,
	`{"Records":[{"Data":"YQ=="}],"Records":[{"Data":"","Data":"Yg==","X":[{}]}]}`, `{"Records":{}}`, `{"Records":["a"]}`, `{"Records":[{"Data":"a"}]}`,
}

func check(t *testing.T, document string) {
	decode := func(fast, slow any) bool {
		fastErr, slowErr := wire.DecodeJSON([]byte(document), fast), wire.DecodeJSON([]byte(document), slow)
		if (fastErr == nil) != (slowErr == nil) || fastErr != nil && fastErr.Error() != slowErr.Error() {
			t.Fatalf("%q:\nfast: %v\nslow: %v", document, fastErr, slowErr)
		}
		return fastErr == nil
	}
	var put PutRecordInput
	var slowPut slowPutRecord
	if decode(&put, &slowPut) {
		got := slowPutRecord{DeliveryStreamName: put.DeliveryStreamName}
		if put.HasRecord {
			got.Record = &slowRecord{put.Data}
		}
		if diff := cmp.Diff(slowPut, got); diff != "" {
			t.Errorf("PutRecord %q (-slow +fast):\n%s", document, diff)
		}
	}
	var batch PutRecordBatchInput
	var slowBatch slowPutRecordBatch
	if decode(&batch, &slowBatch) && len(slowBatch.Records) <= maxBatchRecords {
		got := slowPutRecordBatch{DeliveryStreamName: batch.DeliveryStreamName}
		if batch.Records != nil {
			got.Records = []slowRecord{}
		}
		for _, data := range batch.Records {
			got.Records = append(got.Records, slowRecord{data})
		}
		if diff := cmp.Diff(slowBatch, got); diff != "" || batch.Count != len(slowBatch.Records) {
			t.Errorf("PutRecordBatch %q, count %d (-slow +fast):\n%s", document, batch.Count, diff)
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

func TestHotOutputsAreValidJSONOfTheSizeForetold(t *testing.T) {
	out := &PutRecordBatchOutput{}
	for range 500 {
		out.RecordIDs = append(out.RecordIDs, "a record's id with \"quotes\"")
	}
	text, size := wire.AppendJSON(nil, out), wire.JSON{}.Size(out)
	if !json.Valid(text) || size < len(text)*9/10 {
		t.Errorf("%d bytes foretold, %d it was: %.100s", size, len(text), text)
	}
}
