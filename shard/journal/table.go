package journal

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"sync"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/journal/internal/mutant"
)

// table is the list of topics with their logs. It changes only by control frames in the journal, which the
// committer applies when they are durable and recovery applies again: doing so twice changes nothing, because
// ids are never used again.
type table struct {
	mu        sync.RWMutex // guards what follows; the locks of logs come after it
	topics    map[string]*topic
	nextTopic uint64
	nextLog   uint64
	changes   uint64      // of topics and their logs
	sorted    []*logState // by id; nil if all has not been asked for them since the last change
}

// changed takes note that there are other logs. The lock is held.
func (t *table) changed() {
	t.changes++
	t.sorted = nil
}

type topic struct {
	id       uint64
	name     string
	logs     []*logState // by partition
	settings shard.Settings
}

// maxPartitions keeps a wrong number from filling the memory with logs.
const maxPartitions = 1 << 20

// The changes of the table, as their payload begins.
const (
	changeCreate = 1 // topic id, first partition, count, first log id, name
	changeDelete = 2 // topic id
	changeTrim   = 3 // offset; the log is in the frame's header
)

// change is a change of the table.
type change interface {
	encode() (log uint64, payload []byte)
	apply(e *Engine)
}

type createChange struct {
	topic    uint64
	first    uint64 // partition
	count    uint64
	firstLog uint64
	name     string
}

func (c createChange) encode() (uint64, []byte) {
	b := []byte{changeCreate}
	for _, v := range []uint64{c.topic, c.first, c.count, c.firstLog} {
		b = binary.AppendUvarint(b, v)
	}
	return 0, append(b, c.name...)
}

func (c createChange) apply(e *Engine) {
	t := e.table
	t.mu.Lock()
	defer t.mu.Unlock()
	t.changed()
	tp := t.topics[c.name]
	if tp == nil {
		tp = &topic{id: c.topic, name: c.name}
		t.topics[c.name] = tp
	}
	if tp.id == c.topic && uint64(len(tp.logs)) == c.first {
		tp.logs = slices.Grow(tp.logs, int(c.count))
		for i := range c.count {
			tp.logs = append(tp.logs, &logState{e: e, id: c.firstLog + i, topic: c.name, partition: int(c.first + i),
				settings: tp.settings})
		}
	}
	t.nextTopic = max(t.nextTopic, c.topic+1)
	t.nextLog = max(t.nextLog, c.firstLog+c.count)
}

type deleteChange struct {
	topic uint64
	name  string // where it is known, to find the topic quickly; not stored
}

func (c deleteChange) encode() (uint64, []byte) {
	return 0, binary.AppendUvarint([]byte{changeDelete}, c.topic)
}

func (c deleteChange) apply(e *Engine) {
	t := e.table
	t.mu.Lock()
	defer t.mu.Unlock()
	tp := t.topics[c.name]
	for _, other := range t.topics {
		if tp != nil && tp.id == c.topic {
			break
		}
		tp = other
	}
	if tp == nil || tp.id != c.topic {
		return
	}
	t.changed()
	delete(t.topics, tp.name)
	for _, l := range tp.logs {
		l.drop()
	}
}

type trimChange struct {
	log    *logState
	before shard.Offset
}

func (c trimChange) encode() (uint64, []byte) {
	return c.log.id, binary.AppendUvarint([]byte{changeTrim}, uint64(c.before))
}

func (c trimChange) apply(*Engine) { c.log.trim(c.before, byTrim) }

// decodeChange decodes a control frame. logs finds a log by its id; a change that is about a log that is gone is
// nil.
func decodeChange(h *frameHeader, payload []byte, logs func(uint64) *logState) (change, error) {
	if len(payload) == 0 {
		return nil, errPayload
	}
	p := payloadReader{b: payload[1:]}
	var c change
	switch payload[0] {
	case changeCreate:
		cc := createChange{topic: p.uvarint(), first: p.uvarint(), count: p.uvarint(), firstLog: p.uvarint()}
		cc.name = string(p.b)
		p.b = nil
		if cc.count > maxPartitions || cc.first > maxPartitions || shard.CheckTopic(cc.name) != nil {
			return nil, errPayload
		}
		c = cc
	case changeDelete:
		c = deleteChange{topic: p.uvarint()}
	case changeTrim:
		before := shard.Offset(p.uvarint())
		if l := logs(h.log); l != nil && before >= 0 {
			c = trimChange{log: l, before: before}
		}
	default:
		return nil, fmt.Errorf("change of kind %d is not known", payload[0])
	}
	if p.bad || len(p.b) > 0 {
		return nil, errPayload
	}
	return c, nil
}

