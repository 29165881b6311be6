package ingest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/seed-462d9463/sluice/internal/api/edge"
	"github.com/seed-462d9463/sluice/internal/api/ingest"
	"github.com/seed-462d9463/sluice/stream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const webKey = "wk-0123456789abcdef"

// streams notes what is put, and fails as it is told.
type streams struct {
	mu     sync.Mutex
	puts   [][]stream.Entry
	names  []stream.Name
	refuse func(stream.Entry) error // by record
	fail   func(entries []stream.Entry) error
}

func (s *streams) PutInto(_ context.Context, name stream.Name, entries []stream.Entry, results []stream.Result) ([]stream.Result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(entries) == 0 || len(entries) > stream.MaxPutRecords {
		panic(fmt.Sprint(len(entries), " entries"))
	}
	if s.fail != nil {
		if err := s.fail(entries); err != nil {
			return results, err
		}
	}
	var kept []stream.Entry
	for _, e := range entries {
		var err error
		if s.refuse != nil {
			err = s.refuse(e)
		}
		if err == nil {
			kept = append(kept, stream.Entry{PartitionKey: e.PartitionKey, Data: bytes.Clone(e.Data)})
		}
		results = append(results, stream.Result{Err: err})
	}
	s.puts, s.names = append(s.puts, kept), append(s.names, name)
	return results, nil
}

func (s *streams) data() (data []string) {
	for _, put := range s.puts {
		for _, e := range put {
			data = append(data, string(e.Data))
		}
	}
	return data
}

func (s *streams) keys() (keys []string) {
	for _, put := range s.puts {
		for _, e := range put {
			keys = append(keys, e.PartitionKey)
		}
	}
	return keys
}

// site is the endpoint under test.
type site struct {
	*streams
	t        *testing.T
	url      string
	registry *prometheus.Registry
	log      *bytes.Buffer
}

func serve(t *testing.T, change ...func(*ingest.Options)) *site {
	t.Helper()
	return serveWith(t, edge.Options{}, change...)
}

func serveWith(t *testing.T, beside edge.Options, change ...func(*ingest.Options)) *site {
	t.Helper()
	s := &site{streams: &streams{}, t: t, registry: prometheus.NewRegistry(), log: &bytes.Buffer{}}
	logger := slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	o := ingest.Options{
		Streams: s.streams, Config: ingest.DefaultConfig(), Open: true, Account: "000000000000", Region: "us-east-1",
		Registerer: s.registry, Logger: logger,
	}
	for _, c := range change {
		c(&o)
	}
	beside.Registerer, beside.Logger = s.registry, logger
	handler, err := edge.New(beside)
	if err != nil {
		t.Fatal(err)
	}
	in, err := ingest.New(o)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(nil)
	server.Config = edge.NewServer(handler.Beside("ingestion", "PostRecords", in))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	server.Start()
	t.Cleanup(func() {
		server.Close()
		if held, err := testutil.GatherAndCount(s.registry, "sluice_api_memory_reserved_bytes"); err != nil || held != 1 {
			t.Fatal(held, err)
		}
		if held := s.metric("sluice_api_memory_reserved_bytes"); held != 0 {
			t.Errorf("%v bytes are still reserved", held)
		}
	})
	s.url = server.URL
	return s
}

func withKey(k ingest.Key) func(*ingest.Options) {
	if k.Name == "" {
		k.Name = "web"
	}
	if k.Key == "" && k.SHA256 == "" {
		k.Key = webKey
	}
	if k.Streams == nil {
		k.Streams = []string{"*"}
	}
	return func(o *ingest.Options) { o.Config.Keys = append(o.Config.Keys, k) }
}

// metric is the sum of a metric over its labels.
func (s *site) metric(name string) (sum float64) {
	s.t.Helper()
	families, err := s.registry.Gather()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// answer is what the endpoint says.
type answer struct {
	status  int
	header  http.Header
	Records int
	Failed  int
	Errors  []struct {
		Line    int
		Code    string
		Retry   bool
		Message string
	}
	Error struct{ Code, Message string }
}

func (a answer) lines() (lines []string) {
	for _, e := range a.Errors {
		lines = append(lines, fmt.Sprint(e.Line, " ", e.Code))
	}
	return lines
}

func (s *site) send(method, path string, body io.Reader, headers ...string) answer {
	s.t.Helper()
	request, err := http.NewRequest(method, s.url+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			request.Host = headers[i+1]
			continue
		}
		request.Header.Set(headers[i], headers[i+1])
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true}}
	response, err := client.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	a := answer{status: response.StatusCode, header: response.Header}
	if len(text) > 0 {
		if err := json.Unmarshal(text, &a); err != nil {
			s.t.Fatalf("%d %q: %v", a.status, text, err)
		}
	}
	return a
}

