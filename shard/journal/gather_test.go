package journal

import (
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

// awakening is a scheduler in which every yield takes a while and lets some of the bytes that were woken come back.
type awakening struct {
	now    time.Duration
	stands bool // the clock
	queued int64
	yields int
	each   int64 // bytes that a yield brings back
}

func (a *awakening) gatherer() *gatherer {
	return &gatherer{
		queued: func() int64 { return a.queued },
		since:  func() time.Duration { return a.now },
		yield: func() {
			a.yields++
			if !a.stands {
				a.now += 10 * time.Microsecond
			}
			a.queued += a.each
		},
	}
}

// commits has as many batches of a thousand bytes committed as there are wanted attempts to gather, and returns the yields
// of each.
func (a *awakening) commits(g *gatherer, frames uint32, took time.Duration, n int) (yields []int) {
	for range n {
		g.committed(frames, 1000, a.queued, took)
		a.yields = 0
		g.gather()
		yields = append(yields, a.yields)
	}
	return yields
}

func TestWritersThatComeBackSoonAreWaitedFor(t *testing.T) {
	a := &awakening{each: 300}
	g := a.gatherer()
	a.commits(g, 2, 200*time.Microsecond, 100) // to know what a commit takes
	for i, n := range a.commits(g, 2, 200*time.Microsecond, 10) {
		if n != 3 {
			t.Errorf("commit %d: %d yields for 875 of 1,000 bytes, 300 with each", i, n)
		}
	}
}

func TestNobodyIsWaitedForLongerThanItPays(t *testing.T) {
	for _, c := range []struct {
		took time.Duration
		want int
	}{{80 * time.Microsecond, 4}, {10 * time.Millisecond, 10}} {
		a := &awakening{}
		g := a.gatherer()
		g.commit = c.took
		if got := a.commits(g, 2, c.took, 1)[0]; got != c.want {
			t.Errorf("%d yields of 10 µs where a commit takes %v, want %d", got, c.took, c.want)
		}
	}
}

func TestNobodyIsWaitedForWithoutEndWhileTheClockStandsStill(t *testing.T) {
	a := &awakening{stands: true}
	g := a.gatherer()
	g.commit = time.Millisecond
	if got := a.commits(g, 2, time.Millisecond, 1)[0]; got != gatherYields {
		t.Errorf("%d yields, want %d", got, gatherYields)
	}
}

func TestWritersThatDoNotComeBackAreNotWaitedForAgainSoon(t *testing.T) {
	a := &awakening{}
	g := a.gatherer()
	g.commit = time.Millisecond
	attempts := 0
	for _, n := range a.commits(g, 2, time.Millisecond, 2000) {
		if n > 0 {
			attempts++
		}
	}
	if attempts == 0 || attempts > 15 {
		t.Errorf("%d attempts in 2,000 commits", attempts)
	}
	a.each = 1000 // they come again
	yields := a.commits(g, 2, time.Millisecond, gatherPause+10)
	for i, n := range yields[gatherPause+1:] {
		if n != 1 {
			t.Errorf("%d yields, %d commits after an attempt succeeded", n, i)
		}
	}
}

func TestWritersOfWhomSomeComeBackAreNotWaitedForOften(t *testing.T) {
	a := &awakening{}
	g := a.gatherer()
	g.commit = time.Millisecond
	attempts := 0
	for range 2000 {
		a.each = 1000 - a.each // each second time
		if a.commits(g, 2, time.Millisecond, 1)[0] > 0 {
			attempts++
		}
	}
	if attempts == 0 || attempts > 40 {
		t.Errorf("%d attempts in 2,000 commits", attempts)
	}
}

func TestALonelyWriterIsNotWaitedFor(t *testing.T) {
	a := &awakening{each: 1000}
	g := a.gatherer()
	for _, n := range a.commits(g, 1, 200*time.Microsecond, 20) {
		if n > 0 {
			t.Errorf("%d yields after a batch with one frame", n)
		}
	}
}

func TestTheCommitterLetsThoseRunWhomItHasWoken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := vfs.Inject(vfs.NewMem())
		opts := tinyOptions(disk)
		var yields atomic.Int64
		opts.yield = func() { yields.Add(1) }
		e := mustOpen(t, opts)
		defer e.Close()
		l := mustLog(t, e, "a")
		synced := make(chan struct{})
		disk.Hook(func(c vfs.Call) error {
			if c.Op == vfs.OpDatasync && strings.Contains(c.Name, "/journal/") {
				<-synced
			}
			return nil
		})
		var pending []shard.Pending
		for i := range 3 { // the first alone, the others together
			pending = append(pending, l.Append(t.Context(), []shard.Record{numbered(i)}))
			synctest.Wait()
		}
		before := yields.Load()
		close(synced)
		for _, p := range pending {
			if _, err := p.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if yields.Load() == before {
			t.Error("nobody was let run after a batch of two")
		}
	})
}
