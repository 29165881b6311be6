package node

import (
	"errors"
	"fmt"

	"github.com/seed-462d9463/sluice/firehose"
	"github.com/seed-462d9463/sluice/stream"
	"github.com/seed-462d9463/sluice/stream/aggregate"
)

// sources lets delivery streams read the data streams of the same node, past their read limits: a delivery
// stream is no consumer of the user's.
type sources struct{ streams *stream.Service }

var _ firehose.Sources = sources{}

func (s sources) Logs(account, region, name string) ([]firehose.Log, <-chan struct{}, error) {
	logs, changed, err := s.streams.Logs(stream.Name{Account: account, Region: region, Name: name})
	switch {
	case errors.Is(err, stream.ErrNotFound):
		return nil, nil, fmt.Errorf("%w: %w", firehose.ErrSourceNotFound, err)
	case err != nil:
		return nil, nil, err
	}
	shards := make([]firehose.Log, len(logs))
	for i, l := range logs {
		shards[i] = firehose.Log{
			Generation: l.StreamID, Partition: l.Partition, Parents: l.Parents, Closed: l.Closed, Log: l.Log,
			Range: aggregate.HashRange{Start: l.Range.Start.Bytes(), End: l.Range.End.Bytes()},
		}
	}
	return shards, changed, nil
}
