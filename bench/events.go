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
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/seed-462d9463/sluice/bench/baseline"
	"github.com/seed-462d9463/sluice/bench/child"
	"github.com/seed-462d9463/sluice/bench/loadgen"
	"github.com/seed-462d9463/sluice/internal/api/eventstream"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

// events is a scenario in which records are put at a steady rate into one shard and pushed to its consumers. What is
// measured is the time from the moment at which a record was to be sent until its event has arrived: a generator that
// falls behind shows as latency, and does not hide any. Beside it records are written to a bare journal at the same rate,
// which tells what the disk allows at that time.
type events struct {
	perSecond   int
	size        int // bytes in a record
	connections int
	beside      func(ctx context.Context) (loadgen.Result, error) // what goes on meanwhile, if it is set
}

func steadyPuts() events { return events{perSecond: 1000, size: 1 << 10, connections: 16} }

func putToEvent() scenario {
	e := steadyPuts()
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
	journal, err := s.bareJournal()
	if err != nil {
		return nil, err
	}
	target, err := s.sluice(ctx, s.signatures != "off")
	if err != nil {
		return nil, err
	}
	contestants := []contestant{{name: bareName,
		round: func(ctx context.Context, _ int) (measurement, error) { return e.bare(ctx, s, journal) }}}
	for _, n := range []int{0, 1, 5} {
		contestants = append(contestants, contestant{name: consumers(n), target: target,
			round: func(ctx context.Context, _ int) (measurement, error) { return e.round(ctx, s, target, n) }})
	}
	return contestants, nil
}

// bareJournal makes one that is removed when the scenario ends.
func (s *stage) bareJournal() (*baseline.Recycled, error) {
	dir, err := os.MkdirTemp(s.dataDir, "sluice-bench-")
	if err != nil {
		return nil, err
	}
	journal, err := baseline.OpenRecycled(vfs.OS(), dir, 0)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	s.cleanup = append(s.cleanup, func() error { return errors.Join(journal.Close(), os.RemoveAll(dir)) })
	return journal, nil
}

func (e events) timetable(s *stage) eventRound {
	return eventRound{
		events: e, warmup: int(s.warmup.Seconds() * float64(e.perSecond)),
		total: int((s.warmup + s.duration).Seconds() * float64(e.perSecond)),
	}
}

// settleLimit is for how long a round waits for the disk to become quiet.
const settleLimit = 10 * time.Second

func (e events) bare(ctx context.Context, s *stage, journal *baseline.Recycled) (measurement, error) {
	r := e.timetable(s)
	records := payload(r.size, r.total)
	if err := child.SettleDisk(ctx, s.dataDir, settleLimit); err != nil {
		return measurement{}, err
	}
	return s.measure(ctx, nil, func() (loadgen.Result, error) {
		return r.run(ctx, func() (put, error) {
			return put{one: func(i int) error { return journal.Append(0, records[i]) }, end: func() error { return nil }}, nil
		})
	})
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
	r := e.timetable(s)
	requests, err := r.build(target, stream)
	if err != nil {
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
	if err := child.SettleDisk(ctx, s.dataDir, settleLimit); err != nil {
		return measurement{}, err
	}
	var read float64
	m, err := s.measure(ctx, target, func() (result loadgen.Result, err error) {
		result, read, err = r.runBeside(ctx, func() (put, error) {
			conn, err := loadgen.Dial(ctx, target.addr)
			if err != nil {
				return put{}, err
			}
			one := func(i int) error {
				_, err := conn.Do(requests[i])
				return err
			}
			if err := conn.SetDeadline(r.due(r.total).Add(time.Minute)); err != nil {
				return put{}, errors.Join(err, conn.Close())
			}
			return put{one, conn.Close}, nil
		})
		return result, err
	})
	m.ReadRate = read
	return m, err
}

// eventRound is one round. The i-th record is sent at start plus i times the interval, and its data begin with i.
type eventRound struct {
	events
	warmup, total int // records; those of the warmup are not counted
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

// put is where one sender puts records, one after the other.
type put struct {
	one func(i int) error // returns when the i-th record is durable
	end func() error
}

func (r *eventRound) run(ctx context.Context, open func() (put, error)) (loadgen.Result, error) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1)) // one for the goroutine that keeps time
	r.start = time.Now().Add(50 * time.Millisecond)
	histograms := make([]loadgen.Histogram, len(r.subscribers)+r.connections)
	answers := histograms[len(r.subscribers):]
	var all sync.WaitGroup
	failures := make(chan error, len(histograms)+1)
	for i, sub := range r.subscribers {
		all.Go(func() { failures <- sub.follow(r, &histograms[i]) })
	}
	senders := make([]chan int, r.connections)
	for i := range senders {
		senders[i] = make(chan int, r.total/r.connections+1)
		all.Go(func() { failures <- r.send(open, senders[i], &answers[i]) })
	}
	all.Go(func() { failures <- r.keepTime(ctx, senders) })
	var err error
	for range cap(failures) {
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

// keepTime tells the senders in turn when a record is due.
func (r *eventRound) keepTime(ctx context.Context, senders []chan int) error {
	for i := 0; i < r.total && ctx.Err() == nil; i++ {
		loadgen.SleepUntil(r.due(i))
		senders[i%len(senders)] <- i
	}
	for _, sender := range senders {
		close(sender)
	}
	return ctx.Err()
}

// send puts the records that it is told are due.
func (r *eventRound) send(open func() (put, error), due <-chan int, latency *loadgen.Histogram) error {
	to, err := open()
	if err != nil {
		return err
	}
	defer func() { _ = to.end() }()
	for i := range due {
		if err := to.one(i); err != nil {
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
