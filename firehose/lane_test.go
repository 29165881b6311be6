package firehose

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func never() bool  { return false }
func always() bool { return true }

func TestPlacesAreGivenInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(1)
		if err := l.acquire(t.Context(), "first"); err != nil {
			t.Fatal(err)
		}
		order := make(chan string, 9)
		for _, user := range strings.Split("aaaaab", "") {
			go func() {
				if err := l.acquire(t.Context(), user); err == nil {
					order <- user
				}
			}()
			synctest.Wait()
		}
		var got string
		for range 6 {
			l.release()
			got += <-order
		}
		if got != "abaaaa" {
			t.Errorf("places were given to %s", got)
		}
		l.release()
		if !l.try() || l.try() {
			t.Error("the lane has not its one place again")
		}
	})
}

func TestWhoStopsWaitingLosesNoPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(1)
		for range 1000 {
			if err := l.acquire(t.Context(), "a"); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { done <- l.acquire(ctx, "b") }()
			synctest.Wait()
			go cancel()
			go l.release() // at the same moment
			if <-done == nil {
				l.release()
			}
			synctest.Wait()
			if len(l.turns) != 0 || len(l.waiting) != 0 || l.free != 1 {
				t.Fatalf("%d in turn, %d waiting, %d free", len(l.turns), len(l.waiting), l.free)
			}
		}
	})
}

func TestSlowUploadsMakeRoomForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLanes(1)
		slow, err := l.acquire(t.Context(), "slow", never)
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		quick, err := l.acquire(t.Context(), "quick", never)
		if err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(begun); waited != slowAfter {
			t.Errorf("the place came after %s of virtual time", waited)
		}
		slow.release()
		quick.release()
		if l.fast.free != 1 || l.slow.free != slowPlacesFactor {
			t.Errorf("%d and %d places are free", l.fast.free, l.slow.free)
		}
	})
}

func TestFailingUploadsTakeNoPlaceFromThoseThatWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLanes(1)
		for range slowPlacesFactor {
			if _, err := l.acquire(t.Context(), "bad", always); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := l.acquire(ctx, "bad", always); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("one more failing upload: %v", err)
		}
		p, err := l.acquire(t.Context(), "good", never)
		if err != nil {
			t.Fatal(err)
		}
		p.release()
	})
}
