package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/seed-462d9463/sluice/shard"
)

const (
	// MaxPutRecords is how many records one Put takes.
	MaxPutRecords = 500
	// MaxPutBytes is how many bytes of data and partition keys one Put takes.
	MaxPutBytes = 10 << 20
	// MaxPartitionKeyLength is in characters.
	MaxPartitionKeyLength = 256
)

// Entry is a record to be written. Put keeps nothing of it: key and data may lie in memory that is used for
// something else once Put has returned.
type Entry struct {
	PartitionKey string
	HashKey      *HashKey // where the record goes; nil means by the hash of its partition key
	Data         []byte
}

// size is what a record counts for, in its own limit and in its shard's.
func (e *Entry) size() int { return len(e.PartitionKey) + len(e.Data) }

// Result is what became of one entry.
type Result struct {
	ShardID  string
	Sequence SequenceNumber // zero if Err is set
	// Encrypted tells that the record is kept encrypted.
	Encrypted bool
	// Err is nil when the record is durable. ErrThroughputExceeded: it was not written. ErrNotFound never
	// stands here: then Put as a whole fails. After any other error it may have been written or not.
	Err error
}

// Put writes records and waits until they are durable. Every entry has a result of its own, in the entries'
// order; within a shard the records keep that order. An entry over its shard's limit is left out, and those
// behind it are tried nevertheless; a shard that fails does not hinder the others.
//
// An error means that nothing has been acknowledged: ErrNotFound, or ErrInvalidArgument (a *RecordError if
// one entry is to blame), ErrKeyNotFound and ErrWrongKey (the stream's records are to be encrypted and cannot be),
// where nothing was written.
func (s *Service) Put(ctx context.Context, name Name, entries []Entry) ([]Result, error) {
	return s.PutInto(ctx, name, entries, nil)
}

// PutInto is Put with memory for the results: they are appended to results.
func (s *Service) PutInto(ctx context.Context, name Name, entries []Entry, results []Result) ([]Result, error) {
	st, err := s.lookup(name)
	if err != nil {
		return results, err
	}
	if st.sealError != nil {
		return results, fmt.Errorf("put to stream %s: %w", name, st.sealError)
	}
	keyBytes, err := checkEntries(entries, st.definition.MaxRecordBytes)
	if err != nil {
		return results, fmt.Errorf("put to stream %s: %w", name, err)
	}
	start := len(results)
	results = slices.Grow(results, len(entries))[:start+len(entries)]
	if err := s.put(ctx, st, entries, keyBytes, results[start:], false); err != nil {
		return results[:start], fmt.Errorf("put to stream %s: %w", name, err)
	}
	return results, nil
}

// put writes entries that were checked. Those that come when their shard is being closed wait until that is done
// and go to whichever shard has taken over, without counting in its limits: they were admitted.
func (s *Service) put(ctx context.Context, st *stream, entries []Entry, keyBytes int, results []Result, admitted bool) error {
	b := batches.Get().(*batch)
	defer b.release()
	b.route(st, s.clock(), entries, keyBytes, results, admitted)
	if b.hot {
		s.scaler.overloaded(st.name)
	}
	b.submit(ctx, st)
	if err := b.collect(ctx, s, st, results); err != nil {
		return err
	}
	if b.blocked == 0 {
		return nil
	}
	return s.putBlocked(ctx, st.name, b, entries, results)
}

// putBlocked writes what found its shards being closed. Nothing of the batch is inside a gate any more: else two
// could wait for each other, who closes one shard and who writes to two.
func (s *Service) putBlocked(ctx context.Context, name Name, b *batch, entries []Entry, results []Result) error {
	var places []int
	for i := range b.groups {
		g := &b.groups[i]
		if g.blocked == nil {
			continue
		}
		for _, entry := range b.origins[g.start : g.start+g.count] {
			places = append(places, int(entry))
		}
	}
	if err := s.awaitGates(ctx, b.groups); err != nil { // nothing of these was written; the others' results stand
		for _, place := range places {
			results[place].Err = fmt.Errorf("wait for the shards of stream %s: %w", name, err)
		}
		return nil
	}
	slices.Sort(places)
	rest, outcome, keyBytes := make([]Entry, len(places)), make([]Result, len(places)), 0
	for i, place := range places {
		rest[i] = entries[place]
		keyBytes += len(rest[i].PartitionKey)
	}
	st, err := s.lookup(name)
	if err != nil {
		return err
	}
	if err := s.put(ctx, st, rest, keyBytes, outcome, true); err != nil {
		return err
	}
	for i, place := range places {
		results[place] = outcome[i]
	}
	return nil
}

