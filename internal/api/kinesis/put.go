package kinesis

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"time"

	"github.com/seed-462d9463/sluice/internal/api/wire"
	"github.com/seed-462d9463/sluice/stream"
)

// PutRecordInput is AWS's shape of that name. The bytes lie in the request's body.
type PutRecordInput struct {
	StreamName                *string
	StreamARN                 *string
	StreamId                  *string
	Record                    PutRecordsEntry // AWS has its members beside the others
	SequenceNumberForOrdering *string

	put    putMemory
	record [1]PutRecordsEntry
	result [1]stream.Result
}

// PutRecordOutput is AWS's shape of that name.
type PutRecordOutput struct {
	ShardID   string
	Sequence  stream.SequenceNumber
	Encrypted bool
}

// PutRecordsInput is AWS's shape of that name. The bytes lie in the request's body.
type PutRecordsInput struct {
	StreamName *string
	StreamARN  *string
	StreamId   *string
	Records    []PutRecordsEntry // nil if absent; no more than one over what is allowed
	Count      int               // how many there were

	put putMemory
}

// PutRecordsEntry is one record of a request. Absent members are nil.
type PutRecordsEntry struct {
	Data            []byte
	PartitionKey    []byte
	ExplicitHashKey []byte
}

// PutRecordsOutput is AWS's shape of that name: what became of each record.
type PutRecordsOutput struct {
	Results   []stream.Result
	Failed    int
	Encrypted bool
	fault     func(err error, shardID string) (code, text string)
}

// putMemory is working memory of a put that is worth keeping.
type putMemory struct {
	keys    []byte
	hashes  []stream.HashKey
	entries []stream.Entry
	stream  string // the name that was read last: nearly always it is the next one's, too
}

func (m *putMemory) reset() {
	clear(m.entries)
	m.keys, m.hashes, m.entries = m.keys[:0], m.hashes[:0], m.entries[:0]
}

// name reads a stream's name.
func (m *putMemory) name(r *wire.Reader) *string {
	b, ok := r.String()
	switch {
	case !ok:
		return nil
	case len(b) > stream.MaxNameLength: // not worth keeping
		s := string(b)
		return &s
	case string(b) != m.stream:
		m.stream = string(b)
	}
	return &m.stream
}

// Reset implements wire.Reusable.
func (in *PutRecordInput) Reset() {
	put := in.put
	put.reset()
	*in = PutRecordInput{put: put}
}

// Reset implements wire.Reusable.
func (out *PutRecordOutput) Reset() { *out = PutRecordOutput{} }

// Reset implements wire.Reusable.
func (in *PutRecordsInput) Reset() {
	put, records := in.put, in.Records
	put.reset()
	clear(records)
	*in = PutRecordsInput{put: put, Records: records[:0]}
}

// Reset implements wire.Reusable.
func (out *PutRecordsOutput) Reset() {
	clear(out.Results)
	*out = PutRecordsOutput{Results: out.Results[:0]}
}

func (a *api) putRecord(ctx context.Context, c wire.Caller, in *PutRecordInput, out *PutRecordOutput) error {
	if err := in.check(); err != nil {
		return err
	}
	c, err := a.authorize(c, "PutRecord", in.StreamARN)
	if err != nil {
		return err
	}
	name, err := resolve(c, in.StreamName, in.StreamARN)
	if err != nil {
		return err
	}
	if err := a.checkOrdering(name, in.SequenceNumberForOrdering); err != nil {
		return err
	}
	in.record[0] = in.Record
	entries, err := in.put.fill(in.record[:])
	if err != nil {
		return err
	}
	results, err := a.streams.PutInto(ctx, name, entries, in.result[:0])
	if err != nil {
		return a.putFault(err, name, entries, "data")
	}
	if err := results[0].Err; err != nil {
		return fault(err, name, results[0].ShardID)
	}
	out.ShardID, out.Sequence, out.Encrypted = results[0].ShardID, results[0].Sequence, results[0].Encrypted
	return nil
}

