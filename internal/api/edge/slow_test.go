package edge

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
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

func TestManySlowOnesMakeRoomForManyNewcomersAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(100)
		var cut atomic.Int32
		slow := make([]Reservation, 50)
		for i := range slow {
			slow[i] = b.Open()
			grow(t, &slow[i], 2)
			slow[i].Slow(func() { cut.Add(1); go slow[i].Release() })
		}
		overdraws := b.Open()
		grow(t, &overdraws, 10)
		time.Sleep(2 * patience)
		start := time.Now()
		var newcomers sync.WaitGroup
		for range 40 {
			newcomers.Go(func() {
				newcomer := b.Open()
				grow(t, &newcomer, 2)
			})
		}
		newcomers.Wait()
		if took := time.Since(start); took > 2*pressInterval {
			t.Errorf("the last of them waited %v", took)
		}
		if n := cut.Load(); n != 45 { // for 40 of two bytes, and 10 bytes that are overdrawn
			t.Errorf("%d were cut off", n)
		}
	})
}

// One that does not give back at all is not counted on for longer than shortPatience.
func TestNoMoreAreCutOffThanItTakes(t *testing.T) {
	for name, wants := range map[string]int64{"little": 1 << 10, "much": smallRequest} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := NewBudget(2 << 20)
				waits, overdraws := b.Open(), b.Open()
				grow(t, &waits, 1<<10)
				slow := make([]Reservation, 3)
				var cut int
				for i := range slow {
					slow[i] = b.Open()
					grow(t, &slow[i], 680<<10)
					slow[i].Slow(func() { cut++ })
				}
				grow(t, &overdraws, 20<<10)
				time.Sleep(2 * patience)
				ctx, cancel := context.WithTimeout(t.Context(), shortPatience)
				defer cancel()
				if err := waits.Grow(ctx, wants); !errors.Is(err, context.DeadlineExceeded) || cut != 1 {
					t.Errorf("%v; %d were cut off while one was about to give back", err, cut)
				}
				ctx, cancel = context.WithTimeout(t.Context(), shortPatience)
				defer cancel()
				if err := waits.Grow(ctx, wants); !errors.Is(err, context.DeadlineExceeded) || cut != 2 {
					t.Errorf("%v; %d were cut off when the first one did not give back", err, cut)
				}
			})
		})
	}
}

func TestWhoWantsMuchDoesNotHoldUpTheSmall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(1 << 20)
		holds, slow, wantsMuch, wantsLittle, overdraws := b.Open(), b.Open(), b.Open(), b.Open(), b.Open()
		grow(t, &holds, 496<<10)
		grow(t, &slow, 512<<10)
		grow(t, &wantsMuch, 4<<10)
		grow(t, &wantsLittle, 4<<10)
		grow(t, &overdraws, 16<<10)
		slow.Slow(func() { go slow.Release() })
		ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
		defer cancel()
		much := make(chan error)
		go func() { much <- wantsMuch.Grow(ctx, 512<<10) }()
		synctest.Wait()
		if err := wantsLittle.Grow(ctx, 4<<10); err != nil {
			t.Error(err)
		}
		overdraws.Release() // and there is room for both
		if err := <-much; err != nil {
			t.Error(err)
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

func TestANewcomerThatFitsDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(100)
		overdraws, ends, waits, newcomer := b.Open(), b.Open(), b.Open(), b.Open()
		grow(t, &ends, 85)
		grow(t, &waits, 10)
		grow(t, &overdraws, 50)
		done := make(chan error)
		go func() { done <- waits.Grow(t.Context(), 60) }()
		synctest.Wait()
		ends.Release() // 60 of 100 are used, and 60 are waited for
		start := time.Now()
		grow(t, &newcomer, 4)
		if took := time.Since(start); took != 0 {
			t.Errorf("waited %v though there was room", took)
		}
		overdraws.Release()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestWhoHoldsSomethingGetsOnBesideNewcomers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(100)
		overdraws, holds, first, second := b.Open(), b.Open(), b.Open(), b.Open()
		grow(t, &holds, 90)
		grow(t, &overdraws, 20)
		got := make(chan string, 3)
		wait := func(name string, r *Reservation) {
			go func() {
				grow(t, r, 20)
				got <- name
			}()
			synctest.Wait()
		}
		wait("holds", &holds)
		wait("first newcomer", &first)
		wait("second newcomer", &second)
		overdraws.Release()
		if name := <-got; name != "holds" {
			t.Errorf("%s was served before who holds 90 of 100", name)
		}
		holds.Release()
		<-got
		<-got
	})
}

func TestWaitingForMemoryIsNotBeingSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(100)
		overdraws, waits, newcomer := b.Open(), b.Open(), b.Open()
		grow(t, &waits, 90)
		grow(t, &overdraws, 20)
		waits.Slow(func() { t.Error("cut off for waiting for memory") })
		done := make(chan error)
		go func() { done <- waits.Grow(t.Context(), 50) }()
		synctest.Wait()
		newcomerDone := make(chan error)
		go func() { newcomerDone <- newcomer.Grow(t.Context(), 20) }()
		time.Sleep(3 * patience)
		overdraws.Release()
		if err := <-done; err != nil {
			t.Error(err)
		}
		time.Sleep(patience / 2) // slow for that long only
		waits.Release()
		if err := <-newcomerDone; err != nil {
			t.Error(err)
		}
	})
}

// sends has a client that takes so much of its answer twice a second, until the test is about to end.
func sends(t *testing.T, r *Reservation, bytes int) {
	r.Took(0)
	done := make(chan struct{})
	var taking sync.WaitGroup
	taking.Go(func() {
		for {
			select {
			case <-time.After(shortPatience / 2):
				r.Took(bytes)
			case <-done:
				return
			}
		}
	})
	t.Cleanup(func() {
		close(done)
		taking.Wait()
	})
}

func TestWhoTakesNothingIsCutOffSoonAndBeforeWhoTakesSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(100)
		var cut []string
		slowly, nothing, overdraws, waits := b.Open(), b.Open(), b.Open(), b.Open()
		grow(t, &slowly, 60)
		slowly.Slow(func() { cut = append(cut, "who takes slowly") })
		sends(t, &slowly, piece)
		time.Sleep(2 * patience)
		grow(t, &nothing, 40)
		nothing.Slow(func() { cut = append(cut, "who takes nothing"); go nothing.Release() })
		nothing.Took(0)
		grow(t, &overdraws, 10)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if err := waits.Grow(ctx, 20); err != nil {
			t.Error(err)
		}
		if len(cut) != 1 || cut[0] != "who takes nothing" {
			t.Errorf("cut off: %q", cut)
		}
	})
}

func TestWhoTakesSlowlyIsCutOffWhenNobodyElseIsServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(100)
		slowly, overdraws, waits := b.Open(), b.Open(), b.Open()
		grow(t, &slowly, 60)
		slowly.Slow(func() { go slowly.Release() })
		sends(t, &slowly, piece)
		time.Sleep(2 * patience)
		grow(t, &overdraws, 90)
		ctx, cancel := context.WithTimeout(t.Context(), 10*patience)
		defer cancel()
		start := time.Now()
		if err := waits.Grow(ctx, 10); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took < patience {
			t.Errorf("cut off after %v", took)
		}
	})
}

func TestWhoHasTakenSomeMayStandStillForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(100)
		stands, overdraws, waits := b.Open(), b.Open(), b.Open()
		grow(t, &stands, 60)
		stands.Slow(func() { t.Error("cut off") })
		stands.Took(0)
		time.Sleep(2 * noticeable)
		stands.Took(0)
		grow(t, &overdraws, 90)
		ctx, cancel := context.WithTimeout(t.Context(), patience-pressInterval)
		defer cancel()
		if err := waits.Grow(ctx, 10); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		stands.Release()
	})
}

