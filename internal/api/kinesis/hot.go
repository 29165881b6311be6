package kinesis

import (
	"github.com/seed-462d9463/sluice/internal/api/wire"
	"github.com/seed-462d9463/sluice/internal/yield"
	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/stream"
)

// The hot operations' shapes read and write themselves, in any protocol: no reflection, and no allocation for a
// record. Tests hold them against the reflecting codec.

// ReadWire implements wire.SelfReader.
func (in *PutRecordInput) ReadWire(r *wire.Reader) {
	for open := r.BeginObject(); open && r.Member(); {
		switch string(r.Name()) {
		case "StreamName":
			in.StreamName = in.put.name(r)
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

// ReadWire implements wire.SelfReader.
func (in *PutRecordsInput) ReadWire(r *wire.Reader) {
	records := in.Records[:0]
	in.Records = nil
	for open := r.BeginObject(); open && r.Member(); {
		switch string(r.Name()) {
		case "StreamName":
			in.StreamName = in.put.name(r)
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

// ReadWire implements wire.SelfReader.
func (in *GetRecordsInput) ReadWire(r *wire.Reader) {
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

// WriteWire implements wire.SelfWriter.
func (out *PutRecordOutput) WriteWire(w *wire.Writer) {
	w.BeginObject()
	w.Name("ShardId")
	w.Plain(out.ShardID)
	w.Name("SequenceNumber")
	writeSequence(w, out.Sequence)
	writeEncryption(w, out.Encrypted)
	w.EndObject()
}

// writeEncryption writes an EncryptionType, which AWS leaves out where nothing is encrypted.
func writeEncryption(w *wire.Writer, encrypted bool) {
	if encrypted {
		w.Name("EncryptionType")
		w.Plain(encryptionKMS)
	}
}

func writeSequence(w *wire.Writer, n stream.SequenceNumber) {
	var digits [64]byte
	w.Digits(n.Append(digits[:0]))
}

// Bytes about a record, beside what is its own. Too small a number costs a copy, no more.
const (
	resultSize = 130
	recordSize = 194
)

// WireSize implements wire.Sizer.
func (out *PutRecordsOutput) WireSize() (rest, blobs int) { return 64 + len(out.Results)*resultSize, 0 }

// WriteWire implements wire.SelfWriter.
func (out *PutRecordsOutput) WriteWire(w *wire.Writer) {
	w.BeginObject()
	w.Name("FailedRecordCount")
	w.Int(int64(out.Failed))
	w.Name("Records")
	w.BeginArray()
	for i := range out.Results {
		result := &out.Results[i]
		w.BeginObject()
		if result.Err != nil {
			code, text := out.fault(result.Err, result.ShardID)
			w.Name("ErrorCode")
			w.String(code)
			w.Name("ErrorMessage")
			w.String(text)
		} else {
			w.Name("SequenceNumber")
			writeSequence(w, result.Sequence)
			w.Name("ShardId")
			w.Plain(result.ShardID)
		}
		w.EndObject()
	}
	w.EndArray()
	writeEncryption(w, out.Encrypted)
	w.EndObject()
}

// WireSize implements wire.Sizer.
func (out *GetRecordsOutput) WireSize() (rest, blobs int) { return sizeOfRecords(out.Records) }

// sizeOfRecords is that of an output which has records and little else.
func sizeOfRecords(records []shard.Record) (rest, blobs int) {
	rest = 1024
	for i := range records {
		r := &records[i]
		rest += recordSize + len(r.Key) + len(r.Key)/4
		blobs += len(r.Value)
	}
	return rest, blobs
}

// writeRecords writes a shard's records as AWS's shape Record, which may be 10 MiB of them.
func writeRecords(w *wire.Writer, sh *stream.Shard, records []shard.Record) {
	w.BeginArray()
	since := 0 // bytes, since the core was given up
	for i := range records {
		r := &records[i]
		if since += recordSize + len(r.Key) + len(r.Value); since >= yield.Each {
			since = 0
			yield.Core()
		}
		w.BeginObject()
		w.Name("SequenceNumber")
		writeSequence(w, sh.SequenceNumber(r.Offset, r.Time))
		w.Name("ApproximateArrivalTimestamp")
		w.Timestamp(wire.Timestamp{Time: r.Time})
		w.Name("Data")
		w.Blob(r.Value)
		w.Name("PartitionKey")
		w.Text(r.Key)
		writeEncryption(w, stream.Encrypted(r))
		w.EndObject()
	}
	w.EndArray()
}

// WriteWire implements wire.SelfWriter.
func (out *GetRecordsOutput) WriteWire(w *wire.Writer) {
	w.BeginObject()
	w.Name("Records")
	writeRecords(w, &out.Shard, out.Records)
	w.Name("NextShardIterator")
	if out.NextShardIterator == "" {
		w.Null()
	} else {
		w.String(out.NextShardIterator)
	}
	w.Name("MillisBehindLatest")
	w.Int(out.MillisBehindLatest)
	if out.ChildShards != nil {
		w.Name("ChildShards")
		w.Shape(out.ChildShards)
	}
	w.EndObject()
}
