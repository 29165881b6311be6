package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/seed-462d9463/sluice/bench/loadgen"
)

// gets is the scenario in which consumers read a stream from its start to its end, over and over, a connection
// for each shard. Every call asks for as many records as the API allows.
type gets struct {
	size  int   // bytes in a record
	limit int   // records asked for in a call
	total int64 // bytes of payload in the stream
}

func getRecords() gets { return gets{size: 1 << 10, limit: 10_000, total: 512 << 20} }

func (g gets) scenario() scenario {
	return scenario{
		name:    "get-records",
		title:   "GetRecords, 10,000 × 1 KiB a call, a connection for each shard",
		rate:    megabyteRate,
		unit:    "MB/s",
		prepare: g.prepare,
		budgets: []budget{coreBudget(signedName, 600)},
	}
}

func (g gets) prepare(ctx context.Context, s *stage) ([]contestant, error) {
	trivial, err := s.trivial(ctx)
	if err != nil {
		return nil, err
	}
	var sample answered
	contestants := []contestant{{name: trivialName, target: trivial, round: func(ctx context.Context, _ int) (measurement, error) {
		return g.runTrivial(ctx, s, trivial, sample)
	}}}
	err = s.variants(ctx, func(name string, target *server) error {
		stream := s.name("get")
		if err := createStream(ctx, target, stream, s.shards); err != nil {
			return err
		}
		if err := fill(ctx, target, stream, g.size, g.total); err != nil {
			return err
		}
		// One answer is looked at closely; those that are measured are only counted.
		var err error
		if sample, err = g.sample(ctx, target, stream); err != nil {
			return err
		}
		contestants = append(contestants, contestant{name: name, target: target,
			round: func(ctx context.Context, _ int) (measurement, error) { return g.run(ctx, s, target, stream) }})
		return nil
	})
	return contestants, err
}

func (g gets) run(ctx context.Context, s *stage, target *server, stream string) (measurement, error) {
	return s.drive(ctx, target, g.readers(ctx, s, target, stream))
}

// readers reads a stream, a script for each shard.
func (g gets) readers(ctx context.Context, s *stage, target *server, stream string) []loadgen.Script {
	scripts := make([]loadgen.Script, s.shards)
	for i := range scripts {
		scripts[i] = &reader{gets: g, ctx: ctx, target: target, stream: stream, shard: i}
	}
	return scripts
}

// answered is the size of an answer and what it carries.
type answered struct {
	length int
	worth  loadgen.Worth
}

// sample reads from the first shard once and checks every record.
func (g gets) sample(ctx context.Context, target *server, stream string) (answered, error) {
	iterator, err := shardIterator(ctx, target, stream, 0)
	if err != nil {
		return answered{}, err
	}
	var raw json.RawMessage
	if err := target.call(ctx, kinesis, "GetRecords", getRecordsInput{iterator, g.limit}, &raw); err != nil {
		return answered{}, err
	}
	var answer struct {
		Records []struct {
			Data                         []byte
			PartitionKey, SequenceNumber string
		}
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return answered{}, err
	}
	if len(answer.Records) == 0 || len(answer.Records) != countRecords(raw) {
		return answered{}, fmt.Errorf("the first answer has %d records, counted as %d", len(answer.Records),
			countRecords(raw))
	}
	for i, record := range answer.Records {
		if len(record.Data) != g.size || record.PartitionKey == "" || record.SequenceNumber == "" {
			return answered{}, fmt.Errorf("record %d of the first answer is not one that was put", i)
		}
	}
	return answered{len(raw), g.worth(len(answer.Records))}, nil
}

func (g gets) worth(records int) loadgen.Worth {
	return loadgen.Worth{Records: records, Bytes: int64(records) * int64(g.size)}
}

// runTrivial lets the trivial handler send as many bytes as the answer to a GetRecords has.
func (g gets) runTrivial(ctx context.Context, s *stage, trivial *server, like answered) (measurement, error) {
	e := trivial.endpoint
	e.path = fmt.Sprintf("/?answer=%d", like.length)
	body, err := json.Marshal(getRecordsInput{string(bytes.Repeat([]byte("A"), 200)), g.limit})
	if err != nil {
		return measurement{}, err
	}
	request, err := e.request(kinesis, "GetRecords", body)
	if err != nil {
		return measurement{}, err
	}
	return s.drive(ctx, trivial, repeats(s.shards, [][]byte{request}, like.worth, ""))
}

type getRecordsInput struct {
	ShardIterator string
	Limit         int
}

func shardIterator(ctx context.Context, target *server, stream string, shard int) (string, error) {
	var answer struct{ ShardIterator string }
	err := target.call(ctx, kinesis, "GetShardIterator", map[string]any{"StreamName": stream,
		"ShardId": fmt.Sprintf("shardId-%012d", shard), "ShardIteratorType": "TRIM_HORIZON"}, &answer)
	return answer.ShardIterator, err
}

// reader follows one shard. Each of its requests depends on the answer before, so they are built and signed as
// they come: a few microseconds beside the milliseconds that an answer of 14 MB takes.
type reader struct {
	gets
	ctx      context.Context // of the round; a script has no other way to hear of it
	target   *server
	stream   string
	shard    int
	iterator string // empty: begin at the start of the shard
}

var _ loadgen.Script = (*reader)(nil)

func (r *reader) Next() ([]byte, error) {
	if r.iterator == "" {
		var err error
		if r.iterator, err = shardIterator(r.ctx, r.target, r.stream, r.shard); err != nil {
			return nil, err
		}
	}
	body, err := json.Marshal(getRecordsInput{r.iterator, r.limit})
	if err != nil {
		return nil, err
	}
	return r.target.request(kinesis, "GetRecords", body)
}

func (r *reader) Done(body []byte) (loadgen.Worth, error) {
	records := countRecords(body)
	next, err := nextIterator(body)
	if err != nil {
		return loadgen.Worth{}, err
	}
	if r.iterator = next; records < r.limit/2 {
		r.iterator = "" // near the end of the shard: calls that bring little would not measure reading
	}
	return r.worth(records), nil
}

// countRecords counts without decoding: each record has one sequence number, and base64 has no quotes.
func countRecords(answer []byte) int { return bytes.Count(answer, []byte(`"SequenceNumber":`)) }

var errNoIterator = errors.New("the answer has no NextShardIterator")

func nextIterator(answer []byte) (string, error) {
	const name = `"NextShardIterator":"`
	// It stands behind the records or before them.
	at := bytes.LastIndex(answer[max(0, len(answer)-2048):], []byte(name))
	if at >= 0 {
		at += max(0, len(answer)-2048)
	} else if at = bytes.Index(answer, []byte(name)); at < 0 {
		return "", errNoIterator
	}
	rest := answer[at+len(name):]
	end := bytes.IndexByte(rest, '"')
	if end < 0 {
		return "", errNoIterator
	}
	return string(rest[:end]), nil
}
