package journal

import "time"

// Writers that each wait for one record before they hand in the next are woken together, and come back together, but the
// first of them is enough for the next commit to begin: all others wait for the one after it, and so on, so that it takes
// two commits, one of them with next to nothing in it, for what one could do. So the committer lets those that it has
// woken run before it takes the next batch, if they are known to come back soon.
//
// They come back soon if seven eighths of the bytes of the last batch are in the queue again before the time that half a
// commit takes, gatherMost at most, has passed. When they do not, as those who are at the other end of a network do not,
// the next attempts are left out: two, then six, fourteen, up to gatherPause of them, and fewer again with each time that they
// did. Where they come back now and then this grows, where they mostly do it does not.
//
// Among so many who want to run that the committer would get its turn again much later than it should, it waits for the bytes
// instead, for as long as a commit takes and crowdMost at most: no processor is idle meanwhile, and fewer commits leave more of
// them to the writers. (When nobody wants to run after all, Go's timers come up to a millisecond late.) There it is enough that
// half of what was missing has come, and one failure is soon forgotten. The price is that a record which comes alone beside a
// crowd waits that much longer. So it is not done for fewer than crowdFrames in a batch: they may be records that come one by one
// anyway.
//
// Nobody is waited for once there is so much in the queue that it takes a disk about as long to take it in as to sync.
const (
	gatherMost   = 100 * time.Microsecond
	gatherYields = 1 << 10 // so many take longer, unless the clock stands still, as a test's may
	gatherPause  = 256
	gatherBytes  = 128 << 10
	crowdYield   = 20 * time.Microsecond // a yield that takes longer has let many run
	crowdMost    = 300 * time.Microsecond
	crowdFrames  = 24
)

// gatherer waits for those who have just been woken. It belongs to the committer's goroutine.
type gatherer struct {
	queued func() int64                         // bytes in the queue
	yield  func()                               // lets others run
	await  func(want int64, most time.Duration) // waits until there are so many bytes in the queue, or for so long
	since  func() time.Duration

	had    int64         // bytes in the queue when nobody had been woken yet
	want   int64         // with those that have come back; 0: nobody is waited for
	commit time.Duration // that one takes, in the mean of the last ones
	frames uint32        // in the last batch
	left   int           // attempts to be left out
	pause  int           // how many the next failure is to leave out, before it is doubled
	crowd  bool          // many want to run
}

// committed takes note of a batch that has become durable, and of the bytes in the queue when nobody had been woken yet.
func (g *gatherer) committed(frames uint32, bytes, queued int64, took time.Duration) {
	if want := min(queued+bytes*7/8, gatherBytes); frames > 1 && want > queued {
		g.had, g.want = queued, want
	}
	g.commit += (took - g.commit) / 8
	g.frames = frames
}

// gather waits for those who waited for the last batch.
func (g *gatherer) gather() {
	want := g.want
	g.want = 0
	if want == 0 {
		return
	}
	if g.left > 0 {
		g.left--
		return
	}
	if g.comeBack(want) {
		if g.crowd {
			g.pause /= 2
		} else {
			g.pause -= min(g.pause, 1+g.pause/8)
		}
		return
	}
	g.pause = min(2*g.pause+2, gatherPause)
	g.left = g.pause
}

// comeBack waits until so many bytes are in the queue, and tells whether it was worth it.
func (g *gatherer) comeBack(want int64) bool {
	many := g.frames >= crowdFrames
	begun := g.since()
	last := begun
	for yields := 1; !many || !g.crowd; yields++ {
		g.yield()
		now := g.since()
		g.crowd = many && now-last >= crowdYield
		if g.queued() >= want {
			return true
		}
		if !g.crowd && (now-begun >= min(g.commit/2, gatherMost) || yields == gatherYields) {
			return false
		}
		last = now
	}
	most := min(g.commit, crowdMost)
	begun = g.since()
	g.await(want, most)
	if g.since()-begun >= 2*most {
		g.crowd = false // nobody wants to run
	}
	return g.queued()-g.had >= (want-g.had)/2
}
