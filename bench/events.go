package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/seed-462d9463/sluice/bench/loadgen"
	"github.com/seed-462d9463/sluice/internal/api/eventstream"
)

// events is a scenario in which records are put at a steady rate into one shard and pushed to its consumers. What is
// measured is the time from the moment at which a record was to be sent until its event has arrived: a generator that
// falls behind shows as latency, and does not hide any.
type events struct {
	perSecond   int
	size        int // bytes in a record
	connections int
}

func putToEvent() scenario {
	e := events{perSecond: 1000, size: 1 << 10, connections: 16}
	most := func(contestant string) budget {
		return budget{contestant: contestant, what: "ms from put to event, p99 (" + contestant + ")", most: 5,
			value: func(c contest) float64 { return c.Median.P99 / 1e3 }}
	}
	return scenario{
		name:    "put-to-event",
		serves:  true,
		title:   fmt.Sprintf("PutRecord, 1 KiB, %d a second, to SubscribeToShard's event", e.perSecond),
		rate:    requestRate,
		unit:    "requests/s",
		prepare: e.prepare,
		budgets: []budget{most(consumers(1)), most(consumers(5))},
	}
}

// consumers names a contestant. Without any, it is the answer to the put that is waited for.
func consumers(n int) string {
	switch n {
	case 0:
		return "the put's own answer"
	case 1:
		return "1 consumer"
	}
	return fmt.Sprint(n, " consumers")
}

func (e events) prepare(ctx context.Context, s *stage) ([]contestant, error) {
	target, err := s.sluice(ctx, s.signatures != "off")
	if err != nil {
		return nil, err
	}
	var contestants []contestant
	for _, n := range []int{0, 1, 5} {
		contestants = append(contestants, contestant{name: consumers(n), target: target,
			round: func(ctx context.Context, _ int) (measurement, error) { return e.round(ctx, s, target, n) }})
	}
	return contestants, nil
}

func (e events) round(ctx context.Context, s *stage, target *server, consumers int) (_ measurement, err error) {
	stream := s.name("events")
	if err := createStream(ctx, target, stream, 1); err != nil {
		return measurement{}, err
	}
	defer func() {
		err = errors.Join(err, target.call(ctx, kinesis, "DeleteStream",
			map[string]any{"StreamName": stream, "EnforceConsumerDeletion": true}, nil))
	}()
	r := &eventRound{
		events: e, warmup: int(s.warmup.Seconds() * float64(e.perSecond)),
		total: int((s.warmup + s.duration).Seconds() * float64(e.perSecond)),
	}
	if r.requests, err = r.build(target, stream); err != nil {
		return measurement{}, err
	}
	for i := range consumers {
		sub, err := subscribe(ctx, target, stream, fmt.Sprint("consumer-", i))
		if err != nil {
			return measurement{}, err
		}
		defer func() { _ = sub.conn.Close() }()
		r.subscribers = append(r.subscribers, sub)
	}
	return s.measure(ctx, target, func() (loadgen.Result, error) { return r.run(ctx, target) })
}

// eventRound is one round. The i-th record is sent at start plus i times the interval, and its data begin with i.
type eventRound struct {
	events
	warmup, total int // records; those of the warmup are not counted
	requests      [][]byte
	subscribers   []*subscriber
	start         time.Time
}

func (r *eventRound) build(target *server, stream string) ([][]byte, error) {
	requests := make([][]byte, r.total)
	for i, data := range payload(r.size, r.total) {
		binary.BigEndian.PutUint64(data, uint64(i))
		var err error
		if requests[i], err = target.request(kinesis, "PutRecord", putRecordBody(stream, partitionKey(i), data)); err != nil {
			return nil, err
		}
	}
	return requests, nil
}

func (r *eventRound) due(i int) time.Time {
	return r.start.Add(time.Duration(i) * time.Second / time.Duration(r.perSecond))
}

func (r *eventRound) run(ctx context.Context, target *server) (loadgen.Result, error) {
	r.start = time.Now().Add(50 * time.Millisecond)
	histograms := make([]loadgen.Histogram, len(r.subscribers)+r.connections)
	var all sync.WaitGroup
	failures := make(chan error, len(histograms))
	for i, sub := range r.subscribers {
		all.Go(func() { failures <- sub.follow(r, &histograms[i]) })
	}
	answers := histograms[len(r.subscribers):]
	for i := range r.connections {
		all.Go(func() { failures <- r.send(ctx, target, i, &answers[i]) })
	}
	var err error
	for range histograms {
		if failure := <-failures; failure != nil && err == nil {
			err = failure
			for _, sub := range r.subscribers {
				_ = sub.conn.Close() // else they would wait for records that do not come
			}
		}
	}
	all.Wait()
	result := loadgen.Result{
		Elapsed: time.Since(r.due(r.warmup)), Requests: int64(r.total - r.warmup), Latency: new(loadgen.Histogram),
		Worth: loadgen.Worth{Records: r.total - r.warmup, Bytes: int64(r.total-r.warmup) * int64(r.size)},
	}
	counted := histograms[:len(r.subscribers)]
	if len(counted) == 0 {
		counted = answers
	}
	for i := range counted {
		result.Latency.Merge(&counted[i])
	}
	return result, err
}

