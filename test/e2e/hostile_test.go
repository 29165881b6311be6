package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/smithy-go"
)

// post sends a raw request, unsigned unless headers say otherwise, and returns status and body.
func post(t *testing.T, s *server, headers map[string]string, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.endpoint()+"/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Amz-Target", "Kinesis_20131202.PutRecord")
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.Header.Get("x-amzn-RequestId") == "" {
		t.Errorf("no request id on %s %s", resp.Status, answer)
	}
	return resp.StatusCode, string(answer)
}

func TestUnsignedAndBadlySignedRequestsAreRefused(t *testing.T) {
	s := startServer(t)
	createStream(t, s, "clicks", 1)
	body := `{"StreamName":"clicks","PartitionKey":"k","Data":"eA=="}`
	if status, answer := post(t, s, nil, body); status != 400 || !strings.Contains(answer, "MissingAuthenticationToken") {
		t.Errorf("unsigned: %d %s", status, answer)
	}
	forged := fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/%s/%s/kinesis/aws4_request, SignedHeaders=host;x-amz-date, Signature=%064d",
		accessKey, time.Now().UTC().Format("20060102"), region, 0)
	date := time.Now().UTC().Format("20060102T150405Z")
	status, answer := post(t, s, map[string]string{"Authorization": forged, "X-Amz-Date": date}, body)
	if status != 400 || !strings.Contains(answer, "InvalidSignatureException") {
		t.Errorf("forged: %d %s", status, answer)
	}

	config := s.config()
	config.Credentials = credentials.NewStaticCredentialsProvider(accessKey, "another secret", "")
	wantCode(t, "InvalidSignatureException", listStreams(t, config))
	config.Credentials = credentials.NewStaticCredentialsProvider("AKIDUNKNOWN", secretKey, "")
	wantCode(t, "UnrecognizedClientException", listStreams(t, config))

	if records := readStream(t.Context(), t, s.reader(), "clicks"); len(records) != 0 {
		t.Errorf("a refused request left %d records", len(records))
	}
}

func listStreams(t *testing.T, config aws.Config) error {
	_, err := kinesis.NewFromConfig(config).ListStreams(t.Context(), &kinesis.ListStreamsInput{})
	return err
}

func wantCode(t *testing.T, code string, err error) {
	t.Helper()
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != code {
		t.Errorf("want %s, got %v", code, err)
	}
}

