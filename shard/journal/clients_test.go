package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/seed-462d9463/sluice/shard"
)

// crew is the clients of one life of an engine. Each takes turns, does something random, and keeps the ledger. The one
// that writes to a log, or makes and deletes a topic, is always the same, so that the ledger knows the order.
type crew struct {
	e      shard.Engine
	turns  *turns
	ledger *ledger
	ctx    context.Context // of all calls

	work  sync.WaitGroup
	mu    sync.Mutex
	wrong error // the first broken promise
}

const (
	crewSize      = 3
	mainTopic     = "main"
	otherTopics   = 2
	mainLogs      = 4 // at first
	mostMainLogs  = 6
	mostQueued    = 5
	biggestAppend = 2 << 10
)

// client is one of the crew.
type client struct {
	*crew
	n      int
	rng    *rand.Rand
	even   bool            // it appends several at a time, with frames that end where sectors do
	first  bool            // the next one is the first of several
	queued []chan struct{} // closed when the append has its answer
}

// run has all clients work for so many turns, and waits for them, and for the answers to all appends.
func (c *crew) run(seed uint64, steps int) {
	var all sync.WaitGroup
	for n := range crewSize {
		cl := &client{crew: c, n: n, rng: rand.New(rand.NewPCG(seed, uint64(n))), even: seed%2 == 0}
		all.Go(func() {
			for range steps {
				if c.turns.take(fmt.Sprintf("client %d", n), nil) != nil || cl.step() != nil {
					return
				}
			}
		})
	}
	all.Wait()
	c.work.Wait()
}

// broken notes a broken promise; nil is none.
func (c *crew) broken(err error) error {
	if err != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.wrong == nil {
			c.wrong = err
		}
	}
	return err
}

// step does something. An error ends the client.
func (cl *client) step() error {
	if cl.n == 0 && cl.rng.IntN(4) == 0 {
		if cl.rng.IntN(4) == 0 {
			return cl.bear(cl.configure())
		}
		return cl.bear(cl.changeTopics())
	}
	switch p := cl.rng.IntN(20); {
	case p < 12:
		return cl.bear(cl.appendSome())
	case p < 14:
		return cl.bear(cl.trim())
	case p < 17:
		return cl.bear(cl.read())
	case p < 18:
		return cl.bear(cl.at())
	case p < 19:
		return cl.bear(cl.await())
	}
	time.Sleep(time.Duration(cl.rng.IntN(300)) * time.Millisecond)
	return nil
}

// bear lets the client go on after an error that is none of the engine's.
func (cl *client) bear(err error) error {
	if errors.Is(err, shard.ErrNoSpace) {
		time.Sleep(time.Millisecond)
		return nil
	}
	if errors.Is(err, shard.ErrNotFound) {
		return nil // deleted meanwhile
	}
	return err
}

// pick returns a log that is there; one that the client writes to, if own.
func (cl *client) pick(own bool) (shard.Log, *logLedger, error) {
	type place struct {
		topic     string
		partition int
	}
	var places []place
	cl.ledger.mu.Lock()
	for name, t := range cl.ledger.topics {
		for i := range t.partitions {
			if (name == mainTopic && (!own || i%crewSize == cl.n)) || (name != mainTopic && cl.n == 0) {
				places = append(places, place{name, i})
			}
		}
	}
	cl.ledger.mu.Unlock()
	if len(places) == 0 {
		return nil, nil, shard.ErrNotFound
	}
	slices.SortFunc(places, func(a, b place) int {
		return bytes.Compare(fmt.Append(nil, a), fmt.Append(nil, b))
	})
	p := places[cl.rng.IntN(len(places))]
	log, err := cl.e.Open(cl.ctx, p.topic, p.partition)
	if errors.Is(err, shard.ErrNotFound) {
		return nil, nil, cl.broken(fmt.Errorf("%s/%d was made: %v", p.topic, p.partition, err))
	}
	cl.ledger.mu.Lock()
	defer cl.ledger.mu.Unlock()
	return log, cl.ledger.topics[p.topic].logs[p.partition], err
}

