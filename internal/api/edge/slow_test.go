package edge

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestTheSlowAreCutOffWhileOthersWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(100)
		var cut []string
		small, large, overdraws := b.Open(), b.Open(), b.Open()
		grow(t, &small, 40)
		grow(t, &large, 60)
		small.Slow(func() { cut = append(cut, "small") })
		large.Slow(func() { cut = append(cut, "large"); go large.Release() })
		grow(t, &overdraws, 10)
		time.Sleep(2 * patience)
		if len(cut) != 0 {
			t.Fatalf("%q cut off, and nobody waits", cut)
		}
		start := time.Now()
		newcomer := b.Open()
		grow(t, &newcomer, 30)
		if took := time.Since(start); len(cut) != 1 || cut[0] != "large" || took > 2*pressInterval {
			t.Errorf("cut off %q after %v, want the one that holds most, soon", cut, took)
		}
		if small.Prompt() {
			t.Error("there is room, and a slow one was cut off all the same")
		}
	})
}

func TestTheSlowHaveSomeTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(100)
		slow, overdraws, waits := b.Open(), b.Open(), b.Open()
		grow(t, &slow, 100)
		grow(t, &overdraws, 1)
		start := time.Now()
		slow.Slow(func() { go slow.Release() })
		grow(t, &waits, 10)
		if took := time.Since(start); took < patience {
			t.Errorf("cut off after %v, want %v at least", took, patience)
		}
	})
}

func TestWhoWaitsAndHasBeenSlowIsCutOffToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(100)
		overdraws, greedy, newcomer := b.Open(), b.Open(), b.Open()
		grow(t, &greedy, 90)
		grow(t, &overdraws, 20)
		greedy.Slow(func() {})
		time.Sleep(2 * patience)
		refused := make(chan error)
		go func() {
			err := greedy.Grow(t.Context(), 50)
			greedy.Release()
			refused <- err
		}()
		synctest.Wait()
		grow(t, &newcomer, 10) // before greedy's turn, and at its cost
		if err := <-refused; !errors.Is(err, errCut) {
			t.Errorf("grow of one cut off: %v", err)
		}
	})
}

func TestWhoIsCutOffAndGoesAwayAtOnceHoldsNothingMore(t *testing.T) {
	for range 50 { // who of the two comes first is left to chance
		synctest.Test(t, func(t *testing.T) {
			b := NewBudget(100)
			overdraws, greedy, newcomer := b.Open(), b.Open(), b.Open()
			grow(t, &greedy, 90)
			grow(t, &overdraws, 20)
			greedy.Slow(func() {})
			time.Sleep(2 * patience)
			ctx, leave := context.WithCancel(t.Context())
			result := make(chan error, 1)
			go func() { result <- greedy.Grow(ctx, 50) }()
			synctest.Wait()
			w := &waiter{reservation: &newcomer, bytes: 10, granted: make(chan struct{})}
			b.mu.Lock()
			b.enqueue(w)
			b.mu.Unlock()
			leave()
			b.press(w, time.Now())
			if err := <-result; err == nil {
				t.Error("told that it holds what it was refused")
			}
			greedy.Release()
			<-w.granted
		})
	}
}
