package api_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed-462d9463/sluice/internal/api"
	"github.com/seed-462d9463/sluice/internal/api/kinesis"
	"github.com/seed-462d9463/sluice/internal/api/sigv4"
	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/stream"
)

// instant are streams that cost nothing, so that a benchmark shows the edge alone.
type instant struct {
	kinesis.Streams
	records []shard.Record
}

func (instant) Describe(name stream.Name) (stream.Description, error) {
	return stream.Description{Name: name, ID: "id", MaxRecordBytes: 1 << 20, Shards: make([]stream.Shard, 1)}, nil
}

func (instant) PutInto(_ context.Context, _ stream.Name, entries []stream.Entry, results []stream.Result) ([]stream.Result, error) {
	sh := stream.Shard{ID: "shardId-000000000000"}
	for i := range entries {
		results = append(results, stream.Result{ShardID: sh.ID, Sequence: sh.SequenceNumber(shard.Offset(i), time.Unix(1_700_000_000, 0))})
	}
	return results, nil
}

func (instant) Start(context.Context, stream.Name, string, stream.StartAt) (stream.Position, error) {
	return stream.Position{StreamID: "id"}, nil
}

func (s instant) Read(_ context.Context, _ stream.Name, from stream.Position, _ int, _ *shard.Scratch) (stream.ReadResult, error) {
	return stream.ReadResult{Records: s.records, Next: from}, nil
}

// sink is a response that goes nowhere.
type sink struct {
	header http.Header
	status int
	body   []byte
	keep   bool
}

func (s *sink) Header() http.Header { return s.header }
func (s *sink) WriteHeader(status int) {
	s.status = status
}
func (s *sink) Write(p []byte) (int, error) {
	if s.keep {
		s.body = append(s.body, p...)
	}
	return len(p), nil
}

func benchmark(b *testing.B, signed bool, target, body string, payload int) {
	benchmarkAs(b, "application/x-amz-json-1.1", signed, target, body, payload)
}

func benchmarkAs(b *testing.B, contentType string, signed bool, target, body string, payload int) {
	options := api.Options{}
	records := make([]shard.Record, 500)
	for i := range records {
		records[i] = shard.Record{Offset: shard.Offset(i), Time: time.Unix(1_700_000_000, 0), Key: []byte("partition-key"), Value: make([]byte, 1024)}
	}
	options.Streams = instant{records: records}
	if signed {
		options.Credentials = []api.Credential{{AccessKey: testKey, SecretKey: testSecret}}
	}
	handler, err := api.New(options)
	if err != nil {
		b.Fatal(err)
	}
	make := func(contentType, target, body string) *http.Request {
		r, err := http.NewRequest(http.MethodPost, "http://127.0.0.1/", strings.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		r.Header.Set("Content-Type", contentType)
		r.Header.Set("X-Amz-Target", target)
		sigv4.Sign(r, sigv4.Credential{AccessKey: testKey, SecretKey: testSecret}, testRegion, "kinesis", sha256.Sum256([]byte(body)), time.Now())
		return r
	}
	if strings.Contains(body, "<iterator>") {
		w := &sink{header: http.Header{}, keep: true}
		handler.ServeHTTP(w, make("application/x-amz-json-1.1", "Kinesis_20131202.GetShardIterator", `{"StreamName":"s","ShardId":"0","ShardIteratorType":"LATEST"}`))
		iterator := strings.TrimSuffix(strings.TrimPrefix(string(w.body), `{"ShardIterator":"`), `"}`)
		body = strings.Replace(body, "<iterator>", iterator, 1)
	}
	if contentType == typeCBOR {
		document, err := toCBOR(body)
		if err != nil {
			b.Fatal(err)
		}
		body = string(document)
	}
	request := make(contentType, target, body)
	reader := strings.NewReader(body)
	w := &sink{header: http.Header{}}
	b.SetBytes(int64(payload))
	b.ReportAllocs()
	for b.Loop() {
		reader.Reset(body)
		request.Body = io.NopCloser(reader)
		clear(w.header)
		handler.ServeHTTP(w, request)
		if w.status != http.StatusOK {
			b.Fatal(w.status)
		}
	}
}

func putBody(records int) string {
	var b bytes.Buffer
	b.WriteString(`{"StreamName":"orders","Records":[`)
	data := base64.StdEncoding.EncodeToString(make([]byte, 1024))
	for i := range records {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`{"Data":"` + data + `","PartitionKey":"partition-key-` + strconv.Itoa(i) + `"}`)
	}
	b.WriteString(`]}`)
	return b.String()
}

func BenchmarkPutRecords500(b *testing.B) {
	benchmark(b, false, putRecords, putBody(500), 500<<10)
}

func BenchmarkPutRecords500Signed(b *testing.B) {
	benchmark(b, true, putRecords, putBody(500), 500<<10)
}

func BenchmarkPutRecordSigned(b *testing.B) {
	body := `{"StreamName":"orders","PartitionKey":"partition-key","Data":"` + base64.StdEncoding.EncodeToString(make([]byte, 1024)) + `"}`
	benchmark(b, true, putRecord, body, 1<<10)
}

func BenchmarkGetRecords500Signed(b *testing.B) {
	benchmark(b, true, "Kinesis_20131202.GetRecords", `{"ShardIterator":"<iterator>"}`, 500<<10)
}

func BenchmarkPutRecords500CBOR(b *testing.B) {
	benchmarkAs(b, typeCBOR, false, putRecords, putBody(500), 500<<10)
}

func BenchmarkPutRecords500CBORSigned(b *testing.B) {
	benchmarkAs(b, typeCBOR, true, putRecords, putBody(500), 500<<10)
}

func BenchmarkGetRecords500CBORSigned(b *testing.B) {
	benchmarkAs(b, typeCBOR, true, "Kinesis_20131202.GetRecords", `{"ShardIterator":"<iterator>"}`, 500<<10)
}