// records draws what to append: mostly little, sometimes as much as is allowed. Or else it is such that batches are torn
// where frames begin, at places where others began before.
func (cl *client) records() []shard.Record {
	if cl.even {
		size := 512
		if cl.first {
			size -= batchHeaderBytes
		}
		return recordsOf(size, fmt.Appendf(nil, "%d %x ", cl.n, cl.rng.Uint64()))
	}
	records := make([]shard.Record, 1+cl.rng.IntN(3))
	for i := range records {
		size := cl.rng.IntN(200)
		if cl.rng.IntN(4) == 0 {
			size = cl.rng.IntN(biggestAppend/len(records) - 100)
		}
		v := fmt.Appendf(nil, "%d %x ", cl.n, cl.rng.Uint64())
		records[i].Value = append(v, bytes.Repeat(v[:1], max(0, size-len(v)))...)
		if cl.rng.IntN(3) == 0 {
			records[i].Key = v[:4]
			records[i].Headers = []shard.Header{{Name: "h", Value: v[2:5]}}
		}
	}
	return records
}

// appendSome appends something: once, or several times if the frames are to be even.
func (cl *client) appendSome() error {
	if !cl.even {
		return cl.append()
	}
	for len(cl.queued) > 0 { // so that it may be the first in a batch
		<-cl.queued[0]
		cl.queued = cl.queued[1:]
	}
	cl.first = true
	for range 3 + cl.rng.IntN(2) {
		if err := cl.append(); err != nil {
			return err
		}
		cl.first = false
	}
	return nil
}

func (cl *client) append() error {
	log, led, err := cl.pick(true)
	if err != nil {
		return err
	}
	for !cl.even && len(cl.queued) >= 1+cl.rng.IntN(mostQueued) {
		<-cl.queued[0]
		cl.queued = cl.queued[1:]
	}
	a := &attempt{records: cl.records()}
	cl.ledger.mu.Lock()
	led.tried = append(led.tried, a)
	cl.ledger.mu.Unlock()
	pending := log.Append(cl.ctx, a.records)
	answered := make(chan struct{})
	cl.queued = append(cl.queued, answered)
	cl.work.Go(func() {
		at, err := pending.Wait(cl.ctx)
		cl.ledger.mu.Lock()
		defer cl.ledger.mu.Unlock()
		cl.broken(led.answered(a, at, err))
		close(answered)
	})
	return nil
}

func (cl *client) trim() error {
	log, led, err := cl.pick(false)
	if err != nil {
		return err
	}
	cl.ledger.mu.Lock()
	next := led.next
	before := max(0, next-shard.Offset(cl.rng.IntN(8)))
	if cl.rng.IntN(20) == 0 {
		before = next + 3
	}
	led.trying = max(led.trying, before)
	cl.ledger.mu.Unlock()
	if err := log.Trim(cl.ctx, before); err != nil {
		return err
	}
	cl.ledger.mu.Lock()
	defer cl.ledger.mu.Unlock()
	led.first = max(led.first, min(before, next))
	return cl.broken(led.saw(log.Bounds()))
}

func (cl *client) read() error {
	log, led, err := cl.pick(false)
	if err != nil {
		return err
	}
	cl.ledger.mu.Lock()
	from := led.first - 1 + shard.Offset(cl.rng.IntN(3+max(0, int(led.next-led.first))))
	first := led.first
	cl.ledger.mu.Unlock()
	got, err := log.Read(cl.ctx, from, shard.Limit{Records: cl.rng.IntN(8) << (4 * cl.rng.IntN(2)), Bytes: cl.rng.IntN(2000) << (4 * cl.rng.IntN(2))})
	if err != nil {
		var damage *shard.CorruptError
		if errors.As(err, &damage) {
			return cl.broken(err)
		}
		return err
	}
	cl.ledger.mu.Lock()
	defer cl.ledger.mu.Unlock()
	if err := cl.broken(led.matches(got)); err != nil || len(got) == 0 {
		return err
	}
	if got[0].Offset < max(from, first) {
		return cl.broken(fmt.Errorf("read from %d gives offset %d, first is %d", from, got[0].Offset, first))
	}
	led.next = max(led.next, got[len(got)-1].Offset+1)
	return nil
}

