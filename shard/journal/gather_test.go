package journal

import (
	"cmp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

// awakening is a scheduler in which every yield takes a while and lets some of the bytes that were woken come back, and so does
// every time that the bytes are awaited.
type awakening struct {
	now    time.Duration
	stands bool // the clock
	queued int64
	yields int
	each   int64         // bytes that a yield brings back
	takes  time.Duration // a yield
	awaits int
	most   time.Duration // of the last await
	comes  int64         // bytes that an await brings back
	late   time.Duration // that its end comes
}

func (a *awakening) gatherer() *gatherer {
	return &gatherer{
		queued: func() int64 { return a.queued },
		since:  func() time.Duration { return a.now },
		yield: func() {
			a.yields++
			if !a.stands {
				a.now += cmp.Or(a.takes, 10*time.Microsecond)
			}
			a.queued += a.each
		},
		await: func(want int64, most time.Duration) {
			a.awaits++
			a.most = most
			a.queued += a.comes
			if a.queued < want {
				a.now += most + a.late
			}
		},
	}
}

// commits has as many batches of a thousand bytes committed as there are wanted attempts to gather, and returns the yields
// of each.
func (a *awakening) commits(g *gatherer, frames uint32, took time.Duration, n int) (yields []int) {
	for range n {
		a.queued = 0
		if a.now += took; a.stands {
			a.now = 0
		}
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

func TestAmongManyTheBytesAreAwaitedAsLongAsACommitTakes(t *testing.T) {
	for _, c := range []struct{ commit, want time.Duration }{{200 * time.Microsecond, 200 * time.Microsecond}, {time.Second, crowdMost}} {
		a := &awakening{takes: crowdYield, comes: 700}
		g := a.gatherer()
		g.commit = c.commit
		yields := a.commits(g, crowdFrames, c.commit, 100)
		if yields[0] != 1 || yields[1] != 0 || a.awaits < 95 || a.most != c.want {
			t.Errorf("%d, %d yields, %d waits, the last for %v of %v", yields[0], yields[1], a.awaits, a.most, c.want)
		}
	}
}

func TestAmongManyWhoDoNotComeBackTheyAreSeldomAwaited(t *testing.T) {
	a := &awakening{takes: crowdYield, comes: 400}
	g := a.gatherer()
	g.commit = time.Millisecond
	a.commits(g, crowdFrames, g.commit, 2000)
	if a.awaits == 0 || a.awaits > 15 {
		t.Errorf("%d waits in 2,000 commits", a.awaits)
	}
	a.comes, a.awaits = 1000, 0
	a.commits(g, crowdFrames, g.commit, gatherPause+100)
	if a.awaits < 100 {
		t.Errorf("%d waits in 100 commits after they come back again", a.awaits)
	}
}

func TestAmongManyOfWhomSomeAreLateTheyAreAwaitedMostly(t *testing.T) {
	a := &awakening{takes: crowdYield}
	g := a.gatherer()
	g.commit = time.Millisecond
	for i := range 2000 {
		a.comes = 1000
		if i%10 == 0 {
			a.comes = 0
		}
		a.commits(g, crowdFrames, g.commit, 1)
	}
	if a.awaits < 1500 {
		t.Errorf("%d waits in 2,000 commits", a.awaits)
	}
}

// The heaviest crowd: a yield takes longer than the wait may.
func TestAmongVeryManyNobodyYieldsAgain(t *testing.T) {
	a := &awakening{takes: 2 * crowdMost, comes: 500}
	g := a.gatherer()
	g.commit = time.Millisecond
	yields := 0
	for _, n := range a.commits(g, crowdFrames, g.commit, 20) {
		yields += n
	}
	if yields != 1 || a.awaits < 15 {
		t.Errorf("%d yields, %d waits in 20 commits", yields, a.awaits)
	}
}

// Records that come one by one, whatever the committer does: one slow yield must not have each commit begin later.
func TestAStreamThatGoesOnAnywayIsSeldomAwaited(t *testing.T) {
	for _, gap := range []time.Duration{15 * time.Microsecond, 50 * time.Microsecond, 150 * time.Microsecond} {
		const commit = 300 * time.Microsecond
		var now time.Duration
		taken, yields, waits, commits := int64(0), 0, 0, 0
		came := func() int64 { return int64(now/gap) - taken }
		g := &gatherer{
			queued: func() int64 { return came() * 1100 },
			since:  func() time.Duration { return now },
			yield: func() {
				if now += 2 * time.Microsecond; yields == 0 {
					now += crowdYield
				}
				yields++
			},
			await: func(want int64, most time.Duration) {
				waits++
				for end := now + most; now < end && came()*1100 < want; {
					now += time.Microsecond
				}
			},
			commit: commit,
		}
		for ; now < 5*time.Second; commits++ {
			g.gather()
			for came() == 0 {
				now += time.Microsecond
			}
			n := came()
			taken += n
			now += commit
			g.committed(uint32(n), n*1100, g.queued(), commit)
		}
		if waits*10 > commits {
			t.Errorf("a record every %v: %d waits in %d commits", gap, waits, commits)
		}
	}
}

// Timers come late when no goroutine wants to run.
func TestWhereNobodyWantsToRunTheBytesAreAwaitedOnce(t *testing.T) {
	a := &awakening{takes: crowdYield, late: time.Millisecond}
	g := a.gatherer()
	g.commit = 200 * time.Microsecond
	a.commits(g, crowdFrames, g.commit, 1)
	a.takes = 0
	a.commits(g, crowdFrames, g.commit, 2000)
	if a.awaits != 1 {
		t.Errorf("%d waits", a.awaits)
	}
}

func TestALongBatchIsNotWaitedFor(t *testing.T) {
	a := &awakening{each: 1 << 20}
	g := a.gatherer()
	g.committed(1000, 1<<20, gatherBytes, time.Millisecond)
	if g.gather(); a.yields != 0 {
		t.Errorf("%d yields with %d bytes in the queue", a.yields, gatherBytes)
	}
	g.committed(1000, 1<<20, gatherBytes-1, time.Millisecond)
	if g.gather(); a.yields != 1 {
		t.Errorf("%d yields for the last byte", a.yields)
	}
}

func TestTheCommitterIsToldWhenAsMuchIsQueuedAsItAwaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newCommitQueue(4 << 10)
		push := func(n int) {
			if err := q.push(&queuedChange{frame: make([]byte, n)}); err != nil {
				t.Error(err)
			}
		}
		await := func(want int64) time.Duration {
			begun := time.Now()
			most := time.NewTimer(time.Second)
			defer most.Stop()
			q.await(want, most.C)
			return time.Since(begun)
		}
		later := func(n int) { time.AfterFunc(time.Millisecond, func() { push(n) }) }

		if d := await(100); d != time.Second {
			t.Errorf("with nothing queued it waited for %v", d)
		}
		later(100)
		if d := await(100); d != time.Millisecond {
			t.Errorf("for the first bytes it waited for %v", d)
		}
		later(100)
		if d := await(250); d != time.Millisecond {
			t.Errorf("for more in the same batch it waited for %v", d)
		}
		later(1)
		if d := await(1000); d != time.Second {
			t.Errorf("for more than came it waited for %v", d)
		}
		if d := await(200); d != 0 {
			t.Errorf("for what was there it waited for %v", d)
		}
		later(4 << 10) // does not fit into the same batch
		if d := await(1 << 20); d != time.Millisecond {
			t.Errorf("with a full batch it waited for %v", d)
		}
		if d := await(1 << 20); d != 0 {
			t.Errorf("with a batch that was full already it waited for %v", d)
		}
	})
}

