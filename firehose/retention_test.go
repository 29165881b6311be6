package firehose

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

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
				e.store.after = nil
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
