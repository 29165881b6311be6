package firehose

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/seed-462d9463/sluice/shard"
)

// The entries of a state log, as FORMAT.md has them: a version, a kind, then fields as unsigned varints and
// strings with their lengths before them.

// stateVersion is what is written. Version 1, without intent.Expand, is read too.
const stateVersion = 2

const (
	entrySnapshot  = 1
	entryIntent    = 2
	entryCommitted = 3
)

var compressionCodes = []Compression{Uncompressed, GZIP} // the index is the code

var errEntry = errors.New("entry of a state log cannot be read")

// encoder appends fields. Numbers are never negative.
type encoder struct{ b []byte }

func newEncoder(kind byte) *encoder { return &encoder{b: []byte{stateVersion, kind}} }

func (e *encoder) uint(n uint64)          { e.b = binary.AppendUvarint(e.b, n) }
func (e *encoder) int(n int64)            { e.uint(uint64(n)) }
func (e *encoder) offset(at shard.Offset) { e.uint(uint64(at)) }
func (e *encoder) string(s string)        { e.uint(uint64(len(s))); e.b = append(e.b, s...) }

func (e *encoder) bool(b bool) {
	if b {
		e.uint(1)
	} else {
		e.uint(0)
	}
}

// generations writes a table of the generations, of which there is hardly ever more than one, and returns the
// place of each in it.
func (e *encoder) generations(sources func(yield func(source) bool)) map[string]uint64 {
	place := map[string]uint64{}
	var table []string
	for src := range sources {
		if _, ok := place[src.Generation]; !ok {
			place[src.Generation] = uint64(len(table))
			table = append(table, src.Generation)
		}
	}
	e.uint(uint64(len(table)))
	for _, g := range table {
		e.string(g)
	}
	return place
}

func encodeIntent(in *intent) []byte {
	e := newEncoder(entryIntent)
	e.intent(in)
	return e.b
}

func (e *encoder) intent(in *intent) {
	e.uint(in.Number)
	e.int(int64(in.Version))
	e.string(in.Bucket)
	e.string(in.Key)
	e.uint(uint64(slices.Index(compressionCodes, in.Compression)))
	e.string(in.Delimiter)
	e.bool(in.Expand)
	e.int(in.Oldest.UnixMilli())
	e.int(in.Bytes)
	e.int(in.Skipped)
	place := e.generations(func(yield func(source) bool) {
		for _, r := range in.Ranges {
			if !yield(r.source) {
				return
			}
		}
	})
	e.uint(uint64(len(in.Ranges)))
	for _, r := range in.Ranges {
		e.uint(place[r.Generation])
		e.int(int64(r.Partition))
		e.offset(r.From)
		e.offset(r.To - r.From)
		e.int(r.Records)
	}
}

func encodeCommitted(c committed) []byte {
	e := newEncoder(entryCommitted)
	e.uint(c.Number)
	e.int(c.Objects)
	e.int(c.Records)
	e.int(c.Bytes)
	e.int(c.Lost)
	return e.b
}

func encodeSnapshot(s *state) []byte {
	e := newEncoder(entrySnapshot)
	e.uint(s.next)
	e.int(s.counters.Objects)
	e.int(s.counters.Records)
	e.int(s.counters.Bytes)
	e.int(s.counters.Lost)
	known := make([]source, 0, len(s.floors))
	for src := range s.floors {
		known = append(known, src)
	}
	slices.SortFunc(known, compareSources) // the same state gives the same bytes
	place := e.generations(slices.Values(known))
	e.uint(uint64(len(known)))
	for _, src := range known {
		e.uint(place[src.Generation])
		e.int(int64(src.Partition))
		e.offset(s.floors[src])
	}
	e.uint(uint64(len(s.intents)))
	for _, in := range s.intents {
		e.bool(in.done)
		e.intent(in)
	}
	return e.b
}

// replay applies one entry of the log to the state. The entry is outside bytes: whatever they are, replay
// returns an error or leaves a state that holds its invariants.
func (s *state) replay(entry []byte) error {
	if len(entry) < 2 {
		return fmt.Errorf("%w: %d bytes", errEntry, len(entry))
	}
	if entry[0] < 1 || entry[0] > stateVersion {
		return fmt.Errorf("%w: version %d, this program knows 1 to %d", errEntry, entry[0], stateVersion)
	}
	d := &decoder{b: entry[2:], version: entry[0]}
	switch entry[1] {
	case entrySnapshot:
		snapshot := d.snapshot()
		if err := d.end(); err != nil {
			return err
		}
		return s.restore(snapshot)
	case entryIntent:
		in := d.intent()
		if err := d.end(); err != nil {
			return err
		}
		return s.addIntent(in)
	case entryCommitted:
		c := committed{Number: d.uint(), Objects: d.int(), Records: d.int(), Bytes: d.int(), Lost: d.int()}
		if err := d.end(); err != nil {
			return err
		}
		return s.commit(c)
	default:
		return fmt.Errorf("%w: kind %d", errEntry, entry[1])
	}
}

