package firehose

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/sinks"
)

var (
	errCrashed = errors.New("the process is dead")
	errAway    = errors.New("bucket away")
)

// crash kills a process at its n-th step: everything that it does from then on fails and changes nothing. A
// step is a call that changes logs or buckets; it is killed before the call, or after it and before the answer.
type crash struct {
	shard.Engine
	buckets sinks.Opener

	mu    sync.Mutex
	at    int
	after bool
	steps []string
	dead  chan struct{}
}

func newCrash(engine shard.Engine, buckets sinks.Opener, at int, after bool) *crash {
	return &crash{Engine: engine, buckets: buckets, at: at, after: after, dead: make(chan struct{})}
}

// step runs one call.
func (c *crash) step(name string, call func() error) error {
	c.mu.Lock()
	if c.isDead() {
		c.mu.Unlock()
		return errCrashed
	}
	c.steps = append(c.steps, name)
	now := len(c.steps) == c.at
	if now && !c.after {
		close(c.dead)
		c.mu.Unlock()
		return errCrashed
	}
	c.mu.Unlock()
	err := call()
	c.mu.Lock()
	defer c.mu.Unlock()
	if now {
		close(c.dead)
	}
	if c.isDead() {
		return errCrashed
	}
	return err
}

func (c *crash) isDead() bool {
	select {
	case <-c.dead:
		return true
	default:
		return false
	}
}

func (c *crash) Failed() <-chan struct{} { return c.dead }

func (c *crash) Err() error {
	if c.isDead() {
		return errCrashed
	}
	return nil
}

func (c *crash) Open(ctx context.Context, topic string, partition int) (shard.Log, error) {
	l, err := c.Engine.Open(ctx, topic, partition)
	if err != nil {
		return nil, err
	}
	return &crashLog{Log: l, crash: c, topic: topic}, nil
}

type crashLog struct {
	shard.Log
	crash *crash
	topic string
}

type crashPending func(ctx context.Context) (shard.Appended, error)

func (p crashPending) Wait(ctx context.Context) (shard.Appended, error) { return p(ctx) }

func (l *crashLog) Append(ctx context.Context, records []shard.Record) shard.Pending {
	var at shard.Appended
	err := l.crash.step("append to "+l.topic, func() (err error) {
		at, err = l.Log.Append(ctx, records).Wait(ctx)
		return err
	})
	return crashPending(func(context.Context) (shard.Appended, error) { return at, err })
}

func (l *crashLog) Read(ctx context.Context, from shard.Offset, limit shard.Limit) ([]shard.Record, error) {
	if l.crash.isDead() {
		return nil, errCrashed
	}
	return l.Log.Read(ctx, from, limit)
}

func (l *crashLog) Trim(ctx context.Context, before shard.Offset) error {
	return l.crash.step("trim "+l.topic, func() error { return l.Log.Trim(ctx, before) })
}

// crashBuckets is the way to the buckets: what has left the process when it dies still arrives.
type crashBuckets struct{ *crash }

func (b crashBuckets) Open(bucket string) (sinks.Sink, error) {
	s, err := b.buckets.Open(bucket)
	return &crashSink{Sink: s, crash: b.crash}, err
}

type crashSink struct {
	sinks.Sink
	crash *crash
}

func (s *crashSink) Put(ctx context.Context, o sinks.Object) error {
	if err := s.crash.step("first half of an upload", func() error { return nil }); err != nil {
		return err
	}
	return s.crash.step("upload", func() error { return s.Sink.Put(ctx, o) })
}

// TestEveryRecordIsInOneObjectWhereverTheProcessDies kills the process at each of its steps in turn, before and
// after it, starts it again, kills it once more some steps later, and lets the third one finish.
func TestEveryRecordIsInOneObjectWhereverTheProcessDies(t *testing.T) {
	for _, source := range []SourceType{DirectPut, KinesisStreamAsSource} {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/after=%v", source, after), func(t *testing.T) {
				for at, finished := 1, false; !finished; at++ {
					inBubble(t, func(t *testing.T, e *env) { finished = surviveCrash(t, e, source, at, after) })
					if t.Failed() {
						t.Fatalf("when killed at step %d", at)
					}
				}
			})
		}
	}
}

// surviveCrash reports whether the process came to its end before step at.
func surviveCrash(t *testing.T, e *env, from SourceType, at int, after bool) (finished bool) {
	s, stop := e.start()
	all := lines(0, 33, 100_000)
	var shards []Log
	if from == KinesisStreamAsSource {
		shards = e.shards("input", 2)
		e.sources.set(nil, shards...)
		e.create(s, clicks, definition(fromStream, compressed))
	} else {
		e.create(s, clicks, definition())
	}
	stop()

	// The records are acknowledged whatever happens later.
	if from == DirectPut {
		l, err := e.engine.Open(t.Context(), topicOf(t, e), 0)
		if err != nil {
			t.Fatal(err)
		}
		shards = []Log{{Log: l}}
	}
	for i, part := range slices.Collect(slices.Chunk(all, 3)) {
		write(t, shards[i%len(shards)].Log, part...)
	}

	var steps []string
	for i, at := range []int{at, 1 + at%5} {
		c := newCrash(e.engine, e.store, at, after)
		_, stop := e.startOn(c, crashBuckets{c})
		select {
		case <-c.dead:
		case <-time.After(5 * time.Minute):
			finished = finished || i == 0
		}
		synctest.Wait()
		stop()
		steps = append(steps, c.steps...)
	}
	_, stop = e.start()
	defer stop()
	time.Sleep(5 * time.Minute)
	synctest.Wait()
	if got := e.store.records(); !slices.Equal(all, got) {
		t.Errorf("after %q records are missing or there twice: %s", steps, cmp.Diff(heads(all), heads(got)))
	}
	return finished
}

func topicOf(t *testing.T, e *env) string {
	topics, err := e.engine.Topics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, topic := range topics {
		if strings.HasPrefix(topic.Name, topicPrefix) && !strings.HasSuffix(topic.Name, stateSuffix) {
			return topic.Name
		}
	}
	t.Fatal("no log of a delivery stream")
	return ""
}

// heads are the beginnings of records, for people to read.
func heads(records []string) []string {
	var out []string
	for _, r := range records {
		out = append(out, fmt.Sprintf("%.16s and %d bytes", r, len(r)))
	}
	return out
}
