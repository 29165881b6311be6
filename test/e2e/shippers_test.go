package e2e

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/firehose"
	firehosetypes "github.com/aws/aws-sdk-go-v2/service/firehose/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
)

// The files in testdata/shippers are requests as log shippers send them, by the sources of their plugins: headers in
// their order and case, bodies without a space. Fluent Bit ends each record with a line feed; partition keys
// of Vector are 16 characters of all that Unicode has room for. They look at answers in their own ways.

func TestTheRequestsOfLogShippersAreAnsweredAsTheyExpect(t *testing.T) {
	s := newServer(t)
	s.env = append(s.env, "SLUICE_TLS_SELF_SIGNED=true") // Fluent Bit speaks TLS only
	s.start()
	config := sdkConfig(t, place{endpoint: "https://" + s.listen, region: region, ca: s.ca()})
	k := kinesis.NewFromConfig(config)
	must(k.CreateStream(t.Context(), &kinesis.CreateStreamInput{StreamName: aws.String("logs"), ShardCount: aws.Int32(1)}))(t)
	must(firehose.NewFromConfig(config).CreateDeliveryStream(t.Context(), &firehose.CreateDeliveryStreamInput{
		DeliveryStreamName: aws.String("logs"),
		ExtendedS3DestinationConfiguration: &firehosetypes.ExtendedS3DestinationConfiguration{
			RoleARN: aws.String(roleARN), BucketARN: aws.String("arn:aws:s3:::logs"),
			BufferingHints: &firehosetypes.BufferingHints{SizeInMBs: aws.Int32(1), IntervalInSeconds: aws.Int32(1)},
		},
	}))(t)
	for _, request := range []struct {
		file, answered string // what the shipper looks for in the answer's text
	}{
		{"fluentbit-kinesis", `"FailedRecordCount":0`},
		{"fluentbit-firehose", `"FailedPutCount":0`},
		{"vector-health", `"StreamName":"logs"`},
		{"vector-put", `"FailedRecordCount":0`},
	} {
		t.Run(request.file, func(t *testing.T) {
			status, body := ship(t, s, request.file)
			if status != http.StatusOK || !strings.Contains(body, request.answered) {
				t.Errorf("status %d, and no %s in %s", status, request.answered, body)
			}
		})
	}
	var got []string
	for _, r := range readStream(t.Context(), t, k, "logs") {
		got = append(got, r.data)
	}
	want := []string{`{"log":"first"}` + "\n", `{"log":"second"}` + "\n", `{"message":"third"}`, `{"message":"fourth"}`}
	if !slices.Equal(got, want) {
		t.Errorf("records %q, want %q", got, want)
	}
	eventually(t, "the batch is delivered", func() error {
		lines := linesIn(t, filepath.Join(s.buckets(), "logs"))
		if lines[`{"log":"first"}`] != 1 || lines[`{"log":"second"}`] != 1 {
			return errNotYet
		}
		return nil
	})
}

// ship sends the request of a file and returns the answer.
func ship(t *testing.T, s *server, file string) (status int, body string) {
	t.Helper()
	request := shipment(t, s.listen, file)
	conn := must(tls.Dial("tcp", s.listen, &tls.Config{RootCAs: trust(t, s.ca())}))(t)
	defer conn.Close()
	must(conn.Write(request))(t)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	return response.StatusCode, string(must(io.ReadAll(response.Body))(t))
}

var authorization = regexp.MustCompile(`\{authorization (\S+) (\S+)\}`)

// shipment is the request of a file, for now and signed.
func shipment(t *testing.T, host, file string) []byte {
	t.Helper()
	text := string(must(os.ReadFile(filepath.Join("testdata", "shippers", file+".http")))(t))
	head, body, _ := strings.Cut(strings.TrimSuffix(text, "\n"), "\n\n")
	at := time.Now().UTC().Format("20060102T150405Z")
	head = strings.NewReplacer("{host}", host, "{length}", strconv.Itoa(len(body)), "{date}", at).Replace(head)
	sign := authorization.FindStringSubmatch(head)
	fields := strings.Split(head, "\n")
	headers := must(textproto.NewReader(bufio.NewReader(strings.NewReader(strings.Join(fields[1:], "\n") + "\n\n"))).ReadMIMEHeader())(t)
	head = strings.Replace(head, sign[0], signed(headers, []byte(body), sign[1], sign[2], at), 1)
	return bytes.Join([][]byte{[]byte(strings.ReplaceAll(head, "\n", "\r\n")), []byte(body)}, []byte("\r\n\r\n"))
}

// signed is the Authorization header of AWS's Signature Version 4 for a POST of / with the test's credentials.
func signed(headers textproto.MIMEHeader, body []byte, service, names, at string) string {
	hash := func(b []byte) string {
		sum := sha256.Sum256(b)
		return hex.EncodeToString(sum[:])
	}
	mac := func(key []byte, text string) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(text))
		return h.Sum(nil)
	}
	canonical := "POST\n/\n\n"
	for name := range strings.SplitSeq(names, ";") {
		canonical += name + ":" + headers.Get(name) + "\n"
	}
	canonical += "\n" + names + "\n" + hash(body)
	scope := strings.Join([]string{at[:8], region, service, "aws4_request"}, "/")
	key := []byte("AWS4" + secretKey)
	for part := range strings.SplitSeq(scope, "/") {
		key = mac(key, part)
	}
	signature := mac(key, strings.Join([]string{"AWS4-HMAC-SHA256", at, scope, hash([]byte(canonical))}, "\n"))
	return fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%x", accessKey, scope, names, signature)
}
