package fanout

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/stream"
)

const (
	// Lifetime is how long a subscription lasts (AWS's documentation of SubscribeToShard).
	Lifetime = 5 * time.Minute
	// Exclusive is how long a consumer's subscription to a shard keeps others away; later ones take over.
	Exclusive = 5 * time.Second
	// heartbeat is the time between two events at most. Clients want one every five seconds.
	heartbeat = 4500 * time.Millisecond

	// maxBytes and maxRecords are what an event has at most; a single record may be larger.
	maxBytes   = 1 << 20
	maxRecords = stream.MaxReadRecords

	// burst is how much of a consumer's limit may be used at once: one second's worth.
	burst = time.Second
)

// Event is what a subscriber is told.
type Event struct {
	Records []shard.Record // shared and immutable, and valid until Release; the slice itself is the event's own
	Shard   stream.Shard   // gives the records' sequence numbers
	// Continuation is where a later subscription goes on, at it or after it; zero at the end of a closed shard.
	Continuation stream.SequenceNumber
	// MillisBehindLatest is the age of the last record that was pushed, in milliseconds, or 0 if no newer one is there.
	MillisBehindLatest int64
	Children           []stream.Shard // at the end of a closed shard: where its range went

	scratch *shard.Scratch // that the records were read into; nil if others have them, too
}

// scratches are what single reads use.
var scratches = sync.Pool{New: func() any { return new(shard.Scratch) }}

// Release gives back the memory of the records.
func (e *Event) Release() {
	if e.scratch != nil {
		e.scratch.Release(2*maxBytes, maxRecords)
		scratches.Put(e.scratch)
		e.scratch = nil
	}
}

// Subscription pushes the records of one shard to one consumer. Wait and Next belong to one goroutine, which closes
// the subscription.
type Subscription struct {
	service  *Service
	consumer Consumer
	place    place
	counters *counters
	started  time.Time

	ended chan struct{} // closed by end, once cause is set
	once  sync.Once
	cause error

	news chan struct{} // holds a token when the feed may have something to take

	position stream.Position // of what is to be pushed next; guarded by the feed's lock while feed is not nil
	feed     *feed           // nil while the subscription reads the log itself
	shard    stream.Shard    // zero until something was read
	last     time.Time       // arrival of the last record pushed
	timer    *time.Timer     // Wait's
	beat     time.Time       // when an event is due, whether there is something to tell or not
	pace     pace
	over     bool // the end of the shard has been told

	behind atomic.Int64 // milliseconds, as last told
}

func newSubscription(s *Service, c Consumer, at stream.Position, bytesPerSecond int) *Subscription {
	now := time.Now()
	return &Subscription{
		service: s, consumer: c, place: place{c.ID, at.Shard}, position: at, started: now,
		ended: make(chan struct{}), news: make(chan struct{}, 1),
		beat: now, // the first event is told at once: it tells where the subscription stands
		pace: pace{perSecond: bytesPerSecond},
	}
}

// end ends the subscription: Wait returns cause from now on.
func (u *Subscription) end(cause error) {
	u.once.Do(func() {
		u.cause = cause
		close(u.ended)
	})
}

// Close ends the subscription for its owner.
func (u *Subscription) Close() {
	u.end(io.EOF)
	if u.timer != nil {
		u.timer.Stop()
	}
	if u.feed != nil {
		u.service.unfollow(u)
	}
	u.service.leave(u)
}

