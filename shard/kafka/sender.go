package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/segmentio/kafka-go/protocol"

	"github.com/seed-462d9463/sluice/shard"
)

// The sender's rules, which keep every log free of loss, repetition and reordering:
//
//  1. A log has one batch under way. The next one is made when this one is settled.
//  2. A batch whose outcome is not known is sent again as it is, with the same producer id, epoch and sequence, until a
//     broker answers. Brokers know the last batches of a producer and do not append them twice. Only a batch that was
//     refused at its first sending is given up, and its sequence free for the next one: a broker would take another
//     batch with the sequence of one that it has for that one, and acknowledge what it has not written.
//  3. A batch is acknowledged when all before its base offset has been looked at (log.seen), and no newer node's marker
//     was there. Usually that is nothing: the base offset is the one expected. Other clients may write between.
//  4. A broker that knows a newer epoch refuses the batch: the engine fails. So it does when a batch gets an offset
//     below an acknowledged one, or when its sequence does not follow: acknowledged records are lost.
//
// A broker works off one request of a connection after the other, so a request takes along the batches of all logs that
// have one for that broker, and two requests at a time keep it busy.

const (
	combineBytes      = 1 << 20 // appends are put together to batches of about this size
	requestBytes      = 8 << 20 // batches are put together to requests of about this size
	requestBatches    = 1000
	workersPerBroker  = 2
	complainEach      = 10 * time.Second
	sequenceMask      = 1<<31 - 1
	brokerPatiencePct = 80 // of the request timeout, for the other replicas
)

// flight is a batch under way.
type flight struct {
	entries []*entry
	bytes   []byte
	count   int32
	sent    time.Time
	unsure  bool // it was sent before, and may have been appended
}

type sender struct {
	e *Engine

	mu       sync.Mutex // guards what follows
	lanes    map[*node]*lane
	lost     []*logState // their leaders are not known
	seeking  bool        // a goroutine looks for them
	lastErr  error       // why the newest of them is there
	complain time.Time
	working  sync.WaitGroup
}

// lane is what waits for one broker.
type lane struct {
	ready   []*logState
	workers int
}

func newSender(e *Engine) *sender {
	return &sender{e: e, lanes: map[*node]*lane{}, complain: time.Now()}
}

