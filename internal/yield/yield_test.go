package yield

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestCoresAreGivenUpOnlyWhileSomebodyIsBusy(t *testing.T) {
	clock, last, kept, on := begun, until.Load(), keep.Load(), enabled.Load()
	t.Cleanup(func() {
		begun = clock
		until.Store(last)
		keep.Store(kept)
		enabled.Store(on)
	})
	synctest.Test(t, func(t *testing.T) {
		begun = time.Now() // of the bubble's clock
		until.Store(0)
		keep.Store(0)
		enabled.Store(false)
		gives := func(want uint64, when string) {
			t.Helper()
			before := Given()
			Core()
			if got := Given() - before; got != want {
				t.Errorf("%s: given up %d times", when, got)
			}
		}
		Busy()
		gives(0, "where slices may be long")
		Enable()
		gives(1, "while somebody is busy")
		time.Sleep(soon)
		gives(0, "when they have long been quiet")
		Busy()
		gives(1, "when somebody is busy again")

		now := time.Since(begun)
		back(now-long, now)
		gives(1, "after a short absence")
		back(now-10*time.Millisecond, now)
		gives(0, "after a long absence")
		time.Sleep(10 * time.Millisecond)
		gives(1, "when the core has been kept for as long")
	})
}
