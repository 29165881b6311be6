// Package shardtest holds what every log engine must pass, and the reference model that it is held against.
package shardtest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/seed-462d9463/sluice/shard"
)

// Memory is the contract of package shard in its simplest form: the model for property tests, and an engine
// for tests of the layers above that do not care for durability. Everything that it holds is lost with it.
type Memory struct {
	mu     sync.Mutex
	topics map[string]*memoryTopic
	closed bool
	err    error
	failed chan struct{}
}

var _ shard.Engine = (*Memory)(nil)

// NewMemory returns an empty engine.
func NewMemory() *Memory {
	return &Memory{topics: map[string]*memoryTopic{}, failed: make(chan struct{})}
}

// Create implements shard.Engine.
func (m *Memory) Create(ctx context.Context, topic string, partitions int) error {
	if err := shard.CheckTopic(topic); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(); err != nil {
		return err
	}
	t := m.topics[topic]
	if t == nil {
		t = &memoryTopic{}
		m.topics[topic] = t
	}
	for len(t.logs) < partitions {
		t.logs = append(t.logs, &memoryLog{changed: make(chan struct{}), bound: t.settings.RetentionBytes})
	}
	return nil
}

// Configure implements shard.Engine.
func (m *Memory) Configure(ctx context.Context, topic string, settings shard.Settings) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(); err != nil {
		return err
	}
	t := m.topics[topic]
	if t == nil {
		return fmt.Errorf("%w: %s", shard.ErrNotFound, topic)
	}
	t.settings = settings
	for _, l := range t.logs {
		l.configure(settings)
	}
	return nil
}

// Open implements shard.Engine.
func (m *Memory) Open(ctx context.Context, topic string, partition int) (shard.Log, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(); err != nil {
		return nil, err
	}
	t := m.topics[topic]
	if t == nil || partition < 0 || partition >= len(t.logs) {
		return nil, fmt.Errorf("%w: %s/%d", shard.ErrNotFound, topic, partition)
	}
	return t.logs[partition], nil
}

// Delete implements shard.Engine.
func (m *Memory) Delete(ctx context.Context, topic string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(); err != nil {
		return err
	}
	if t := m.topics[topic]; t != nil {
		for _, l := range t.logs {
			l.fail(shard.ErrNotFound)
		}
	}
	delete(m.topics, topic)
	return nil
}

// Topics implements shard.Engine.
func (m *Memory) Topics(ctx context.Context) ([]shard.Topic, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(); err != nil {
		return nil, err
	}
	var topics []shard.Topic
	for _, name := range slices.Sorted(maps.Keys(m.topics)) {
		topics = append(topics, shard.Topic{Name: name, Partitions: len(m.topics[name].logs)})
	}
	return topics, nil
}

// Fail makes the engine fail as a broken disk would.
func (m *Memory) Fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return
	}
	m.err = err
	close(m.failed)
	m.failLogs(err)
}

// Failed implements shard.Engine.
func (m *Memory) Failed() <-chan struct{} { return m.failed }

// Err implements shard.Engine.
func (m *Memory) Err() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

// Close implements shard.Engine.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.closed {
		m.closed = true
		m.failLogs(shard.ErrClosed)
	}
	return nil
}

func (m *Memory) usable() error {
	if m.err != nil {
		return m.err
	}
	if m.closed {
		return shard.ErrClosed
	}
	return nil
}

func (m *Memory) failLogs(err error) {
	for _, t := range m.topics {
		for _, l := range t.logs {
			l.fail(err)
		}
	}
}

type memoryTopic struct {
	logs     []*memoryLog
	settings shard.Settings
}

type memoryLog struct {
	mu      sync.Mutex
	err     error         // set once the log is gone
	changed chan struct{} // closed and replaced at every append
	first   shard.Offset
	records []shard.Record // the record at index i has offset first+i
	last    time.Time      // of the newest record ever appended
	bytes   int64          // sum of their Size
	bound   int64          // shard.Settings.RetentionBytes
}

type memoryPending struct {
	at  shard.Appended
	err error
}

func (p memoryPending) Wait(ctx context.Context) (shard.Appended, error) { return p.at, p.err }

func (l *memoryLog) Append(ctx context.Context, records []shard.Record) shard.Pending {
	if len(records) == 0 {
		panic("shardtest: append of no records")
	}
	if err := shard.CheckRecords(records); err != nil {
		return memoryPending{err: err}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return memoryPending{err: l.err}
	}
	if now := time.Now().UTC().Truncate(time.Millisecond); now.After(l.last) {
		l.last = now
	}
	at := shard.Appended{First: l.next(), Time: l.last}
	for i, r := range records {
		c := shard.Record{
			Offset: at.First + shard.Offset(i), Time: l.last, Key: slices.Clone(r.Key), Value: slices.Clone(r.Value),
		}
		for _, h := range r.Headers {
			c.Headers = append(c.Headers, shard.Header{Name: h.Name, Value: slices.Clone(h.Value)})
		}
		l.records = append(l.records, c)
		l.bytes += int64(c.Size())
	}
	l.shrink()
	close(l.changed)
	l.changed = make(chan struct{})
	return memoryPending{at: at}
}

func (l *memoryLog) Read(ctx context.Context, from shard.Offset, limit shard.Limit) ([]shard.Record, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return nil, l.err
	}
	if from < l.first {
		from = l.first
	}
	if from >= l.next() {
		return nil, nil
	}
	var out []shard.Record
	bytes := 0
	for _, r := range l.records[from-l.first:] {
		bytes += r.Size()
		if len(out) > 0 && (limit.Records > 0 && len(out) >= limit.Records || limit.Bytes > 0 && bytes > limit.Bytes) {
			break
		}
		out = append(out, r)
	}
	return out, nil
}

func (l *memoryLog) Wait(ctx context.Context, from shard.Offset) error {
	for {
		l.mu.Lock()
		err, first, next, changed := l.err, l.first, l.next(), l.changed
		l.mu.Unlock()
		if err != nil {
			return err
		}
		if next > max(from, first) { // not for records that were trimmed: whoever waits would find nothing
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (l *memoryLog) At(ctx context.Context, t time.Time) (shard.Offset, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return 0, l.err
	}
	i := sort.Search(len(l.records), func(i int) bool { return !l.records[i].Time.Before(t) })
	return l.first + shard.Offset(i), nil
}

func (l *memoryLog) Bounds() (first, next shard.Offset) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.first, l.next()
}

func (l *memoryLog) Trim(ctx context.Context, before shard.Offset) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return l.err
	}
	before = min(before, l.next())
	if before <= l.first {
		return nil
	}
	l.drop(int(before - l.first))
	return nil
}

// drop drops the oldest n records.
func (l *memoryLog) drop(n int) {
	for i := range l.records[:n] {
		l.bytes -= int64(l.records[i].Size())
	}
	l.records = slices.Clone(l.records[n:])
	l.first += shard.Offset(n)
}

func (l *memoryLog) configure(settings shard.Settings) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bound = settings.RetentionBytes
	l.shrink()
}

// shrink drops the oldest records that are not needed for the bound.
func (l *memoryLog) shrink() {
	n, left := 0, l.bytes
	for l.bound > 0 && n < len(l.records) && left-int64(l.records[n].Size()) >= l.bound {
		left -= int64(l.records[n].Size())
		n++
	}
	if n > 0 {
		l.drop(n)
	}
}

func (l *memoryLog) next() shard.Offset { return l.first + shard.Offset(len(l.records)) }

func (l *memoryLog) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = err
		close(l.changed)
		l.changed = make(chan struct{})
	}
}
