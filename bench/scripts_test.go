package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/klauspost/compress/gzip"

	"github.com/seed-462d9463/sluice/bench/loadgen"
)

func TestEveryConnectionBeginsAtItsOwnPlace(t *testing.T) {
	requests := [][]byte{[]byte("0"), []byte("1"), []byte("2"), []byte("3")}
	scripts := repeats(2, requests, loadgen.Worth{}, "")
	var said []string
	for _, script := range scripts {
		for range 5 {
			request, err := script.Next()
			if err != nil {
				t.Fatal(err)
			}
			said = append(said, string(request))
		}
	}
	if got := strings.Join(said, ""); got != "0123023012" {
		t.Errorf("said %s", got)
	}
}

func TestAnAnswerWithFailedRecordsEndsTheRun(t *testing.T) {
	script := repeats(1, [][]byte{nil}, loadgen.Worth{Records: 500}, `"FailedRecordCount":0`)[0]
	worth, err := script.Done([]byte(`{"FailedRecordCount":0,"Records":[]}`))
	if err != nil || worth.Records != 500 {
		t.Errorf("%+v, %v", worth, err)
	}
	if _, err := script.Done([]byte(`{"FailedRecordCount":1,"Records":[]}`)); err == nil {
		t.Error("a failed record went unnoticed")
	}
}

func TestRequestsThatAreSentOnceAreSharedAmongConnections(t *testing.T) {
	var next atomic.Int64
	requests := [][]byte{[]byte("a"), []byte("b"), []byte("c")}
	one := &once{repeat: repeat{requests: requests}, next: &next}
	two := &once{repeat: repeat{requests: requests}, next: &next}
	var said []byte
	for _, script := range []*once{one, two, two} {
		request, err := script.Next()
		if err != nil {
			t.Fatal(err)
		}
		said = append(said, request...)
	}
	if string(said) != "abc" {
		t.Errorf("said %s", said)
	}
	if _, err := one.Next(); !errors.Is(err, loadgen.ErrFinished) {
		t.Errorf("got %v", err)
	}
}

func TestIteratorsAreFoundBeforeAndBehindTheRecords(t *testing.T) {
	records := strings.Repeat(`{"Data":"QUJD","PartitionKey":"k","SequenceNumber":"123"},`, 99)
	for name, answer := range map[string]string{
		"behind": `{"Records":[` + records + `{"SequenceNumber":"9"}],"NextShardIterator":"AAA","MillisBehindLatest":0}`,
		"before": `{"NextShardIterator":"AAA","MillisBehindLatest":0,"Records":[` + records + `{"SequenceNumber":"9"}]}`,
	} {
		got, err := nextIterator([]byte(answer))
		if err != nil || got != "AAA" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		if n := countRecords([]byte(answer)); n != 100 {
			t.Errorf("%s: counted %d records", name, n)
		}
	}
	for _, answer := range []string{`{"Records":[]}`, `{"NextShardIterator":null}`, `{"NextShardIterator":"cut off`} {
		if got, err := nextIterator([]byte(answer)); err == nil {
			t.Errorf("%s: %q", answer, got)
		}
	}
}

func TestDeliveryFillsTheBufferToTheByte(t *testing.T) {
	d := delivering{streams: 2, size: 1 << 10, buffer: 1, batch: 500}
	sizes := []int{}
	for _, batch := range d.batches() {
		sizes = append(sizes, len(batch))
	}
	if len(sizes) != 3 || sizes[0] != 500 || sizes[1] != 500 || sizes[2] != 24 {
		t.Errorf("batches of %v records do not make 1 MiB", sizes)
	}
	if d.bytes() != 2<<20 {
		t.Errorf("%d bytes", d.bytes())
	}
}

func TestObjectsAreVerifiedByTheBytesInThem(t *testing.T) {
	bucket := filepath.Join(t.TempDir(), "bucket")
	if objects, err := objectsIn(bucket); err != nil || len(objects) != 0 {
		t.Fatalf("a bucket that is not there yet has %v, %v", objects, err)
	}
	const sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" // SHA-256 of "abc"
	write := func(name, content string) {
		t.Helper()
		var z bytes.Buffer
		w := gzip.NewWriter(&z)
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(bucket, "2026/01/02", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, z.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("delivery-0001-1-x.gz", "abc")
	write("delivery-0002-1-y.gz", "abc")
	write(".delivery-0003-1-y.gz.tmp-123", "half written")
	objects, err := objectsIn(bucket)
	if err != nil || len(objects) != 2 {
		t.Fatalf("%v, %v", objects, err)
	}
	if err := verify(objects, sum, 2); err != nil {
		t.Error(err)
	}
	if verify(objects, sum, 3) == nil {
		t.Error("a missing object went unnoticed")
	}
	write("delivery-0002-1-y.gz", "abd")
	if verify(objects, sum, 2) == nil {
		t.Error("a wrong object went unnoticed")
	}
}
