package fanout

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed-462d9463/sluice/stream"
)

func TestSubscriptionsEndWithTheEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		name := w.create("s")
		follows, alone := w.subscribe(w.register(name, "follows"), latest), w.subscribe(w.register(name, "alone"), latest)
		synctest.Wait()
		alone.gate <- struct{}{} // it has something to take first
		w.put(name, "a")
		synctest.Wait()
		broken := errors.New("the disk is broken")
		w.engine.Fail(broken)
		synctest.Wait()
		<-alone.gate
		synctest.Wait()
		for _, s := range []*subscriber{follows, alone} {
			s.want(s.consumer.Name, "a")
			if !errors.Is(s.failure(), broken) {
				t.Errorf("%s: %v", s.consumer.Name, s.failure())
			}
		}
		if len(w.feeds) != 0 || w.windows.Load() != 0 {
			t.Errorf("%d feeds, %d bytes are left", len(w.feeds), w.windows.Load())
		}
	})
}

// Who looked the consumer up before it went may subscribe after.
func TestAConsumerOfTheSameNameIsCountedAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		metrics := prometheus.NewPedanticRegistry()
		metrics.MustRegister(w.metrics)
		name := w.create("s")
		for range 3 {
			c := w.register(name, "c")
			w.subscribe(c, latest)
			synctest.Wait()
			if err := w.Deregister(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Subscribe(t.Context(), c, stream.ShardID(0), latest); !errors.Is(err, ErrNotFound) {
				t.Fatal(err)
			}
			if _, err := metrics.Gather(); err != nil {
				t.Fatal(err)
			}
		}
		if n := len(w.metrics.consumers); n != 0 {
			t.Errorf("of consumers that are gone %d are counted", n)
		}
		// Of a stream whose deletion was not seen to its end.
		w.subscribe(w.register(name, "c"), latest)
		if err := w.streams.Delete(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		w.create("s")
		s := w.subscribe(w.register(name, "c"), latest)
		w.put(name, "a")
		synctest.Wait()
		s.want("of the new stream", "a")
		if _, err := metrics.Gather(); err != nil {
			t.Error(err)
		}
	})
}
