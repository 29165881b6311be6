package api_test

import (
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/seed-462d9463/sluice/internal/api"
	"github.com/seed-462d9463/sluice/internal/api/sigv4"
)

const (
	otherAccount = "222222222222"
	otherKey     = "AKIDOTHER"
	ordersARN    = "arn:aws:kinesis:" + testRegion + ":" + testAccount + ":stream/orders"
)

// twoAccounts serves two of them; the first has the stream orders.
func twoAccounts(t *testing.T) *server {
	t.Helper()
	s := start(t, func(set *setting) {
		set.api.Credentials = append(set.api.Credentials, api.Credential{AccessKey: otherKey, SecretKey: testSecret, Account: otherAccount})
	})
	s.must(t, "CreateStream", `{"StreamName":"orders","ShardCount":2}`)
	return s
}

// must makes a request of the owner that succeeds.
func (s *server) must(t *testing.T, operation, body string) string {
	t.Helper()
	r := s.call(t, "Kinesis_20131202."+operation, body)
	if r.status != http.StatusOK {
		t.Fatalf("%s %s: %d %s", operation, body, r.status, r.body)
	}
	return string(r.body)
}

// asOther makes a request of the other account, and returns the error's code and text, or the answer.
func (s *server) asOther(t *testing.T, operation, body string) (code, text string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, s.url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "Kinesis_20131202."+operation)
	sigv4.Sign(r, sigv4.Credential{AccessKey: otherKey, SecretKey: testSecret}, testRegion, "kinesis", sha256.Sum256([]byte(body)), time.Now())
	a := s.do(t, r)
	var fault struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
	}
	if a.status != http.StatusOK {
		if err := json.Unmarshal(a.body, &fault); err != nil {
			t.Fatal(err)
		}
		return fault.Type, fault.Message
	}
	return "", string(a.body)
}

func (s *server) allow(t *testing.T, statements string) {
	t.Helper()
	text, _ := json.Marshal(`{"Version":"2012-10-17","Statement":[` + statements + `]}`)
	s.must(t, "PutResourcePolicy", `{"ResourceARN":"`+ordersARN+`","Policy":`+string(text)+`}`)
}

const putAllowed = `{"Effect":"Allow","Principal":{"AWS":"` + otherAccount + `"},"Action":["kinesis:Put*","kinesis:ListShards","kinesis:GetShardIterator","kinesis:GetRecords"],"Resource":"*"}`

const (
	otherPut  = `{"StreamARN":"` + ordersARN + `","PartitionKey":"k","Data":"YQ=="}`
	otherPuts = `{"StreamARN":"` + ordersARN + `","Records":[{"PartitionKey":"k","Data":"YQ=="}]}`
)

func TestAnotherAccountMayDoWhatTheStreamsPolicyAllows(t *testing.T) {
	s := twoAccounts(t)
	code, text := s.asOther(t, "PutRecord", otherPut)
	want := "User: arn:aws:iam::222222222222:root is not authorized to perform: kinesis:PutRecord on resource: " + ordersARN +
		" because no resource-based policy allows the kinesis:PutRecord action"
	if code != "AccessDeniedException" || text != want {
		t.Errorf("without a policy: %s: %s", code, text)
	}
	if code, other := s.asOther(t, "PutRecord", strings.ReplaceAll(otherPut, "orders", "missing")); code != "AccessDeniedException" ||
		other != strings.ReplaceAll(want, "orders", "missing") {
		t.Errorf("a stream that is not there is told from one that is: %s: %s", code, other)
	}
	s.allow(t, putAllowed)
	for _, c := range [][2]string{
		{"PutRecord", otherPut}, {"PutRecords", otherPuts},
		{"ListShards", `{"StreamARN":"` + ordersARN + `"}`},
		{"PutRecord", `{"StreamName":"orders",` + otherPut[1:]},
	} {
		if code, text := s.asOther(t, c[0], c[1]); code != "" {
			t.Errorf("%s: %s: %s", c[0], code, text)
		}
	}
	for _, c := range [][2]string{
		{"DescribeStream", `{"StreamARN":"` + ordersARN + `"}`}, {"DeleteStream", `{"StreamARN":"` + ordersARN + `"}`},
		{"TagResource", `{"ResourceARN":"` + ordersARN + `","Tags":{"a":"b"}}`},
		{"SplitShard", `{"StreamARN":"` + ordersARN + `","ShardToSplit":"shardId-000000000000","NewStartingHashKey":"5"}`},
	} {
		if code, text := s.asOther(t, c[0], c[1]); code != "AccessDeniedException" {
			t.Errorf("%s: %s: %s", c[0], code, text)
		}
	}
	if code, text := s.asOther(t, "PutRecord", `{"StreamName":"orders","PartitionKey":"k","Data":"YQ=="}`); code != "ResourceNotFoundException" {
		t.Errorf("by name it is a stream of one's own: %s: %s", code, text)
	}
	s.must(t, "DeleteResourcePolicy", `{"ResourceARN":"`+ordersARN+`"}`)
	if code, _ := s.asOther(t, "PutRecord", otherPut); code != "AccessDeniedException" {
		t.Errorf("with the policy gone: %q", code)
	}
}

