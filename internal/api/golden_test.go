package api_test

import (
	"bytes"
	"crypto/sha256"
	"flag"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-462d9463/sluice/internal/api/sigv4"
)

var update = flag.Bool("update", false, "write the golden files anew")

// A golden file holds exchanges with a server that has a stream "orders" of two shards and a delivery stream
// "clicks":
//
//	> Kinesis_20131202.PutRecord {"StreamName":"orders",…}
//	< 200 {"ShardId":…}
//
// What differs from run to run is shown by a name, "<sequence>"; a request may use the last one that was seen
// by writing it so, too.
func TestEveryOperationAnswersAsItsGoldenFileSays(t *testing.T) {
	files, err := filepath.Glob("testdata/golden/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("golden files: %v, %v", files, err)
	}
	covered := map[string]bool{}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, start(t), string(text), covered)
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(text), got); diff != "" {
				t.Errorf("answers differ (-want +got):\n%s", diff)
			}
		})
	}
	for _, operation := range []string{
		"Kinesis_20131202.CreateStream", "Kinesis_20131202.DeleteStream", "Kinesis_20131202.DescribeStream",
		"Kinesis_20131202.DescribeStreamSummary", "Kinesis_20131202.ListStreams", "Kinesis_20131202.ListShards",
		"Kinesis_20131202.PutRecord", "Kinesis_20131202.PutRecords", "Kinesis_20131202.GetShardIterator",
		"Kinesis_20131202.GetRecords", "Kinesis_20131202.AddTagsToStream", "Kinesis_20131202.RemoveTagsFromStream",
		"Kinesis_20131202.ListTagsForStream", "Kinesis_20131202.TagResource", "Kinesis_20131202.UntagResource",
		"Kinesis_20131202.ListTagsForResource", "Kinesis_20131202.IncreaseStreamRetentionPeriod",
		"Kinesis_20131202.DecreaseStreamRetentionPeriod", "Kinesis_20131202.UpdateMaxRecordSize",
		"Kinesis_20131202.EnableEnhancedMonitoring", "Kinesis_20131202.DisableEnhancedMonitoring",
		"Kinesis_20131202.DescribeLimits", "Kinesis_20131202.DescribeAccountSettings",
		"Kinesis_20131202.UpdateAccountSettings", "Kinesis_20131202.PutResourcePolicy",
		"Kinesis_20131202.GetResourcePolicy", "Kinesis_20131202.DeleteResourcePolicy",
		"Kinesis_20131202.SplitShard", "Kinesis_20131202.MergeShards",
		"Kinesis_20131202.UpdateShardCount", "Kinesis_20131202.UpdateStreamMode", "Kinesis_20131202.UpdateStreamWarmThroughput",
		"Kinesis_20131202.RegisterStreamConsumer", "Kinesis_20131202.DeregisterStreamConsumer",
		"Kinesis_20131202.DescribeStreamConsumer", "Kinesis_20131202.ListStreamConsumers", "Kinesis_20131202.SubscribeToShard",
		"Kinesis_20131202.StartStreamEncryption", "Kinesis_20131202.StopStreamEncryption",
		"Firehose_20150804.CreateDeliveryStream", "Firehose_20150804.DeleteDeliveryStream",
		"Firehose_20150804.DescribeDeliveryStream", "Firehose_20150804.ListDeliveryStreams",
		"Firehose_20150804.PutRecord", "Firehose_20150804.PutRecordBatch",
	} {
		if !covered[operation] {
			t.Errorf("%s has no golden exchange", operation)
		}
	}
}

// setUp makes what the golden files start with.
func (s *server) setUp(t *testing.T) {
	t.Helper()
	for _, setup := range [][2]string{
		{"Kinesis_20131202.CreateStream", `{"StreamName":"orders","ShardCount":2}`},
		{"Firehose_20150804.CreateDeliveryStream", `{"DeliveryStreamName":"clicks","ExtendedS3DestinationConfiguration":{` +
			`"RoleARN":"arn:aws:iam::123456789012:role/r","BucketARN":"arn:aws:s3:::lake"}}`},
	} {
		if r := s.call(t, setup[0], setup[1]); r.status != http.StatusOK {
			t.Fatalf("%s: %d %s", setup[0], r.status, r.body)
		}
	}
}

// play makes the requests of a golden file and returns the file as it should be.
func play(t *testing.T, s *server, text string, covered map[string]bool) string {
	t.Helper()
	seen := map[string]string{}
	s.setUp(t)
	var out strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "<") {
			continue // written anew below
		}
		out.WriteString(line + "\n")
		rest, isRequest := strings.CutPrefix(line, "> ")
		if !isRequest {
			continue
		}
		target, body, _ := strings.Cut(rest, " ")
		covered[target] = true
		for name, value := range seen {
			body = strings.ReplaceAll(body, name, value)
		}
		r := s.call(t, target, body)
		answer := strings.TrimRight(normalize(string(r.body), seen), "\n")
		out.WriteString(strings.TrimRight("< "+strconv.Itoa(r.status)+" "+answer, " ") + "\n")
	}
	return out.String()
}

var varying = []struct {
	pattern *regexp.Regexp
	name    string
}{
	{regexp.MustCompile(`("(?:SequenceNumber|StartingSequenceNumber|EndingSequenceNumber)":")(\d{56})`), "<sequence>"},
	{regexp.MustCompile(`("ContinuationSequenceNumber":")(\d{56})`), "<continuation>"},
	{regexp.MustCompile(`("ConsumerARN":")([^"]+)`), "<consumer>"},
	{regexp.MustCompile(`("(?:ShardIterator|NextShardIterator)":")([A-Za-z0-9+/=]+)`), "<iterator>"},
	{regexp.MustCompile(`("NextToken":")([A-Za-z0-9+/=]+)`), "<token>"},
	{regexp.MustCompile(`("RecordId":")([^"]+)`), "<record>"},
	{regexp.MustCompile(`("(?:\w*Timestamp|StartedAt|EndedAt|EarliestAllowedEndAt)":)(\d{10}\.\d{3})`), "<time>"},
}

// normalize puts names in the place of what varies, and remembers the last of each.
func normalize(text string, seen map[string]string) string {
	for _, v := range varying {
		if all := v.pattern.FindAllStringSubmatch(text, -1); all != nil {
			seen[v.name] = all[len(all)-1][2]
		}
		text = v.pattern.ReplaceAllString(text, "${1}"+v.name)
	}
	return text
}

// answer is a response.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// call makes a signed request.
func (s *server) call(t *testing.T, target, body string) answer {
	t.Helper()
	return s.do(t, s.request(t, target, body))
}

// request makes a signed request for an operation of the service that the target names.
func (s *server) request(t *testing.T, target, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, s.url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", target)
	sign(r, body)
	return r
}

func sign(r *http.Request, body string) {
	service := "kinesis"
	if strings.HasPrefix(r.Header.Get("X-Amz-Target"), "Firehose") {
		service = "firehose"
	}
	sigv4.Sign(r, sigv4.Credential{AccessKey: testKey, SecretKey: testSecret}, testRegion, service,
		sha256.Sum256([]byte(body)), time.Now())
}

func (s *server) do(t *testing.T, r *http.Request) answer {
	t.Helper()
	response, err := s.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var body bytes.Buffer
	if _, err := io.Copy(&body, response.Body); err != nil {
		t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, body.Bytes()}
}
