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
	if reserved := s.metric(t, "sluice_api_memory_reserved_bytes"); reserved > 20*4<<10 {
		t.Errorf("%v bytes are reserved for what has only been announced", reserved)
	}
	s.stillServes(t)
	clients.Wait()
	if cut.Load() == 0 {
		t.Error("no client was told why it was cut off")
	}
	eventually(t, "no memory is reserved", func() bool { return s.metric(t, "sluice_api_memory_reserved_bytes") == 0 })
}

func TestARefusedRequestWhoseBodyNeverComesIsCutOff(t *testing.T) {
	s := start(t, func(set *setting) { set.api.BodyTimeout = 300 * time.Millisecond })
	for what, length := range map[string]string{"announced": "Content-Length: 1000", "chunked": "Transfer-Encoding: chunked"} {
		head := "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-amz-json-1.1\r\nX-Amz-Target: " + listStreams + "\r\n" + length + "\r\n\r\n"
		answer := s.raw(t, head, func(conn net.Conn) { _ = conn.SetReadDeadline(time.Now().Add(20 * time.Second)) })
		if !strings.HasPrefix(answer, "HTTP/1.1 400 ") || !strings.Contains(answer, "MissingAuthenticationTokenException") {
			t.Errorf("%s: %.200q", what, answer)
		}
	}
	s.stillServes(t)
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

// counted are streams whose reads end when they are told to.
type counted struct {
	kinesis.Streams
	reading *atomic.Int32
	end     chan struct{}
}

func (c counted) Read(ctx context.Context, name stream.Name, from stream.Position, limit int, scratch *shard.Scratch) (stream.ReadResult, error) {
	c.reading.Add(1)
	defer c.reading.Add(-1)
	<-c.end
	return c.Streams.Read(ctx, name, from, limit, scratch)
}

// iterator makes a stream with one shard, and an iterator that begins at its first record.
func (s *server) iterator(t *testing.T) string {
	t.Helper()
	if a := s.call(t, "Kinesis_20131202.CreateStream", `{"StreamName":"s","ShardCount":1}`); a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	a := s.call(t, "Kinesis_20131202.GetShardIterator", `{"StreamName":"s","ShardId":"0","ShardIteratorType":"TRIM_HORIZON"}`)
	return string(a.body) // {"ShardIterator":"…"}, which is what GetRecords takes
}

func TestNothingIsReadFromTheLogThatThereIsNoRoomFor(t *testing.T) {
	var reading atomic.Int32
	end := make(chan struct{})
	s := start(t, func(set *setting) {
		set.api.MemoryBytes = 64 << 20 // half of it for answers: for two reads of 10 MiB, and one that overdraws
		set.streamsOf = func(real kinesis.Streams) kinesis.Streams { return counted{real, &reading, end} }
	})
	iterator := s.iterator(t)
	const clients = 12
	var done sync.WaitGroup
	for range clients {
		done.Go(func() {
			if a := s.call(t, "Kinesis_20131202.GetRecords", iterator); a.status != http.StatusOK {
				t.Errorf("%d %s", a.status, a.body)
			}
		})
	}
	eventually(t, "all are in flight", func() bool { return s.metric(t, "sluice_api_requests_in_flight") == clients })
	eventually(t, "somebody reads", func() bool { return reading.Load() > 0 })
	for range 50 {
		if n := reading.Load(); n > 3 {
			t.Errorf("%d read at once", n)
			break
		}
		<-time.After(time.Millisecond)
	}
	close(end)
	done.Wait()
	eventually(t, "no memory is reserved", func() bool { return s.metric(t, "sluice_api_memory_reserved_bytes") == 0 })
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
		{fmt.Errorf("write: %w", shard.ErrNoSpace), 503, "There is no space left on the server's disk (no room for more records)."},
		{fmt.Errorf("write: %w", &shard.NoSpaceError{Place: "/secret/path", Free: 3 << 20, Keep: 64 << 20, Cause: errors.New("/secret")}), 503,
			"There is no space left on the server's disk (3.0 MiB are free, 64.0 MiB must stay free). Reads, deliveries and deletions go on; " +
				"writing works again when there is room"},
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