func TestAnswersThatCanBeEncodedComeBeforeMoreIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(20 << 20)
		overdraws, read, first, second := b.Open(), b.Open(), b.Open(), b.Open()
		grow(t, &read, 6<<20)
		grow(t, &overdraws, 16<<20)
		got := make(chan string, 3)
		wait := func(name string, r *Reservation, bytes int64) {
			go func() {
				grow(t, r, bytes)
				got <- name
			}()
			synctest.Wait()
		}
		wait("first newcomer", &first, 6<<20)
		wait("second newcomer", &second, 6<<20)
		wait("who has read", &read, 12<<20)
		overdraws.Release()
		synctest.Wait()
		for range len(got) {
			if name := <-got; name == "second newcomer" {
				t.Errorf("%s has got what is left, before who has read could encode", name)
			}
		}
		read.Release()
		first.Release()
		synctest.Wait()
	})
}

func TestWhoGetsSomeOfItsAnswerDoesNotStandThoughItsConnectionHasNoRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(100)
		var cut []string
		var got atomic.Int64
		gets, stands, overdraws, waits := b.Open(), b.Open(), b.Open(), b.Open()
		grow(t, &gets, 50)
		grow(t, &stands, 45)
		gets.Slow(func() { cut = append(cut, "who gets some") })
		stands.Slow(func() { cut = append(cut, "who gets none"); go stands.Release() })
		gets.Watch(got.Load)
		stands.Watch(func() int64 { return 1000 })
		gets.Took(0)
		stands.Took(0)
		done := make(chan struct{})
		var line sync.WaitGroup
		line.Go(func() {
			for {
				select {
				case <-time.After(shortPatience / 4):
					got.Add(10)
				case <-done:
					return
				}
			}
		})
		grow(t, &overdraws, 10)
		time.Sleep(10 * patience) // nobody looks
		start := time.Now()
		grow(t, &waits, 20)
		if took := time.Since(start); took > 2*pressInterval {
			t.Errorf("who gets none was cut off after %v", took)
		}
		if len(cut) != 1 || cut[0] != "who gets none" {
			t.Errorf("cut off: %q", cut)
		}
		close(done)
		line.Wait()
	})
}

// trickleGoes has two clients take their answers, one of them much more slowly than the other, and checks that it is the one that is
// cut off for others.
func trickleGoes(t *testing.T, take func(trickle, steady *Reservation)) {
	t.Helper()
	b := NewBudget(100)
	var cut []string
	trickle, steady, overdraws, waits := b.Open(), b.Open(), b.Open(), b.Open()
	grow(t, &steady, 55)
	grow(t, &trickle, 40)
	steady.Slow(func() { cut = append(cut, "steady"); go steady.Release() })
	trickle.Slow(func() { cut = append(cut, "trickle"); go trickle.Release() })
	take(&trickle, &steady)
	grow(t, &overdraws, 20)
	grow(t, &waits, 5)
	if len(cut) != 1 || cut[0] != "trickle" {
		t.Errorf("cut off: %q", cut)
	}
}

func TestOfThoseWhoTakeSlowlyTheSlowestIsCutOffFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		trickleGoes(t, func(trickle, steady *Reservation) {
			start := time.Now()
			steady.Watch(func() int64 { return int64(time.Since(start) / time.Microsecond) })
			trickle.Watch(func() int64 { return int64(time.Since(start) / time.Millisecond) })
			steady.Took(0)
			trickle.Took(0)
		})
	})
}

func TestTheSlowestIsCutOffFirstThoughOnlyWhatTheConnectionTookIsToldOfTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		trickleGoes(t, func(trickle, steady *Reservation) {
			sends(t, steady, piece)
			start := time.Now()
			trickle.Watch(func() int64 { return int64(time.Since(start) / (time.Second / 4)) })
			trickle.Took(0)
		})
	})
}
