// Package kafka is the log engine on Apache Kafka: a topic for every topic, a partition for every log, and the records
// as they are, for any Kafka client to read. FORMAT.md describes what is in Kafka and what happens in a crash.
//
// The life of a record: Append queues it (log.go); the sender makes batches and sends them, one at a time for each log,
// until Kafka acknowledges (sender.go); Read fetches batches and drops what is not for readers (read.go); the poller
// asks for what other clients write, for those who wait (poller.go). Which topics there are, what was trimmed and where
// nodes took over stands in the control topic (control.go, state.go); era.go says how one node is kept from writing
// into what another one has taken over.
//
// One node has all logs. When several are to share them, an era will be one of a slot, to which logs are assigned, and
// not of the whole: the coordinator's name in start and the control topic's starts are the places.
package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go/protocol/findcoordinator"
	"github.com/segmentio/kafka-go/protocol/initproducerid"
	"golang.org/x/sync/semaphore"

	"github.com/seed-462d9463/sluice/shard"
)

// Engine implements shard.Engine on a Kafka cluster.
//
// Locks, in the order in which they may be taken together: control.mu, Engine.mu, topic.mu, logState.mu, then one of
// those of sender, poller, trimmer, pending and cluster.
type Engine struct {
	opts    Options
	cluster *cluster
	metrics *metrics
	control *control
	sender  *sender
	poller  *poller
	trimmer *trimmer
	pending *pending
	writers writers

	pid   int64 // who we are to Kafka; set by start
	epoch int16

	room     *semaphore.Weighted
	inFlight atomic.Int64

	ctx       context.Context // ends what is running
	cancel    context.CancelFunc
	accepting context.Context // ends when nothing more is accepted: at Close, and when the engine fails
	refuse    context.CancelFunc
	ending    <-chan struct{} // accepting's

	mu     sync.Mutex // guards what follows
	topics map[string]*topic
	locks  map[string]*topicLock

	closing   atomic.Bool
	failed    chan struct{}
	err       atomic.Pointer[error]
	failOnce  sync.Once
	closeOnce sync.Once
	closeErr  error
}

var _ shard.Engine = (*Engine)(nil)

// openPatience is how long Open tries to reach brokers that do not answer.
const openPatience = 60 * time.Second

// Open connects to the cluster and takes over what belongs to the topic prefix: a node that had it until now stops
// with ErrSuperseded. The context is for the opening only. It fails with ErrUnsafe or ErrForeign when topics are not as
// they must be.
func Open(ctx context.Context, opts Options) (*Engine, error) {
	if err := opts.complete(); err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	dialer, err := newDialer(opts)
	if err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	e := &Engine{
		opts:    opts,
		cluster: newCluster(dialer, opts.Brokers, opts.RequestTimeout, opts.Logger),
		pending: newPending(),
		room:    semaphore.NewWeighted(opts.MaxInFlightBytes),
		topics:  map[string]*topic{},
		locks:   map[string]*topicLock{},
		failed:  make(chan struct{}),
	}
	e.ctx, e.cancel = context.WithCancel(context.WithoutCancel(ctx))
	e.accepting, e.refuse = context.WithCancel(e.ctx)
	e.ending = e.accepting.Done()
	e.sender, e.poller, e.trimmer = newSender(e), newPoller(e), newTrimmer(e)
	e.metrics = newMetrics(e)
	if err := e.start(ctx); err != nil {
		if why := e.Err(); why != nil {
			err = why
		}
		e.kill()
		return nil, fmt.Errorf("open the log in Kafka (%s): %w", opts.Brokers[0], err)
	}
	return e, nil
}

func (e *Engine) start(ctx context.Context) error {
	ctx, cancel := e.during(ctx)
	defer cancel()
	if err := e.reach(ctx); err != nil {
		return err
	}
	if err := e.identify(ctx); err != nil {
		return err
	}
	if err := e.openControl(ctx); err != nil {
		return fmt.Errorf("control topic %s%s: %w", e.opts.TopicPrefix, controlName, err)
	}
	if err := e.recover(ctx); err != nil {
		return err
	}
	if err := e.inspectTopics(ctx); err != nil {
		return err
	}
	if err := e.metrics.register(); err != nil {
		return err
	}
	e.poller.watch(e.control.logState)
	e.poller.start()
	return nil
}

