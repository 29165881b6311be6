package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed-462d9463/sluice/bench/loadgen"
)

// puts is a scenario in which producers write to a stream.
type puts struct {
	operation   string // PutRecord or PutRecords
	batch       int    // records in a request
	size        int    // bytes in a record
	connections int
	distinct    int    // requests prepared for each round; they are sent over and over
	want        string // in the answer when all went well
}

func putRecord() scenario {
	p := puts{operation: "PutRecord", batch: 1, size: 1 << 10, connections: 64, distinct: 4096, want: ""}
	return scenario{
		name:    "put-record",
		title:   "PutRecord, 1 KiB, 64 connections",
		rate:    requestRate,
		unit:    "requests/s",
		prepare: p.prepare,
		budgets: []budget{{contestant: signedName, what: "share of the trivial handler's rate", least: 0.8,
			value: func(c contest) float64 { return c.RateRatio }}},
	}
}

func putRecords(size int, budgets ...budget) scenario {
	p := puts{operation: "PutRecords", batch: 500, size: size, connections: 8, distinct: 48,
		want: `"FailedRecordCount":0`}
	return scenario{
		name:    fmt.Sprintf("put-records-%d", size),
		title:   fmt.Sprintf("PutRecords, 500 × %d bytes, %d connections", size, p.connections),
		rate:    megabyteRate,
		unit:    "MB/s",
		prepare: p.prepare,
		budgets: budgets,
	}
}

// coreBudget is a budget in payload for a second of server CPU.
func coreBudget(contestant string, least float64) budget {
	return budget{contestant: contestant, what: "MB of payload for a second of server CPU (" + contestant + ")",
		least: least, value: func(c contest) float64 { return c.Median.PerCPU / 1e6 }}
}

func requestRate(m measurement) float64  { return m.RequestRate }
func recordRate(m measurement) float64   { return m.RecordRate }
func megabyteRate(m measurement) float64 { return m.ByteRate / 1e6 }

func (p puts) prepare(ctx context.Context, s *stage) ([]contestant, error) {
	records := payload(p.size, p.batch*p.distinct)
	trivial, err := s.trivial(ctx)
	if err != nil {
		return nil, err
	}
	contestants := []contestant{{name: trivialName, target: trivial, round: func(ctx context.Context, _ int) (measurement, error) {
		return p.run(ctx, s, trivial, "bench", records, "")
	}}}
	err = s.variants(ctx, func(name string, target *server) error {
		contestants = append(contestants, contestant{name: name, target: target,
			round: func(ctx context.Context, _ int) (measurement, error) { return p.round(ctx, s, target, records) }})
		return nil
	})
	return contestants, err
}

// round measures a target on a stream of its own, so that the disk holds the records of one round only.
func (p puts) round(ctx context.Context, s *stage, target *server, records [][]byte) (_ measurement, err error) {
	stream := s.name("put")
	if err := createStream(ctx, target, stream, s.shards); err != nil {
		return measurement{}, err
	}
	defer func() { err = errors.Join(err, deleteStream(ctx, target, stream)) }()
	return p.run(ctx, s, target, stream, records, p.want)
}

func (p puts) run(ctx context.Context, s *stage, target *server, stream string, records [][]byte, want string) (
	measurement, error,
) {
	requests, err := p.requests(&target.endpoint, stream, records)
	if err != nil {
		return measurement{}, err
	}
	worth := loadgen.Worth{Records: p.batch, Bytes: int64(p.batch) * int64(p.size)}
	return s.drive(ctx, target, repeats(p.connections, requests, worth, want))
}

// requests are signed here and not while they are sent: the generator shares the machine with the server. A
// signature is good for minutes, longer than a round.
func (p puts) requests(e *endpoint, stream string, records [][]byte) ([][]byte, error) {
	requests := make([][]byte, p.distinct)
	for i := range requests {
		batch := records[i*p.batch : (i+1)*p.batch]
		body := putRecordsBody(stream, batch, i*p.batch)
		if p.operation == "PutRecord" {
			body = putRecordBody(stream, partitionKey(i), batch[0])
		}
		var err error
		if requests[i], err = e.request(kinesis, p.operation, body); err != nil {
			return nil, err
		}
	}
	return requests, nil
}

// fill writes so many bytes of records to a stream.
func fill(ctx context.Context, target *server, stream string, size int, total int64) error {
	p := puts{operation: "PutRecords", batch: 500, size: size, connections: 4, distinct: 48}
	requests, err := p.requests(&target.endpoint, stream, payload(p.size, p.batch*p.distinct))
	if err != nil {
		return err
	}
	all := make([][]byte, total/int64(p.batch*p.size))
	for i := range all {
		all[i] = requests[i%len(requests)]
	}
	return send(ctx, target, all, p.connections, `"FailedRecordCount":0`)
}

func createStream(ctx context.Context, target *server, name string, shards int) error {
	err := target.call(ctx, kinesis, "CreateStream", map[string]any{"StreamName": name, "ShardCount": shards}, nil)
	if err != nil {
		return err
	}
	// Streams are active at once, but that is for DescribeStreamSummary to say.
	return target.await(ctx, func() error {
		var answer struct {
			StreamDescriptionSummary struct{ StreamStatus string }
		}
		err := target.call(ctx, kinesis, "DescribeStreamSummary", map[string]any{"StreamName": name}, &answer)
		if status := answer.StreamDescriptionSummary.StreamStatus; err == nil && status != "ACTIVE" {
			err = fmt.Errorf("stream %s is %s", name, status)
		}
		return err
	})
}

func deleteStream(ctx context.Context, target *server, name string) error {
	return target.call(ctx, kinesis, "DeleteStream", map[string]any{"StreamName": name}, nil)
}
