package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/seed-462d9463/sluice/bench/loadgen"
	"github.com/seed-462d9463/sluice/internal/api/sigv4"
)

// service is one of the AWS services by its signing name and the prefix of its operations.
type service struct{ name, target string }

var (
	kinesis  = service{"kinesis", "Kinesis_20131202."}
	firehose = service{"firehose", "Firehose_20150804."}
)

// endpoint is where a server takes requests, and how they are signed for it.
type endpoint struct {
	addr   string // host:port
	path   string // "/" for all AWS services
	signed bool
}

// request builds a whole request, head and body, as an AWS SDK would send it. It stays valid for as long as its
// signature does: five minutes.
func (e *endpoint) request(s service, operation string, body []byte) ([]byte, error) {
	r, err := http.NewRequest(http.MethodPost, "http://"+e.addr+e.path, nil)
	if err != nil {
		return nil, err
	}
	r.ContentLength = int64(len(body))
	r.Header = http.Header{
		"Accept-Encoding":       {"identity"},
		"Amz-Sdk-Invocation-Id": {"3b41e9f5-6b9e-4f4d-9c52-0e6c1a3d1f77"},
		"Amz-Sdk-Request":       {"attempt=1; max=3"},
		"Content-Type":          {"application/x-amz-json-1.1"},
		"User-Agent":            {"aws-sdk-go-v2/1.47.6 ua/2.1 os/linux lang/go#1.26 md/GOOS#linux api/" + s.name},
		"X-Amz-Target":          {s.target + operation},
	}
	if e.signed {
		sigv4.Sign(r, sigv4.Credential{AccessKey: accessKey, SecretKey: secretKey}, region, s.name,
			sha256.Sum256(body), time.Now())
	}
	var b bytes.Buffer
	b.Grow(1<<10 + len(body))
	fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %s\r\n",
		e.path, e.addr, strconv.Itoa(len(body)))
	if err := r.Header.Write(&b); err != nil {
		return nil, err
	}
	b.WriteString("\r\n")
	b.Write(body)
	return b.Bytes(), nil
}

// call runs one operation on a connection of its own. It is for what is set up and looked up, not for what is
// measured.
func (e *endpoint) call(ctx context.Context, s service, operation string, input, output any) error {
	body, err := json.Marshal(input)
	if err != nil {
		return err
	}
	request, err := e.request(s, operation, body)
	if err != nil {
		return err
	}
	conn, err := loadgen.Dial(ctx, e.addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return err
	}
	answer, err := conn.Do(request)
	if err != nil {
		return fmt.Errorf("%s: %w", operation, err)
	}
	if output == nil {
		return nil
	}
	return json.Unmarshal(answer, output)
}