// awaitGates waits until it is known what has become of the shards that were being closed.
func (s *Service) awaitGates(ctx context.Context, groups []group) error {
	for i := range groups {
		if groups[i].blocked == nil {
			continue
		}
		select {
		case <-groups[i].blocked:
		case <-ctx.Done():
			return ctx.Err()
		case <-s.background.Done():
			return ErrClosed
		case <-s.catalog.Failed():
			return s.catalog.Err()
		}
	}
	return nil
}

// checkEntries returns the sum of the partition keys' lengths, or what is wrong with the first bad entry.
func checkEntries(entries []Entry, maxRecordBytes int) (keyBytes int, err error) {
	if len(entries) == 0 || len(entries) > MaxPutRecords {
		return 0, fmt.Errorf("%w: %d records, must be 1 to %d", ErrInvalidArgument, len(entries), MaxPutRecords)
	}
	total := 0
	for i := range entries {
		e := &entries[i]
		// A key has at most as many characters as bytes: nearly all are short enough without counting.
		if len(e.PartitionKey) > MaxPartitionKeyLength && utf8.RuneCountInString(e.PartitionKey) > MaxPartitionKeyLength {
			return 0, &RecordError{i, fmt.Sprintf("partition key of more than %d characters", MaxPartitionKeyLength)}
		}
		if e.PartitionKey == "" {
			return 0, &RecordError{i, "empty partition key"}
		}
		if e.size() > maxRecordBytes {
			return 0, &RecordError{i, fmt.Sprintf("%d bytes of data and partition key, at most %d", e.size(), maxRecordBytes)}
		}
		keyBytes += len(e.PartitionKey)
		total += e.size()
	}
	if total > MaxPutBytes {
		return 0, fmt.Errorf("%w: %d bytes of data and partition keys, at most %d", ErrInvalidArgument, total, MaxPutBytes)
	}
	return keyBytes, nil
}

// batch is the working memory of one Put.
type batch struct {
	keys    []byte         // the partition keys, one after the other
	groups  []group        // one for each shard that gets records
	records []shard.Record // those of the first group, then those of the second, …
	origins []int32        // by place in records: the entry
	members []int32        // by entry: its group, or throttled
	byShard []int32        // by place of the shard: its group plus one; all zero between uses
	blocked int            // groups whose shards were being closed
	hot     bool           // a shard of an on-demand stream has much to do
}

const throttled = -1

// group is the part of a batch that goes to one shard: records[start:start+count].
type group struct {
	shard   int // its place in the stream
	start   int
	count   int
	bytes   int
	pending shard.Pending
	blocked <-chan struct{} // not nil: nothing was written, and the stream is to be looked up again when it is closed
	err     error
}

var batches = sync.Pool{New: func() any { return new(batch) }}

// release forgets everything that belongs to the caller and gives the memory back.
func (b *batch) release() {
	for i := range b.groups {
		b.byShard[b.groups[i].shard] = 0
	}
	clear(b.groups)
	clear(b.records)
	b.groups, b.records, b.blocked = b.groups[:0], b.records[:0], 0
	b.hot = false
	batches.Put(b)
}

// route finds every entry's shard, applies the shard's limits, and lines the records up by shard, each
// shard's in the order of the entries. It fills in the results' shards, and the errors of those throttled.
func (b *batch) route(st *stream, now int64, entries []Entry, keyBytes int, results []Result, admitted bool) {
	// Records point into keys, which therefore must not move.
	b.keys = slices.Grow(b.keys[:0], keyBytes)
	b.members = slices.Grow(b.members[:0], len(entries))[:len(entries)]
	if missing := len(st.partitions) - len(b.byShard); missing > 0 {
		b.byShard = append(b.byShard, make([]int32, missing)...)
	}
	rejected := 0
	for i := range entries {
		e := &entries[i]
		start := len(b.keys)
		b.keys = append(b.keys, e.PartitionKey...)
		var at HashKey
		if e.HashKey != nil {
			at = *e.HashKey
		} else {
			at = HashPartitionKey(b.keys[start:])
		}
		place := st.shards.route(at)
		results[i] = Result{ShardID: st.definition.Shards[place].ID}
		if st.definition.OnDemand && !admitted {
			if l := st.partitions[place].load.Load(); l != nil && l.add(&st.limits, now, at, e.size()) {
				b.hot = true
			}
		}
		if !admitted && !st.partitions[place].limiter.takeWrite(&st.limits, now, e.size()) {
			results[i].Err = ErrThroughputExceeded
			if c := st.partitions[place].counters.Load(); c != nil {
				c.writeThrottled.Add(1)
			}
			b.members[i] = throttled
			rejected++
			continue
		}
		b.join(i, place, e.size())
	}
	if rejected > 0 {
		st.metrics.writeThrottled.Add(int64(rejected))
	}
	b.arrange(entries)
}