func (s *site) post(body string, headers ...string) answer {
	s.t.Helper()
	return s.send(http.MethodPost, "/v1/streams/clicks/records", strings.NewReader(body), headers...)
}

func (s *site) want(a answer, status int, code string) {
	s.t.Helper()
	if a.status != status || a.Error.Code != code {
		s.t.Errorf("%d %+v, want %d %s", a.status, a, status, code)
	}
}

func (s *site) wantData(want ...string) {
	s.t.Helper()
	if got := s.data(); !slices.Equal(got, want) {
		s.t.Errorf("records %q, want %q", got, want)
	}
}

func TestEachLineIsARecordAsItWasSent(t *testing.T) {
	s := serve(t)
	a := s.post("{\"a\": 1}\n\r\n  \n\"two\"\r\n [3, 4] \n5", "Content-Type", "application/x-ndjson")
	if a.status != 200 || a.Records != 4 || a.Failed != 0 || a.Errors != nil {
		t.Errorf("answer %+v", a)
	}
	s.wantData(`{"a": 1}`, `"two"`, ` [3, 4] `, `5`)
	if n := s.metric("sluice_ingest_records_total"); n != 4 {
		t.Errorf("%v records counted", n)
	}
	if n := s.metric("sluice_ingest_bytes_total"); n != 8+5+8+1 {
		t.Errorf("%v bytes counted", n)
	}
}

func TestTheElementsOfAnArrayAreRecordsWithoutWhiteSpace(t *testing.T) {
	s := serve(t)
	a := s.post("\n[ {\"a b\" :\n 1.0} , \"x \\\" y\",null,[ ]\n]\n", "Content-Type", "application/json; charset=utf-8")
	if a.status != 200 || a.Records != 4 {
		t.Errorf("answer %+v", a)
	}
	s.wantData(`{"a b":1.0}`, `"x \" y"`, `null`, `[]`)
}

func TestTheFormIsToldByTheContentTypeAndElseByTheFirstByte(t *testing.T) {
	for _, c := range []struct {
		contentType, body string
		want              []string
	}{
		{"application/json", "[1, 2]", []string{"1", "2"}},
		{"application/json", "{\n \"a\": 1\n}\n", []string{`{"a":1}`}},
		{"application/json", "{\"a\": 1}\n{\"a\": 2}", []string{`{"a": 1}`, `{"a": 2}`}},
		{"application/cloudevents-batch+json", "[{}]", []string{"{}"}},
		{"application/x-ndjson", "[1,2]\n[3]", []string{"[1,2]", "[3]"}},
		{"text/plain;charset=UTF-8", "[1,2]", []string{"1", "2"}},
		{"text/plain;charset=UTF-8", "{\"a\":1}\n{}", []string{`{"a":1}`, "{}"}},
		{"", "\xef\xbb\xbf1\n2", []string{"1", "2"}},
		{"application/x-www-form-urlencoded", "{}\n{}", []string{"{}", "{}"}},
		{"application/json", " \n ", nil},
		{"text/plain", "", nil},
		{"application/json", "[]", nil},
	} {
		s := serve(t)
		a := s.post(c.body, "Content-Type", c.contentType)
		if a.status != 200 || a.Records != len(c.want) || a.Failed != 0 {
			t.Errorf("%s %q: %+v", c.contentType, c.body, a)
		}
		s.wantData(c.want...)
	}
	s := serve(t)
	s.want(s.post("{}", "Content-Type", "image/png"), 415, "UnsupportedMediaType")
	s.want(s.post("{}", "Content-Type", "multipart/form-data; boundary=x"), 415, "UnsupportedMediaType")
	s.wantData()
}

func TestWrongLinesAreListedAndTheOthersWritten(t *testing.T) {
	s := serve(t)
	a := s.post("{\"k\":1}\nnonsense\n\n{\"k\":2\n{\"k\":\"\xff\"}\n{\"k\":3} {}\n{\"other\":1}\n{\"k\":4}",
		"Content-Type", "application/x-ndjson", "X-Partition-Key-Field", "k")
	if a.status != 200 || a.Records != 2 || a.Failed != 5 {
		t.Errorf("answer %+v", a)
	}
	if want := []string{"2 InvalidJSON", "4 InvalidJSON", "5 InvalidJSON", "6 InvalidJSON", "7 NoPartitionKey"}; !slices.Equal(a.lines(), want) {
		t.Errorf("lines %q, want %q", a.lines(), want)
	}
	s.wantData(`{"k":1}`, `{"k":4}`)
	if n := s.metric("sluice_ingest_failures_total"); n != 5 {
		t.Errorf("%v failures counted", n)
	}
}