// restore takes a snapshot over, by way of the same checks as intents that come one by one.
func (s *state) restore(snapshot *state) error {
	fresh := newState()
	fresh.floors = snapshot.floors
	if len(snapshot.intents) > 0 {
		fresh.next = snapshot.intents[0].Number
	}
	for _, in := range snapshot.intents {
		if err := fresh.addIntent(in); err != nil {
			return err
		}
	}
	if fresh.next > snapshot.next {
		return fmt.Errorf("%w: next intent %d, but there is one with number %d", errState, snapshot.next, fresh.next-1)
	}
	// Only open intents and those behind one are kept, so that the first is open.
	if len(fresh.intents) > 0 && fresh.intents[0].done {
		return fmt.Errorf("%w: the first intent is done", errState)
	}
	fresh.next, fresh.counters = snapshot.next, snapshot.counters
	*s = *fresh
	return nil
}

// decoder reads fields. After the first that is not there, all are zero, and end tells.
type decoder struct {
	b       []byte
	version byte
	err     error
}

func (d *decoder) fail(what string) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s, %d bytes before the end", errEntry, what, len(d.b))
	}
	d.b = nil
}

func (d *decoder) end() error {
	if d.err == nil && len(d.b) > 0 {
		d.fail("more than was expected")
	}
	return d.err
}

func (d *decoder) uint() uint64 {
	n, size := binary.Uvarint(d.b)
	if size <= 0 {
		d.fail("no number")
		return 0
	}
	d.b = d.b[size:]
	return n
}

func (d *decoder) int() int64 {
	n := d.uint()
	if n > math.MaxInt64 {
		d.fail("number too large")
		return 0
	}
	return int64(n)
}

// small is a number that is an int everywhere.
func (d *decoder) small() int {
	n := d.uint()
	if n > math.MaxInt32 {
		d.fail("number too large")
		return 0
	}
	return int(n)
}

// count is the number of things that follow, each of which takes a byte at least: so that a damaged one cannot
// ask for more memory than the entry has.
func (d *decoder) count() int {
	n := d.uint()
	if n > uint64(len(d.b)) {
		d.fail("more things than bytes")
		return 0
	}
	return int(n)
}

func (d *decoder) string() string {
	n := d.count()
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}

func (d *decoder) generations() []string {
	table := make([]string, d.count())
	for i := range table {
		table[i] = d.string()
	}
	return table
}

func (d *decoder) source(generations []string) source {
	i := d.uint()
	if i >= uint64(len(generations)) {
		d.fail("unknown generation")
		return source{}
	}
	return source{Generation: generations[i], Partition: d.small()}
}

func (d *decoder) intent() *intent {
	in := &intent{Number: d.uint(), Version: d.small(), Bucket: d.string(), Key: d.string()}
	if code := d.uint(); code < uint64(len(compressionCodes)) {
		in.Compression = compressionCodes[code]
	} else {
		d.fail("unknown compression")
	}
	in.Delimiter = d.string()
	in.Expand = d.version > 1 && d.uint() == 1
	in.Oldest = time.UnixMilli(d.int()).UTC()
	in.Bytes, in.Skipped = d.int(), d.int()
	generations := d.generations()
	in.Ranges = make([]sourceRange, d.count())
	for i := range in.Ranges {
		r := &in.Ranges[i]
		r.source = d.source(generations)
		r.From = shard.Offset(d.int())
		r.To = r.From + shard.Offset(d.int())
		r.Records = d.int()
		in.Records += r.Records
		if r.To < r.From || in.Records < 0 {
			d.fail("numbers that overflow")
		}
		if i > 0 && compareSources(in.Ranges[i-1].source, r.source) >= 0 {
			d.fail("ranges out of order")
		}
		if d.err != nil {
			return in
		}
	}
	return in
}

func (d *decoder) snapshot() *state {
	s := newState()
	s.next = d.uint()
	s.counters = counters{Objects: d.int(), Records: d.int(), Bytes: d.int(), Lost: d.int()}
	generations := d.generations()
	for range d.count() {
		src := d.source(generations)
		s.floors[src] = shard.Offset(d.int())
	}
	for range d.count() {
		done := d.uint() == 1
		in := d.intent()
		in.done = done
		s.intents = append(s.intents, in)
		if d.err != nil {
			break
		}
	}
	return s
}
