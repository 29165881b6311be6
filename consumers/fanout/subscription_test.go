package fanout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/stream"
)

func TestASubscriptionStartsWhereItsPositionSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		name := w.create("s")
		var results []stream.Result
		begin := time.Now()
		for _, v := range []string{"a", "b", "c"} { // one a second
			results = append(results, w.put(name, v)...)
			time.Sleep(time.Second)
		}
		var subscribers []*subscriber
		tests := []struct {
			what string
			at   stream.StartAt
			want []string
		}{
			{"TRIM_HORIZON", oldest, []string{"a", "b", "c", "d"}},
			{"LATEST", latest, []string{"d"}},
			{"AT", stream.StartAt{Type: stream.AtSequence, Sequence: results[1].Sequence}, []string{"b", "c", "d"}},
			{"AFTER", stream.StartAt{Type: stream.AfterSequence, Sequence: results[1].Sequence}, []string{"c", "d"}},
			{"AT_TIMESTAMP", stream.StartAt{Type: stream.AtTimestamp, Time: begin.Add(1500 * time.Millisecond)}, []string{"c", "d"}},
		}
		for i, test := range tests {
			subscribers = append(subscribers, w.subscribe(w.register(name, fmt.Sprint("c", i)), test.at))
		}
		synctest.Wait()
		w.put(name, "d")
		synctest.Wait()
		for i, test := range tests {
			subscribers[i].want(test.what, test.want...)
		}
	})
}

func TestASubscriberThatHasCaughtUpIsToldAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		name := w.create("s")
		s := w.subscribe(w.register(name, "c"), latest)
		synctest.Wait()
		time.Sleep(time.Second)
		start := time.Now()
		w.put(name, "a")
		synctest.Wait()
		s.want("at once", "a")
		if took := time.Since(start); took != 0 {
			t.Errorf("after %v", took)
		}
		e := s.last()
		d := w.describe(name)
		if got := d.Shards[0].SequenceNumber(e.Records[0].Offset, e.Records[0].Time); e.Continuation.Compare(got) <= 0 {
			t.Errorf("continuation %s is not behind %s", e.Continuation, got)
		}
	})
}

func TestAnEventComesEveryFiveSecondsThoughThereIsNothingToTell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		name := w.create("s")
		s := w.subscribe(w.register(name, "c"), latest)
		time.Sleep(time.Minute)
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.events) < 12 || len(s.events) > 20 {
			t.Errorf("%d events in a minute", len(s.events))
		}
		at := time.Now().Add(-time.Minute)
		for i, e := range s.events {
			if gap := s.times[i].Sub(at); gap > 5*time.Second {
				t.Errorf("nothing for %v", gap)
			}
			at = s.times[i]
			if len(e.Records) != 0 || e.MillisBehindLatest != 0 || e.Continuation != w.describe(name).Shards[0].Starting() {
				t.Errorf("event %d: %+v", i, e)
			}
		}
	})
}

func TestASubscriptionEndsAfterFiveMinutesAndAnotherGoesOn(t *testing.T) {
	for _, how := range []stream.StartType{stream.AtSequence, stream.AfterSequence} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			name := w.create("s")
			c := w.register(name, "c")
			s := w.subscribe(c, oldest)
			start := time.Now()
			var want []string
			for i := range 100 {
				want = append(want, fmt.Sprint(i))
				w.put(name, want[i])
				time.Sleep(3700 * time.Millisecond)
				if s.failure() == nil {
					continue
				}
				if !errors.Is(s.failure(), io.EOF) || time.Since(start) < Lifetime {
					t.Fatalf("%v after %v", s.failure(), time.Since(start))
				}
				before := s.values()
				s = w.subscribe(c, stream.StartAt{Type: how, Sequence: s.last().Continuation})
				synctest.Wait()
				s.want("goes on", want[len(before):]...)
				want = want[len(before):]
				break
			}
			w.put(name, "x")
			synctest.Wait()
			s.want("further", append(want, "x")...)
		})
	}
}