// controlFrame returns a change as a frame.
func controlFrame(c change, j *journal) []byte {
	log, payload := c.encode()
	buf := append(make([]byte, frameHeaderBytes, frameHeaderBytes+len(payload)), payload...)
	h := frameHeader{payload: crc32.Checksum(payload, castagnoli), kind: frameControl, dir: j.dir(), log: log, epoch: j.epoch}
	h.seal(buf)
	return buf
}

// changeThen makes a change durable and applies it. done is called when the outcome is known, even if that is
// after ctx has ended.
func (e *Engine) changeThen(ctx context.Context, c change, done func()) error {
	outcome := make(chan error, 1)
	queued := &queuedChange{frame: controlFrame(c, e.journal), apply: func(err error) {
		if err == nil {
			c.apply(e)
		}
		done()
		outcome <- err
	}}
	if mutant.Any() {
		e.mutateChange(c)
	}
	if err := e.queue.push(queued); err != nil {
		done()
		return err
	}
	select {
	case err := <-outcome:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// change makes a change durable and applies it.
func (e *Engine) change(ctx context.Context, c change) error {
	return e.changeThen(ctx, c, func() {})
}

// lockTable lets one create or delete go on at a time: each must see the one before applied.
func (e *Engine) lockTable(ctx context.Context) error {
	select {
	case e.tableLock <- struct{}{}:
		if err := e.usable(); err != nil {
			e.unlockTable()
			return err
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-e.failed:
		return e.Err()
	}
}

func (e *Engine) unlockTable() { <-e.tableLock }

// Create implements shard.Engine.
func (e *Engine) Create(ctx context.Context, name string, partitions int) error {
	if err := shard.CheckTopic(name); err != nil {
		return err
	}
	if partitions > maxPartitions {
		return fmt.Errorf("create topic %s: %d partitions, at most %d", name, partitions, maxPartitions)
	}
	if err := e.usable(); err != nil {
		return err
	}
	if e.table.partitions(name) >= max(partitions, 0) {
		return nil
	}
	if err := e.lockTable(ctx); err != nil {
		return err
	}
	have := e.table.partitions(name)
	if have >= max(partitions, 0) {
		e.unlockTable()
		return nil
	}
	c := e.table.nextCreate(name)
	c.count = uint64(max(partitions, 0)) - c.first
	return e.changeThen(ctx, c, e.unlockTable)
}

// Delete implements shard.Engine.
func (e *Engine) Delete(ctx context.Context, name string) error {
	if err := e.usable(); err != nil {
		return err
	}
	if err := e.lockTable(ctx); err != nil {
		return err
	}
	e.table.mu.RLock()
	tp := e.table.topics[name]
	e.table.mu.RUnlock()
	if tp == nil {
		e.unlockTable()
		return nil
	}
	return e.changeThen(ctx, deleteChange{topic: tp.id, name: name}, e.unlockTable)
}

// Open implements shard.Engine.
func (e *Engine) Open(ctx context.Context, name string, partition int) (shard.Log, error) {
	if err := e.usable(); err != nil {
		return nil, err
	}
	e.table.mu.RLock()
	defer e.table.mu.RUnlock()
	tp := e.table.topics[name]
	if tp == nil || partition < 0 || partition >= len(tp.logs) {
		return nil, fmt.Errorf("%w: %s/%d", shard.ErrNotFound, name, partition)
	}
	l := tp.logs[partition]
	if shard.IsEssential(ctx) && !l.essential.Load() {
		e.queue.taking.Lock()
		l.essential.Store(true)
		e.queue.taking.Unlock()
	}
	return l, nil
}

// Topics implements shard.Engine.
func (e *Engine) Topics(ctx context.Context) ([]shard.Topic, error) {
	if err := e.usable(); err != nil {
		return nil, err
	}
	e.table.mu.RLock()
	defer e.table.mu.RUnlock()
	var topics []shard.Topic
	for _, name := range slices.Sorted(maps.Keys(e.table.topics)) {
		topics = append(topics, shard.Topic{Name: name, Partitions: len(e.table.topics[name].logs)})
	}
	return topics, nil
}

// partitions returns how many partitions a topic has, −1 if there is no such topic.
func (t *table) partitions(name string) int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	tp := t.topics[name]
	if tp == nil {
		return -1
	}
	return len(tp.logs)
}

// nextCreate returns a change that adds partitions to a topic, but for their number.
func (t *table) nextCreate(name string) createChange {
	t.mu.RLock()
	defer t.mu.RUnlock()
	c := createChange{topic: t.nextTopic, firstLog: t.nextLog, name: name}
	if tp := t.topics[name]; tp != nil {
		c.topic, c.first = tp.id, uint64(len(tp.logs))
	}
	return c
}

// byID returns all logs. It is for recovery, which is alone.
func (t *table) byID() map[uint64]*logState {
	logs := map[uint64]*logState{}
	for _, tp := range t.topics {
		for _, l := range tp.logs {
			logs[l.id] = l
		}
	}
	return logs
}

// livingDirs returns the directories whose logs are not all deleted for good: those that have a log, or may get one.
func (t *table) livingDirs() map[uint64]bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	living := map[uint64]bool{dirOf(t.nextLog): true}
	for _, tp := range t.topics {
		for _, l := range tp.logs {
			living[dirOf(l.id)] = true
		}
	}
	return living
}

// all returns all logs, by id. It is not to be changed.
func (t *table) all() []*logState {
	t.mu.RLock()
	if logs := t.sorted; logs != nil {
		t.mu.RUnlock()
		return logs
	}
	at := t.changes
	var logs []*logState
	for _, tp := range t.topics {
		logs = append(logs, tp.logs...)
	}
	t.mu.RUnlock()
	slices.SortFunc(logs, func(a, b *logState) int { return cmp.Compare(a.id, b.id) }) // a commit may wait for the lock
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.changes == at {
		t.sorted = logs
	}
	return logs
}

// load fills the table from a snapshot.
func (t *table) load(e *Engine, s *snapshot) error {
	t.changed()
	t.nextTopic, t.nextLog = s.nextTopic, s.nextLog
	ids := map[uint64]bool{}
	for _, st := range s.topics {
		if t.topics[st.name] != nil {
			return errors.New("a topic is in it twice")
		}
		tp := &topic{id: st.id, name: st.name}
		for i, sl := range st.logs {
			if ids[sl.id] || sl.id >= s.nextLog {
				return errors.New("the ids of logs are not sound")
			}
			if err := sl.covered(); err != nil {
				return err
			}
			ids[sl.id] = true
			l := &logState{e: e, id: sl.id, topic: st.name, partition: i, first: sl.first, flushed: sl.flushed,
				durable: sl.flushed, next: sl.flushed, lastMillis: sl.lastMillis, segments: sl.segments, gaps: sl.gaps}
			if len(l.segments) > 0 {
				e.flusher.dirs[dirOf(l.id)] = true
			}
			if n := len(l.segments); n > 0 && !l.segments[n-1].sealed {
				l.index.start = l.segments[n-1].bytes
			}
			if len(l.segments) > 0 && l.segments[0].end <= l.first {
				e.flusher.trimmed(l, 0) // the file may be gone already
			}
			tp.logs = append(tp.logs, l)
		}
		t.topics[st.name] = tp
	}
	return nil
}

// snapshot returns the table as it is now. Only the flusher calls it: the lengths of segments are those of its
// last write, all of them synced.
func (t *table) snapshot() *snapshot {
	t.mu.RLock()
	defer t.mu.RUnlock()
	s := &snapshot{nextTopic: t.nextTopic, nextLog: t.nextLog}
	for _, name := range slices.Sorted(maps.Keys(t.topics)) {
		tp := t.topics[name]
		st := snapshotTopic{id: tp.id, name: name, logs: make([]snapshotLog, 0, len(tp.logs))}
		for _, l := range tp.logs {
			l.mu.Lock()
			st.logs = append(st.logs, snapshotLog{
				id: l.id, first: l.first, flushed: l.flushed, lastMillis: l.lastMillis, segments: slices.Clone(l.segments), gaps: slices.Clone(l.gaps),
			})
			l.mu.Unlock()
		}
		s.topics = append(s.topics, st)
	}
	return s
}
