package firehose

import "github.com/seed-462d9463/sluice/internal/api/wire"

// The JSON of the hot operations, written by hand: no reflection, and no allocation for a record. Tests hold
// it against the reflecting codec.

// ReadJSON implements wire.JSONReader.
func (in *PutRecordInput) ReadJSON(r *wire.Reader) {
	for open := r.BeginObject(); open && r.Member(); {
		switch string(r.Name()) {
		case "DeliveryStreamName":
			in.DeliveryStreamName = text(r)
		case "Record":
			in.HasRecord = !r.Null()
			in.Data = nil
			if in.HasRecord {
				in.Data = readRecord(r)
			}
		default:
			r.Skip()
		}
	}
}

// ReadJSON implements wire.JSONReader. Of a list that is too long one more than allowed is kept; the rest is
// read and counted, so that a small body cannot become large in memory.
func (in *PutRecordBatchInput) ReadJSON(r *wire.Reader) {
	records := in.Records[:0]
	in.Records = nil
	for open := r.BeginObject(); open && r.Member(); {
		switch string(r.Name()) {
		case "DeliveryStreamName":
			in.DeliveryStreamName = text(r)
		case "Records":
			in.readRecords(r, records)
		default:
			r.Skip()
		}
	}
}

func (in *PutRecordBatchInput) readRecords(r *wire.Reader, records [][]byte) {
	in.Records, in.Count = nil, 0
	if !r.BeginArray() {
		return
	}
	if records == nil {
		records = make([][]byte, 0, 8)
	}
	for r.Element() {
		in.Count++
		if data := readRecord(r); len(records) <= maxBatchRecords {
			records = append(records, data)
		}
	}
	in.Records = records
}

// readRecord reads a record and returns its data; nil if it has none.
func readRecord(r *wire.Reader) (data []byte) {
	for open := r.BeginObject(); open && r.Member(); {
		if string(r.Name()) == "Data" {
			data, _ = r.Blob()
		} else {
			r.Skip()
		}
	}
	return data
}

// text reads a string that outlives the body.
func text(r *wire.Reader) *string {
	b, ok := r.String()
	if !ok {
		return nil
	}
	return new(string(b))
}

// AppendJSON implements wire.JSONAppender.
func (out *PutRecordOutput) AppendJSON(dst []byte) []byte {
	dst = wire.AppendString(append(dst, `{"RecordId":`...), out.RecordID)
	return append(dst, `,"Encrypted":false}`...)
}

// JSONSize implements wire.JSONSizer.
func (out *PutRecordBatchOutput) JSONSize() int {
	size := 64
	for _, id := range out.RecordIDs {
		size += len(id) + len(`{"RecordId":""},`)
	}
	return size
}

// AppendJSON implements wire.JSONAppender.
func (out *PutRecordBatchOutput) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"FailedPutCount":0,"Encrypted":false,"RequestResponses":[`...)
	for i, id := range out.RecordIDs {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = wire.AppendString(append(dst, `{"RecordId":`...), id)
		dst = append(dst, '}')
	}
	return append(dst, `]}`...)
}