// send sends every so-and-so-many-th record.
func (r *eventRound) send(ctx context.Context, target *server, first int, latency *loadgen.Histogram) error {
	conn, err := loadgen.Dial(ctx, target.addr)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(r.due(r.total).Add(time.Minute)); err != nil {
		return err
	}
	for i := first; i < r.total; i += r.connections {
		select {
		case <-time.After(time.Until(r.due(i))):
		case <-ctx.Done():
			return ctx.Err()
		}
		if _, err := conn.Do(r.requests[i]); err != nil {
			return err
		}
		if i >= r.warmup {
			latency.Record(time.Since(r.due(i)))
		}
	}
	return nil
}

// subscriber is a consumer's connection.
type subscriber struct {
	conn   net.Conn
	events *eventstream.Reader
}

// subscribe registers a consumer and subscribes it to the stream's first shard.
func subscribe(ctx context.Context, target *server, stream, name string) (*subscriber, error) {
	var described struct {
		StreamDescriptionSummary struct{ StreamARN string }
	}
	if err := target.call(ctx, kinesis, "DescribeStreamSummary", map[string]any{"StreamName": stream}, &described); err != nil {
		return nil, err
	}
	var registered struct{ Consumer struct{ ConsumerARN string } }
	err := target.call(ctx, kinesis, "RegisterStreamConsumer", map[string]any{
		"StreamARN": described.StreamDescriptionSummary.StreamARN, "ConsumerName": name,
	}, &registered)
	if err != nil {
		return nil, err
	}
	body := fmt.Appendf(nil, `{"ConsumerARN":%q,"ShardId":"shardId-000000000000","StartingPosition":{"Type":"LATEST"}}`,
		registered.Consumer.ConsumerARN)
	request, err := target.request(kinesis, "SubscribeToShard", body)
	if err != nil {
		return nil, err
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", target.addr)
	if err != nil {
		return nil, err
	}
	s := &subscriber{conn: conn}
	if err := s.open(request); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return s, nil
}

// open sends the request, and returns when the first event has told that the subscription stands.
func (s *subscriber) open(request []byte) error {
	if _, err := s.conn.Write(request); err != nil {
		return err
	}
	answer, err := http.ReadResponse(bufio.NewReaderSize(s.conn, 16<<10), nil)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(answer.Body, 1<<10))
		return errors.Join(&loadgen.StatusError{Status: answer.StatusCode, Body: string(text)}, answer.Body.Close())
	}
	s.events = eventstream.NewReader(answer.Body) // which ends with the connection
	for range 2 {
		if _, err := s.events.Next(); err != nil {
			return err
		}
	}
	return nil
}

// follow takes events until all records have come, which must be in order and complete.
func (s *subscriber) follow(r *eventRound, latency *loadgen.Histogram) error {
	if err := s.conn.SetReadDeadline(r.due(r.total).Add(time.Minute)); err != nil {
		return err
	}
	came := make([]bool, r.total)
	for left := r.total; left > 0; {
		m, err := s.events.Next()
		if err != nil {
			return err
		}
		now := time.Now()
		if m.Header(":message-type") != "event" {
			return fmt.Errorf("the subscription ended: %s", m.Payload)
		}
		for rest := m.Payload; ; {
			i, after, err := nextIndex(rest)
			if err != nil {
				return err
			}
			if i < 0 {
				break
			}
			if rest = after; i >= r.total || came[i] {
				return fmt.Errorf("record %d came twice, or was never put", i)
			}
			came[i] = true
			if left--; i >= r.warmup {
				latency.Record(now.Sub(r.due(i)))
			}
		}
	}
	return nil
}

// nextIndex finds the number that the data of the next record begin with; it decodes no more than that. −1: there are
// no more records.
func nextIndex(event []byte) (index int, rest []byte, err error) {
	const name = `"Data":"`
	at := bytes.Index(event, []byte(name))
	if at < 0 {
		return -1, nil, nil
	}
	rest = event[at+len(name):]
	var number [9]byte
	if len(rest) < 12 {
		return 0, nil, io.ErrUnexpectedEOF
	}
	if _, err := base64.StdEncoding.Decode(number[:], rest[:12]); err != nil {
		return 0, nil, err
	}
	return int(binary.BigEndian.Uint64(number[:8])), rest[12:], nil
}
