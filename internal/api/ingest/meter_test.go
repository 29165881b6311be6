package ingest

import (
	"testing"
	"time"
)

func TestAKeysLimitLetsASecondsWorthThroughAndThenItsRate(t *testing.T) {
	l := limit{recordsPerSecond: 10}
	now := time.Hour
	if wait := l.take(now, 10, 1<<20); wait != 0 {
		t.Fatalf("a second's worth has to wait for %v", wait)
	}
	if wait := l.take(now, 1, 1); wait != 100*time.Millisecond {
		t.Errorf("one record more has to wait for %v", wait)
	}
	if wait := l.ready(now); wait != 0 {
		t.Errorf("ready after %v", wait) // a burst is used up to its end and not beyond
	}
	if wait := l.take(now+100*time.Millisecond, 1, 1); wait != 0 {
		t.Errorf("a tenth of a second later it has to wait for %v", wait)
	}
}

func TestWhatIsMoreThanABurstPassesAndHoldsUpWhatFollows(t *testing.T) {
	l := limit{bytesPerSecond: 1000}
	now := time.Hour
	if wait := l.take(now, 1, 5000); wait != 0 {
		t.Fatalf("it has to wait for %v", wait)
	}
	if wait := l.ready(now); wait != 4*time.Second {
		t.Errorf("ready after %v", wait)
	}
	if wait := l.take(now+4*time.Second, 1, 500); wait != 500*time.Millisecond {
		t.Errorf("what follows has to wait for %v", wait)
	}
}

func TestARefusedRequestCostsNothing(t *testing.T) {
	l := limit{recordsPerSecond: 10, bytesPerSecond: 1000}
	now := time.Hour
	if wait := l.take(now, 1, 1000); wait != 0 {
		t.Fatal(wait)
	}
	for range 100 {
		if wait := l.take(now, 9, 1); wait == 0 {
			t.Fatal("the bytes are used up")
		}
	}
	if wait := l.take(now+time.Millisecond, 9, 1); wait != 0 {
		t.Errorf("records that were refused count: wait for %v", wait)
	}
}
