package kafka

import (
	"errors"
	"sync"
	"time"

	"github.com/segmentio/kafka-go/protocol"

	"github.com/seed-462d9463/sluice/shard"
)

// Other clients write to the logs too, and another node may take over. So somebody must ask Kafka: the poller, with one
// request at a time for each broker, which the broker answers when something comes. It asks for the control topic, and
// for the logs that somebody waits for, no others. Our own appends wake who waits without it.

const (
	pollWait     = 500 * time.Millisecond // how long a broker keeps a request; a log that is waited for meanwhile comes after
	pollPerLog   = 200 * time.Microsecond // and longer where there are many, because the request is long
	pollSpace    = 20 * time.Millisecond  // between requests, as our own appends end them at once
	pollSpaceLog = 10 * time.Microsecond
	pollPause    = 200 * time.Millisecond // after a failure
	pollBytes    = 64 << 10
)

type poller struct {
	e    *Engine
	done sync.WaitGroup
	kick chan struct{}

	mu      sync.Mutex // guards what follows
	watched map[*logState]struct{}
	asking  map[*node]struct{}

	complained time.Time
}

func newPoller(e *Engine) *poller {
	return &poller{e: e, kick: make(chan struct{}, 1), watched: map[*logState]struct{}{}, asking: map[*node]struct{}{}}
}

// watch begins to ask for a log, until nobody waits for it.
func (p *poller) watch(l *logState) {
	p.mu.Lock()
	_, there := p.watched[l]
	p.watched[l] = struct{}{}
	p.mu.Unlock()
	if !there {
		p.wake()
	}
}

func (p *poller) wake() {
	select {
	case p.kick <- struct{}{}:
	default:
	}
}

func (p *poller) start() { p.done.Go(p.run) }

func (p *poller) run() {
	for failures := 0; ; {
		select {
		case <-p.kick:
		case <-p.e.ctx.Done():
			return
		}
		if p.round() {
			failures = 0
			continue
		}
		failures++
		if pause(p.e.ctx, backoff(failures)) != nil {
			return
		}
		p.wake()
	}
}

// round asks every broker that is not being asked. It reports false if there are logs without a known leader.
func (p *poller) round() bool {
	p.mu.Lock()
	var logs []*logState
	for l := range p.watched {
		if l.watching() {
			logs = append(logs, l)
		} else {
			delete(p.watched, l)
		}
	}
	p.mu.Unlock()
	byNode := map[*node][]*logState{}
	var names []string
	for _, l := range logs {
		if n := p.e.cluster.leaderOf(l.topic.kafka, l.topic.id, l.partition); n != nil {
			byNode[n] = append(byNode[n], l)
		} else {
			p.e.cluster.forget(l.topic.kafka)
			names = append(names, l.topic.kafka)
		}
	}
	p.mu.Lock()
	for n, logs := range byNode {
		if _, busy := p.asking[n]; busy {
			continue
		}
		p.asking[n] = struct{}{}
		p.done.Go(func() {
			p.ask(n, logs)
			p.mu.Lock()
			delete(p.asking, n)
			p.mu.Unlock()
			p.wake()
		})
	}
	p.mu.Unlock()
	if len(names) == 0 {
		return true
	}
	if p.e.cluster.refresh(p.e.ctx, names) == nil {
		p.wake()
	}
	return false
}

// watching tells whether somebody waits for the log.
func (l *logState) watching() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.gone && (l.watchers > 0 || l.topic.control)
}

// ask waits for one answer of a broker, and takes in what is new.
func (p *poller) ask(n *node, logs []*logState) {
	began := time.Now()
	byPlace := make(map[place]*logState, len(logs))
	parts := make([]wanted, 0, len(logs))
	from := make(map[*logState]wanted, len(logs))
	for _, l := range logs {
		l.mu.Lock()
		w := wanted{l.topic.kafka, l.partition, l.seen, pollBytes}
		l.mu.Unlock()
		parts = append(parts, w)
		byPlace[place{w.topic, int32(w.partition)}] = l
		from[l] = w
	}
	wait := max(pollWait, time.Duration(len(logs))*pollPerLog)
	answer, err := n.raw(p.e.ctx, protocol.Fetch, false, wait, encodeFetch(parts, wait, fetchMost))
	var results []fetched
	if err == nil {
		results, err = parseFetched(answer)
	}
	if err != nil {
		for _, l := range logs {
			p.e.cluster.forget(l.topic.kafka)
		}
	}
	refused := false // such an answer comes at once
	for _, r := range results {
		l := byPlace[place{r.topic, r.partition}]
		if l == nil {
			continue
		}
		switch {
		case r.code == codeOffsetOutOfRange:
			// Read says why, and looks further on.
			refused = true
			_, _ = l.outside(p.e.ctx, from[l].from)
		case r.code != 0:
			refused = true
			p.e.cluster.forget(r.topic)
			if !isRetriable(r.code) {
				p.complain(l, asError(r.code, ""))
			}
		case len(r.set) > 0:
			p.take(l, from[l], r.set)
		}
	}
	if err != nil || refused {
		wait = pollPause
	} else {
		wait = time.Until(began.Add(pollSpace + time.Duration(len(logs))*pollSpaceLog))
	}
	_ = pause(p.e.ctx, wait) // the loop looks at its end
}

// complain says that a log cannot be watched, and not too often.
func (p *poller) complain(l *logState, err error) {
	p.mu.Lock()
	due := time.Since(p.complained) > complainEach
	if due {
		p.complained = time.Now()
	}
	p.mu.Unlock()
	if due {
		p.e.opts.Logger.Warn("Kafka does not say what is new in a log; who waits for it goes on waiting", "log", l.String(), "error", err)
	}
}

func (p *poller) take(l *logState, w wanted, set []byte) {
	batches, err := l.cut(w.from, set)
	if err == nil && len(batches) == 0 { // one that is bigger than what was asked for
		err = l.catchUp(p.e.ctx)
	} else if err == nil {
		err = l.observe(w.from, batches)
	}
	var damage *shard.CorruptError
	if errors.As(err, &damage) {
		// Who waits must come to it and be told, or it would be asked for without end.
		l.mu.Lock()
		if !l.topic.control && l.seen == w.from {
			l.seen++
			l.next = max(l.next, l.seen)
			l.notify()
		}
		l.mu.Unlock()
	}
}
