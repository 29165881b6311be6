package firehose

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-462d9463/sluice/internal/catalog"
	"github.com/seed-462d9463/sluice/shard"
)

func trim(t *testing.T, l Log, before shard.Offset) {
	t.Helper()
	if err := l.Log.Trim(t.Context(), before); err != nil {
		t.Fatal(err)
	}
}

func TestWhatRetentionDropsFromAnOpenBatchIsCountedAndTheRestDelivered(t *testing.T) {
	for _, restart := range []bool{false, true} {
		inBubble(t, func(t *testing.T, e *env) {
			shards := e.shards("input", 2)
			e.sources.set(nil, shards...)
			s, stop := e.start()
			e.create(s, clicks, definition(fromStream))
			e.store.fail(errAway)
			write(t, shards[0].Log, "a", "b", "c")
			write(t, shards[1].Log, "d")
			time.Sleep(time.Hour)
			if restart {
				stop()
			}
			trim(t, shards[0], 2)
			trim(t, shards[1], 1)
			if restart {
				s, stop = e.start()
			}
			defer stop()
			e.store.fail(nil)
			time.Sleep(time.Hour)
			synctest.Wait()
			if got := e.store.contents(); !slices.Equal(got, []string{"c\n"}) {
				t.Errorf("objects: %q", got)
			}
			if got := e.stats(s, clicks); got.LostRecords != 3 || got.DeliveredRecords != 1 || got.BufferedRecords != 0 {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestAWholeObjectIsNeverReplacedByWhatRetentionLeft(t *testing.T) {
	for name, left := range map[string]shard.Offset{"some left": 2, "nothing left": 3} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, e *env) {
				shards := e.shards("input", 1)
				e.sources.set(nil, shards...)
				e.store.after = func(string, string) error { return errAway } // stored, but not acknowledged
				s, stop := e.start()
				e.create(s, clicks, definition(fromStream))
				write(t, shards[0].Log, "a", "b", "c")
				time.Sleep(time.Minute)
				synctest.Wait()
				stop()
				trim(t, shards[0], left)
				e.store.hook(nil, nil)
				s, stop = e.start()
				defer stop()
				time.Sleep(time.Hour)
				synctest.Wait()
				if got := e.store.contents(); !slices.Equal(got, []string{"a\nb\nc\n"}) {
					t.Errorf("objects: %q", got)
				}
				if got := e.stats(s, clicks); got.LostRecords != 0 || got.DeliveredRecords != 3 {
					t.Errorf("%+v", got)
				}
			})
		})
	}
}

func TestABatchOfWhichNothingIsLeftIsGivenUp(t *testing.T) {
	inBubble(t, func(t *testing.T, e *env) {
		shards := e.shards("input", 1)
		e.sources.set(nil, shards...)
		s, stop := e.start()
		defer stop()
		e.create(s, clicks, definition(fromStream))
		e.store.fail(errAway)
		write(t, shards[0].Log, "a", "b")
		time.Sleep(time.Hour)
		trim(t, shards[0], 2)
		e.store.fail(nil)
		write(t, shards[0].Log, "c")
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := e.store.contents(); !slices.Equal(got, []string{"c\n"}) {
			t.Errorf("objects: %q", got)
		}
		if got := e.stats(s, clicks); got.LostRecords != 2 || got.DeliveredRecords != 1 || got.DeliveredObjects != 1 {
			t.Errorf("%+v", got)
		}
	})
}

func TestRecordsDroppedBeforeTheyWereScannedAreCounted(t *testing.T) {
	inBubble(t, func(t *testing.T, e *env) {
		shards := e.shards("input", 1)
		e.sources.set(nil, shards...)
		s, stop := e.start()
		e.create(s, clicks, definition(fromStream))
		stop()
		write(t, shards[0].Log, "a", "b", "c")
		trim(t, shards[0], 2)
		s, stop = e.start()
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := e.stats(s, clicks); got.LostRecords != 2 || got.DeliveredRecords != 1 {
			t.Errorf("%+v", got)
		}
		stop()
		s, stop = e.start()
		defer stop()
		if got := e.stats(s, clicks); got.LostRecords != 2 {
			t.Errorf("after a restart: %+v", got)
		}
	})
}

