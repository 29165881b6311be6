package kafka

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/createpartitions"

	"github.com/seed-462d9463/sluice/shard"
)

// topic is a topic that is there. Its logs are made when they are first opened.
type topic struct {
	e       *Engine
	name    string
	kafka   string // its name there
	id      topicID
	control bool
	broken  error // why it cannot be used: it is not in Kafka as we left it

	mu         sync.Mutex // guards what follows
	partitions int
	logs       map[int]*logState
	settings   shard.Settings
	gone       bool
}

func (e *Engine) newTopic(doc topicDoc) *topic {
	return &topic{e: e, name: doc.Name, kafka: doc.Kafka, id: doc.ID, partitions: doc.Partitions, logs: map[int]*logState{}}
}

// log returns the log of a partition, or nil if there is none.
func (t *topic) log(partition int) *logState {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.gone || partition < 0 || partition >= t.partitions {
		return nil
	}
	l := t.logs[partition]
	if l == nil {
		l = newLogState(t.e, t, partition)
		l.retention.bound = max(t.settings.RetentionBytes, 0)
		t.logs[partition] = l
	}
	return l
}

// all returns the logs that were opened.
func (t *topic) all() []*logState {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]*logState, 0, len(t.logs))
	for _, l := range t.logs {
		out = append(out, l)
	}
	return out
}

func (t *topic) drop() {
	t.mu.Lock()
	t.gone = true
	t.mu.Unlock()
	for _, l := range t.all() {
		l.drop()
	}
}

// maxTopicName is Kafka's.
const maxTopicName = 249

// kafkaName is the name in Kafka: that of the topic behind the prefix, or, if that is not possible, one with a sum in it.
func (e *Engine) kafkaName(name string, alias bool) string {
	full := e.opts.TopicPrefix + name
	if !alias && len(full) <= maxTopicName {
		return full
	}
	suffix := fmt.Sprintf("-%08x", crc32.Checksum([]byte(name), castagnoli))
	return full[:min(len(full), maxTopicName-len(suffix))] + suffix
}