// TestHostileRequestsGetAWSErrorsAndHarmNobody floods a server that takes any credentials with bad requests, while a
// producer goes on writing.
func TestHostileRequestsGetAWSErrorsAndHarmNobody(t *testing.T) {
	s := newServer(t, "--limits", "off")
	s.env = nil // no credentials: what is refused here is refused for what it says
	s.start()
	createStream(t, s, "clicks", 1)

	huge := strings.Repeat("A", 20<<20)
	tests := []struct {
		name    string
		headers map[string]string
		body    string
		status  int
		code    string
	}{
		{"not JSON", nil, `{"StreamName":`, 400, "SerializationException"},
		{"empty body", nil, ``, 400, "SerializationException"},
		{"wrong type", nil, `{"StreamName":7,"PartitionKey":"k","Data":"eA=="}`, 400, "SerializationException"},
		{"invalid base64", nil, `{"StreamName":"clicks","PartitionKey":"k","Data":"%%%"}`, 400, "SerializationException"},
		{"deep nesting", nil, strings.Repeat(`{"a":[`, 200_000), 400, "SerializationException"},
		{"missing stream", nil, `{"StreamName":"nowhere","PartitionKey":"k","Data":"eA=="}`, 400, "ResourceNotFoundException"},
		{"bad name", nil, `{"StreamName":"no/where","PartitionKey":"k","Data":"eA=="}`, 400, "ValidationException"},
		{"no partition key", nil, `{"StreamName":"clicks","Data":"eA=="}`, 400, "ValidationException"},
		{"key too long", nil, `{"StreamName":"clicks","Data":"eA==","PartitionKey":"` + strings.Repeat("k", 257) + `"}`, 400, "ValidationException"},
		{"record too large", nil, `{"StreamName":"clicks","PartitionKey":"k","Data":"` + huge[:2<<20] + `"}`, 400, ""},
		{"unknown operation", map[string]string{"X-Amz-Target": "Kinesis_20131202.Nonsense"}, `{}`, 400, "UnknownOperationException"},
		{"unknown service", map[string]string{"X-Amz-Target": "Nonsense_1.PutRecord"}, `{}`, 400, "UnknownOperationException"},
		{"no target", map[string]string{"X-Amz-Target": ""}, `{}`, 400, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			status, answer := post(t, s, test.headers, test.body)
			if status != test.status || !strings.Contains(answer, test.code) {
				t.Errorf("%d %s, want %d %s", status, last(answer, 500), test.status, test.code)
			}
		})
	}
	t.Run("wrong content type", func(t *testing.T) {
		if status, answer := post(t, s, map[string]string{"Content-Type": "text/plain"}, `{}`); status < 400 || status > 499 {
			t.Errorf("%d %s", status, answer)
		}
	})
	t.Run("body over the limit", func(t *testing.T) {
		conn := must(net.Dial("tcp", s.listen))(t)
		defer conn.Close()
		go func() { // the server may answer and close before it has all
			fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: Kinesis_20131202.PutRecords\r\n"+
				"Content-Type: application/x-amz-json-1.1\r\nContent-Length: %d\r\n\r\n", 1<<40)
			_, _ = io.WriteString(conn, huge)
		}()
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusBadRequest && resp.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("status %s", resp.Status)
		}
	})

	neverEnding(t, s)

	// After all that, an ordinary producer and consumer work, and nothing of the rubbish was kept.
	if _, err := s.kinesis().PutRecord(t.Context(), &kinesis.PutRecordInput{
		StreamName: aws.String("clicks"), PartitionKey: aws.String("k"), Data: []byte("fine"),
	}); err != nil {
		t.Fatal(err)
	}
	for _, r := range readStream(t.Context(), t, s.reader(), "clicks") {
		if r.data != "fine" && !strings.HasPrefix(r.data, "beside ") {
			t.Errorf("a refused request left the record %q", last(r.data, 100))
		}
	}
	if strings.Contains(s.output.String(), "panic") {
		t.Error("the server panicked")
	}
}

// neverEnding opens many connections whose bodies announce much and never end, fixed and chunked, while a producer
// writes: its requests are answered, and memory stays within bounds.
func neverEnding(t *testing.T, s *server) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	before := s.memory()
	var tricklers sync.WaitGroup
	for i := range 200 {
		conn := must(net.Dial("tcp", s.listen))(t)
		tricklers.Go(func() {
			defer conn.Close()
			trickle(ctx, conn, i%2 == 0)
		})
	}
	client := s.kinesis()
	for i := range 300 {
		if _, err := client.PutRecord(ctx, &kinesis.PutRecordInput{
			StreamName: aws.String("clicks"), PartitionKey: aws.String("k"), Data: fmt.Appendf(nil, "beside %d", i),
		}); err != nil {
			t.Errorf("a producer beside never-ending bodies: %v", err)
			break
		}
	}
	limit := int64(300 << 20)
	if raceEnabled {
		limit *= 4 // the race detector keeps several bytes for each
	}
	if after := s.memory(); after-before > limit {
		t.Errorf("memory grew from %d to %d MiB beside never-ending bodies", before>>20, after>>20)
	}
	cancel()
	tricklers.Wait()
}

// trickle announces a body of 15 MB and sends a little of it, again and again, until ctx ends or the server has enough.
func trickle(ctx context.Context, conn net.Conn, chunked bool) {
	head := "POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: Kinesis_20131202.PutRecords\r\nContent-Type: application/x-amz-json-1.1\r\n"
	if chunked {
		head += "Transfer-Encoding: chunked\r\n\r\n"
	} else {
		head += "Content-Length: 15000000\r\n\r\n"
	}
	if _, err := io.WriteString(conn, head); err != nil {
		return
	}
	piece := strings.Repeat(" ", 1000)
	if chunked {
		piece = fmt.Sprintf("%x\r\n%s\r\n", len(piece), piece)
	}
	for {
		if _, err := io.WriteString(conn, piece); err != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(5 * time.Millisecond): // the pace of the attack, nothing waits for it
		}
	}
}