// reach finds the brokers.
func (e *Engine) reach(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, openPatience, errors.New("no broker can be reached"))
	defer cancel()
	return e.cluster.repeat(ctx, "find the brokers", func() error {
		_, err := e.cluster.brokers(ctx)
		return err
	})
}

// identify gets a producer id and epoch from Kafka's transaction coordinator, which fences who had them before. There
// are no transactions.
func (e *Engine) identify(ctx context.Context) error {
	name := e.opts.identity
	return e.cluster.repeat(ctx, "get a producer id as "+name, func() error {
		var coordinator *node
		err := e.cluster.someone(ctx, func(n *node) error {
			const transaction = 1
			answer, err := n.message(ctx, &findcoordinator.Request{Key: name, KeyType: transaction})
			if err != nil {
				return err
			}
			found := answer.(*findcoordinator.Response)
			if err := asError(found.ErrorCode, found.ErrorMessage); err != nil {
				return err
			}
			e.cluster.mu.Lock()
			coordinator = e.cluster.nodes[found.NodeID]
			e.cluster.mu.Unlock()
			if coordinator == nil {
				return asError(15, "the coordinator is a broker that is not known yet")
			}
			return nil
		})
		if err != nil {
			_, _ = e.cluster.brokers(ctx) // perhaps there is a new one
			return err
		}
		answer, err := coordinator.message(ctx, &initproducerid.Request{TransactionalID: name, TransactionTimeoutMs: 60_000})
		if err != nil {
			return err
		}
		given := answer.(*initproducerid.Response)
		if err := asError(given.ErrorCode, ""); err != nil {
			return err
		}
		e.pid, e.epoch = given.ProducerID, given.ProducerEpoch
		return nil
	})
}

// openControl finds or makes the control topic, takes it over, and reads it.
func (e *Engine) openControl(ctx context.Context) error {
	t := &topic{e: e, name: controlName, kafka: e.opts.TopicPrefix + controlName, control: true, partitions: 1, logs: map[int]*logState{}}
	e.control = &control{}
	e.control.logState = newLogState(e, t, 0)
	e.control.opened.Store(true)
	t.logs[0] = e.control.logState
	var m *metadata
	err := e.cluster.repeat(ctx, "look for it", func() (err error) {
		m, err = e.cluster.metadata(ctx, []string{t.kafka})
		return err
	})
	if err != nil {
		return err
	}
	if len(m.topics) == 1 && m.topics[0].code == 0 {
		t.id = m.topics[0].id
	} else if err := e.makeControl(ctx, t); err != nil {
		return err
	}
	if err := e.control.load(ctx); err != nil {
		return err
	}
	if !e.control.loaded {
		if err := e.refuseStrangers(ctx); err != nil {
			return err
		}
	}
	return e.control.snapshot(ctx)
}

func (e *Engine) makeControl(ctx context.Context, t *topic) error {
	if err := e.refuseStrangers(ctx); err != nil {
		return err
	}
	id, err := e.createInKafka(ctx, t.kafka, 1)
	if isCode(err, codeTopicExists) { // another node was faster, or it was not known to whom we asked
		var info *topicInfo
		err = e.cluster.repeat(ctx, "look for it", func() (err error) {
			info, err = e.cluster.topic(ctx, t.kafka)
			return err
		})
		if err == nil {
			id = info.id
		}
	}
	t.id = id
	return err
}

