package api_test

import (
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestEveryAnswerHasAWSsHeaders(t *testing.T) {
	s := start(t)
	uuid := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	for what, body := range map[string]string{"good": "{}", "bad": "{"} {
		a := s.call(t, listStreams, body)
		if id := a.header.Get("X-Amzn-Requestid"); !uuid.MatchString(id) {
			t.Errorf("%s: request id %q", what, id)
		}
		if id := a.header.Get("X-Amz-Id-2"); len(id) != 96 {
			t.Errorf("%s: id 2 %q", what, id)
		}
		if a.header.Get("Content-Type") != "application/x-amz-json-1.1" || a.header.Get("Date") == "" {
			t.Errorf("%s: headers %v", what, a.header)
		}
	}
}

func TestWhatIsNoAPIRequestIsAnsweredAsAWSDoes(t *testing.T) {
	s := start(t)
	denied := "<AccessDeniedException>\n  <Message>Unable to determine service/operation name to be authorized</Message>\n</AccessDeniedException>\n"
	missing := "<MissingAuthenticationTokenException>\n  <Message>Missing Authentication Token</Message>\n</MissingAuthenticationTokenException>\n"
	for _, c := range []struct {
		name, method, target, contentType string
		signed                            bool
		status                            int
		body                              string
	}{
		{"a browser", "GET", "", "", false, 200, "Sluice is here."},
		{"a browser elsewhere", "GET", "/favicon.ico", "", false, 403, missing},
		{"a signed GET", "GET", "", "", true, 403, denied},
		{"PUT", "PUT", "", "", false, 403, missing},
		{"a signed PUT", "PUT", "", "", true, 403, denied},
		{"OPTIONS", "OPTIONS", "", "", false, 403, missing},
		{"nothing at all", "POST", "", "", true, 403, denied},
		{"no content type", "POST", listStreams, "", true, 404, "<UnknownOperationException>\n  <Message>The content type must be application/x-amz-json-1.1.</Message>\n"},
		{"plain JSON", "POST", listStreams, "application/json", true, 404, "<UnknownOperationException>"},
		{"JSON 1.0", "POST", listStreams, "application/x-amz-json-1.0", true, 404, "<UnknownOperationException>"},
		{"an unknown operation without a content type", "POST", "Kinesis_20131202.X", "", true, 404, "<UnknownOperationException/>\n"},
		{"no operation", "POST", "", "application/x-amz-json-1.1", true, 400, `{"__type":"UnknownOperationException"}`},
		{"CBOR that is none", "POST", listStreams, "application/x-amz-cbor-1.1", true, 400, "\xbff__typevSerializationExceptiongmessage"},
		{"CBOR where AWS has none", "POST", "Firehose_20150804.ListDeliveryStreams", "application/x-amz-cbor-1.1", true, 404,
			"\xbff__typex\x19UnknownOperationExceptiongmessage"},
		{"a charset", "POST", listStreams, "application/x-amz-json-1.1; charset=UTF-8", true, 200, `{"StreamNames":[]`},
		{"unsigned", "POST", listStreams, "application/x-amz-json-1.1", false, 400,
			`{"__type":"MissingAuthenticationTokenException","message":"Missing Authentication Token"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			url, body := s.url, "{}"
			if strings.HasPrefix(c.target, "/") {
				url, c.target = url+c.target, ""
			}
			r, err := http.NewRequest(c.method, url, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			for name, value := range map[string]string{"X-Amz-Target": c.target, "Content-Type": c.contentType} {
				if value != "" {
					r.Header.Set(name, value)
				}
			}
			if c.signed {
				sign(r, body)
			}
			a := s.do(t, r)
			if a.status != c.status || !strings.HasPrefix(string(a.body), c.body) {
				t.Errorf("%d %q, want %d %q", a.status, a.body, c.status, c.body)
			}
		})
	}
}

func TestOnlyRightSignaturesAreServed(t *testing.T) {
	s := start(t)
	for code, change := range map[string]func(*http.Request){
		"InvalidSignatureException":   func(r *http.Request) { r.Header.Set("X-Amz-Target", "Kinesis_20131202.ListShards") },
		"UnrecognizedClientException": func(r *http.Request) { replaceAuthorization(r, testKey, "AKIDSTRANGER") },
		"IncompleteSignatureException": func(r *http.Request) {
			replaceAuthorization(r, "SignedHeaders", "Headers")
		},
		"MissingAuthenticationTokenException": func(r *http.Request) { r.Header.Del("Authorization") },
	} {
		r := s.request(t, listStreams, "{}")
		change(r)
		if a := s.do(t, r); a.status != http.StatusBadRequest || !strings.Contains(string(a.body), `"`+code+`"`) {
			t.Errorf("%d %s, want %s", a.status, a.body, code)
		}
	}
	s.stillServes(t)
}

func replaceAuthorization(r *http.Request, old, with string) {
	r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), old, with, 1))
}

func TestWithoutCredentialsPagesCannotReachTheServerByANameOfTheirOwn(t *testing.T) {
	open := func(set *setting) { set.api.Credentials = nil }
	for _, c := range []struct {
		host, origin string
		change       func(*setting)
		status       int
	}{
		{"evil.example:4566", "http://evil.example:4566", open, http.StatusForbidden},
		{"evil.example", "null", open, http.StatusForbidden},
		{"localhost.evil.example", "http://localhost.evil.example", open, http.StatusForbidden},
		{"127.0.0.1.evil.example", "http://127.0.0.1.evil.example", open, http.StatusForbidden},
		{"sluice:4566", "", open, http.StatusOK}, // an SDK, and a line in /etc/hosts
		{"localhost:4566", "http://localhost:4566", open, http.StatusOK},
		{"kinesis.localhost.", "http://kinesis.localhost.", open, http.StatusOK},
		{"127.0.0.1:4566", "http://127.0.0.1:4566", open, http.StatusOK},
		{"[::1]:4566", "http://[::1]:4566", open, http.StatusOK},
		{"[::1]", "http://[::1]", open, http.StatusOK},
		{"sluice.example", "http://sluice.example", func(*setting) {}, http.StatusOK}, // signed
	} {
		s := start(t, c.change)
		r := s.request(t, listStreams, "{}")
		r.Host = c.host
		if c.origin != "" {
			r.Header.Set("Origin", c.origin)
		}
		sign(r, "{}")
		if a := s.do(t, r); a.status != c.status {
			t.Errorf("%s from %s: %d %s, want %d", c.host, c.origin, a.status, a.body, c.status)
		}
	}
}

func TestWithoutCredentialsAnybodyIsServedInTheRegionHeNames(t *testing.T) {
	s := start(t, func(set *setting) { set.api.Credentials = nil })
	arn := func(authorization string) string {
		t.Helper()
		for _, target := range []string{"CreateStream", "DescribeStreamSummary"} {
			r := s.request(t, "Kinesis_20131202."+target, `{"StreamName":"s","ShardCount":1}`)
			r.Header.Set("Authorization", authorization)
			a := s.do(t, r)
			if a.status != http.StatusOK {
				t.Fatalf("%s: %d %s", target, a.status, a.body)
			}
			if found := regexp.MustCompile(`arn:[^"]*`).Find(a.body); found != nil {
				return string(found)
			}
		}
		return ""
	}
	for authorization, want := range map[string]string{
		"": "arn:aws:kinesis:us-east-1:000000000000:stream/s",
		"AWS4-HMAC-SHA256 Credential=x/20200101/cn-north-1/kinesis/aws4_request, Signature=y": "arn:aws-cn:kinesis:cn-north-1:000000000000:stream/s",
		"AWS4-HMAC-SHA256 Credential=x/20200101/../kinesis/aws4_request":                      "",
		"Basic abc": "",
	} {
		if want == "" {
			r := s.request(t, listStreams, "{}")
			r.Header.Set("Authorization", authorization)
			if a := s.do(t, r); a.status != http.StatusOK {
				t.Errorf("%s: %d %s", authorization, a.status, a.body)
			}
			continue
		}
		if got := arn(authorization); got != want {
			t.Errorf("%s: %s, want %s", authorization, got, want)
		}
	}
}

func TestHTTP2WithPriorKnowledgeIsSpoken(t *testing.T) {
	s := start(t)
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: &protocols}
	defer transport.CloseIdleConnections()
	s.client = &http.Client{Transport: transport}
	s.stillServes(t)
	body := strings.Repeat(" ", 1<<20) + "{}"
	response, err := s.client.Do(s.request(t, listStreams, body))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.ProtoMajor != 2 || response.StatusCode != http.StatusOK {
		t.Errorf("%s %s", response.Proto, response.Status)
	}
}