func TestASecondSubscriptionIsRefusedForFiveSecondsAndTakesOverLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		name := w.create("s")
		c, other := w.register(name, "c"), w.register(name, "other")
		first := w.subscribe(c, latest)
		w.subscribe(other, latest) // somebody else's
		time.Sleep(Exclusive - time.Millisecond)
		if _, err := w.Subscribe(t.Context(), c, stream.ShardID(0), latest); !errors.Is(err, ErrSubscribed) {
			t.Fatalf("within five seconds: %v", err)
		}
		time.Sleep(time.Millisecond)
		second := w.subscribe(c, latest)
		synctest.Wait()
		if err := first.failure(); !errors.Is(err, ErrTakenOver) {
			t.Errorf("the first one: %v", err)
		}
		w.put(name, "a")
		synctest.Wait()
		first.want("first")
		second.want("second", "a")
	})
}

func TestAClosedSubscriptionKeepsItsPlaceForFiveSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := w.register(w.create("s"), "c")
		u, err := w.Subscribe(t.Context(), c, stream.ShardID(0), latest)
		if err != nil {
			t.Fatal(err)
		}
		u.Close()
		if _, err := w.Subscribe(t.Context(), c, stream.ShardID(0), latest); !errors.Is(err, ErrSubscribed) {
			t.Errorf("at once: %v", err)
		}
		time.Sleep(Exclusive)
		synctest.Wait()
		if len(w.subscriptions) != 0 {
			t.Error("it is remembered for ever")
		}
		w.subscribe(c, latest)
	})
}

func TestTheEndOfAShardNamesItsChildrenAndEndsTheSubscription(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		name := w.create("s")
		follows := w.subscribe(w.register(name, "follows"), latest)
		w.put(name, "a", "b")
		synctest.Wait()
		w.split(name)
		comesLater := w.subscribe(w.register(name, "comes-later"), oldest)
		synctest.Wait()
		for _, s := range []*subscriber{follows, comesLater} {
			s.want(s.consumer.Name, "a", "b")
			e := s.last()
			var children []string
			for i := range e.Children {
				children = append(children, e.Children[i].ID)
			}
			if !e.Continuation.IsZero() || !slices.Equal(children, []string{stream.ShardID(1), stream.ShardID(2)}) || len(e.Records) != 0 {
				t.Errorf("%s: the last event is %+v", s.consumer.Name, e)
			}
			for _, e := range s.events[:len(s.events)-1] { // the KCL takes children beside a continuation for an error
				if e.Continuation.IsZero() || e.Children != nil {
					t.Errorf("%s: an event before the last is %+v", s.consumer.Name, e)
				}
			}
			if !errors.Is(s.failure(), io.EOF) {
				t.Errorf("%s: %v", s.consumer.Name, s.failure())
			}
		}
		if len(w.feeds) != 0 {
			t.Error("the shard is still read")
		}
	})
}

func TestSubscriptionsEndWithTheirConsumerAndTheirStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		name := w.create("s")
		c, other := w.register(name, "c"), w.register(name, "other")
		deregistered, left := w.subscribe(c, latest), w.subscribe(other, latest)
		synctest.Wait()
		if err := w.Deregister(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if err := deregistered.failure(); !errors.Is(err, ErrNotFound) {
			t.Errorf("of a consumer that was deregistered: %v", err)
		}
		if err := left.failure(); err != nil {
			t.Errorf("of another consumer: %v", err)
		}
		if err := w.DeleteStream(t.Context(), name, true); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if err := left.failure(); !errors.Is(err, stream.ErrNotFound) && !errors.Is(err, ErrNotFound) {
			t.Errorf("of a stream that was deleted: %v", err)
		}
		if _, err := w.Subscribe(t.Context(), other, stream.ShardID(0), latest); !errors.Is(err, stream.ErrNotFound) {
			t.Errorf("to a stream that is gone: %v", err)
		}
	})
}

// Another node's catalog is told of it by the log alone.
func TestASubscriptionEndsWhenItsConsumerIsDeregisteredElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		name := w.create("s")
		c := w.register(name, "c")
		s := w.subscribe(c, latest)
		synctest.Wait()
		if err := w.catalog.Delete(t.Context(), keyOf(name, "c"), c.revision); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if !errors.Is(s.failure(), ErrNotFound) {
			t.Errorf("five seconds later: %v", s.failure())
		}
	})
}

func TestALimitSpreadsRecordsOverTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(w *world) { w.limits = "off" })
		name := w.create("s")
		const records, size = 48, 256 << 10 // 12 MiB
		var want []string
		for i := range records {
			want = append(want, fmt.Sprintf("%06d%s", i, strings.Repeat("x", size-6-3)))
			w.put(name, want[i])
		}
		c := w.register(name, "c")
		u, err := w.Subscribe(t.Context(), c, stream.ShardID(0), oldest)
		if err != nil {
			t.Fatal(err)
		}
		u.pace.perSecond = stream.AWSLimits().ConsumerBytes
		defer u.Close()
		start := time.Now()
		got, bytes := 0, 0
		for got < records {
			if err := u.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			var e Event
			if _, err := u.Next(t.Context(), &e); err != nil {
				t.Fatal(err)
			}
			for _, r := range e.Records {
				if string(r.Value) != want[got] {
					t.Fatalf("record %d is %.10q", got, r.Value)
				}
				got++
				bytes += len(r.Value) + len(r.Key)
			}
			// A second's worth at once, and the last event beyond what was free.
			if most := (2<<20)*(1+time.Since(start).Seconds()) + 1<<20; float64(bytes) > most {
				t.Fatalf("%d bytes after %v", bytes, time.Since(start))
			}
		}
		if took := time.Since(start); took < 4*time.Second || took > 6*time.Second {
			t.Errorf("12 MiB took %v at 2 MiB/s", took)
		}
	})
}

func TestLimitsAreAWSsUnlessTurnedOff(t *testing.T) {
	for limits, want := range map[string]int{"aws": 2 << 20, "off": 0} {
		w := newWorld(t, func(w *world) { w.limits = limits })
		c := w.register(w.create("s"), "c")
		u, err := w.Subscribe(t.Context(), c, stream.ShardID(0), latest)
		if err != nil {
			t.Fatal(err)
		}
		if u.pace.perSecond != want {
			t.Errorf("limits %s: %d bytes a second", limits, u.pace.perSecond)
		}
		u.Close()
	}
}

func TestClosingTheServiceEndsSubscriptionsAsIfTheirTimeWereUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := w.register(w.create("s"), "c")
		s := w.subscribe(c, latest)
		synctest.Wait()
		if err := w.Service.Close(); err != nil {
			t.Fatal(err)
		}
		<-s.done
		if !errors.Is(s.failure(), io.EOF) {
			t.Error(s.failure())
		}
		if _, err := w.Subscribe(context.Background(), c, stream.ShardID(0), latest); !errors.Is(err, ErrClosed) {
			t.Errorf("after the end: %v", err)
		}
	})
}

// intoScratch has reads of one subscription put all records into scratch, as those of an engine may be.
type intoScratch struct{ Streams }

func (s intoScratch) Fetch(ctx context.Context, name stream.Name, from stream.Position, most shard.Limit, scratch *shard.Scratch) (stream.ReadResult, error) {
	result, err := s.Streams.Fetch(ctx, name, from, most, nil)
	if scratch != nil {
		records := append(scratch.Begin(), result.Records...)
		for i := range records {
			b := scratch.Room(nil, len(records[i].Value))
			copy(b, records[i].Value)
			records[i].Value = b
		}
		scratch.End(records)
		result.Records = records
	}
	return result, err
}

func TestRecordsOfAnEventStayUntilItIsReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.Service.streams = intoScratch{w.Service.streams}
		var events [2][3]Event
		for round := range events[0] {
			for i := range events {
				name := w.create(fmt.Sprintf("s%d.%d", round, i))
				w.put(name, fmt.Sprint("value ", round, i))
				u, err := w.Subscribe(t.Context(), w.register(name, "c"), stream.ShardID(0), oldest)
				if err != nil {
					t.Fatal(err)
				}
				defer u.Close()
				if some, err := u.Next(t.Context(), &events[i][round]); !some || err != nil {
					t.Fatalf("%v, %v", some, err)
				}
			}
			for k := range round + 1 { // those of the second one are kept
				e := &events[1][k]
				if want := fmt.Sprint("value ", k, 1); len(e.Records) != 1 || string(e.Records[0].Value) != want {
					t.Errorf("%d records, %q, want %q", len(e.Records), e.Records[0].Value, want)
				}
			}
			e := &events[0][round]
			scratch := e.scratch
			e.Release()
			if e.scratch != nil || scratch == nil {
				t.Error("an event that was released has memory that is others', or had none")
			}
		}
	})
}