// checkOrdering checks a SequenceNumberForOrdering. It asks for nothing that a shard's order does not give
// anyway, but a number that nobody gave is a client's mistake.
func (a *api) checkOrdering(name stream.Name, text *string) error {
	if text == nil {
		return nil
	}
	n, err := stream.ParseSequence(*text)
	if err != nil || n.Arrived().After(a.now().Add(time.Second)) {
		return wire.Faultf(invalidArgument, "ExclusiveMinimumSequenceNumber %s used in PutRecord on stream %s under account %s is invalid.",
			*text, name.Name, name.Account)
	}
	return nil
}

func (a *api) putRecords(ctx context.Context, c wire.Caller, in *PutRecordsInput, out *PutRecordsOutput) error {
	if err := in.check(); err != nil {
		return err
	}
	c, err := a.authorize(c, "PutRecords", in.StreamARN)
	if err != nil {
		return err
	}
	name, err := resolve(c, in.StreamName, in.StreamARN)
	if err != nil {
		return err
	}
	total := 0
	for i := range in.Records {
		total += len(in.Records[i].Data) + len(in.Records[i].PartitionKey)
	}
	if total > stream.MaxPutBytes {
		return wire.Faultf(invalidArgument, "Records size exceeds %d MB limit", stream.MaxPutBytes>>20)
	}
	entries, err := in.put.fill(in.Records)
	if err != nil {
		return err
	}
	out.Results, err = a.streams.PutInto(ctx, name, entries, out.Results[:0])
	if err != nil {
		return a.putFault(err, name, entries, "records.%.member.data")
	}
	for i := range out.Results {
		if out.Results[i].Err != nil {
			out.Failed++
		}
		out.Encrypted = out.Encrypted || out.Results[i].Encrypted
	}
	logged := false // once for a request: an engine that fails refuses hundreds of records, all for the same reason
	out.fault = func(err error, shardID string) (code, text string) {
		code, text, foreseen := recordFault(err, name, shardID)
		if !foreseen && !logged && ctx.Err() == nil {
			logged = true
			a.logger.Error("records not written", slog.String("stream", name.String()), slog.Int("refused", out.Failed),
				slog.Any("error", err))
		}
		return code, text
	}
	return nil
}

// fill makes the streams' entries of a request's records, which have been checked. All keys become one
// string, so that a request costs one allocation for them and not one a record.
func (m *putMemory) fill(records []PutRecordsEntry) ([]stream.Entry, error) {
	hashes := 0
	for i := range records {
		m.keys = append(m.keys, records[i].PartitionKey...)
		if records[i].ExplicitHashKey != nil {
			hashes++
		}
	}
	if cap(m.hashes) < hashes {
		m.hashes = make([]stream.HashKey, 0, hashes) // entries point into it: it must not move
	}
	keys := string(m.keys)
	for i := range records {
		r := &records[i]
		e := stream.Entry{PartitionKey: keys[:len(r.PartitionKey)], Data: r.Data}
		keys = keys[len(r.PartitionKey):]
		if r.ExplicitHashKey != nil {
			hash, err := stream.ParseHashKey(string(r.ExplicitHashKey))
			if err != nil {
				return nil, wire.Faultf(invalidArgument,
					"Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Specified value was %s", r.ExplicitHashKey)
			}
			m.hashes = append(m.hashes, hash)
			e.HashKey = &m.hashes[len(m.hashes)-1]
		}
		m.entries = append(m.entries, e)
	}
	return m.entries, nil
}

// putFault is the error of a put that was refused as a whole. What is left to be wrong with a record that has
// been checked is its size, which the stream limits. The path has a % in the place of the record's number.
func (a *api) putFault(err error, name stream.Name, entries []stream.Entry, path string) error {
	var record *stream.RecordError
	if !errors.As(err, &record) {
		return fault(err, name, "")
	}
	d, describeErr := a.streams.Describe(name)
	if describeErr != nil {
		return fault(describeErr, name, "")
	}
	var v wire.Validation
	for i := range entries {
		if e := &entries[i]; len(e.Data)+len(e.PartitionKey) > d.MaxRecordBytes {
			v.MaxLength(wire.Blob(len(e.Data)), numbered(path, i+1), d.MaxRecordBytes)
		}
	}
	if told := v.Fault(); told != nil {
		return told
	}
	return fault(err, name, "")
}

func numbered(path string, n int) string {
	for i := range len(path) {
		if path[i] == '%' {
			return path[:i] + strconv.Itoa(n) + path[i+1:]
		}
	}
	return path
}