// at asks for the time of a record that is known.
func (cl *client) at() error {
	log, led, err := cl.pick(false)
	if err != nil {
		return err
	}
	cl.ledger.mu.Lock()
	first, n := led.first, len(led.records)
	if shard.Offset(n) <= first {
		cl.ledger.mu.Unlock()
		return nil
	}
	r := led.records[int(first)+cl.rng.IntN(n-int(first))]
	cl.ledger.mu.Unlock()
	at, err := log.At(cl.ctx, r.Time)
	if err != nil {
		return err
	}
	cl.ledger.mu.Lock()
	defer cl.ledger.mu.Unlock()
	now, _ := log.Bounds()
	if at > max(r.Offset, now) || at < first || at > first && int(at-1) < len(led.records) && at > now && !led.records[at-1].Time.Before(r.Time) {
		return cl.broken(fmt.Errorf("first record at or after %v is %d, but %d is of that time", r.Time, at, r.Offset))
	}
	return nil
}

// await waits a little for a record that may come.
func (cl *client) await() error {
	log, led, err := cl.pick(false)
	if err != nil {
		return err
	}
	cl.ledger.mu.Lock()
	from := led.next + shard.Offset(cl.rng.IntN(3)) - 1
	cl.ledger.mu.Unlock()
	ctx, cancel := context.WithTimeout(cl.ctx, 20*time.Millisecond)
	defer cancel()
	if err := log.Wait(ctx, from); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	cl.ledger.mu.Lock()
	defer cl.ledger.mu.Unlock()
	led.next = max(led.next, from+1)
	first, next := log.Bounds()
	if next <= from {
		return cl.broken(fmt.Errorf("waited for offset %d, but the log ends at %d", from, next))
	}
	return cl.broken(led.saw(first, next))
}

// changeTopics makes, grows or deletes a topic.
func (cl *client) changeTopics() error {
	name := mainTopic
	if cl.rng.IntN(5) > 0 {
		name = fmt.Sprint("t", cl.rng.IntN(otherTopics))
	}
	cl.ledger.mu.Lock()
	t := cl.ledger.topic(name)
	n := t.partitions + 1
	switch {
	case name == mainTopic:
		n = min(max(n, mainLogs), mostMainLogs)
	case t.partitions > 0 && cl.rng.IntN(2) == 0:
		n = 0
	case n > 3:
		n = 0
	}
	t.wants(n)
	cl.ledger.mu.Unlock()
	var err error
	if n == 0 {
		err = cl.e.Delete(cl.ctx, name)
	} else {
		err = cl.e.Create(cl.ctx, name, n)
	}
	cl.ledger.mu.Lock()
	defer cl.ledger.mu.Unlock()
	switch {
	case errors.Is(err, shard.ErrNoSpace):
		t.wanted = t.partitions
	case err == nil:
		t.has(n)
	}
	return err
}

// configure bounds the size of a topic's logs, or takes the bound away. A start knows of none.
func (cl *client) configure() error {
	name := mainTopic
	cl.ledger.mu.Lock()
	t := cl.ledger.topic(name)
	for _, led := range t.logs {
		led.bySize = true
	}
	cl.ledger.mu.Unlock()
	bounds := []int64{0, 1, 3 << 10, 12 << 10}
	return cl.e.Configure(cl.ctx, name, shard.Settings{RetentionBytes: bounds[cl.rng.IntN(len(bounds))]})
}
