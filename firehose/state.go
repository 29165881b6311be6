package firehose

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/seed-462d9463/sluice/shard"
)

// The state of a delivery stream: which records of its sources are in objects. It changes by the entries of the
// state log and by nothing else, so that whoever reads the log gets the same state. What always holds:
//
//  1. Every record below its partition's floor is in exactly one object that is whole in the bucket, or is
//     counted as lost.
//  2. The intents in the list are in order of their numbers; in each partition the first one's range starts at
//     the floor, and each later one's where the one before it ended.
//  3. An intent leaves the list only from its front and only when it is done; the floors then move to the ends
//     of its ranges.
type state struct {
	floors   map[source]shard.Offset // of every known partition
	intents  []*intent               // not below the floors
	next     uint64                  // number of the next intent
	counters counters
}

// source names one log among those that a delivery stream has ever read.
type source struct {
	Generation string
	Partition  int
}

func compareSources(a, b source) int {
	return cmp.Or(cmp.Compare(a.Generation, b.Generation), cmp.Compare(a.Partition, b.Partition))
}

// sourceRange is a run of records in one log: all with offsets in [From, To).
type sourceRange struct {
	source
	From, To shard.Offset
	Records  int64 // how many there were
}

// intent is the decision to put some records into one object. All that the object's content, name and place
// depend on is in it, so that it can be repeated at any time with the same outcome.
type intent struct {
	Number      uint64
	Version     int // of the definition that it was made by
	Bucket      string
	Key         string
	Compression Compression
	Delimiter   string
	Expand      bool          // aggregated records are taken apart
	Oldest      time.Time     // arrival of the oldest record, milliseconds
	Records     int64         // the sum over Ranges
	Bytes       int64         // of the content before compression
	Skipped     int64         // records lost to their source's retention since the intent before
	Ranges      []sourceRange // ordered by source, one for each at most

	done bool // the object is in the bucket
}

// counters are sums over the life of a delivery stream.
type counters struct {
	Objects int64
	Records int64 // delivered
	Bytes   int64 // delivered, before compression
	Lost    int64 // records whose source dropped them before they were delivered
}

// committed says that an intent has been carried out.
type committed struct {
	Number  uint64
	Objects int64 // 1, or 0 if nothing was left to deliver
	Records int64
	Bytes   int64
	Lost    int64
}

// errState: the entries of a state log contradict each other.
var errState = errors.New("state log of a delivery stream contradicts itself")

func newState() *state { return &state{floors: map[source]shard.Offset{}} }

// end is where the records start that no intent covers yet.
func (s *state) end(src source) (shard.Offset, bool) {
	for _, in := range slices.Backward(s.intents) {
		if r, ok := in.rangeOf(src); ok {
			return r.To, true
		}
	}
	at, ok := s.floors[src]
	return at, ok
}

func (in *intent) rangeOf(src source) (sourceRange, bool) {
	i, ok := slices.BinarySearchFunc(in.Ranges, src, func(r sourceRange, src source) int {
		return compareSources(r.source, src)
	})
	if !ok {
		return sourceRange{}, false
	}
	return in.Ranges[i], true
}

// addIntent applies the entry of a new intent.
func (s *state) addIntent(in *intent) error {
	if in.Number != s.next {
		return fmt.Errorf("%w: intent %d where %d was due", errState, in.Number, s.next)
	}
	for _, r := range in.Ranges {
		// A range may start above the end: the records between were lost before they could be delivered.
		if end, ok := s.end(r.source); ok && r.From < end {
			return fmt.Errorf("%w: intent %d repeats records of partition %d", errState, in.Number, r.Partition)
		}
	}
	s.next++
	s.counters.Lost += in.Skipped
	s.intents = append(s.intents, in)
	return nil
}

// commit applies the entry of a committed intent.
func (s *state) commit(c committed) error {
	i := slices.IndexFunc(s.intents, func(in *intent) bool { return in.Number == c.Number })
	if i < 0 || s.intents[i].done {
		return fmt.Errorf("%w: intent %d committed, which is not open", errState, c.Number)
	}
	s.intents[i].done = true
	s.counters.Objects += c.Objects
	s.counters.Records += c.Records
	s.counters.Bytes += c.Bytes
	s.counters.Lost += c.Lost
	for len(s.intents) > 0 && s.intents[0].done {
		for _, r := range s.intents[0].Ranges {
			s.floors[r.source] = r.To
		}
		s.intents[0] = nil
		s.intents = s.intents[1:]
	}
	return nil
}
