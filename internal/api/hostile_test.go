package api_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-462d9463/sluice/internal/api/kinesis"
	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/stream"
)

const (
	listStreams = "Kinesis_20131202.ListStreams"
	putRecord   = "Kinesis_20131202.PutRecord"
	putRecords  = "Kinesis_20131202.PutRecords"
)

// metric is the sum over all labels of a metric of the server.
func (s *server) metric(t *testing.T, name string) (sum float64) {
	t.Helper()
	families, err := s.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return sum
}

// stillServes checks that a good request is answered as ever.
func (s *server) stillServes(t *testing.T) {
	t.Helper()
	if a := s.call(t, listStreams, "{}"); a.status != http.StatusOK {
		t.Errorf("a good request: %d %s", a.status, a.body)
	}
}

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
		{"CBOR", "POST", listStreams, "application/x-amz-cbor-1.1", true, 404, "\xa2\x66__type\x78\x19UnknownOperationException\x67message"},
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

func TestBodiesThatAreTooLargeAreRefused(t *testing.T) {
	s := start(t)
	const large = 17 << 20
	t.Run("announced", func(t *testing.T) {
		a := s.call(t, listStreams, strings.Repeat(" ", 2<<20+1))
		if a.status != http.StatusRequestEntityTooLarge || !strings.Contains(string(a.body), "RequestEntityTooLargeException") {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
	t.Run("announced and never sent", func(t *testing.T) {
		answer := s.raw(t, s.head(t, putRecords, "Content-Length: "+fmt.Sprint(1<<62)), nil)
		if !strings.HasPrefix(answer, "HTTP/1.1 413 ") {
			t.Errorf("%.100s", answer)
		}
	})
	t.Run("chunked", func(t *testing.T) {
		r := s.request(t, putRecords, "")
		r.Body, r.ContentLength = io.NopCloser(io.LimitReader(blanks{}, large)), -1
		response, err := s.client.Do(r)
		if err != nil {
			t.Skip("the connection was closed while the client was still sending:", err)
		}
		defer func() { _ = response.Body.Close() }()
		if response.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("status %d", response.StatusCode)
		}
	})
	s.stillServes(t)
	eventually(t, "no memory is reserved", func() bool { return s.metric(t, "sluice_api_memory_reserved_bytes") == 0 })
}

type blanks struct{}

func (blanks) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// head is the head of a signed request, to be sent by hand.
func (s *server) head(t *testing.T, target, length string) string {
	t.Helper()
	r := s.request(t, target, "")
	var b strings.Builder
	b.WriteString("POST / HTTP/1.1\r\nHost: " + r.Host + "\r\n" + length + "\r\n")
	for name, values := range r.Header {
		b.WriteString(name + ": " + values[0] + "\r\n")
	}
	return b.String() + "\r\n"
}

// raw sends bytes, then what more sends, and returns all that comes back until the server closes.
func (s *server) raw(t *testing.T, head string, more func(net.Conn)) string {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, head); err != nil {
		t.Fatal(err)
	}
	var sending sync.WaitGroup
	if more != nil {
		sending.Go(func() { more(conn) })
	}
	answer, _ := io.ReadAll(bufio.NewReader(conn)) // it may be reset
	_ = conn.Close()
	sending.Wait()
	return string(answer)
}

func TestBodiesThatNeverEndAreCutOffAndHoldLittleMemory(t *testing.T) {
	s := start(t, func(set *setting) { set.api.BodyTimeout = 300 * time.Millisecond })
	var cut atomic.Int32
	var clients sync.WaitGroup
	for range 20 {
		clients.Go(func() {
			head := s.head(t, putRecords, "Content-Length: 15000000")
			answer := s.raw(t, head, func(conn net.Conn) {
				for { // a byte now and then, until the server has had enough
					if _, err := io.WriteString(conn, " "); err != nil {
						return
					}
					<-time.After(10 * time.Millisecond)
				}
			})
			if strings.HasPrefix(answer, "HTTP/1.1 408 ") && strings.Contains(answer, "RequestTimeoutException") {
				cut.Add(1)
			}
		})
	}
	eventually(t, "all are in flight", func() bool { return s.metric(t, "sluice_api_requests_in_flight") == 20 || cut.Load() > 0 })
	if reserved := s.metric(t, "sluice_api_memory_reserved_bytes"); reserved > 20*64<<10 {
		t.Errorf("%v bytes are reserved for what has only been announced", reserved)
	}
	s.stillServes(t)
	clients.Wait()
	if cut.Load() == 0 {
		t.Error("no client was told why it was cut off")
	}
	eventually(t, "no memory is reserved", func() bool { return s.metric(t, "sluice_api_memory_reserved_bytes") == 0 })
}

func TestAClientThatDoesNotTakeItsAnswersIsCutOff(t *testing.T) {
	s := start(t, func(set *setting) { set.api.BodyTimeout = 300 * time.Millisecond })
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	request := s.head(t, "Kinesis_20131202.NoSuchThing", "Content-Length: 0") // unread answers pile up fastest
	failed := false
	for range 1_000_000 { // far more than socket buffers hold
		if _, err := io.WriteString(conn, request); err != nil {
			failed = true
			break
		}
	}
	if !failed {
		t.Error("the server goes on answering")
	}
	s.stillServes(t)
	eventually(t, "nothing is in flight", func() bool { return s.metric(t, "sluice_api_requests_in_flight") == 0 })
}

func TestAClientThatGoesAwayIsNobodysProblem(t *testing.T) {
	s := start(t)
	for range 10 {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, s.head(t, putRecords, "Content-Length: 1000000")+"{"); err != nil {
			t.Fatal(err)
		}
		_ = conn.Close()
	}
	s.stillServes(t)
	eventually(t, "no memory is reserved", func() bool { return s.metric(t, "sluice_api_memory_reserved_bytes") == 0 })
	if panics := s.metric(t, "sluice_api_panics_total"); panics != 0 {
		t.Errorf("%v panics", panics)
	}
}

