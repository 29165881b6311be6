package fanout

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/stream"
)

const (
	// windowBytes is what the window of one feed holds, unless a single batch is larger.
	windowBytes = 1 << 20
	// MemoryBytes is what the windows of all feeds hold together.
	MemoryBytes = 32 << 20
)

// feed reads one shard for all subscriptions that follow it. It exists while there are some.
//
// Always, while nothing is locked:
//
//  1. batches are contiguous: each begins where the one before it ends, the first at start, and the last ends at next.
//     Without batches start == next.
//  2. Nobody needs more than one of the batches that are not held: a follower whose cursor is before start has missed
//     something, and must leave and read the log himself.
//  3. bytes is the sum of the batches', and part of service.windows.
type feed struct {
	service *Service
	name    stream.Name
	key     shardKey
	stop    context.CancelFunc

	mu          sync.Mutex // guards what follows, and the followers' cursors
	followers   map[*Subscription]struct{}
	batches     []batch
	bytes       int64
	start, next shard.Offset
	shard       stream.Shard // as of the last read
	children    []stream.Shard
	closed      bool  // next is the shard's end
	err         error // nothing more will be read
}

// batch is what one read has brought.
type batch struct {
	next    shard.Offset // one past its end
	records []shard.Record
	bytes   int64
}

// follow has a subscription follow the shard from its cursor on. False: the feed's window begins after that.
func (s *Service) follow(u *Subscription) bool {
	key := shardKey{u.position.StreamID, u.position.Shard}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		u.end(ErrClosed)
		return false
	}
	f := s.feeds[key]
	if f == nil {
		ctx, stop := context.WithCancel(s.background)
		f = &feed{
			service: s, name: u.consumer.Stream, key: key, stop: stop, followers: map[*Subscription]struct{}{u: {}},
			start: u.position.Offset, next: u.position.Offset, shard: u.shard,
		}
		s.feeds[key], u.feed = f, f
		s.owned.Go(func() { f.run(ctx) })
		return true
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if u.position.Offset < f.start {
		return false
	}
	f.followers[u] = struct{}{}
	u.feed = f
	return true
}

// unfollow undoes a follow. A feed without followers ends.
func (s *Service) unfollow(u *Subscription) {
	f := u.feed
	u.feed = nil
	s.mu.Lock()
	defer s.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.followers, u)
	f.shrink()
	if len(f.followers) == 0 {
		f.stop()
		if s.feeds[f.key] == f {
			delete(s.feeds, f.key)
		}
	}
}

// run reads until ctx ends, which is when there is nobody left to read for, or there is nothing more to read.
func (f *feed) run(ctx context.Context) {
	at := stream.Position{StreamID: f.key.streamID, Shard: f.key.shard, Offset: f.next}
	for {
		var result stream.ReadResult
		err := f.service.streams.Wait(ctx, f.name, at)
		if err == nil {
			f.service.metrics.sharedReads.Add(1)
			result, err = f.service.streams.Fetch(ctx, f.name, at, shard.Limit{Records: maxRecords, Bytes: maxBytes}, nil)
		}
		if err != nil {
			f.fail(err)
			return
		}
		at = result.Next
		if f.add(&result); result.Closed {
			return
		}
	}
}

// add puts what was read into the window, and wakes the followers.
func (f *feed) add(result *stream.ReadResult) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.followers) == 0 {
		return
	}
	if len(result.Records) > 0 {
		b := batch{next: result.Next.Offset, records: result.Records}
		for i := range b.records {
			b.bytes += int64(b.records[i].Size())
		}
		f.batches = append(f.batches, b)
		f.hold(b.bytes)
	} else if len(f.batches) > 0 {
		f.batches[len(f.batches)-1].next = result.Next.Offset
	} else {
		f.start = result.Next.Offset
	}
	f.next, f.shard = result.Next.Offset, result.Shard
	f.closed, f.children = result.Closed, result.Children
	f.shrink()
	f.wake()
}

// fail tells the followers that nothing more will be read. Others must not begin to follow then.
func (f *feed) fail(err error) {
	s := f.service
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.feeds[f.key] == f {
		delete(s.feeds, f.key)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
	f.wake()
}

// wake tells all followers that there may be something to take. f.mu is held.
func (f *feed) wake() {
	for u := range f.followers {
		select {
		case u.news <- struct{}{}:
		default: // it has been told already
		}
	}
}

// shrink drops the batches that all followers have taken, and the oldest while there is too much. f.mu is held.
func (f *feed) shrink() {
	taken := f.next
	for u := range f.followers {
		taken = min(taken, u.position.Offset)
	}
	drop, bytes := 0, int64(0)
	for drop < len(f.batches) {
		needed := f.batches[drop].next > taken
		tooMuch := f.bytes-bytes > windowBytes && drop < len(f.batches)-1 || f.service.windows.Load()-bytes > MemoryBytes
		if needed && !tooMuch {
			break
		}
		f.start = f.batches[drop].next
		bytes += f.batches[drop].bytes
		drop++
	}
	f.batches = slices.Delete(f.batches, 0, drop)
	f.hold(-bytes)
}

func (f *feed) hold(bytes int64) {
	f.bytes += bytes
	f.service.windows.Add(bytes)
}

// ready tells whether take would have something to tell.
func (f *feed) ready(u *Subscription) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return u.position.Offset < f.next || f.closed || f.err != nil // he may be ahead of a feed that has not got so far yet
}

// taken is what a follower gets.
type taken struct {
	missed   bool // the window begins after the cursor
	caughtUp bool // there is nothing more to take now
	closed   bool // and never will be
	children []stream.Shard
	shard    stream.Shard
}

// take appends records to dst, as many as an event may have, and moves the follower's cursor behind them.
func (f *feed) take(u *Subscription, dst []shard.Record) ([]shard.Record, taken, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	at := u.position.Offset
	if at < f.start {
		return dst, taken{missed: true}, nil
	}
	size, full := 0, false
	for i := range f.batches {
		b := &f.batches[i]
		if b.next <= at {
			continue
		}
		first, _ := slices.BinarySearchFunc(b.records, at, func(r shard.Record, o shard.Offset) int {
			return cmp.Compare(r.Offset, o)
		})
		for j := first; j < len(b.records) && !full; j++ {
			r := &b.records[j]
			size += r.Size()
			if full = len(dst) > 0 && (size > maxBytes || len(dst) == maxRecords); !full {
				dst = append(dst, *r)
				at = r.Offset + 1
			}
		}
		if full {
			break
		}
		at = b.next
	}
	if at == u.position.Offset && f.err != nil {
		return dst, taken{}, f.err
	}
	result := taken{caughtUp: at >= f.next, shard: f.shard}
	if at == u.position.Offset && at >= f.next && f.closed {
		result.closed, result.children = true, f.children
	}
	u.position.Offset = at
	f.shrink()
	return dst, result, nil
}
