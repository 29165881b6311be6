package kafka

import (
	"maps"
	"sort"
	"sync/atomic"

	"github.com/seed-462d9463/sluice/shard"
)

// Who wrote a batch is told by its producer id and epoch, which Kafka keeps with it. A node gets them at its start, from
// Kafka's transaction coordinator under one name for all nodes with the same prefix: the same id as the node before and
// a greater epoch or, when Kafka has forgotten that one, a new id. So ids are numbered in the order in which they turn
// up in the control topic, and a start of a node, its era, is the number of its id and its epoch.
//
// In every log a node first writes a marker. From there on what earlier eras write does not count: a broker refuses it
// if it has the same id and the broker still knows the epoch; else readers drop it, because the marker's place is kept
// in the control topic. What is there before the marker counts, whoever wrote it.

type era struct {
	order int // of the producer id
	epoch int16
}

func (a era) before(b era) bool { return a.order < b.order || a.order == b.order && a.epoch < b.epoch }

// start says that a node took over a log: its marker is at Offset.
type start struct {
	Offset shard.Offset `json:"at"`
	PID    int64        `json:"pid"`
	Epoch  int16        `json:"epoch"`
}

// writers numbers the producer ids of this log's nodes. It may be read at any time.
type writers struct {
	order atomic.Pointer[map[int64]int]
}

func (w *writers) set(order map[int64]int) { w.order.Store(&order) }

func (w *writers) all() map[int64]int {
	if m := w.order.Load(); m != nil {
		return *m
	}
	return nil
}

// add numbers an id that is new.
func (w *writers) add(pid int64) {
	old := w.all()
	if _, known := old[pid]; known {
		return
	}
	order := maps.Clone(old)
	if order == nil {
		order = map[int64]int{}
	}
	order[pid] = len(order) + 1
	w.set(order)
}

// era returns the era of a producer, and whether it is one of ours at all.
func (w *writers) era(pid int64, epoch int16) (era, bool) {
	order, known := w.all()[pid]
	return era{order, epoch}, known
}

// eraAt is that of the node that had the log when the record at an offset was written.
func (w *writers) eraAt(starts []start, at shard.Offset) era {
	n := sort.Search(len(starts), func(i int) bool { return starts[i].Offset > at })
	if n == 0 {
		return era{}
	}
	e, _ := w.era(starts[n-1].PID, starts[n-1].Epoch)
	return e
}

// A marker is a record without key and value, with one header. It is one only in a batch of the producer that it names,
// so that a copy that somebody else writes is a record like any other.
const (
	markerHeader  = "sluice.marker"
	markerVersion = 1
)

func newMarker(pid int64, epoch int16) shard.Record {
	var e encoder
	e.i8(markerVersion)
	e.i64(pid)
	e.i16(epoch)
	return shard.Record{Headers: []shard.Header{{Name: markerHeader, Value: e.b}}}
}

// isMarker tells whether a batch is a marker, written by the producer that it names.
func isMarker(b *batch) bool {
	if b.count != 1 || b.pid < 0 || b.attrs&attrCompression != 0 || len(b.body) > 64 {
		return false
	}
	is := false
	_ = b.records(func(r shard.Record) bool { // what cannot be read is no marker, and its reader will say so
		if len(r.Headers) == 1 && r.Headers[0].Name == markerHeader && len(r.Key) == 0 && len(r.Value) == 0 {
			d := decoder{b: r.Headers[0].Value}
			is = d.i8() == markerVersion && d.i64() == b.pid && d.i16() == b.epoch && !d.bad && len(d.b) == 0
		}
		return false
	})
	return is
}

// kind is what a batch is to a reader of its log.
type kind int

const (
	ownRecords     kind = iota // written by the log's node
	foreignRecords             // written by any other Kafka client
	noRecords                  // a marker, the end of a client's transaction, or what an older node wrote too late
	newerEra                   // written by a node that was started after this one
)

// kindOf tells what a batch is, given where nodes took over the log.
func (e *Engine) kindOf(b *batch, starts []start) kind {
	writer, ours := e.writers.era(b.pid, b.epoch)
	switch {
	case b.isControl() || b.count == 0:
		return noRecords
	case b.pid < 0 || !ours:
		return foreignRecords
	case e.era().before(writer):
		return newerEra
	case writer.before(e.writers.eraAt(starts, b.base)):
		return noRecords
	case isMarker(b):
		return noRecords
	}
	return ownRecords
}