// lockTopic keeps others from changing the topic until unlock is called.
func (e *Engine) lockTopic(ctx context.Context, name string) (unlock func(), err error) {
	e.mu.Lock()
	lock := e.locks[name]
	if lock == nil {
		lock = &topicLock{held: make(chan struct{}, 1)}
		e.locks[name] = lock
	}
	lock.users++
	e.mu.Unlock()
	leave := func() {
		e.mu.Lock()
		if lock.users--; lock.users == 0 {
			delete(e.locks, name)
		}
		e.mu.Unlock()
	}
	select {
	case lock.held <- struct{}{}:
		return func() { <-lock.held; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, context.Cause(ctx)
	}
}

type topicLock struct {
	held  chan struct{}
	users int
}

// Create implements shard.Engine.
func (e *Engine) Create(ctx context.Context, name string, partitions int) error {
	if err := shard.CheckTopic(name); err != nil {
		return err
	}
	if partitions < 1 || partitions > 1<<20 {
		return fmt.Errorf("create topic %s: %d partitions, must be 1 to %d", name, partitions, 1<<20)
	}
	return e.change(ctx, "create topic", name, func(ctx context.Context) error { return e.create(ctx, name, partitions) })
}

// change runs what changes a topic, alone and with a context that ends with the engine.
func (e *Engine) change(ctx context.Context, what, name string, do func(context.Context) error) error {
	if err := e.usable(); err != nil {
		return err
	}
	ctx, cancel := e.during(ctx)
	defer cancel()
	unlock, err := e.lockTopic(ctx, name)
	if err == nil {
		err = do(ctx)
		unlock()
	}
	if err == nil {
		return nil
	}
	if why := e.usable(); why != nil {
		return why
	}
	return fmt.Errorf("%s %s: %w", what, name, err)
}

func (e *Engine) create(ctx context.Context, name string, partitions int) error {
	doc, there := e.control.doc(name)
	if there && doc.Stage == stageDeleting {
		if err := e.finishDelete(ctx, doc); err != nil {
			return err
		}
		there = false
	}
	if !there {
		doc = topicDoc{Name: name, Kafka: e.kafkaName(name, false), Partitions: partitions, Stage: stageCreating}
		if err := e.intend(ctx, doc); err != nil {
			return err
		}
	}
	if doc.Stage == stageCreating {
		doc.Partitions = partitions
		return e.finishCreate(ctx, doc)
	}
	if t := e.topic(name); t != nil && t.broken != nil {
		return t.broken
	}
	if doc.Partitions >= partitions {
		return nil
	}
	return e.grow(ctx, doc, partitions)
}

// intend says in the control topic that a topic is about to be made, so that what an unfinished attempt leaves in Kafka
// is known.
func (e *Engine) intend(ctx context.Context, doc topicDoc) error {
	if doc.Kafka == e.control.topic.kafka {
		return fmt.Errorf("%w: %q is the name of the control topic", shard.ErrInvalidTopic, doc.Kafka)
	}
	return e.control.commit(ctx, change{Kind: changeTopic, Topic: &doc}, nil)
}

// finishCreate makes the topic in Kafka, as was intended, and everybody sees it.
func (e *Engine) finishCreate(ctx context.Context, doc topicDoc) error {
	id, err := e.createInKafka(ctx, doc.Kafka, doc.Partitions)
	if isCode(err, codeInvalidTopic) && doc.Kafka != e.kafkaName(doc.Name, true) {
		// Kafka refuses names that differ from another one in '.' and '_' only.
		doc.Kafka = e.kafkaName(doc.Name, true)
		if err = e.intend(ctx, doc); err == nil {
			id, err = e.createInKafka(ctx, doc.Kafka, doc.Partitions)
		}
	}
	if isCode(err, codeTopicExists) { // by an attempt whose answer was lost
		id, err = e.adopt(ctx, doc)
	}
	if errors.Is(err, ErrForeign) {
		return errors.Join(err, e.control.commit(ctx, change{Kind: changeDrop, Drop: &dropDoc{Name: doc.Name}}, nil))
	}
	if err != nil {
		return err
	}
	doc.ID, doc.Stage = id, ""
	return e.control.commit(ctx, change{Kind: changeTopic, Topic: &doc}, func(err error) {
		if err == nil {
			e.mu.Lock()
			e.topics[doc.Name] = e.newTopic(doc)
			e.mu.Unlock()
		}
	})
}

func isCode(err error, code int16) bool {
	var answered *codeError
	return errors.As(err, &answered) && answered.code == code
}

func (e *Engine) createInKafka(ctx context.Context, name string, partitions int) (id topicID, err error) {
	replication, err := e.replication(ctx)
	if err != nil {
		return id, err
	}
	timeout := int32(e.opts.RequestTimeout.Milliseconds()) * brokerPatiencePct / 100
	request := encodeCreateTopic(name, partitions, replication, topicSettings(replication), timeout)
	err = e.cluster.atController(ctx, "create topic "+name, func(n *node) error {
		answer, err := n.raw(ctx, protocol.CreateTopics, true, 0, request)
		if err == nil {
			id, err = parseCreateTopic(answer)
		}
		return err
	})
	e.cluster.forget(name)
	return id, err
}

// replication is the number of copies of new topics.
func (e *Engine) replication(ctx context.Context) (int, error) {
	if e.opts.Replication > 0 {
		return e.opts.Replication, nil
	}
	var brokers int
	err := e.cluster.repeat(ctx, "count the brokers", func() (err error) {
		brokers, err = e.cluster.brokers(ctx)
		return err
	})
	if brokers >= 3 {
		return 3, err
	}
	return 1, err
}

// lookPatience is how long a broker may take to hear of a topic that has just been made.
const lookPatience = 10 * time.Second

// adopt takes a topic that an earlier attempt has made. It is ours if it has nobody's records and our settings.
func (e *Engine) adopt(ctx context.Context, doc topicDoc) (topicID, error) {
	foreign := fmt.Errorf("%w: Kafka has a topic named %s that was not made by this log", ErrForeign, doc.Kafka)
	ctx, cancel := context.WithTimeoutCause(ctx, e.opts.lookPatience, asError(codeUnknownTopic, "topic "+doc.Kafka))
	defer cancel()
	e.cluster.forget(doc.Kafka)
	var info *topicInfo
	err := e.cluster.repeat(ctx, "look for topic "+doc.Kafka, func() (err error) {
		info, err = e.cluster.topic(ctx, doc.Kafka)
		return err
	})
	if err != nil {
		return topicID{}, err
	}
	settings, err := e.describe(ctx, []string{doc.Kafka})
	if err != nil {
		return topicID{}, err
	}
	if !looksOurs(settings[doc.Kafka]) || len(info.partitions) < doc.Partitions {
		return topicID{}, foreign
	}
	t := e.newTopic(topicDoc{Name: doc.Name, Kafka: doc.Kafka, ID: info.id, Partitions: len(info.partitions)})
	for p := range info.partitions {
		end, err := newLogState(e, t, p).offsetAt(ctx, latest)
		if err != nil {
			return topicID{}, err
		}
		if end > 0 {
			return topicID{}, foreign
		}
	}
	return info.id, nil
}

// grow adds partitions. Kafka may have them already, by an attempt that was not finished.
func (e *Engine) grow(ctx context.Context, doc topicDoc, partitions int) error {
	timeout := int32(e.opts.RequestTimeout.Milliseconds()) * brokerPatiencePct / 100
	err := e.cluster.atController(ctx, "add partitions to topic "+doc.Kafka, func(n *node) error {
		answer, err := n.message(ctx, &createpartitions.Request{TimeoutMs: timeout,
			Topics: []createpartitions.RequestTopic{{Name: doc.Kafka, Count: int32(partitions)}}})
		if err != nil {
			return err
		}
		results := answer.(*createpartitions.Response).Results
		if len(results) != 1 {
			return errMalformed
		}
		return asError(results[0].ErrorCode, results[0].ErrorMessage)
	})
	e.cluster.forget(doc.Kafka)
	if isCode(err, codeInvalidPartitions) {
		info, lookErr := e.cluster.topic(ctx, doc.Kafka)
		if lookErr == nil && info.id == doc.ID && len(info.partitions) >= partitions {
			e.cluster.forget(doc.Kafka) // who added them may not have told every broker
			err = nil
		}
	}
	if err != nil {
		return err
	}
	doc.Partitions = partitions
	return e.control.commit(ctx, change{Kind: changeTopic, Topic: &doc}, func(err error) {
		if t := e.topic(doc.Name); err == nil && t != nil {
			t.mu.Lock()
			t.partitions = max(t.partitions, partitions)
			t.mu.Unlock()
		}
	})
}

// Delete implements shard.Engine.
func (e *Engine) Delete(ctx context.Context, name string) error {
	return e.change(ctx, "delete topic", name, func(ctx context.Context) error {
		doc, there := e.control.doc(name)
		if !there {
			return nil
		}
		if doc.Stage != stageDeleting {
			doc.Stage, doc.Logs = stageDeleting, nil
			d := doc
			err := e.control.commit(ctx, change{Kind: changeTopic, Topic: &d}, func(err error) {
				if err == nil {
					e.uninstall(name)
				}
			})
			if err != nil {
				return err
			}
		}
		return e.finishDelete(ctx, doc)
	})
}

func (e *Engine) uninstall(name string) {
	e.mu.Lock()
	t := e.topics[name]
	delete(e.topics, name)
	e.mu.Unlock()
	if t != nil {
		t.drop()
	}
}

// finishDelete drops a topic from Kafka, by its id, so that no other one can be meant.
func (e *Engine) finishDelete(ctx context.Context, doc topicDoc) error {
	// No broker is being told of trims now, and none will be: the logs are gone.
	e.trimmer.deleting.Lock()
	//nolint:staticcheck // nothing is to be done while it is held: who had it has ended.
	e.trimmer.deleting.Unlock()
	id := doc.ID
	if id == (topicID{}) { // it was being created
		var err error
		if id, err = e.leftover(ctx, doc); err != nil {
			return err
		}
	}
	if id != (topicID{}) {
		if err := e.deleteInKafka(ctx, doc.Kafka, id); err != nil {
			return err
		}
	}
	e.cluster.forget(doc.Kafka)
	return e.control.commit(ctx, change{Kind: changeDrop, Drop: &dropDoc{Name: doc.Name, ID: doc.ID}}, nil)
}

// deleteInKafka deletes the topic with an id. That it is not there is no error.
func (e *Engine) deleteInKafka(ctx context.Context, name string, id topicID) error {
	timeout := int32(e.opts.RequestTimeout.Milliseconds()) * brokerPatiencePct / 100
	err := e.cluster.atController(ctx, "delete topic "+name, func(n *node) error {
		answer, err := n.raw(ctx, protocol.DeleteTopics, true, 0, encodeDeleteTopic(id, timeout))
		if err == nil {
			err = parseDeleteTopic(answer)
		}
		if isCode(err, codeUnknownTopicID) || isCode(err, codeUnknownTopic) {
			return nil
		}
		return err
	})
	e.cluster.forget(name)
	return err
}

// leftover returns the id of what an unfinished creation has left in Kafka, or zero.
func (e *Engine) leftover(ctx context.Context, doc topicDoc) (id topicID, err error) {
	var m *metadata
	err = e.cluster.repeat(ctx, "look for topic "+doc.Kafka, func() error {
		m, err = e.cluster.metadata(ctx, []string{doc.Kafka})
		return err
	})
	if err != nil || len(m.topics) == 0 || m.topics[0].code != 0 {
		return id, err
	}
	if id, err = e.adopt(ctx, doc); errors.Is(err, ErrForeign) {
		return topicID{}, nil
	}
	return id, err
}

// Topics implements shard.Engine.
func (e *Engine) Topics(context.Context) ([]shard.Topic, error) {
	if err := e.usable(); err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	out := make([]shard.Topic, 0, len(e.topics))
	for name, t := range e.topics {
		t.mu.Lock()
		out = append(out, shard.Topic{Name: name, Partitions: t.partitions})
		t.mu.Unlock()
	}
	slices.SortFunc(out, func(a, b shard.Topic) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

func (e *Engine) topic(name string) *topic {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.topics[name]
}

// Open implements shard.Engine.
func (e *Engine) Open(ctx context.Context, name string, partition int) (shard.Log, error) {
	if err := e.usable(); err != nil {
		return nil, err
	}
	t := e.topic(name)
	if t == nil {
		return nil, fmt.Errorf("%w: topic %s", shard.ErrNotFound, name)
	}
	if t.broken != nil {
		return nil, t.broken
	}
	l := t.log(partition)
	if l == nil {
		return nil, fmt.Errorf("%w: %s/%d", shard.ErrNotFound, name, partition)
	}
	if shard.IsEssential(ctx) {
		l.essential.Store(true)
	}
	if l.opened.Load() {
		return l, nil
	}
	during, cancel := e.during(ctx)
	defer cancel()
	if err := l.openLog(during); err != nil {
		return nil, fmt.Errorf("open log %s: %w", l, l.reason(err))
	}
	return l, nil
}

// Configure implements shard.Engine.
func (e *Engine) Configure(_ context.Context, name string, settings shard.Settings) error {
	if err := e.usable(); err != nil {
		return err
	}
	t := e.topic(name)
	if t == nil {
		return fmt.Errorf("%w: topic %s", shard.ErrNotFound, name)
	}
	t.mu.Lock()
	t.settings = settings
	t.mu.Unlock()
	for _, l := range t.all() {
		l.mu.Lock()
		l.retention.bound = max(settings.RetentionBytes, 0)
		l.mu.Unlock()
	}
	return nil
}
