package firehose

import (
	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/stream/aggregate"
)

// Sources gives delivery streams the logs of the data streams that they read.
type Sources interface {
	// Logs returns the logs of all shards of a data stream, the closed ones that still have records
	// included. The channel is closed when the answer has changed: a shard came, or one is gone with all its
	// records. A log that is missing from the answer never comes back. The error wraps ErrSourceNotFound
	// when there is no such stream; any other error may pass.
	Logs(account, region, name string) (logs []Log, changed <-chan struct{}, err error)
}

// Log is the log of one shard of a data stream.
type Log struct {
	// Generation tells a stream from an earlier one of the same name: no two ever have the same, so that
	// positions in the one are not taken for positions in the other. All logs of one stream have the same.
	Generation string
	Partition  int
	// Parents are the partitions of the shards that this one has replaced. What is in their logs, as far as there are
	// any left, comes before what is in this one.
	Parents []int
	// Closed says that nothing more is appended: the log ends where it ends.
	Closed bool
	// Range is the part of the ring of hash keys that the shard takes.
	Range aggregate.HashRange
	Log   shard.Log
}
