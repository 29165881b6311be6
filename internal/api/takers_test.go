package api_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// startLarge starts a server with memory for a few large answers, and returns an iterator of which the next answer is as large
// as there are any.
func startLarge(t *testing.T) (s *server, iterator string) {
	s = start(t, func(set *setting) { set.api.MemoryBytes = 64 << 20 })
	iterator = s.iterator(t)
	record := `{"PartitionKey":"k","Data":"` + strings.Repeat("AAAA", 1<<20/4) + `"}`
	for range 3 {
		if a := s.call(t, putRecords, `{"StreamName":"s","Records":[`+record+","+record+","+record+","+record+`]}`); a.status != http.StatusOK {
			t.Fatalf("%d %.200s", a.status, a.body)
		}
	}
	return s, iterator
}

func TestThoseWhoTakeTheirAnswersSlowlyDoNotHoldUpThoseWhoWrite(t *testing.T) {
	s, iterator := startLarge(t)
	const readers = 8
	for range readers {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		r := s.request(t, "Kinesis_20131202.GetRecords", iterator)
		if err := r.Write(conn); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all are in flight", func() bool { return s.metric(t, "sluice_api_requests_in_flight") == readers })
	eventually(t, "the memory is used up", func() bool { return s.metric(t, "sluice_api_memory_reserved_bytes") >= 32<<20 })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	r := s.request(t, putRecord, `{"StreamName":"s","PartitionKey":"k","Data":""}`)
	response, err := s.client.Do(r.WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Error(response.Status)
	}
}

func TestWhoTakesAnAnswerSlowlyGetsItBesideThoseWhoTakeNothing(t *testing.T) {
	for name, line := range map[string]line{
		"3 MB a second":                                  {buffer: 64 << 10, pause: 40 * time.Millisecond, slow: 1 << 30},
		"300 KB a second of the first 2 MB":              {buffer: 64 << 10, pause: 400 * time.Millisecond, slow: 2 << 20},
		"300 KB a second, when much has come on its own": {pause: 400 * time.Millisecond, slow: 2 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			// On a machine with other work the slow one may be stopped for so long that he takes nothing.
			for attempt := 1; ; attempt++ {
				taken, length, err := takeSlowly(t, line)
				if errors.Is(err, io.EOF) && taken == length {
					return
				}
				if attempt == 3 {
					t.Fatalf("was cut off after %d bytes of %d: %v", taken, length, err)
				}
			}
		})
	}
}

// line is how a client takes its answer.
type line struct {
	buffer int           // of its system; 0: as large as it likes
	pause  time.Duration // after each 128 KiB
	slow   int64         // for so many bytes
}

// takeSlowly asks for a large answer, takes it slowly beside many who take nothing of theirs, and returns how much came of it.
func takeSlowly(t *testing.T, line line) (taken, length int64, err error) {
	s, iterator := startLarge(t)
	ask := func() net.Conn {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		if line.buffer > 0 {
			if err := conn.(*net.TCPConn).SetReadBuffer(line.buffer); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.request(t, "Kinesis_20131202.GetRecords", iterator).Write(conn); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	slow := ask()
	defer func() { _ = slow.Close() }()
	response, err := http.ReadResponse(bufio.NewReaderSize(slow, 64<<10), nil)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatal(response, err)
	}
	defer func() { _ = response.Body.Close() }()
	for range 24 {
		conn := ask()
		defer func() { _ = conn.Close() }()
	}
	for err == nil {
		var n int64
		n, err = io.CopyN(io.Discard, response.Body, 128<<10)
		if taken += n; taken < line.slow {
			<-time.After(line.pause)
		}
	}
	return taken, response.ContentLength, err
}

func TestThoseWhoTakeTheirAnswersSlowlyOverOneConnectionDoNotEither(t *testing.T) {
	s, iterator := startLarge(t)
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	// Little is let in of an answer that nobody reads.
	transport := &http.Transport{Protocols: &protocols, HTTP2: &http.HTTP2Config{MaxReceiveBufferPerStream: 64 << 10}}
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithCancel(t.Context())
	const readers = 8
	var reading sync.WaitGroup
	defer reading.Wait()
	defer cancel()
	for range readers {
		r := s.request(t, "Kinesis_20131202.GetRecords", iterator).WithContext(ctx)
		reading.Go(func() {
			response, err := transport.RoundTrip(r)
			if err != nil {
				return // cut off before its answer began
			}
			<-ctx.Done()
			_ = response.Body.Close()
		})
	}
	eventually(t, "the memory is used up", func() bool { return s.metric(t, "sluice_api_memory_reserved_bytes") >= 32<<20 })
	write, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	r := s.request(t, putRecord, `{"StreamName":"s","PartitionKey":"k","Data":""}`)
	response, err := transport.RoundTrip(r.WithContext(write)) // over the same connection
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Error(response.Status)
	}
}