// schedule takes a log that has something to send. It stays with the sender until it has nothing more.
func (s *sender) schedule(l *logState) {
	n := s.e.cluster.leaderOf(l.topic.kafka, l.topic.id, l.partition)
	if n == nil {
		s.later(l, nil)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	la := s.lanes[n]
	if la == nil {
		la = &lane{}
		s.lanes[n] = la
	}
	la.ready = append(la.ready, l)
	if la.workers < workersPerBroker && s.e.ctx.Err() == nil {
		la.workers++
		s.working.Go(func() { s.work(n, la) })
	}
}

// work sends what is ready for a broker until there is no more.
func (s *sender) work(n *node, la *lane) {
	for {
		s.mu.Lock()
		ready := la.ready
		la.ready = nil
		if len(ready) == 0 || s.e.ctx.Err() != nil {
			la.workers--
			if la.workers == 0 {
				delete(s.lanes, n)
			}
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		var logs []*logState
		var flights []*flight
		size := 0
		for i, l := range ready {
			if size >= requestBytes || len(flights) >= requestBatches {
				s.mu.Lock()
				la.ready = append(ready[i:], la.ready...)
				s.mu.Unlock()
				break
			}
			if f := l.prepare(); f != nil {
				logs, flights = append(logs, l), append(flights, f)
				size += len(f.bytes)
			}
		}
		if len(logs) > 0 {
			s.send(n, logs, flights)
		}
	}
}

// prepare returns the batch to send, and makes it if need be. None: there is nothing more to send.
func (l *logState) prepare() *flight {
	l.mu.Lock()
	f := l.flight
	if f != nil {
		l.mu.Unlock()
		return f
	}
	size, n := 0, 0
	for n < len(l.queue) {
		en := l.queue[n]
		if l.single > 0 && n > 0 {
			break
		}
		if n > 0 && (size+en.payload.size() > combineBytes || en.marker || l.queue[0].marker) {
			break
		}
		size += en.payload.size()
		n++
	}
	if n == 0 {
		l.queue, l.queued = nil, false
		l.mu.Unlock()
		return nil
	}
	f = &flight{entries: slices.Clone(l.queue[:n])}
	clear(l.queue[:n])
	l.queue = l.queue[n:]
	l.flight, l.attempts, l.single = f, 0, max(l.single-1, 0)
	sequence := l.sequence
	l.mu.Unlock()

	w := newBatchWriter(size)
	for _, en := range f.entries {
		w.add(en.payload, en.millis)
	}
	f.count = w.count
	f.bytes = w.seal(l.e.pid, l.e.epoch, sequence)
	return f
}

type place struct {
	topic     string
	partition int32
}

func (s *sender) send(n *node, logs []*logState, flights []*flight) {
	batches := make([]batchToSend, len(logs))
	for i, l := range logs {
		batches[i] = batchToSend{l.topic.kafka, int32(l.partition), flights[i].bytes}
		if flights[i].sent.IsZero() {
			flights[i].sent = time.Now()
		}
	}
	patience := s.e.opts.RequestTimeout * brokerPatiencePct / 100
	answer, err := n.raw(s.e.ctx, protocol.Produce, false, 0, encodeProduce(batches, int32(patience.Milliseconds()))...)
	var results []produced
	if err == nil {
		results, err = parseProduced(answer)
	}
	s.e.metrics.requests.Inc()
	byPlace := make(map[place]produced, len(results))
	for _, r := range results {
		byPlace[place{r.topic, r.partition}] = r
	}
	for i, l := range logs {
		if err != nil {
			flights[i].unsure = true
			s.again(l, err)
			continue
		}
		r, ok := byPlace[place{l.topic.kafka, int32(l.partition)}]
		if !ok {
			flights[i].unsure = true
			s.again(l, errMalformed)
			continue
		}
		s.decide(l, flights[i], r)
	}
}

// decide does what follows from a broker's answer.
func (s *sender) decide(l *logState, f *flight, r produced) {
	switch {
	case r.code == 0:
		s.acknowledged(l, f, r.base)
	case r.code == codeInvalidProducer || r.code == codeProducerFenced:
		s.e.fail(fmt.Errorf("%w (log %s: %w)", ErrSuperseded, l, asError(r.code, r.detail)))
	case r.code == codeOutOfOrderSequence || r.code == codeDuplicateSequence:
		s.e.fail(fmt.Errorf("%w: log %s: %w", ErrLost, l, asError(r.code, r.detail)))
	case isRetriable(r.code) || r.code == codeUnknown || f.unsure:
		f.unsure = true // brokers answer so too when they have appended, and the other replicas have not
		s.again(l, asError(r.code, r.detail))
	default:
		s.refused(l, f, r)
	}
}

// again puts the log where its batch is sent once more, perhaps to another broker.
func (s *sender) again(l *logState, err error) {
	s.e.metrics.retries.Inc()
	s.e.cluster.forget(l.topic.kafka)
	l.mu.Lock()
	l.attempts++
	l.mu.Unlock()
	s.later(l, fmt.Errorf("log %s: %w", l, err))
}

// refused fails what a broker will never take. It has not been appended, so its sequence is free for the next batch.
func (s *sender) refused(l *logState, f *flight, r produced) {
	err := fmt.Errorf("append to %s: %w", l, asError(r.code, r.detail))
	if r.code == codeTooLarge || r.code == codeListTooLarge {
		err = fmt.Errorf("%w: the topic's max.message.bytes, which was %d when it was made, has been lowered: %w", shard.ErrTooLarge, maxBatchBytes, err)
	}
	l.mu.Lock()
	if l.flight != f {
		l.mu.Unlock()
		return
	}
	l.flight = nil
	if n := len(f.entries); n > 1 { // one of them may be at fault
		l.queue = append(f.entries, l.queue...)
		l.single = n
		l.mu.Unlock()
		s.schedule(l)
		return
	}
	l.mu.Unlock()
	if l.topic.control {
		s.e.fail(fmt.Errorf("the control topic cannot be written to: %w", err))
	}
	l.settle(f.entries, err)
	s.schedule(l)
}

// acknowledged publishes a batch that Kafka has made durable, once all before it has been looked at.
func (s *sender) acknowledged(l *logState, f *flight, base shard.Offset) {
	l.mu.Lock()
	seen, acked := l.seen, l.acked
	l.mu.Unlock()
	marker := f.entries[0].marker
	switch {
	case base < acked:
		s.e.fail(fmt.Errorf("%w: log %s ends at offset %d in Kafka, but records up to %d had been acknowledged", ErrLost, l, base, acked))
	case marker || base <= seen:
		s.publish(l, f, base)
	default:
		s.working.Go(func() {
			if err := l.inspect(s.e.ctx, base); err != nil {
				f.unsure = true
				if l.alive() == nil {
					s.again(l, err)
				}
				return
			}
			s.publish(l, f, base)
		})
	}
}

func (s *sender) publish(l *logState, f *flight, base shard.Offset) {
	s.e.metrics.acknowledged(f)
	l.mu.Lock()
	if l.flight != f {
		l.mu.Unlock()
		return
	}
	end := base + shard.Offset(f.count)
	l.flight = nil
	l.sequence = int32((int64(l.sequence) + int64(f.count)) & sequenceMask)
	l.acked = max(l.acked, end)
	var begun []mark
	if !f.entries[0].marker {
		l.found(base, end-1)
		l.seen = max(l.seen, end)
		begun = l.retention.note(base, int64(len(f.bytes)))
	}
	at := base
	for _, en := range f.entries {
		en.at = shard.Appended{First: at, Time: time.UnixMilli(en.millis).UTC()}
		at += shard.Offset(len(en.payload.ends))
	}
	l.mu.Unlock()
	l.settle(f.entries, nil)
	l.keepWithin(begun)
	s.schedule(l)
}

// later keeps a log until its leader is known, and looks for that.
func (s *sender) later(l *logState, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lost = append(s.lost, l)
	if err != nil {
		s.lastErr = err
	}
	if !s.seeking && s.e.ctx.Err() == nil {
		s.seeking = true
		s.working.Go(s.seek)
	}
}

var errNoLeader = errors.New("no broker that can be reached leads its partition, or its topic is not there any more")

// seek finds the leaders of the lost logs, again and again until there are none.
func (s *sender) seek() {
	for {
		s.mu.Lock()
		lost := s.lost
		s.lost = nil
		if len(lost) == 0 || s.e.ctx.Err() != nil {
			s.seeking = false
			s.mu.Unlock()
			return
		}
		if s.lastErr != nil && time.Since(s.complain) > complainEach {
			s.complain = time.Now()
			s.e.opts.Logger.Warn("appends wait for Kafka", "logs", len(lost), "error", s.lastErr)
		}
		s.mu.Unlock()
		s.find(s.e.ctx, lost)
	}
}

func (s *sender) find(ctx context.Context, lost []*logState) {
	names := make([]string, 0, len(lost))
	attempts := lost[0].tries()
	for _, l := range lost {
		names = append(names, l.topic.kafka)
		attempts = min(attempts, l.tries())
	}
	if attempts > 0 {
		if pause(ctx, backoff(attempts)) != nil {
			return
		}
	}
	slices.Sort(names)
	if err := s.e.cluster.refresh(ctx, slices.Compact(names)); err != nil && ctx.Err() == nil {
		s.mu.Lock()
		s.lastErr = err
		s.mu.Unlock()
	}
	for _, l := range lost {
		if s.e.cluster.leaderOf(l.topic.kafka, l.topic.id, l.partition) == nil {
			s.e.cluster.forget(l.topic.kafka)
			l.mu.Lock()
			l.attempts++
			idle := l.gone
			l.mu.Unlock()
			if idle {
				continue
			}
			s.later(l, fmt.Errorf("log %s: %w", l, errNoLeader))
			continue
		}
		s.schedule(l)
	}
}

func (l *logState) tries() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.attempts
}