func TestADeliveryGoesOnWhenItsSourceStreamIsDeletedAndMadeAgain(t *testing.T) {
	for _, restart := range []bool{false, true} {
		inBubble(t, func(t *testing.T, e *env) {
			old := e.shards("input.1", 1)
			e.sources.set(nil, old...)
			s, stop := e.start()
			e.create(s, clicks, definition(fromStream))
			write(t, old[0].Log, "delivered")
			time.Sleep(time.Hour)
			e.store.fail(errAway)
			write(t, old[0].Log, "in an open batch")
			time.Sleep(time.Hour)
			write(t, old[0].Log, "in the buffer")
			synctest.Wait()
			if err := e.engine.Delete(t.Context(), "input.1"); err != nil {
				t.Fatal(err)
			}
			e.sources.set(ErrSourceNotFound)
			time.Sleep(time.Hour)
			if restart {
				stop()
				s, stop = e.start()
			}
			defer stop()
			e.store.fail(nil)
			time.Sleep(time.Hour)
			again := e.shards("input.2", 1)
			write(t, again[0].Log, "new")
			e.sources.set(nil, again...)
			time.Sleep(time.Hour)
			synctest.Wait()
			if diff := cmp.Diff([]string{"delivered", "new"}, e.store.records()); diff != "" {
				t.Error(diff)
			}
			if got := e.stats(s, clicks); got.DeliveredRecords != 2 || got.LostRecords == 0 || got.BufferedRecords != 0 {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestALogThatIsDeletedUnderAFullBacklogBlocksNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, e *env) {
		e.config.OpenObjects = 1
		shards := e.shards("input", 1)
		other := e.shards("other", 1)
		other[0].Generation, other[0].Partition = "input", 1
		e.sources.set(nil, shards[0], other[0])
		s, stop := e.start()
		defer stop()
		e.create(s, clicks, definition(fromStream))
		e.store.fail(errAway)
		write(t, shards[0].Log, lines(0, 50, 100_000)...) // an open object, a full batch, and more
		time.Sleep(time.Hour)
		if err := e.engine.Delete(t.Context(), "input"); err != nil { // and Sources has not heard of it
			t.Fatal(err)
		}
		write(t, other[0].Log, "of another shard")
		e.store.fail(nil)
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := e.store.contents(); !slices.Equal(got, []string{"of another shard\n"}) {
			t.Errorf("objects: %.100q", got)
		}
		if got := e.stats(s, clicks); got.BufferedRecords != 0 || got.OpenObjects != 0 || got.LostRecords != 22 {
			t.Errorf("%+v", got)
		}
	})
}

func TestADamagedShardDoesNotHinderOthers(t *testing.T) {
	inBubble(t, func(t *testing.T, e *env) {
		shards := e.shards("input", 2)
		damaged := &damagedLog{Log: shards[0].Log}
		shards[0].Log = damaged
		e.sources.set(nil, shards...)
		s, stop := e.start()
		defer stop()
		e.create(s, clicks, definition(fromStream))
		damaged.damaged.Store(true)
		write(t, damaged, "unreadable for now")
		write(t, shards[1].Log, "good")
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := e.store.contents(); !slices.Equal(got, []string{"good\n"}) {
			t.Errorf("objects: %q", got)
		}
		damaged.damaged.Store(false)
		time.Sleep(time.Hour)
		synctest.Wait()
		if diff := cmp.Diff([]string{"good", "unreadable for now"}, e.store.records()); diff != "" {
			t.Error(diff)
		}
		stop()
		log := e.logs.String()
		if n := strings.Count(log, "Reading the source failed"); n < 1 || n > 12 {
			t.Errorf("%d lines about the damage", n)
		}
		if strings.Count(log, "Reading the source works again") != 1 {
			t.Error("the repair was not told")
		}
	})
}

type damagedLog struct {
	shard.Log
	damaged atomic.Bool
}

func (l *damagedLog) Read(ctx context.Context, from shard.Offset, limit shard.Limit) ([]shard.Record, error) {
	if l.damaged.Load() {
		return nil, &shard.CorruptError{File: "input/0.seg", Offset: 4096, Reason: "wrong checksum"}
	}
	return l.Log.Read(ctx, from, limit)
}

func TestAStateThatCannotBeReadIsNamed(t *testing.T) {
	inBubble(t, func(t *testing.T, e *env) {
		s, stop := e.start()
		e.create(s, clicks, definition())
		d, err := s.delivery(clicks)
		if err != nil {
			t.Fatal(err)
		}
		stop()
		write(t, d.journal.log, string(encodeCommitted(committed{Number: 7})))
		c, err := catalog.Open(t.Context(), e.engine, catalog.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		_, err = New(t.Context(), Options{Engine: e.engine, Catalog: c, Buckets: e.store})
		if !errors.Is(err, errState) || !strings.Contains(err.Error(), "clicks") || !strings.Contains(err.Error(), "offset 1") {
			t.Errorf("error %v", err)
		}
	})
}

// leading is a log whose first record does not have the first offset, as in Kafka: nothing was trimmed before it.
type leading struct {
	shard.Log
	trimmed shard.Offset
}

const lead = 3

func (l leading) Trimmed() shard.Offset { return l.trimmed }

func (l leading) Bounds() (first, next shard.Offset) {
	if first, next = l.Log.Bounds(); next == 0 {
		return 0, 0
	}
	return first + lead, next + lead
}

func (l leading) Read(ctx context.Context, from shard.Offset, limit shard.Limit) ([]shard.Record, error) {
	records, err := l.Log.Read(ctx, from-lead, limit)
	for i := range records {
		records[i].Offset += lead
	}
	return records, err
}

func (l leading) Wait(ctx context.Context, from shard.Offset) error {
	return l.Log.Wait(ctx, from-lead)
}

func TestAGapBeforeTheFirstRecordIsNoLoss(t *testing.T) {
	for _, trimmed := range []shard.Offset{0, 2} {
		inBubble(t, func(t *testing.T, e *env) {
			shards := e.shards("input", 1)
			plain := shards[0].Log
			shards[0].Log = leading{plain, trimmed}
			e.sources.set(nil, shards...)
			s, stop := e.start()
			defer stop()
			e.create(s, clicks, definition(fromStream))
			write(t, plain, "a", "b")
			time.Sleep(time.Hour)
			synctest.Wait()
			if got := e.stats(s, clicks); got.LostRecords != int64(trimmed) || got.DeliveredRecords != 2 {
				t.Errorf("trimmed up to %d: %+v", trimmed, got)
			}
		})
	}
}