// Writers who come back one after the other, where a yield lets others run for long.
func TestTheCommitterAwaitsTheBytesOfThoseWhomItHasWoken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := vfs.Inject(vfs.NewMem())
		opts := tinyOptions(disk)
		yields := 0
		opts.yield = func() {
			yields++
			time.Sleep(crowdYield) // of the bubble's, as all here
		}
		e := mustOpen(t, opts)
		l := mustLog(t, e, "a")
		commits := 0
		disk.Hook(func(c vfs.Call) error {
			if c.Op == vfs.OpDatasync && strings.HasSuffix(c.Name, ".j") {
				commits++
				time.Sleep(400 * time.Microsecond)
			}
			return nil
		})
		const writers, rounds = 32, 100
		var done sync.WaitGroup
		for w := range writers {
			done.Go(func() {
				for range rounds {
					time.Sleep(time.Duration(w+1) * crowdYield / 8)
					if _, err := l.Append(t.Context(), []shard.Record{{Value: []byte("x")}}).Wait(t.Context()); err != nil {
						t.Error(err)
					}
				}
			})
		}
		done.Wait()
		if mean := writers * rounds / commits; mean < writers*3/4 || yields == 0 {
			t.Errorf("%d commits of %d records in the mean, %d yields", commits, mean, yields)
		}
		disk.Hook(nil)
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	})
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
