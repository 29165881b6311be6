package ingest

import (
	"context"
	"errors"
	"slices"
	"strconv"

	"github.com/seed-462d9463/sluice/internal/api/wire"
	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/stream"
)

// Streams is what ingestion needs of package stream, whose Service has it; the comments are there.
type Streams interface {
	PutInto(ctx context.Context, name stream.Name, entries []stream.Entry, results []stream.Result) ([]stream.Result, error)
}

var _ Streams = (*stream.Service)(nil)

// Codes of records that are refused.
const (
	codeInvalidJSON    = "InvalidJSON"
	codeNoPartitionKey = "NoPartitionKey"
	codeInvalidRecord  = "InvalidRecord" // it is too large
	codeThrottled      = "Throttled"
	codeNoSpace        = "NoSpace"
	codeUnavailable    = "Unavailable"
	codeStreamNotFound = "StreamNotFound"
	codeInternal       = "InternalFailure"
)

var lineCodes = []string{codeInvalidJSON, codeNoPartitionKey, codeInvalidRecord, codeThrottled, codeNoSpace,
	codeUnavailable, codeStreamNotFound, codeInternal}

// worthRetry tells of a code whether the same record may be taken later.
func worthRetry(code string) bool {
	switch code {
	case codeThrottled, codeNoSpace, codeUnavailable, codeInternal:
		return true
	}
	return false
}

// put writes the records of a request, in their order, and waits for each part before the next: so a shard has them in
// their order, which it would not promise for parts that are on their way at once.
type put struct {
	streams Streams
	name    stream.Name
	entries []stream.Entry
	lines   []int // of the entries
	results []stream.Result

	stored, bytes int
	surprise      error // the first that was not foreseen
}

func (p *put) reset() {
	clear(p.entries)
	clear(p.results)
	*p = put{entries: p.entries[:0], lines: p.lines[:0], results: p.results[:0]}
}

// all writes all records. What is refused is added to in.refused. An error means that nothing was written at all.
func (p *put) all(ctx context.Context, in *parsed) error {
	for at := 0; at < len(in.records); {
		at = p.fill(in, at)
		if err := p.part(ctx, in); err != nil {
			return err
		}
		clear(p.entries)
		p.entries, p.lines = p.entries[:0], p.lines[:0]
	}
	return nil
}

// fill makes entries of the records from in.records[at] on, as many as one put takes, and returns where it stopped.
func (p *put) fill(in *parsed, at int) int {
	first, size := 0, 0
	if at > 0 {
		first = in.records[at-1].key
	}
	from := first
	for ; at < len(in.records) && len(p.entries) < stream.MaxPutRecords; at++ {
		r := &in.records[at]
		if size += r.key - from + len(in.source.fixed) + len(r.data); size > stream.MaxPutBytes && len(p.entries) > 0 {
			break
		}
		from = r.key
		p.entries = append(p.entries, stream.Entry{PartitionKey: in.source.fixed, Data: r.data})
		p.lines = append(p.lines, r.line)
	}
	if in.source.fixed != "" {
		return at
	}
	keys := string(in.keys[first:from]) // one allocation for all
	for i, start := 0, first; i < len(p.entries); i++ {
		end := in.records[at-len(p.entries)+i].key
		p.entries[i].PartitionKey = keys[start-first : end-first]
		start = end
	}
	return at
}

// part writes one part of the records. Records that are too large for the stream are found when it refuses them, before
// anything is written.
func (p *put) part(ctx context.Context, in *parsed) error {
	for len(p.entries) > 0 {
		var err error
		p.results, err = p.streams.PutInto(ctx, p.name, p.entries, p.results[:0])
		if err == nil {
			for i := range p.results {
				if err := p.results[i].Err; err != nil {
					p.refuse(in, i, err)
					continue
				}
				p.stored++
				p.bytes += len(p.entries[i].Data)
			}
			return nil
		}
		var bad *stream.RecordError
		if errors.As(err, &bad) && bad.Index < len(p.entries) {
			p.refuse(in, bad.Index, err)
			p.entries = slices.Delete(p.entries, bad.Index, bad.Index+1)
			p.lines = slices.Delete(p.lines, bad.Index, bad.Index+1)
			continue
		}
		if errors.Is(err, stream.ErrNotFound) && p.stored == 0 {
			return notFound(p.name.Name)
		}
		for i := range p.entries {
			p.refuse(in, i, err)
		}
		return nil
	}
	return nil
}

// refuse notes why an entry was not written. Room for that has been made when the record was found.
func (p *put) refuse(in *parsed, entry int, err error) {
	code, message := p.explain(err)
	in.refused = append(in.refused, refusal{p.lines[entry], code, message})
}

// explain is the one table of the streams' errors.
func (p *put) explain(err error) (code, message string) {
	var bad *stream.RecordError
	switch {
	case errors.As(err, &bad):
		return codeInvalidRecord, "The record is too large: " + bad.Reason + "."
	case errors.Is(err, stream.ErrThroughputExceeded):
		return codeThrottled, "The write limit of the record's shard is used up."
	case errors.Is(err, stream.ErrNotFound):
		return codeStreamNotFound, "The stream was deleted meanwhile."
	case errors.Is(err, shard.ErrNoSpace):
		return codeNoSpace, "There is no space left on the server's disk."
	case errors.Is(err, shard.ErrClosed), errors.Is(err, stream.ErrClosed):
		return codeUnavailable, "The server is shutting down."
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return codeUnavailable, "The request was not finished in time."
	}
	if p.surprise == nil {
		p.surprise = err
	}
	return codeInternal, "The server failed to write the record, or to learn that it has."
}

// appendAnswer appends what a request's sender is told.
func appendAnswer(dst []byte, stored int, refused []refusal) []byte {
	dst = strconv.AppendInt(append(dst, `{"records":`...), int64(stored), 10)
	dst = strconv.AppendInt(append(dst, `,"failed":`...), int64(len(refused)), 10)
	for i := range refused {
		r := &refused[i]
		if i == 0 {
			dst = append(dst, `,"errors":[`...)
		} else {
			dst = append(dst, ',')
		}
		dst = strconv.AppendInt(append(dst, `{"line":`...), int64(r.line), 10)
		dst = wire.AppendString(append(dst, `,"code":`...), r.code)
		if worthRetry(r.code) {
			dst = append(dst, `,"retry":true`...)
		}
		dst = append(wire.AppendString(append(dst, `,"message":`...), r.message), '}')
	}
	if len(refused) > 0 {
		dst = append(dst, ']')
	}
	return append(dst, '}')
}