func TestABodyThatIsWrongAsAWholeWritesNothing(t *testing.T) {
	s := serve(t)
	s.want(s.post(`[{"a":1},{"b":}]`, "Content-Type", "application/json"), 400, "InvalidJSON")
	s.want(s.post(`[1,2`, "Content-Type", "application/json"), 400, "InvalidJSON")
	s.want(s.post(`[1,2]x`, "Content-Type", "text/plain"), 400, "InvalidJSON")
	s.want(s.post("[1,\"\xff\"]", "Content-Type", "text/plain"), 400, "InvalidJSON")
	s.wantData()
}

func TestARequestOfWhichNoLineIsRightFails(t *testing.T) {
	s := serve(t)
	if a := s.post("a\nb"); a.status != 400 || a.Records != 0 || a.Failed != 2 || a.Errors[0].Retry {
		t.Errorf("answer %+v", a)
	}
}

func TestPartitionKeysComeFromAHeaderTheQueryAFieldOrAreRandom(t *testing.T) {
	body := `{"user":{"id":"u1","n":7},"x":true}` + "\n" + `{"user":{"n":1.50,"id":"\u0075\ud83d\ude00"},"x":false}`
	for _, c := range []struct {
		query   string
		headers []string
		want    []string
	}{
		{"", []string{"X-Partition-Key", "k"}, []string{"k", "k"}},
		{"?partition_key=k%C3%BC", nil, []string{"kü", "kü"}},
		{"?partition_key_field=user.id", nil, []string{"u1", "u😀"}},
		{"", []string{"X-Partition-Key-Field", ".user.n"}, []string{"7", "1.50"}},
		{"", []string{"X-Partition-Key-Field", "x"}, []string{"true", "false"}},
	} {
		s := serve(t)
		a := s.send(http.MethodPost, "/v1/streams/clicks/records"+c.query, strings.NewReader(body), c.headers...)
		if a.status != 200 || !slices.Equal(s.keys(), c.want) {
			t.Errorf("%s %q: keys %q, want %q; %+v", c.query, c.headers, s.keys(), c.want, a)
		}
	}

	s := serve(t)
	s.post(strings.Repeat("{}\n", 3000))
	distinct := s.keys()
	slices.Sort(distinct)
	if n := len(slices.Compact(distinct)); n != 3000 {
		t.Errorf("%d random keys for 3000 records", n)
	}

	s.want(s.post("{}", "X-Partition-Key", strings.Repeat("k", 257)), 400, "InvalidRequest")
	s.want(s.post("{}", "X-Partition-Key", "k\xff"), 400, "InvalidRequest")
	s.want(s.post("{}", "X-Partition-Key", "k", "X-Partition-Key-Field", "f"), 400, "InvalidRequest")
	s.want(s.post("{}", "X-Partition-Key-Field", "a..b"), 400, "InvalidRequest")
	for _, record := range []string{`{}`, `{"k":null}`, `{"k":{}}`, `{"k":[1]}`, `{"k":""}`, `{"k":"` + strings.Repeat("x", 257) + `"}`, `[1]`, `"k"`} {
		if a := s.post(record, "X-Partition-Key-Field", "k", "Content-Type", "application/x-ndjson"); a.status != 400 || a.Errors[0].Code != "NoPartitionKey" {
			t.Errorf("%s: %+v", record, a)
		}
	}
}

func zipped(t *testing.T, body string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, body); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func zstandard(t *testing.T, body string) string {
	t.Helper()
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	return string(w.EncodeAll([]byte(body), nil))
}

func TestBodiesMayBeCompressed(t *testing.T) {
	s := serve(t)
	body := strings.Repeat("{\"a\":1}\n", 1000)
	s.want(s.post(body, "Content-Encoding", "identity"), 200, "")
	for coding, encoded := range map[string]string{"gzip": zipped(t, body), "zstd": zstandard(t, body)} {
		for range 3 { // decoders are used again
			if a := s.post(encoded, "Content-Encoding", coding); a.status != 200 || a.Records != 1000 {
				t.Errorf("%s: %+v", coding, a)
			}
			s.want(s.post(encoded[:len(encoded)-3], "Content-Encoding", coding), 400, "InvalidEncoding")
			s.want(s.post(encoded[:len(encoded)-3]+"\xff\xff\xff", "Content-Encoding", coding), 400, "InvalidEncoding")
			s.want(s.post(body, "Content-Encoding", coding), 400, "InvalidEncoding")
		}
	}
	if n := len(s.data()); n != 7000 {
		t.Errorf("%d records", n)
	}
	s.want(s.post("x", "Content-Encoding", "br"), 415, "UnsupportedEncoding")
	s.want(s.post(zipped(t, zipped(t, "1")), "Content-Encoding", "gzip, gzip"), 415, "UnsupportedEncoding")
}

