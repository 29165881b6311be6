package kinesis

import (
	"strings"

	"github.com/seed-462d9463/sluice/internal/api/wire"
	"github.com/seed-462d9463/sluice/stream"
)

// The inputs of the hot operations are checked in two steps. The first one is written by hand: it looks at as little as
// it can, and knows of nearly every good input that it is good. What it does not know is checked by the rules, which
// everything else is checked by; a test holds the two against each other.

// The inputs of the hot operations once more, as the rules know them.
type (
	ruledPutRecord struct {
		StreamName, StreamARN, StreamId, SequenceNumberForOrdering *string
		Data                                                       []byte
		PartitionKey, ExplicitHashKey                              *string
	}
	ruledPutRecords struct {
		StreamName, StreamARN, StreamId *string
		Records                         []ruledEntry
	}
	ruledEntry struct {
		Data                          []byte
		PartitionKey, ExplicitHashKey *string
	}
)

var (
	checkPutRecord  = wire.Rules[ruledPutRecord](inputRules["PutRecord"])
	checkPutRecords = wire.Rules[ruledPutRecords](inputRules["PutRecords"])
	checkGetRecords = wire.Rules[GetRecordsInput](inputRules["GetRecords"])
)

func (in *PutRecordInput) check() error {
	if in.SequenceNumberForOrdering == nil && in.Record.good() && goodStream(in.StreamName, in.StreamARN, in.StreamId) {
		return nil
	}
	return in.checkRules()
}

func (in *PutRecordInput) checkRules() error { return checkPutRecord(in.ruled()) }

func (in *PutRecordInput) ruled() *ruledPutRecord {
	record := in.Record.ruled()
	return &ruledPutRecord{
		StreamName: in.StreamName, StreamARN: in.StreamARN, StreamId: in.StreamId,
		SequenceNumberForOrdering: in.SequenceNumberForOrdering,
		Data:                      record.Data, PartitionKey: record.PartitionKey, ExplicitHashKey: record.ExplicitHashKey,
	}
}

func (in *PutRecordsInput) check() error {
	good := 0 < in.Count && in.Count <= stream.MaxPutRecords && goodStream(in.StreamName, in.StreamARN, in.StreamId)
	for i := 0; good && i < len(in.Records); i++ {
		good = in.Records[i].good()
	}
	if good {
		return nil
	}
	return in.checkRules()
}

func (in *PutRecordsInput) checkRules() error { return checkPutRecords(in.ruled()) }

func (in *PutRecordsInput) ruled() *ruledPutRecords {
	ruled := &ruledPutRecords{StreamName: in.StreamName, StreamARN: in.StreamARN, StreamId: in.StreamId}
	if in.Records != nil {
		ruled.Records = make([]ruledEntry, len(in.Records))
		for i := range in.Records {
			ruled.Records[i] = in.Records[i].ruled()
		}
	}
	return ruled
}

func (in *GetRecordsInput) check() error {
	if it := in.ShardIterator; it != nil && 0 < len(*it) && len(*it) <= int(ruleShardIterator.Max) &&
		(in.Limit == nil || 0 < *in.Limit && *in.Limit <= stream.MaxReadRecords) &&
		(in.StreamARN == nil || isStreamARN(*in.StreamARN)) && in.StreamId == nil {
		return nil
	}
	return in.checkRules()
}

func (in *GetRecordsInput) checkRules() error { return checkGetRecords(in) }

// good tells of nearly every good entry, without looking at it closely, that it is one.
func (e *PutRecordsEntry) good() bool {
	return e.Data != nil && len(e.Data) <= stream.LargestMaxRecordBytes &&
		0 < len(e.PartitionKey) && len(e.PartitionKey) <= stream.MaxPartitionKeyLength && e.ExplicitHashKey == nil
}

func (e *PutRecordsEntry) ruled() ruledEntry {
	return ruledEntry{Data: e.Data, PartitionKey: optional(e.PartitionKey), ExplicitHashKey: optional(e.ExplicitHashKey)}
}

func optional(text []byte) *string {
	if text == nil {
		return nil
	}
	s := string(text)
	return &s
}

// goodStream tells of what names a stream well that it does.
func goodStream(name, streamARN, streamID *string) bool {
	switch {
	case streamID != nil, name == nil && streamARN == nil:
		return false
	case name != nil && (!isName(*name) || len(*name) > stream.MaxNameLength):
		return false
	}
	return streamARN == nil || isStreamARN(*streamARN)
}

// isStreamARN tells whether a text is an ARN of a stream whose parts can be told apart.
func isStreamARN(text string) bool {
	parsed, ok := parseStreamARN(text)
	return ok && len(text) <= int(ruleStreamARN.Max) && parsed.Name != "" && !strings.ContainsAny(text, " \t\r\n\v\f")
}
