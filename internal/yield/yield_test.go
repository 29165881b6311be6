package yield

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestCoresAreGivenUpOnlyWhileSomebodyIsBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun = time.Now() // of the bubble's clock
		until.Store(0)
		if wanted() {
			t.Error("given up for nobody")
		}
		Busy()
		if !wanted() {
			t.Error("not given up, though somebody is busy")
		}
		time.Sleep(soon)
		if wanted() {
			t.Error("given up for somebody who has long been quiet")
		}
	})
}
