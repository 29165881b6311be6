package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/listoffsets"

	"github.com/seed-462d9463/sluice/shard"
)

// wanted is what a Fetch asks of one partition.
type wanted struct {
	topic     string
	partition int
	from      shard.Offset
	bytes     int
}

func encodeFetch(parts []wanted, wait time.Duration, bytes int) []byte {
	var e encoder
	e.i32(-1) // a consumer
	e.i32(int32(wait.Milliseconds()))
	e.i32(1)
	e.i32(int32(bytes))
	e.i8(0) // all that is durable, transactions' records too
	e.i32(0)
	e.i32(-1) // no session
	e.i32(int32(len(parts)))
	for _, p := range parts {
		e.str(p.topic)
		e.i32(1)
		e.i32(int32(p.partition))
		e.i32(-1)
		e.i64(int64(p.from))
		e.i64(-1)
		e.i32(int32(p.bytes))
	}
	e.i32(0)
	e.str("")
	return e.b
}

// errOutside: the offset is below the first that Kafka has, or beyond the last.
var errOutside = errors.New("there is no such offset")

// Fetches ask for so many bytes. A broker sends its first batch whole, whatever its size.
const (
	fetchLeast   = 64 << 10
	fetchDefault = 1 << 20
	fetchMost    = 8 << 20
)

// fetch returns the batches from pos on that are durable, as many as are whole. It does not wait for any.
func (l *logState) fetch(ctx context.Context, pos shard.Offset, size int) (batches []*batch, err error) {
	name := l.topic.kafka
	err = l.e.cluster.atLeader(ctx, "fetch from "+name, name, l.topic.id, l.partition, func(n *node) error {
		if err := l.alive(); err != nil {
			return err
		}
		answer, err := n.raw(ctx, protocol.Fetch, false, 0, encodeFetch([]wanted{{name, l.partition, pos, size}}, 0, size))
		if err != nil {
			return err
		}
		parts, err := parseFetched(answer)
		if err != nil {
			return err
		}
		if len(parts) != 1 || parts[0].topic != name || int(parts[0].partition) != l.partition {
			return errMalformed
		}
		if parts[0].code == codeOffsetOutOfRange {
			return errOutside
		}
		if err := asError(parts[0].code, ""); err != nil {
			return err
		}
		l.e.metrics.fetched.Add(float64(len(parts[0].set)))
		batches, err = l.cut(pos, parts[0].set)
		return err
	})
	return batches, err
}

// cut takes a record set apart. Batches before damage are returned without an error; who comes to the damage gets it.
func (l *logState) cut(pos shard.Offset, set []byte) ([]*batch, error) {
	var batches []*batch
	at := pos
	for {
		b, rest, err := cutBatch(set)
		switch {
		case err != nil && len(batches) > 0:
			return batches, nil
		case err != nil:
			return nil, l.corrupt(at, err)
		case b == nil:
			return batches, nil
		}
		set = rest
		if b.last < pos {
			continue
		}
		batches = append(batches, b)
		at = b.last + 1
	}
}

// corrupt says that what Kafka keeps of a log is damaged.
func (l *logState) corrupt(at shard.Offset, err error) error {
	return &shard.CorruptError{
		File: fmt.Sprintf("partition %d of Kafka topic %s", l.partition, l.topic.kafka), Offset: int64(at),
		Reason: fmt.Sprintf("at offset %d: %v", at, err),
	}
}

// Offsets that ListOffsets understands instead of times.
const (
	earliest = -2
	latest   = -1
)

// offsetAt asks for the first offset with a time, in milliseconds, that is not before millis, or for one of the above.
// −1: there is none.
func (l *logState) offsetAt(ctx context.Context, millis int64) (offset shard.Offset, err error) {
	name := l.topic.kafka
	err = l.e.cluster.atLeader(ctx, "look up an offset of "+name, name, l.topic.id, l.partition, func(n *node) error {
		if err := l.alive(); err != nil {
			return err
		}
		answer, err := n.message(ctx, &listoffsets.Request{ReplicaID: -1, Topics: []listoffsets.RequestTopic{{
			Topic:      name,
			Partitions: []listoffsets.RequestPartition{{Partition: int32(l.partition), CurrentLeaderEpoch: -1, Timestamp: millis}},
		}}})
		if err != nil {
			return err
		}
		topics := answer.(*listoffsets.Response).Topics
		if len(topics) != 1 || len(topics[0].Partitions) != 1 {
			return errMalformed
		}
		p := topics[0].Partitions[0]
		offset = shard.Offset(p.Offset)
		return asError(p.ErrorCode, "")
	})
	return offset, err
}

// inspect looks at all that is not known before an offset that is known to be durable.
func (l *logState) inspect(ctx context.Context, before shard.Offset) error {
	if !l.topic.control {
		// A node that has taken over has said so in the control topic first.
		if err := l.e.control.catchUp(ctx); err != nil {
			return err
		}
	}
	for n := 0; ; n++ {
		l.mu.Lock()
		pos := l.seen
		l.mu.Unlock()
		if pos >= before {
			return nil
		}
		batches, err := l.fetch(ctx, pos, fetchMost)
		if errors.Is(err, errOutside) {
			_, err = l.outside(ctx, pos)
		}
		if err != nil {
			return err
		}
		if err := l.observe(pos, batches); err != nil {
			return err
		}
		if len(batches) == 0 { // a new leader does not know yet that it is durable
			if err := l.lag(ctx, n); err != nil {
				return err
			}
		}
	}
}

// catchUp looks at all that is there now.
func (l *logState) catchUp(ctx context.Context) error {
	for {
		l.mu.Lock()
		pos := l.seen
		l.mu.Unlock()
		batches, err := l.fetch(ctx, pos, fetchDefault)
		if errors.Is(err, errOutside) {
			again, err := l.outside(ctx, pos)
			if err != nil || !again {
				return err
			}
			continue
		}
		if err != nil || len(batches) == 0 {
			return err
		}
		if err := l.observe(pos, batches); err != nil {
			return err
		}
	}
}

// lag waits until a broker may know more of what is durable: a new leader learns it from the others.
func (l *logState) lag(ctx context.Context, n int) error {
	if n%4 == 3 {
		l.e.cluster.forget(l.topic.kafka)
	}
	return pause(ctx, backoff(n))
}
