package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-462d9463/sluice/internal/api/sigv4"
)

// received is a request as a server gets it.
func received(t *testing.T, request []byte) (*http.Request, []byte) {
	t.Helper()
	in := bufio.NewReader(bytes.NewReader(request))
	r, err := http.ReadRequest(in)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	if n := in.Buffered(); n > 0 {
		t.Fatalf("%d bytes follow the request", n)
	}
	return r, body
}

func TestSignedRequestsPassTheServersVerification(t *testing.T) {
	verifier, err := sigv4.NewVerifier([]sigv4.Credential{{AccessKey: accessKey, SecretKey: secretKey}})
	if err != nil {
		t.Fatal(err)
	}
	e := endpoint{addr: "127.0.0.1:4566", path: "/", signed: true}
	for _, s := range []service{kinesis, firehose} {
		request, err := e.request(s, "SomeOperation", []byte(`{"StreamName":"s"}`))
		if err != nil {
			t.Fatal(err)
		}
		r, body := received(t, request)
		var signature sigv4.Signature
		if err := verifier.Begin(&signature, r, s.name, time.Now(), "X-Amz-Target"); err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		if err := signature.Verify(sha256.Sum256(body)); err != nil {
			t.Errorf("%s: %v", s.name, err)
		}
		if signature.Verify(sha256.Sum256([]byte("other"))) == nil {
			t.Errorf("%s: the signature does not cover the body", s.name)
		}
	}
}

func TestUnsignedRequestsCarryNoSignature(t *testing.T) {
	e := endpoint{addr: "127.0.0.1:4566", path: "/?answer=3"}
	request, err := e.request(kinesis, "PutRecord", []byte(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	r, _ := received(t, request)
	if got := r.Header.Get("Authorization"); got != "" {
		t.Errorf("Authorization: %s", got)
	}
	if got := r.Header.Get("X-Amz-Target"); got != "Kinesis_20131202.PutRecord" {
		t.Errorf("X-Amz-Target: %s", got)
	}
	if r.URL.String() != "/?answer=3" {
		t.Errorf("path %s", r.URL)
	}
}

func TestACallGivesTheAnswerOrTheServersError(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Amz-Target") != "Kinesis_20131202.ListStreams" {
			w.WriteHeader(http.StatusBadRequest)
		}
		_, _ = io.WriteString(w, `{"StreamNames":["a","b"]}`)
	}))
	defer server.Close()
	e := endpoint{addr: server.Listener.Addr().String(), path: "/", signed: true}
	var answer struct{ StreamNames []string }
	if err := e.call(t.Context(), kinesis, "ListStreams", map[string]any{"Limit": 2}, &answer); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a", "b"}, answer.StreamNames); diff != "" {
		t.Error(diff)
	}
	if err := e.call(t.Context(), kinesis, "Other", nil, nil); err == nil {
		t.Error("an answer of 400 is no error")
	}
}

func TestBodiesAreTheJSONThatAnSDKSends(t *testing.T) {
	records := payload(200, 3)
	type entry struct {
		Data         []byte
		PartitionKey string
	}
	t.Run("PutRecord", func(t *testing.T) {
		var got struct {
			StreamName string
			entry
		}
		decode(t, putRecordBody("s", "k", records[0]), &got)
		if got.StreamName != "s" || got.PartitionKey != "k" || !bytes.Equal(got.Data, records[0]) {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("PutRecords", func(t *testing.T) {
		var got struct {
			StreamName string
			Records    []entry
		}
		decode(t, putRecordsBody("s", records, 7), &got)
		want := []entry{{records[0], partitionKey(7)}, {records[1], partitionKey(8)}, {records[2], partitionKey(9)}}
		if diff := cmp.Diff(want, got.Records); diff != "" || got.StreamName != "s" {
			t.Error(got.StreamName, diff)
		}
	})
	t.Run("PutRecordBatch", func(t *testing.T) {
		var got struct {
			DeliveryStreamName string
			Records            []struct{ Data []byte }
		}
		decode(t, putRecordBatchBody("d", records), &got)
		if got.DeliveryStreamName != "d" || len(got.Records) != 3 || !bytes.Equal(got.Records[2].Data, records[2]) {
			t.Errorf("got %+v", got)
		}
	})
}

func decode(t *testing.T, body []byte, into any) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
}

func TestPayloadIsExactDistinctAndTheSameEveryTime(t *testing.T) {
	first, second := payload(1<<10, 100), payload(1<<10, 100)
	if diff := cmp.Diff(first, second); diff != "" {
		t.Error("not the same:", diff)
	}
	seen := map[string]bool{}
	for i, record := range first {
		if len(record) != 1<<10 {
			t.Errorf("record %d has %d bytes", i, len(record))
		}
		if seen[string(record)] {
			t.Errorf("record %d was there before", i)
		}
		seen[string(record)] = true
	}
}
