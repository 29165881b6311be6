package stream

import (
	"fmt"
	"time"

	"github.com/seed-462d9463/sluice/shard"
)

// Description is what there is to know about a stream. It is a snapshot; its slices and maps are shared and
// must not be written to. A stream that can be described is active.
type Description struct {
	Name           Name
	ID             string // no other stream has or had it
	Created        time.Time
	OnDemand       bool
	RetentionHours int
	MaxRecordBytes int
	Tags           map[string]string
	Monitoring     ShardMetrics
	Policy         string  // "" without one
	EncryptionKey  string  // id of the key that the stream is shown to be encrypted with; "": none
	WarmMiBps      int     // what an on-demand stream is to take at any time, MiB a second; 0 if nobody asked
	Shards         []Shard // all of them by number, those closed ones included that may have records; numbers may be missing
	OpenShards     int
}

// Shard returns one of the stream's shards by its name.
func (d *Description) Shard(id string) (Shard, bool) {
	index, ok := ParseShardID(id)
	if !ok {
		return Shard{}, false
	}
	place, ok := placeOf(d.Shards, index)
	if !ok {
		return Shard{}, false
	}
	return d.Shards[place], true
}

// ShardsAfter are the shards with greater numbers than the given one.
func (d *Description) ShardsAfter(index int) []Shard {
	place, there := placeOf(d.Shards, index)
	if there {
		place++
	}
	return d.Shards[place:]
}

// TrimHorizon is the arrival time before which records are no longer given out.
func (d *Description) TrimHorizon(now time.Time) time.Time {
	return now.Add(-time.Duration(d.RetentionHours) * time.Hour)
}

func (st *stream) describe() Description {
	d := st.definition
	return Description{
		Name: st.name, ID: d.ID, Created: d.Created, OnDemand: d.OnDemand, RetentionHours: d.RetentionHours,
		MaxRecordBytes: d.MaxRecordBytes, Tags: d.Tags, Monitoring: d.Monitoring, Policy: d.Policy, WarmMiBps: d.WarmMiBps,
		EncryptionKey: d.Encryption.KeyID,
		Shards:        d.Shards, OpenShards: len(st.shards.open),
	}
}

// Describe describes a stream.
func (s *Service) Describe(name Name) (Description, error) {
	st, err := s.lookup(name)
	if err != nil {
		return Description{}, err
	}
	return st.describe(), nil
}

// List describes at most limit of the account's streams in a region, in the order of their names, from the
// first one after the given name on. more tells whether there are others after them.
func (s *Service) List(account, region, after string, limit int) (descriptions []Description, more bool) {
	entries, more := s.catalog.List(account, region, kind, after, limit)
	for _, e := range entries {
		// One that is deleted at this moment is left out; a damaged one shows when it is used.
		if d, err := s.Describe(nameOf(e.Key)); err == nil {
			descriptions = append(descriptions, d)
		}
	}
	return descriptions, more
}

// all describes all of the account's streams in a region.
func (s *Service) all(account, region string) []Description {
	const page = 1000
	var all []Description
	after := ""
	for {
		descriptions, more := s.List(account, region, after, page)
		all = append(all, descriptions...)
		if !more || len(descriptions) == 0 {
			return all
		}
		after = descriptions[len(descriptions)-1].Name.Name
	}
}

// ShardLog is the log of one shard.
type ShardLog struct {
	StreamID  string // tells the stream from others that have had its name
	ShardID   string
	Partition int   // the shard's number
	Parents   []int // numbers of the shards that it replaced, of which some may be no more
	Range     HashRange
	Closed    bool // nothing more is appended to it
	Log       shard.Log
}

// Logs returns the logs of all shards of a stream by number, closed ones included, for those who read it
// without limits and by offsets. Who wants the records of a partition key in order reads a shard after its parents,
// whose logs end where they end when they are said to be closed. The channel is closed when the answer may have
// changed, also because the stream was deleted.
func (s *Service) Logs(name Name) (logs []ShardLog, changed <-chan struct{}, err error) {
	st, err := s.lookup(name)
	if err != nil {
		return nil, nil, err
	}
	for i := range st.definition.Shards {
		sh := &st.definition.Shards[i]
		log, err := st.partitions[i].open(s.background)
		if err != nil {
			return nil, nil, fmt.Errorf("stream %s: %w", name, err)
		}
		logs = append(logs, ShardLog{
			StreamID: st.definition.ID, ShardID: sh.ID, Partition: sh.Index, Parents: sh.parentIndexes(),
			Range: sh.Range, Closed: !sh.Open(), Log: log,
		})
	}
	return logs, st.changed, nil
}