func TestIteratorsAndTokensExpire(t *testing.T) {
	var late atomic.Int64
	s := start(t, func(set *setting) {
		set.api.Credentials = nil // signatures go by the clock, too
		set.api.Now = func() time.Time { return time.Now().Add(time.Duration(late.Load())) }
	})
	if a := s.call(t, "Kinesis_20131202.CreateStream", `{"StreamName":"s","ShardCount":2}`); a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	take := func(target, body, member string) string {
		t.Helper()
		found := regexp.MustCompile(`"` + member + `":"([^"]+)"`).FindSubmatch(s.call(t, target, body).body)
		if found == nil {
			t.Fatalf("%s has no %s", target, member)
		}
		return string(found[1])
	}
	iterator := take("Kinesis_20131202.GetShardIterator", `{"StreamName":"s","ShardId":"0","ShardIteratorType":"LATEST"}`, "ShardIterator")
	token := take("Kinesis_20131202.ListShards", `{"StreamName":"s","MaxResults":1}`, "NextToken")
	use := func() (read, list answer) {
		return s.call(t, "Kinesis_20131202.GetRecords", `{"ShardIterator":"`+iterator+`"}`),
			s.call(t, "Kinesis_20131202.ListShards", `{"NextToken":"`+token+`"}`)
	}
	late.Store(int64(299 * time.Second))
	if read, list := use(); read.status != http.StatusOK || list.status != http.StatusOK {
		t.Errorf("after 299 seconds: %s, %s", read.body, list.body)
	}
	late.Store(int64(302 * time.Second))
	read, list := use()
	day := `\w{3} \w{3} \d{2} \d{2}:\d{2}:\d{2} UTC \d{4}`
	if want := regexp.MustCompile(`^{"__type":"ExpiredIteratorException","message":"Iterator expired. The iterator was created at time ` + day +
		` while right now it is ` + day + ` which is further in the future than the tolerated delay of 300000 milliseconds."}$`); !want.Match(read.body) {
		t.Errorf("after 302 seconds: %s", read.body)
	}
	if !strings.Contains(string(list.body), `"ExpiredNextTokenException"`) {
		t.Errorf("after 302 seconds: %s", list.body)
	}
}