func TestABodyIsBoundedBeforeAndAfterDecompression(t *testing.T) {
	s := serve(t, func(o *ingest.Options) { o.Config.MaxBodyBytes = 64 << 10 })
	large := `"` + strings.Repeat("x", 64<<10) + `"`
	s.want(s.post(large), 413, "RequestEntityTooLargeException")
	s.want(s.send(http.MethodPost, "/v1/streams/clicks/records", io.MultiReader(strings.NewReader(large))), 413, "RequestEntityTooLargeException")
	s.want(s.post(zipped(t, strings.Repeat(large, 100)), "Content-Encoding", "gzip"), 413, "RequestEntityTooLargeException")
	s.want(s.post(zstandard(t, strings.Repeat(large, 100)), "Content-Encoding", "zstd"), 413, "RequestEntityTooLargeException")
	s.want(s.post(strings.Repeat(zipped(t, ""), 4000), "Content-Encoding", "gzip"), 413, "RequestEntityTooLargeException")
	s.want(s.send(http.MethodPost, "/v1/streams/clicks/records", io.MultiReader(strings.NewReader(strings.Repeat(zipped(t, ""), 4000))),
		"Content-Encoding", "gzip"), 413, "RequestEntityTooLargeException")
	s.wantData()

	s = serve(t)
	s.want(s.post(strings.Repeat("1\n", 100_001)), 413, "TooManyRecords")
	s.want(s.post(strings.Repeat("x\n", 100_001)), 413, "TooManyRecords")
	s.wantData()
	if a := s.post(strings.Repeat("1\n", 100_000)); a.Records != 100_000 {
		t.Errorf("%d records of a request that has as many as it may", a.Records)
	}
}

func TestARequestMayHaveMoreRecordsThanOnePutTakesAndTheyKeepTheirOrder(t *testing.T) {
	s := serve(t)
	var body strings.Builder
	var want []string
	for i := range 1700 {
		record := fmt.Sprintf(`{"n":%d}`, i)
		body.WriteString(record + "\n")
		want = append(want, record)
	}
	if a := s.post(body.String(), "X-Partition-Key-Field", "n"); a.Records != 1700 {
		t.Errorf("answer %+v", a)
	}
	s.wantData(want...)
	for i, key := range s.keys() {
		if key != fmt.Sprint(i) {
			t.Fatalf("record %d has the key %s", i, key)
		}
	}
	if n := len(s.puts); n != 4 {
		t.Errorf("%d puts", n)
	}

	s = serve(t)
	large := `"` + strings.Repeat("x", 3<<20) + `"` + "\n"
	if a := s.post(strings.Repeat(large, 5)); a.Records != 5 {
		t.Errorf("answer %+v", a)
	}
	if n := len(s.puts); n != 2 {
		t.Errorf("%d puts for 15 MiB", n)
	}
}

func TestHTTPErrorsForWhatIsNotHere(t *testing.T) {
	s := serve(t)
	for _, path := range []string{"/v1/streams/", "/v1/streams/a", "/v1/streams/a/b/records", "/v1/streams//records", "/v1/streams/a%20b/records",
		"/v1/streams/" + strings.Repeat("a", 129) + "/records"} {
		s.want(s.send(http.MethodPost, path, strings.NewReader("{}")), 404, "NotFound")
	}
	a := s.send(http.MethodGet, "/v1/streams/a/records", nil)
	s.want(a, 405, "MethodNotAllowed")
	if a.header.Get("Allow") != "POST, OPTIONS" {
		t.Errorf("Allow: %s", a.header.Get("Allow"))
	}
	s.want(s.send(http.MethodPost, "/v1/streams/a/records?a=%zz", strings.NewReader("{}")), 400, "InvalidRequest")
	s.want(s.send(http.MethodPost, "/v1/streams/a/records?partition_key_filed=user", strings.NewReader("{}")), 400, "InvalidRequest")
	s.want(s.send(http.MethodPost, "/v1/streams/a/records?partition_key=1&partition_key=2", strings.NewReader("{}")), 400, "InvalidRequest")
	s.wantData()
}
