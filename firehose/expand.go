package firehose

import (
	"io"

	"github.com/seed-462d9463/sluice/stream/aggregate"
)

// expander writes records as they stand in an object: those of the Kinesis Producer Library, aggregated ones, as the
// user records in them, of those that belong to the shard; each followed by the delimiter. Offsets, numbers of records
// and intents go by the records of the log, whatever they hold.
//
// What a record becomes depends on its bytes, the shard's range and the intent alone, so that an object can be made
// again and be the same.
type expander struct {
	expand    bool // else every record is written as it is
	delimiter string
	reader    aggregate.Reader
}

// size is how many bytes write would write, and how many user records it would leave out.
func (x *expander) size(value []byte, shard aggregate.HashRange) (bytes int64, leftOut int) {
	if !x.expand || !x.reader.Read(value) {
		return int64(len(value) + len(x.delimiter)), 0
	}
	leftOut = x.reader.Len()
	for u := range x.reader.Within(shard) {
		bytes += int64(len(u.Data) + len(x.delimiter))
		leftOut--
	}
	return bytes, leftOut
}

// write writes a record's content and returns its length.
func (x *expander) write(w io.Writer, value []byte, shard aggregate.HashRange) (bytes int64, err error) {
	if !x.expand || !x.reader.Read(value) {
		return x.one(w, value)
	}
	for u := range x.reader.Within(shard) {
		n, err := x.one(w, u.Data)
		bytes += n
		if err != nil {
			return bytes, err
		}
	}
	return bytes, nil
}

func (x *expander) one(w io.Writer, data []byte) (int64, error) {
	if _, err := w.Write(data); err != nil {
		return 0, err
	}
	if _, err := io.WriteString(w, x.delimiter); err != nil {
		return 0, err
	}
	return int64(len(data) + len(x.delimiter)), nil
}