// Wait blocks until Next is to be called. It holds no records meanwhile. io.EOF: the subscription has ended as it
// should, its time is up or the shard's end was told. Other errors: that of ctx, ErrTakenOver, ErrNotFound when the
// consumer was deregistered.
func (u *Subscription) Wait(ctx context.Context) error {
	for {
		select {
		case <-u.ended:
			return u.cause
		default:
		}
		now := time.Now()
		expires := u.started.Add(Lifetime)
		free := u.pace.free()
		switch {
		case u.over, !now.Before(expires):
			return io.EOF
		case !now.Before(u.beat), !now.Before(free) && (u.feed == nil || u.feed.ready(u)):
			return nil
		}
		next := u.beat
		if free.After(now) && free.Before(next) {
			next = free
		}
		if expires.Before(next) {
			next = expires
		}
		if u.timer == nil {
			u.timer = time.NewTimer(next.Sub(now))
		} else {
			u.timer.Reset(next.Sub(now))
		}
		select {
		case <-u.timer.C:
		case <-u.news:
		case <-u.ended:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// MaxBytes is how many bytes of records, beyond those that are in memory already, Next may read.
func (u *Subscription) MaxBytes() int64 {
	if u.feed != nil {
		return 0
	}
	return maxBytes + stream.LargestMaxRecordBytes
}

// Next tells what there is to tell. False: nothing after all. Errors are those of reading; stream.ErrNotFound when the
// stream was deleted.
func (u *Subscription) Next(ctx context.Context, e *Event) (bool, error) {
	if !u.service.present(&u.consumer) {
		u.service.drop(&u.consumer)
		return false, notFound(u.consumer.Stream, u.consumer.Name)
	}
	now := time.Now()
	var got taken
	records := e.Records[:0]
	if !now.Before(u.pace.free()) {
		var err error
		if records, got, err = u.take(ctx, records, e); err != nil {
			return false, err
		}
	} else {
		got.caughtUp = u.feed != nil && !u.feed.ready(u)
	}
	if len(records) == 0 && !got.closed && now.Before(u.beat) {
		return false, nil
	}
	*e = Event{Records: records, Shard: u.shard, Children: got.children, scratch: e.scratch}
	if n := len(records); n > 0 {
		u.last = records[n-1].Time
		u.count(records, now)
	}
	if got.closed {
		u.over = true
		if e.Children == nil {
			e.Children = []stream.Shard{}
		}
	} else {
		e.Continuation = u.shard.Behind(u.position.Offset, u.last)
	}
	if !got.caughtUp && !u.last.IsZero() {
		e.MillisBehindLatest = max(0, now.Sub(u.last).Milliseconds())
	}
	u.behind.Store(e.MillisBehindLatest)
	u.beat = now.Add(heartbeat)
	return true, nil
}

// take gets records, from the feed or from the log, for an event.
func (u *Subscription) take(ctx context.Context, dst []shard.Record, e *Event) ([]shard.Record, taken, error) {
	if u.feed != nil {
		records, got, err := u.feed.take(u, dst)
		if err != nil || !got.missed {
			if got.shard.ID != "" {
				u.shard = got.shard
			}
			return records, got, err
		}
		// Reading is for the next time, when MaxBytes says that it takes memory.
		u.service.unfollow(u)
		return dst, taken{}, nil
	}
	u.service.metrics.ownReads.Add(1)
	e.Release()
	e.scratch = scratches.Get().(*shard.Scratch)
	result, err := u.service.streams.Fetch(ctx, u.consumer.Stream, u.position, shard.Limit{Records: maxRecords, Bytes: maxBytes}, e.scratch)
	if err != nil || len(result.Records) == 0 {
		e.Release()
	}
	if err != nil {
		return dst, taken{}, err
	}
	u.position, u.shard = result.Next, result.Shard
	got := taken{caughtUp: result.MillisBehindLatest == 0}
	if result.Closed {
		// Only the last event names children: the KCL gives a subscription up that has them beside a continuation.
		if got.closed = len(result.Records) == 0; got.closed {
			got.children = result.Children
		}
	} else if got.caughtUp {
		u.service.follow(u)
	}
	return append(dst, result.Records...), got, nil
}

func (u *Subscription) count(records []shard.Record, now time.Time) {
	size := 0
	for i := range records {
		size += len(records[i].Key) + len(records[i].Value)
	}
	u.pace.charge(now, size)
	u.counters.records.Add(int64(len(records)))
	u.counters.bytes.Add(int64(size))
}

// pace spreads what a consumer is given over time: the generic cell rate algorithm, as for the limits of shards, but
// who waits is not refused.
type pace struct {
	perSecond int       // 0: no limit
	arrival   time.Time // up to which what was given uses up the limit
}

// free is when something may be given.
func (p *pace) free() time.Time { return p.arrival.Add(-burst) }

func (p *pace) charge(now time.Time, size int) {
	if p.perSecond <= 0 {
		return
	}
	if p.arrival.Before(now) {
		p.arrival = now
	}
	p.arrival = p.arrival.Add(time.Duration(int64(size) * int64(time.Second) / int64(p.perSecond)))
}