func TestADenialInThePolicyKeepsAnotherAccountOutAndNotTheOwner(t *testing.T) {
	s := twoAccounts(t)
	s.allow(t, putAllowed+`,{"Effect":"Deny","Principal":"*","Action":"kinesis:PutRecord","Resource":"*"}`)
	if code, text := s.asOther(t, "PutRecord", otherPut); code != "AccessDeniedException" || !strings.HasSuffix(text, "with an explicit deny in a resource-based policy") {
		t.Errorf("%s: %s", code, text)
	}
	if code, text := s.asOther(t, "PutRecords", otherPuts); code != "" {
		t.Errorf("%s: %s", code, text)
	}
	s.must(t, "PutRecord", otherPut)
}

func TestConditionsOfAPolicyLookAtTheConnection(t *testing.T) {
	s := twoAccounts(t)
	conditioned := func(condition string) {
		s.allow(t, strings.TrimSuffix(putAllowed, "}")+`,"Condition":{`+condition+`}}`)
	}
	for condition, want := range map[string]string{
		`"IpAddress":{"aws:SourceIp":"127.0.0.0/8"}`:                     "",
		`"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}`:                      "AccessDeniedException",
		`"Bool":{"aws:SecureTransport":"true"}`:                          "AccessDeniedException",
		`"StringEquals":{"aws:PrincipalAccount":"` + otherAccount + `"}`: "",
	} {
		conditioned(condition)
		if code, text := s.asOther(t, "PutRecord", otherPut); code != want {
			t.Errorf("%s: %s: %s", condition, code, text)
		}
	}
}

func TestAnotherAccountReadsWithTheIteratorsAndTokensThatItWasGiven(t *testing.T) {
	s := twoAccounts(t)
	s.allow(t, putAllowed)
	s.must(t, "PutRecord", `{"StreamName":"orders","PartitionKey":"k","Data":"YQ==","ExplicitHashKey":"0"}`)
	body := `"StreamARN":"` + ordersARN + `","ShardId":"shardId-000000000000","ShardIteratorType":"TRIM_HORIZON"}`
	var iterator struct{ ShardIterator string }
	_, text := s.asOther(t, "GetShardIterator", "{"+body)
	if err := json.Unmarshal([]byte(text), &iterator); err != nil {
		t.Fatal(text)
	}
	if code, text := s.asOther(t, "GetRecords", `{"StreamARN":"`+ordersARN+`","ShardIterator":"`+iterator.ShardIterator+`"}`); code != "" ||
		!strings.Contains(text, `"Data":"YQ=="`) {
		t.Errorf("%s: %s", code, text)
	}
	if r := s.call(t, "Kinesis_20131202.GetRecords", `{"ShardIterator":"`+iterator.ShardIterator+`"}`); r.status != http.StatusBadRequest {
		t.Errorf("the owner reads with somebody else's iterator: %s", r.body)
	}
	var page struct{ NextToken string }
	_, text = s.asOther(t, "ListShards", `{"StreamARN":"`+ordersARN+`","MaxResults":1}`)
	if err := json.Unmarshal([]byte(text), &page); err != nil || page.NextToken == "" {
		t.Fatal(text)
	}
	if code, text := s.asOther(t, "ListShards", `{"NextToken":"`+page.NextToken+`"}`); code != "" || !strings.Contains(text, "shardId-000000000001") {
		t.Errorf("a token alone: %s: %s", code, text)
	}
	if r := s.call(t, "Kinesis_20131202.ListShards", `{"NextToken":"`+page.NextToken+`"}`); r.status != http.StatusBadRequest {
		t.Errorf("the owner goes on with somebody else's token: %s", r.body)
	}
	s.must(t, "DeleteResourcePolicy", `{"ResourceARN":"`+ordersARN+`"}`)
	for operation, body := range map[string]string{
		"ListShards": `{"NextToken":"` + page.NextToken + `"}`,
		"GetRecords": `{"StreamARN":"` + ordersARN + `","ShardIterator":"` + iterator.ShardIterator + `"}`,
	} {
		if code, text := s.asOther(t, operation, body); code != "AccessDeniedException" {
			t.Errorf("%s with the policy gone: %s: %s", operation, code, text)
		}
	}
}