func TestLargeRequestsShareLittleMemory(t *testing.T) {
	s := start(t, func(set *setting) { set.api.MemoryBytes = 4 << 20 })
	if a := s.call(t, "Kinesis_20131202.CreateStream", `{"StreamName":"s","ShardCount":1}`); a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	body := `{"StreamName":"s","Records":[` + strings.Repeat(`{"PartitionKey":"k","Data":"`+strings.Repeat("AAAA", 5000)+`"},`, 99) +
		`{"PartitionKey":"k","Data":""}]}`
	var clients sync.WaitGroup
	for range 16 {
		clients.Go(func() {
			for range 3 {
				if a := s.call(t, putRecords, body); a.status != http.StatusOK || !bytes.HasPrefix(a.body, []byte(`{"FailedRecordCount":0,`)) {
					t.Errorf("%d %.200s", a.status, a.body)
				}
			}
		})
	}
	clients.Wait()
}

func TestHostileJSONIsRefused(t *testing.T) {
	s := start(t)
	for what, body := range map[string]string{
		"deep":                      strings.Repeat(`{"a":`, 100_000),
		"deep in what is not known": `{"StreamName":"s","X":` + strings.Repeat("[", 100_000),
		"an unfinished string":      `{"StreamName":"` + strings.Repeat("a", 100_000),
		"a control character":       "{\"StreamName\":\"a\x00b\"}",
		"invalid UTF-8":             "{\"StreamName\":\"a\xffb\"}",
		"two documents":             `{}{}`,
		"binary":                    "\x00\x01\x02\xff\xfe",
		"a million records":         `{"StreamName":"s","Records":[` + strings.Repeat(`{},`, 1_000_000) + `{}]}`,
		"a long number":             `{"StreamName":"s","Records":` + strings.Repeat("9", 1_000_000) + `}`,
	} {
		a := s.call(t, putRecords, body)
		ok := strings.Contains(string(a.body), "SerializationException")
		if what == "a million records" {
			ok = strings.Contains(string(a.body), "Member must have length less than or equal to 500")
		}
		if a.status != http.StatusBadRequest || !ok || len(a.body) > 4096 {
			t.Errorf("%s: %d %.300s", what, a.status, a.body)
		}
	}
	for _, number := range []string{"1e999999999", "-1e999999999", strings.Repeat("9", 100_000), "0.0000000001"} {
		a := s.call(t, listStreams, `{"Limit":`+number+`}`)
		if a.status != http.StatusBadRequest || !strings.Contains(string(a.body), "ValidationException") {
			t.Errorf("%.20s: %d %.200s", number, a.status, a.body)
		}
	}
	s.stillServes(t)
}