func TestAChangedIteratorIsRefused(t *testing.T) {
	s := start(t)
	if a := s.call(t, "Kinesis_20131202.CreateStream", `{"StreamName":"s","ShardCount":1}`); a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	a := s.call(t, "Kinesis_20131202.GetShardIterator", `{"StreamName":"s","ShardId":"0","ShardIteratorType":"LATEST"}`)
	iterator := strings.TrimSuffix(strings.TrimPrefix(string(a.body), `{"ShardIterator":"`), `"}`)
	if len(iterator) > 512 {
		t.Errorf("an iterator of %d characters", len(iterator))
	}
	for i := range len(iterator) {
		changed := []byte(iterator)
		if changed[i] = 'A'; iterator[i] == 'A' {
			changed[i] = 'B'
		}
		a := s.call(t, "Kinesis_20131202.GetRecords", `{"ShardIterator":"`+string(changed)+`"}`)
		refused := strings.Contains(string(a.body), `"Invalid ShardIterator."`) || strings.Contains(string(a.body), "does not exist")
		if a.status != http.StatusBadRequest || !refused {
			t.Errorf("character %d changed: %d %s", i, a.status, a.body)
		}
	}
}

func TestRequestsAreCountedByTheirOutcome(t *testing.T) {
	s := start(t)
	s.stillServes(t)
	s.call(t, listStreams, "{")
	s.call(t, "Kinesis_20131202.NoSuchThing", "{}")
	// A request is counted when its answer has been sent, which a client may have by then.
	eventually(t, "all are counted", func() bool { return len(s.outcomes(t)) >= 3 })
	got := s.outcomes(t)
	for _, want := range []string{"OK ListStreams kinesis", "SerializationException ListStreams kinesis", "UnknownOperationException  "} {
		if got[want] != 1 {
			t.Errorf("%q is not counted: %v", want, got)
		}
	}
}

// outcomes are the requests that were counted, by code, operation and service.
func (s *server) outcomes(t *testing.T) map[string]float64 {
	t.Helper()
	families, err := s.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		if f.GetName() != "sluice_api_requests_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			if m.GetCounter().GetValue() > 0 {
				got[strings.Join(labels, " ")] = m.GetCounter().GetValue()
			}
		}
	}
	return got
}