// join counts an entry into its shard's group.
func (b *batch) join(entry, place, size int) {
	if b.byShard[place] == 0 {
		b.groups = append(b.groups, group{shard: place})
		b.byShard[place] = int32(len(b.groups))
	}
	g := b.byShard[place] - 1
	b.groups[g].count++
	b.groups[g].bytes += size
	b.members[entry] = g
}

// arrange lays the records out group by group.
func (b *batch) arrange(entries []Entry) {
	total := 0
	for i := range b.groups {
		b.groups[i].start = total
		total += b.groups[i].count
		b.groups[i].count = 0 // counted again while filling
	}
	b.records = slices.Grow(b.records[:0], total)[:total]
	b.origins = slices.Grow(b.origins[:0], total)[:total]
	key := 0
	for i := range entries {
		from := key
		key += len(entries[i].PartitionKey)
		if b.members[i] == throttled {
			continue
		}
		g := &b.groups[b.members[i]]
		place := g.start + g.count
		g.count++
		b.records[place] = shard.Record{Key: b.keys[from:key:key], Value: entries[i].Data}
		b.origins[place] = int32(i)
	}
}

// submit queues every group at its shard's log. Nothing waits for the disk here, so that one request's shards
// share the same commits.
func (b *batch) submit(ctx context.Context, st *stream) {
	for i := range b.groups {
		g := &b.groups[i]
		p := st.partitions[g.shard]
		log, err := p.open(ctx)
		if err != nil {
			g.err = err
			continue
		}
		records := b.records[g.start : g.start+g.count]
		if g.err = st.sealError; g.err != nil { // since Put looked, for records that waited at a gate
			continue
		}
		if st.sealer != nil {
			if g.err = st.sealer.seal(p.index, records); g.err != nil {
				continue
			}
		}
		if g.blocked = p.gate.enter(); g.blocked != nil {
			b.blocked++
			continue
		}
		g.pending = log.Append(ctx, records)
	}
}

// collect waits for all groups and fills in their results. It fails if the stream was deleted meanwhile.
func (b *batch) collect(ctx context.Context, s *Service, st *stream, results []Result) error {
	var gone error
	for i := range b.groups {
		g := &b.groups[i]
		if g.blocked != nil {
			continue
		}
		var at shard.Appended
		if g.err == nil {
			at, g.err = s.outcome(ctx, st.partitions[g.shard], g.pending)
		}
		if errors.Is(g.err, ErrNotFound) {
			gone = g.err
			continue
		}
		sh := &st.definition.Shards[g.shard]
		origins := b.origins[g.start : g.start+g.count]
		if g.err != nil {
			// It may be in the log nevertheless, if only ctx has ended: retention has to know of it.
			s.retention.appended(st.partitions[g.shard], time.Now())
			err := fmt.Errorf("write to %s: %w", sh.ID, g.err)
			for _, entry := range origins {
				results[entry].Err = err
			}
			continue
		}
		for n, entry := range origins {
			results[entry].Sequence = sh.SequenceNumber(at.First+shard.Offset(n), at.Time)
			results[entry].Encrypted = st.sealer != nil
		}
		s.retention.appended(st.partitions[g.shard], at.Time)
		st.metrics.incomingRecords.Add(int64(g.count))
		st.metrics.incomingBytes.Add(int64(g.bytes))
		if c := st.partitions[g.shard].counters.Load(); c != nil {
			c.incomingRecords.Add(int64(g.count))
			c.incomingBytes.Add(int64(g.bytes))
		}
	}
	return gone
}

// outcome waits for an append and leaves the shard's gate. When ctx ends first, the append still goes on: the gate
// is left when it is decided.
func (s *Service) outcome(ctx context.Context, p *partition, pending shard.Pending) (shard.Appended, error) {
	at, err := pending.Wait(ctx)
	if err == nil || ctx.Err() == nil {
		p.gate.leave()
		return at, mapError(err)
	}
	started := s.spawn(func() {
		defer p.gate.leave()
		// An error is as good as success here: it is decided.
		_, _ = pending.Wait(s.background)
	})
	if !started {
		p.gate.leave() // no shard is closed any more
	}
	return at, mapError(err)
}