func TestOnlyTheOwnerSeesAndChangesAPolicy(t *testing.T) {
	s := twoAccounts(t)
	s.allow(t, `{"Effect":"Allow","Principal":"*","Action":"kinesis:*","Resource":"*"}`)
	for operation, rest := range map[string]string{"GetResourcePolicy": "", "DeleteResourcePolicy": "", "PutResourcePolicy": `,"Policy":"{}"`} {
		if code, text := s.asOther(t, operation, `{"ResourceARN":"`+ordersARN+`"`+rest+`}`); code != "AccessDeniedException" {
			t.Errorf("%s: %s: %s", operation, code, text)
		}
	}
}

func TestAnotherAccountMayUseAConsumerThatItsPolicyLeavesToIt(t *testing.T) {
	s := twoAccounts(t)
	var registered struct{ Consumer struct{ ConsumerARN string } }
	answer := s.must(t, "RegisterStreamConsumer", `{"StreamARN":"`+ordersARN+`","ConsumerName":"billing"}`)
	if err := json.Unmarshal([]byte(answer), &registered); err != nil {
		t.Fatal(err)
	}
	consumer := registered.Consumer.ConsumerARN
	describe := `{"ConsumerARN":"` + consumer + `"}`
	subscribe := `{"ConsumerARN":"` + consumer + `","ShardId":"shardId-000000000009","StartingPosition":{"Type":"LATEST"}}`
	s.allow(t, `{"Effect":"Allow","Principal":"*","Action":"kinesis:*","Resource":"*"}`) // the stream's says nothing of the consumer
	for operation, body := range map[string]string{"DescribeStreamConsumer": describe, "SubscribeToShard": subscribe} {
		if code, text := s.asOther(t, operation, body); code != "AccessDeniedException" {
			t.Errorf("%s without a policy: %s: %s", operation, code, text)
		}
	}
	text, _ := json.Marshal(`{"Statement":{"Effect":"Allow","Principal":{"AWS":"` + otherAccount + `"},"Action":["kinesis:DescribeStreamConsumer","kinesis:SubscribeToShard"],"Resource":"` + consumer + `"}}`)
	s.must(t, "PutResourcePolicy", `{"ResourceARN":"`+consumer+`","Policy":`+string(text)+`}`)
	if code, text := s.asOther(t, "DescribeStreamConsumer", describe); code != "" || !strings.Contains(text, consumer) {
		t.Errorf("%s: %s", code, text)
	}
	if code, text := s.asOther(t, "SubscribeToShard", subscribe); code != "ResourceNotFoundException" {
		t.Errorf("a shard that is not there: %s: %s", code, text)
	}
	if code, text := s.asOther(t, "DeregisterStreamConsumer", describe); code != "AccessDeniedException" {
		t.Errorf("%s: %s", code, text)
	}
	byName := `{"StreamARN":"` + ordersARN + `","ConsumerName":"billing"}`
	if code, text := s.asOther(t, "DescribeStreamConsumer", byName); code != "" {
		t.Errorf("by the stream, whose policy allows it: %s: %s", code, text)
	}
	text, _ = json.Marshal(`{"Statement":{"Effect":"Deny","Principal":"*","Action":"kinesis:*","Resource":"*"}}`)
	s.must(t, "PutResourcePolicy", `{"ResourceARN":"`+consumer+`","Policy":`+string(text)+`}`)
	for _, operation := range []string{"DescribeStreamConsumer", "DeregisterStreamConsumer"} {
		for _, body := range []string{describe, byName} {
			code, text := s.asOther(t, operation, body)
			if code != "AccessDeniedException" || !strings.Contains(text, consumer+" with an explicit deny") {
				t.Errorf("%s %s, which the consumer's policy denies: %s: %s", operation, body, code, text)
			}
		}
	}
	s.must(t, "DescribeStreamConsumer", byName)
}

func TestControlOperationsAreLimitedWhenTheOperatorSaysSo(t *testing.T) {
	s := start(t, func(set *setting) { set.api.Kinesis.ControlRates = map[string]int{"DescribeStreamSummary": 2} })
	s.must(t, "CreateStream", `{"StreamName":"orders","ShardCount":1}`)
	refused := 0
	for range 50 {
		if r := s.call(t, "Kinesis_20131202.DescribeStreamSummary", `{"StreamName":"orders"}`); r.status != http.StatusOK {
			refused++
			const want = `{"__type":"LimitExceededException","message":"Rate exceeded for stream orders under account 123456789012."}`
			if string(r.body) != want {
				t.Fatalf("%s", r.body)
			}
		}
	}
	if refused == 0 {
		t.Error("fifty calls at once were let pass")
	}
	s.must(t, "DescribeStream", `{"StreamName":"orders"}`)
}