func TestDuplicateAndOddHeadersAreRefused(t *testing.T) {
	s := start(t)
	for what, lines := range map[string]string{
		"two lengths":           "Content-Length: 2\r\nContent-Length: 3",
		"a length and chunks":   "Content-Length: 2\r\nTransfer-Encoding: chunked, chunked",
		"a negative length":     "Content-Length: -1",
		"no number as a length": "Content-Length: two",
		"two authorizations":    "Content-Length: 2\r\nAuthorization: AWS4-HMAC-SHA256 x\r\nConnection: close",
		"a huge header":         "Content-Length: 2\r\nX-Big: " + strings.Repeat("x", 100_000),
		"a second operation":    "Content-Length: 2\r\nX-Amz-Target: Kinesis_20131202.DeleteStream\r\nConnection: close",
	} {
		answer := s.raw(t, s.head(t, listStreams, lines), func(conn net.Conn) { _, _ = io.WriteString(conn, "{}") })
		if !strings.HasPrefix(answer, "HTTP/1.1 4") && !strings.HasPrefix(answer, "HTTP/1.1 501") && answer != "" {
			t.Errorf("%s: %.200s", what, answer)
		}
	}
	s.stillServes(t)
}

// broken are streams that fail in ways that real ones do not fail at will.
type broken struct {
	kinesis.Streams
	err error // nil: panic
}

func (b broken) PutInto(context.Context, stream.Name, []stream.Entry, []stream.Result) ([]stream.Result, error) {
	if b.err == nil {
		panic("a defect")
	}
	return nil, b.err
}

func TestADefectFailsItsRequestAlone(t *testing.T) {
	s := start(t, func(set *setting) {
		set.streamsOf = func(real kinesis.Streams) kinesis.Streams { return broken{real, nil} }
	})
	const body = `{"StreamName":"s","PartitionKey":"k","Data":""}`
	for i := range 5 {
		a := s.call(t, putRecord, body)
		if a.status != http.StatusInternalServerError || string(a.body) != `{"__type":"InternalFailure","message":"Internal service failure."}` {
			t.Errorf("%d %s", a.status, a.body)
		}
		if got := s.metric(t, "sluice_api_panics_total"); got != float64(i+1) {
			t.Errorf("%v panics are counted", got)
		}
		s.stillServes(t)
	}
}

func TestErrorsOfTheServerSayWhatTheyMay(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		text   string
	}{
		{fmt.Errorf("write: %w", shard.ErrNoSpace), 503, "There is no space left on the server's disk."},
		{shard.ErrClosed, 503, "The server is shutting down."},
		{errors.New("/secret/path is broken"), 500, "Internal service failure."},
		{&shard.CorruptError{File: "/secret/path"}, 500, "Internal service failure."},
	} {
		s := start(t, func(set *setting) {
			set.streamsOf = func(real kinesis.Streams) kinesis.Streams { return broken{real, c.err} }
		})
		for target, body := range map[string]string{
			putRecord:  `{"StreamName":"s","PartitionKey":"k","Data":""}`,
			putRecords: `{"StreamName":"s","Records":[{"PartitionKey":"k","Data":""}]}`,
		} {
			a := s.call(t, target, body)
			if a.status != c.status || !strings.Contains(string(a.body), c.text) || strings.Contains(string(a.body), "secret") {
				t.Errorf("%v: %d %s", c.err, a.status, a.body)
			}
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
	for _, want := range []string{"OK ListStreams kinesis", "SerializationException ListStreams kinesis", "UnknownOperationException  "} {
		if got[want] != 1 {
			t.Errorf("%q is not counted: %v", want, got)
		}
	}
}
