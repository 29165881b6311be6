package kafka

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/seed-462d9463/sluice/shard"
)

// state is what the control topic says: which topics there are, what was trimmed, and where nodes took over. Every
// record of the control topic is one change, and the state is what follows from applying them in order.
type state struct {
	topics map[string]*topicDoc
}

// Kinds of changes: the keys of the control topic's records.
const (
	changeBegin = "begin" // forget everything: a snapshot follows in the same batch
	changeTopic = "topic" // a topic as it is now, with its logs
	changeDrop  = "drop"  // a topic is gone
	changeLog   = "log"   // something about one log
)

const stateVersion = 1

// change is one record of the control topic. One of the pointers is set.
type change struct {
	Kind  string     `json:"-"`
	Begin *beginDoc  `json:"begin,omitempty"`
	Topic *topicDoc  `json:"topic,omitempty"`
	Drop  *dropDoc   `json:"drop,omitempty"`
	Log   *logChange `json:"log,omitempty"`
}

// beginDoc opens a snapshot.
type beginDoc struct {
	Version int     `json:"version"`
	Writers []int64 `json:"writers"` // producer ids of this Sluice's nodes, the oldest first
}

// order numbers the writers.
func (b *beginDoc) order() map[int64]int {
	order := make(map[int64]int, len(b.Writers))
	for i, pid := range b.Writers {
		order[pid] = i + 1
	}
	return order
}

// Stages of a topic that is not there yet, or not any more.
const (
	stageCreating = "creating" // it may exist in Kafka, but nobody has been told
	stageDeleting = "deleting" // it is gone for everybody, but may exist in Kafka
)

// topicDoc is one topic.
type topicDoc struct {
	Name       string          `json:"name"`
	Kafka      string          `json:"kafka"` // its name there
	ID         topicID         `json:"id"`    // Kafka's; zero while it is being created
	Partitions int             `json:"partitions"`
	Stage      string          `json:"stage,omitempty"`
	Logs       map[int]*logDoc `json:"logs,omitempty"` // those of which there is something to say, by partition
}

// logDoc is what is kept of one log.
type logDoc struct {
	First  shard.Offset `json:"first,omitempty"` // what is before it was trimmed
	Starts []start      `json:"starts,omitempty"`
	Marks  []mark       `json:"marks,omitempty"`
}

type dropDoc struct {
	Name string  `json:"name"`
	ID   topicID `json:"id"`
}

// logChange says that records before First were trimmed, that a node took over, or how big the log has become.
type logChange struct {
	Topic     string       `json:"topic"`
	ID        topicID      `json:"id"`
	Partition int          `json:"partition"`
	First     shard.Offset `json:"first,omitempty"`
	Start     *start       `json:"start,omitempty"`
	Replace   bool         `json:"replace,omitempty"` // there was nothing between the last start and this one
	Marks     []mark       `json:"marks,omitempty"`
}

func newState() *state { return &state{topics: map[string]*topicDoc{}} }

func (s *state) apply(c change) {
	switch {
	case c.Begin != nil:
		s.topics = map[string]*topicDoc{}
	case c.Topic != nil:
		s.topics[c.Topic.Name] = c.Topic
	case c.Drop != nil:
		if t := s.topics[c.Drop.Name]; t != nil && t.ID == c.Drop.ID {
			delete(s.topics, c.Drop.Name)
		}
	case c.Log != nil:
		s.applyLog(c.Log)
	}
}

func (s *state) applyLog(c *logChange) {
	t := s.topics[c.Topic]
	if t == nil || t.ID != c.ID {
		return // dropped meanwhile
	}
	l := t.Logs[c.Partition]
	if l == nil {
		l = &logDoc{}
		if t.Logs == nil {
			t.Logs = map[int]*logDoc{}
		}
		t.Logs[c.Partition] = l
	}
	if c.First > l.First {
		l.First = c.First
		l.Starts = dropStarts(l.Starts, l.First)
		l.Marks = dropMarks(l.Marks, l.First)
	}
	if c.Start != nil {
		l.Starts = slices.Clone(l.Starts)
		if n := len(l.Starts); c.Replace && n > 0 {
			l.Starts = l.Starts[:n-1]
		}
		l.Starts = append(l.Starts, *c.Start)
	}
	l.Marks = append(l.Marks, c.Marks...)
}

// dropStarts drops the starts that matter to no record from first on. The last one before it does matter.
func dropStarts(starts []start, first shard.Offset) []start {
	n := 0
	for n+1 < len(starts) && starts[n+1].Offset <= first {
		n++
	}
	return starts[n:]
}

// encode makes a record of a change.
func (c change) encode() (shard.Record, error) {
	b, err := json.Marshal(c)
	if err != nil {
		return shard.Record{}, err
	}
	return shard.Record{Key: []byte(c.Kind), Value: b}, nil
}

// errState: the control topic holds what this version does not know.
var errState = errors.New("the control topic has records that this version of Sluice does not understand")

func decodeChange(r shard.Record) (change, error) {
	c := change{Kind: string(r.Key)}
	if err := json.Unmarshal(r.Value, &c); err != nil {
		return c, fmt.Errorf("%w: %w", errState, err)
	}
	set := map[string]bool{changeBegin: c.Begin != nil, changeTopic: c.Topic != nil, changeDrop: c.Drop != nil, changeLog: c.Log != nil}
	if !set[c.Kind] {
		return c, fmt.Errorf("%w: kind %s", errState, strconv.Quote(c.Kind))
	}
	if c.Begin != nil && c.Begin.Version != stateVersion {
		return c, fmt.Errorf("%w: version %d, only %d is known", errState, c.Begin.Version, stateVersion)
	}
	return c, nil
}

// snapshot returns the changes that make this state from nothing.
func (s *state) snapshot(order map[int64]int) []change {
	begin := &beginDoc{Version: stateVersion, Writers: make([]int64, len(order))}
	for pid, n := range order {
		begin.Writers[n-1] = pid
	}
	changes := []change{{Kind: changeBegin, Begin: begin}}
	for _, name := range slices.Sorted(maps.Keys(s.topics)) {
		changes = append(changes, change{Kind: changeTopic, Topic: s.topics[name]})
	}
	return changes
}
