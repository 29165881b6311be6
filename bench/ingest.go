package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/seed-462d9463/sluice/bench/loadgen"
	"github.com/seed-462d9463/sluice/internal/clickstream"
)

// lines is a scenario in which a clickstream comes by plain HTTP, an event a line.
type lines struct {
	batch       int // events in a request
	connections int
	distinct    int // requests prepared for each round; they are sent over and over
}

func ingestLines() scenario {
	l := lines{batch: 500, connections: 8, distinct: 48}
	return scenario{
		name:    "ingest-ndjson",
		title:   fmt.Sprintf("NDJSON by plain HTTP, %d events of about 400 bytes, %d connections", l.batch, l.connections),
		rate:    megabyteRate,
		unit:    "MB/s",
		prepare: l.prepare,
	}
}

// Ways to send the same events.
const (
	randomKeysName = "sluice, NDJSON, random keys"
	fieldKeysName  = "sluice, NDJSON, keys from a field"
	gzippedName    = "sluice, NDJSON, keys from a field, gzip"
	putEventsName  = "sluice, PutRecords, unsigned"
)

func (l lines) prepare(ctx context.Context, s *stage) ([]contestant, error) {
	events := clickEvents(l.batch * l.distinct)
	trivial, err := s.trivial(ctx)
	if err != nil {
		return nil, err
	}
	target, err := s.sluice(ctx, false)
	if err != nil {
		return nil, err
	}
	const taken = `"failed":0`
	contestants := []contestant{{name: trivialName, target: trivial, round: func(ctx context.Context, _ int) (measurement, error) {
		return l.run(ctx, s, trivial, events, "", l.posts(trivial, events, "/", false))
	}}}
	for _, way := range []struct {
		name, want string
		requests   func(stream string) ([][]byte, error)
	}{
		{randomKeysName, taken, func(stream string) ([][]byte, error) {
			return l.posts(target, events, "/v1/streams/"+stream+"/records", false)()
		}},
		{fieldKeysName, taken, func(stream string) ([][]byte, error) {
			return l.posts(target, events, "/v1/streams/"+stream+"/records?partition_key_field=session_id", false)()
		}},
		{gzippedName, taken, func(stream string) ([][]byte, error) {
			return l.posts(target, events, "/v1/streams/"+stream+"/records?partition_key_field=session_id", true)()
		}},
		{putEventsName, `"FailedRecordCount":0`, func(stream string) ([][]byte, error) {
			p := puts{operation: "PutRecords", batch: l.batch, distinct: l.distinct}
			return p.requests(&target.endpoint, stream, events)
		}},
	} {
		contestants = append(contestants, contestant{name: way.name, target: target, round: func(ctx context.Context, _ int) (_ measurement, err error) {
			stream := s.name("ingest")
			if err := createStream(ctx, target, stream, s.shards); err != nil {
				return measurement{}, err
			}
			defer func() { err = errors.Join(err, deleteStream(ctx, target, stream)) }()
			return l.run(ctx, s, target, events, way.want, func() ([][]byte, error) { return way.requests(stream) })
		}})
	}
	return contestants, nil
}

func (l lines) run(ctx context.Context, s *stage, target *server, events [][]byte, want string, requests func() ([][]byte, error)) (
	measurement, error,
) {
	prepared, err := requests()
	if err != nil {
		return measurement{}, err
	}
	var total int64
	for _, e := range events {
		total += int64(len(e))
	}
	// Events differ in length, and so do requests: by less than a percent from their mean.
	worth := loadgen.Worth{Records: l.batch, Bytes: total / int64(l.distinct)}
	return s.drive(ctx, target, repeats(l.connections, prepared, worth, want))
}

// posts makes requests as curl sends them.
func (l lines) posts(target *server, events [][]byte, path string, zipped bool) func() ([][]byte, error) {
	return func() ([][]byte, error) {
		requests := make([][]byte, l.distinct)
		for i := range requests {
			body := append(bytes.Join(events[i*l.batch:(i+1)*l.batch], []byte("\n")), '\n')
			coding := ""
			if zipped {
				var b bytes.Buffer
				w := gzip.NewWriter(&b)
				if _, err := w.Write(body); err != nil {
					return nil, err
				}
				if err := w.Close(); err != nil {
					return nil, err
				}
				body, coding = b.Bytes(), "Content-Encoding: gzip\r\n"
			}
			head := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n"+
				"Content-Type: application/x-ndjson\r\n%sContent-Length: %d\r\n\r\n", path, target.addr, coding, len(body))
			requests[i] = append([]byte(head), body...)
		}
		return requests, nil
	}
}

// clickEvents makes events of a web shop's clickstream, each a JSON object. The same count gives the same events.
func clickEvents(count int) [][]byte {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	generator := clickstream.New(clickstream.Options{Seed: 1, Now: func() time.Time {
		now = now.Add(3 * time.Millisecond)
		return now
	}})
	events := make([][]byte, count)
	for i := range events {
		events[i], _ = generator.Append(nil)
	}
	return events
}
