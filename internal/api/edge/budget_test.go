package edge

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRequestsThatAllWantMoreDoNotBlockEachOtherForEver(t *testing.T) {
	for seed := range uint64(50) {
		synctest.Test(t, func(t *testing.T) {
			const limit, most = 100, 60 // what one request takes at most
			b := NewBudget(limit)
			var requests sync.WaitGroup
			for i := range uint64(20) {
				random := rand.New(rand.NewPCG(seed, i))
				requests.Go(func() {
					for range 20 {
						r := b.Open()
						for held := int64(0); held < most; {
							n := min(random.Int64N(30)+1, most-held)
							if err := r.Grow(t.Context(), n); err != nil {
								t.Error(err)
							}
							held += n
							if used := b.Used(); used > limit+most {
								t.Errorf("%d bytes reserved of %d", used, limit)
							}
							if n := random.Int64N(n + 1); n < held/3 {
								r.Shrink(n)
								held -= n
							}
						}
						r.Release()
					}
				})
			}
			requests.Wait() // synctest fails if all are blocked
			if used := b.Used(); used != 0 || b.overdraw != nil || len(b.queue) != 0 {
				t.Errorf("%d bytes are left reserved, overdraw %v, queue %d", used, b.overdraw, len(b.queue))
			}
		})
	}
}

func TestNobodyIsLetPastWhoeverWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(10)
		first, second := b.Open(), b.Open()
		grow(t, &first, 10)
		grow(t, &second, 5) // overdraws
		var mu sync.Mutex
		var order []string
		var waiting sync.WaitGroup
		for _, c := range []struct {
			name  string
			bytes int64
		}{{"large", 8}, {"small", 1}} {
			waiting.Go(func() {
				r := b.Open()
				grow(t, &r, c.bytes)
				mu.Lock()
				order = append(order, c.name)
				mu.Unlock()
				r.Release()
			})
			synctest.Wait()
		}
		first.Release() // 5 of 10 are used: the small one would fit, and is not let past
		synctest.Wait()
		if len(order) != 0 {
			t.Errorf("%v was let past", order)
		}
		second.Release()
		waiting.Wait()
		if len(order) != 2 {
			t.Errorf("only %v were served", order)
		}
	})
}

func grow(t *testing.T, r *Reservation, bytes int64) {
	t.Helper()
	if err := r.Grow(t.Context(), bytes); err != nil {
		t.Error(err)
	}
}

func TestWhoGivesUpWaitingHoldsNobodyBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(10)
		first, second := b.Open(), b.Open()
		grow(t, &first, 6)
		grow(t, &second, 6) // overdraws
		ctx, cancel := context.WithCancel(t.Context())
		impatient, patient := b.Open(), b.Open()
		var waiting sync.WaitGroup
		waiting.Go(func() {
			if err := impatient.Grow(ctx, 9); err == nil {
				t.Error("was granted")
			}
		})
		synctest.Wait()
		waiting.Go(func() { grow(t, &patient, 3) })
		synctest.Wait()
		first.Release() // room for 4: not for the first in the queue
		cancel()
		waiting.Wait()
		second.Release()
		patient.Release()
		impatient.Release()
		if b.Used() != 0 {
			t.Errorf("%d bytes are left reserved", b.Used())
		}
	})
}

func TestWhoWantsMuchGetsHisTurnThoughSmallOnesPassHim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 16 * smallRequest
		b := NewBudget(limit)
		ctx, stop := context.WithCancel(t.Context())
		var small sync.WaitGroup
		for i := range 40 { // there are always some that wait
			small.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				for ctx.Err() == nil {
					r := b.Open()
					if r.Grow(ctx, smallRequest/4) == nil && r.Grow(ctx, smallRequest*3/4) == nil {
						time.Sleep(50 * time.Millisecond)
					}
					r.Release()
				}
			})
		}
		time.Sleep(time.Second)
		waiting, cancel := context.WithTimeout(ctx, time.Hour)
		defer cancel()
		large := b.Open()
		start := time.Now()
		if err := large.Grow(waiting, limit/2); err != nil {
			t.Errorf("not served in %v: %v", time.Since(start), err)
		}
		large.Release()
		stop()
		small.Wait()
	})
}
