package firehose

import "github.com/seed-462d9463/sluice/internal/api/wire"

// The hot operations' shapes read and write themselves, in any protocol: no reflection, and no allocation for a
// record. Tests hold them against the reflecting codec.

// ReadWire implements wire.SelfReader.
func (in *PutRecordInput) ReadWire(r *wire.Reader) {
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

// ReadWire implements wire.SelfReader. Of a list that is too long one more than allowed is kept; the rest is
// read and counted, so that a small body cannot become large in memory.
func (in *PutRecordBatchInput) ReadWire(r *wire.Reader) {
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

// WriteWire implements wire.SelfWriter.
func (out *PutRecordOutput) WriteWire(w *wire.Writer) {
	w.BeginObject()
	w.Name("RecordId")
	w.String(out.RecordID)
	w.Name("Encrypted")
	w.Bool(false)
	w.EndObject()
}

// WireSize implements wire.Sizer.
func (out *PutRecordBatchOutput) WireSize() (rest, blobs int) {
	rest = 64
	for _, id := range out.RecordIDs {
		rest += len(id) + len(`{"RecordId":""},`)
	}
	return rest, 0
}

// WriteWire implements wire.SelfWriter.
func (out *PutRecordBatchOutput) WriteWire(w *wire.Writer) {
	w.BeginObject()
	w.Name("FailedPutCount")
	w.Int(0)
	w.Name("Encrypted")
	w.Bool(false)
	w.Name("RequestResponses")
	w.BeginArray()
	for _, id := range out.RecordIDs {
		w.BeginObject()
		w.Name("RecordId")
		w.String(id)
		w.EndObject()
	}
	w.EndArray()
	w.EndObject()
}
