package kafka

import (
	"context"
	"sync"
	"time"

	"github.com/seed-462d9463/sluice/shard"
)

// Trim implements shard.Log. What was trimmed is said in the control topic first: a broker that is killed forgets what
// DeleteRecords told it in the last minute. Kafka's own records go a little later.
func (l *logState) Trim(ctx context.Context, before shard.Offset) error {
	if err := l.usable(); err != nil {
		return err
	}
	ctx, cancel := l.e.during(ctx)
	defer cancel()
	return l.reason(l.trim(ctx, before))
}

func (l *logState) trim(ctx context.Context, before shard.Offset) error {
	first, next := l.Bounds()
	before = min(before, next)
	if before <= first {
		return nil
	}
	if before < next {
		// There may be a marker, or nothing, at the offset itself.
		var err error
		if before, err = l.firstAt(ctx, before); err != nil {
			return err
		}
	}
	return l.e.control.commit(ctx, change{Kind: changeLog, Log: &logChange{
		Topic: l.topic.name, ID: l.topic.id, Partition: l.partition, First: before,
	}}, func(err error) {
		if err == nil {
			l.trimmed(before)
		}
	})
}

// trimmed applies a durable Trim.
func (l *logState) trimmed(before shard.Offset) {
	l.mu.Lock()
	l.first = max(l.first, before)
	l.next = max(l.next, l.first)
	l.dropped = l.first
	l.starts = dropStarts(l.starts, l.first)
	l.retention.trimmed(l.first)
	l.mu.Unlock()
	l.e.trimmer.add(l)
}

// trimmer tells Kafka what may go. It has a goroutine while there is something to tell.
type trimmer struct {
	e *Engine

	// deleting is held while brokers are told, and by Delete: what is said of a topic must not reach another one that
	// gets its name.
	deleting sync.RWMutex

	mu      sync.Mutex // guards what follows
	due     map[*logState]struct{}
	running bool
	done    sync.WaitGroup
}

func newTrimmer(e *Engine) *trimmer { return &trimmer{e: e, due: map[*logState]struct{}{}} }

func (t *trimmer) add(l *logState) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.due[l] = struct{}{}
	if !t.running && t.e.ctx.Err() == nil {
		t.running = true
		t.done.Go(t.run)
	}
}

func (t *trimmer) run() {
	for failures := 0; ; {
		t.mu.Lock()
		due := t.due
		t.due = map[*logState]struct{}{}
		if len(due) == 0 || t.e.ctx.Err() != nil {
			t.running = false
			t.mu.Unlock()
			return
		}
		t.mu.Unlock()
		failed := t.tell(due)
		failures++
		if len(failed) == 0 {
			failures = 0
			continue
		}
		t.mu.Lock()
		for _, l := range failed {
			t.due[l] = struct{}{}
		}
		t.mu.Unlock()
		if pause(t.e.ctx, max(backoff(failures), 100*time.Millisecond)) != nil {
			continue // it ends now
		}
	}
}

// tell has the brokers delete the records of logs that were trimmed. It returns the logs that must be tried again.
func (t *trimmer) tell(due map[*logState]struct{}) (failed []*logState) {
	byNode := map[*node][]*logState{}
	for l := range due {
		n, err := t.e.cluster.leader(t.e.ctx, l.topic.kafka, l.topic.id, l.partition)
		if err != nil {
			if l.usable() == nil {
				failed = append(failed, l)
			}
			continue
		}
		byNode[n] = append(byNode[n], l)
	}
	for n, logs := range byNode {
		failed = append(failed, t.tellNode(n, logs)...)
	}
	return failed
}

func (t *trimmer) tellNode(n *node, logs []*logState) (failed []*logState) {
	t.deleting.RLock()
	defer t.deleting.RUnlock()
	request := &deleteRecordsRequest{TimeoutMs: int32(t.e.opts.RequestTimeout.Milliseconds()) / 2}
	byPlace := map[place]*logState{}
	for _, l := range logs {
		l.mu.Lock()
		gone, first := l.gone, l.first
		l.mu.Unlock()
		if gone || t.e.cluster.leaderOf(l.topic.kafka, l.topic.id, l.partition) != n {
			if !gone {
				failed = append(failed, l)
			}
			continue
		}
		request.Topics = append(request.Topics, deleteRecordsTopic{Name: l.topic.kafka,
			Partitions: []deleteRecordsPartition{{Index: int32(l.partition), Offset: int64(first)}}})
		byPlace[place{l.topic.kafka, int32(l.partition)}] = l
	}
	if len(byPlace) == 0 {
		return failed
	}
	answer, err := n.message(t.e.ctx, request)
	if err == nil {
		for _, topic := range answer.(*deleteRecordsResponse).Topics {
			for _, p := range topic.Partitions {
				// What was dropped already is out of range, too.
				if p.ErrorCode == 0 || !isRetriable(p.ErrorCode) {
					delete(byPlace, place{topic.Name, p.Index})
				}
				if p.ErrorCode != 0 && p.ErrorCode != codeOffsetOutOfRange && !isRetriable(p.ErrorCode) {
					t.e.opts.Logger.Warn("Kafka does not delete records that were trimmed", "topic", topic.Name,
						"partition", p.Index, "error", asError(p.ErrorCode, ""))
				}
			}
		}
	}
	for _, l := range byPlace {
		t.e.cluster.forget(l.topic.kafka)
		failed = append(failed, l)
	}
	return failed
}