// recover makes the topics that the control topic names, and ends what was not finished.
func (e *Engine) recover(ctx context.Context) error {
	var unfinished []topicDoc
	e.control.mu.Lock()
	for name, doc := range e.control.state.topics {
		if doc.Stage == "" {
			e.topics[name] = e.newTopic(*doc)
		} else {
			unfinished = append(unfinished, *doc)
		}
	}
	e.control.mu.Unlock()
	for _, doc := range unfinished {
		err := e.finishDelete(ctx, doc)
		var answered *codeError
		if errors.As(err, &answered) && ctx.Err() == nil && e.usable() == nil {
			// It is gone for everybody, so the others need not wait until a broker is willing.
			e.opts.Logger.Error("a topic that was deleted is left in Kafka; the next start tries again", "topic", doc.Kafka, "error", err)
		} else if err != nil {
			return fmt.Errorf("finish deleting topic %s: %w", doc.Kafka, err)
		}
	}
	return nil
}

func (e *Engine) era() era {
	mine, _ := e.writers.era(e.pid, e.epoch)
	return mine
}

// during gives a context that ends with ctx, or when the engine begins to close.
func (e *Engine) during(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(e.accepting, cancel)
	return ctx, func() { stop(); cancel() }
}

// usable returns why nothing can be done any more.
func (e *Engine) usable() error {
	if err := e.Err(); err != nil {
		return err
	}
	if e.closing.Load() {
		return shard.ErrClosed
	}
	return nil
}

// closedError is why something has ended that ends only with the engine.
func (e *Engine) closedError() error {
	if err := e.Err(); err != nil {
		return err
	}
	return shard.ErrClosed
}

// Failed implements shard.Engine.
func (e *Engine) Failed() <-chan struct{} { return e.failed }

// Err implements shard.Engine.
func (e *Engine) Err() error {
	if err := e.err.Load(); err != nil {
		return *err
	}
	return nil
}

// fail ends all work for good. No log's lock is held.
func (e *Engine) fail(err error) {
	e.failOnce.Do(func() {
		err = fmt.Errorf("log engine failed: %w", err)
		e.err.Store(&err)
		close(e.failed)
		e.refuse()
		e.opts.Logger.Error("the log engine has failed and must be restarted", "topic_prefix", e.opts.TopicPrefix, "error", err)
		e.abandon(err)
		e.cancel()
	})
}

// abandon fails all that was not acknowledged.
func (e *Engine) abandon(err error) {
	e.mu.Lock()
	topics := make([]*topic, 0, len(e.topics)+1)
	for _, t := range e.topics {
		topics = append(topics, t)
	}
	e.mu.Unlock()
	if e.control != nil {
		topics = append(topics, e.control.topic)
	}
	for _, t := range topics {
		for _, l := range t.all() {
			l.abandon(err)
		}
	}
}

// Close implements shard.Engine.
func (e *Engine) Close() error {
	e.closeOnce.Do(func() {
		e.closing.Store(true)
		e.refuse()
		e.pending.close()
		timer := time.NewTimer(e.opts.CloseTimeout)
		defer timer.Stop()
		select {
		case <-e.pending.none:
		case <-e.failed:
		case <-timer.C:
			e.closeErr = fmt.Errorf("close the log in Kafka: %d appends were not acknowledged within %v; they may be there or not",
				e.pending.count(), e.opts.CloseTimeout)
		}
		e.end()
		e.closeErr = errors.Join(e.closeErr, e.Err())
	})
	return e.closeErr
}

// kill ends the engine at once, as the end of the process would.
func (e *Engine) kill() {
	e.closeOnce.Do(func() {
		e.closing.Store(true)
		e.refuse()
		e.pending.close()
		e.end()
	})
}

// end stops what is running and gives back what Open took. It works after a half-done start.
func (e *Engine) end() {
	// Who starts a goroutine holds one of these, and looks first whether this has happened.
	e.sender.mu.Lock()
	e.trimmer.mu.Lock()
	e.cancel()
	e.trimmer.mu.Unlock()
	e.sender.mu.Unlock()
	e.abandon(e.closedError())
	e.poller.done.Wait()
	e.trimmer.done.Wait()
	e.sender.working.Wait()
	e.cluster.close()
	e.metrics.close()
}
