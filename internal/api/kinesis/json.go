package kinesis

import (
	"strconv"

	"github.com/seed-462d9463/sluice/internal/api/wire"
	"github.com/seed-462d9463/sluice/stream"
)

// The JSON of the hot operations, written by hand: no reflection, and no allocation for a record. Tests hold
// it against the reflecting codec.

// ReadJSON implements wire.JSONReader.
func (in *PutRecordInput) ReadJSON(r *wire.Reader) {
	for open := r.BeginObject(); open && r.Member(); {
		switch string(r.Name()) {
		case "StreamName":
			in.StreamName = text(r)
		case "StreamARN":
			in.StreamARN = text(r)
		case "StreamId":
			in.StreamId = text(r)
		case "SequenceNumberForOrdering":
			in.SequenceNumberForOrdering = text(r)
		default:
			in.Record.readMember(r)
		}
	}
}

// ReadJSON implements wire.JSONReader.
func (in *PutRecordsInput) ReadJSON(r *wire.Reader) {
	records := in.Records[:0]
	in.Records = nil
	for open := r.BeginObject(); open && r.Member(); {
		switch string(r.Name()) {
		case "StreamName":
			in.StreamName = text(r)
		case "StreamARN":
			in.StreamARN = text(r)
		case "StreamId":
			in.StreamId = text(r)
		case "Records":
			in.readRecords(r, records)
		default:
			r.Skip()
		}
	}
}

// readRecords reads the list of records. Of a list that is too long one more than allowed is kept; the rest is
// read and counted, so that a small body cannot become large in memory.
func (in *PutRecordsInput) readRecords(r *wire.Reader, records []PutRecordsEntry) {
	in.Records, in.Count = nil, 0
	if !r.BeginArray() {
		return
	}
	if records == nil {
		records = make([]PutRecordsEntry, 0, 8)
	}
	for r.Element() {
		in.Count++
		var e PutRecordsEntry
		for open := r.BeginObject(); open && r.Member(); {
			e.readMember(r)
		}
		if len(records) <= stream.MaxPutRecords {
			records = append(records, e)
		}
	}
	in.Records = records
}

func (e *PutRecordsEntry) readMember(r *wire.Reader) {
	switch string(r.Name()) {
	case "Data":
		e.Data, _ = r.Blob()
	case "PartitionKey":
		e.PartitionKey = present(r)
	case "ExplicitHashKey":
		e.ExplicitHashKey = present(r)
	default:
		r.Skip()
	}
}

// text reads a string that outlives the body.
func text(r *wire.Reader) *string {
	b, ok := r.String()
	if !ok {
		return nil
	}
	s := string(b)
	return &s
}

// present reads a string that lies in the body; nil if it is null.
func present(r *wire.Reader) []byte {
	b, _ := r.String()
	return b
}

// ReadJSON implements wire.JSONReader.
func (in *GetRecordsInput) ReadJSON(r *wire.Reader) {
	for open := r.BeginObject(); open && r.Member(); {
		switch string(r.Name()) {
		case "ShardIterator":
			in.ShardIterator = text(r)
		case "StreamARN":
			in.StreamARN = text(r)
		case "StreamId":
			in.StreamId = text(r)
		case "Limit":
			in.Limit = nil
			if n, ok := r.Int(); ok {
				in.Limit = &n
			}
		default:
			r.Skip()
		}
	}
}

// AppendJSON implements wire.JSONAppender.
func (out *PutRecordOutput) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"ShardId":"`...)
	dst = append(dst, out.ShardID...)
	dst = append(dst, `","SequenceNumber":"`...)
	dst = out.Sequence.Append(dst)
	return append(dst, `"}`...)
}

// Bytes of JSON about a record, beside what is its own. Too small a number costs a copy, no more.
const (
	resultSize = 130
	recordSize = 190
)

// JSONSize implements wire.JSONSizer.
func (out *PutRecordsOutput) JSONSize() int { return 64 + len(out.Results)*resultSize }

// AppendJSON implements wire.JSONAppender.
func (out *PutRecordsOutput) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"FailedRecordCount":`...)
	dst = strconv.AppendInt(dst, int64(out.Failed), 10)
	dst = append(dst, `,"Records":[`...)
	for i := range out.Results {
		result := &out.Results[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		if result.Err != nil {
			code, text := out.fault(result.Err, result.ShardID)
			dst = wire.AppendString(append(dst, `{"ErrorCode":`...), code)
			dst = wire.AppendString(append(dst, `,"ErrorMessage":`...), text)
			dst = append(dst, '}')
			continue
		}
		dst = append(dst, `{"SequenceNumber":"`...)
		dst = result.Sequence.Append(dst)
		dst = append(dst, `","ShardId":"`...)
		dst = append(dst, result.ShardID...)
		dst = append(dst, `"}`...)
	}
	return append(dst, `]}`...)
}

// JSONSize implements wire.JSONSizer.
func (out *GetRecordsOutput) JSONSize() int {
	size := 1024
	for i := range out.Records {
		r := &out.Records[i]
		size += recordSize + len(r.Key) + len(r.Key)/4 + (len(r.Value)+2)/3*4
	}
	return size
}

// AppendJSON implements wire.JSONAppender.
func (out *GetRecordsOutput) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"Records":[`...)
	for i := range out.Records {
		r := &out.Records[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"SequenceNumber":"`...)
		dst = out.Shard.SequenceNumber(r.Offset, r.Time).Append(dst)
		dst = append(dst, `","ApproximateArrivalTimestamp":`...)
		dst = wire.AppendTimestamp(dst, wire.Timestamp{Time: r.Time})
		dst = append(dst, `,"Data":`...)
		dst = wire.AppendBlob(dst, r.Value)
		dst = append(dst, `,"PartitionKey":`...)
		dst = wire.AppendString(dst, r.Key)
		dst = append(dst, '}')
	}
	dst = append(dst, `],"NextShardIterator":`...)
	if out.NextShardIterator == "" {
		dst = append(dst, "null"...)
	} else {
		dst = wire.AppendString(dst, out.NextShardIterator)
	}
	dst = append(dst, `,"MillisBehindLatest":`...)
	dst = strconv.AppendInt(dst, out.MillisBehindLatest, 10)
	if out.ChildShards != nil {
		dst = wire.AppendJSON(append(dst, `,"ChildShards":`...), out.ChildShards)
	}
	return append(dst, '}')
}
