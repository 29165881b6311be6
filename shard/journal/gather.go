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
const (
	gatherMost   = 100 * time.Microsecond
	gatherYields = 1 << 10 // so many take longer, unless the clock stands still, as a test's may
	gatherPause  = 256
)

// gatherer waits for those who have just been woken. It belongs to the committer's goroutine.
type gatherer struct {
	queued func() int64 // bytes in the queue
	yield  func()       // lets others run
	since  func() time.Duration

	want   int64         // bytes in the queue, with those that have come back; 0: nobody is waited for
	commit time.Duration // that one takes, in the mean of the last ones
	left   int           // attempts to be left out
	pause  int           // how many the next failure is to leave out, before it is doubled
}

// committed takes note of a batch that has become durable, and of the bytes in the queue when nobody had been woken yet.
func (g *gatherer) committed(frames uint32, bytes, queued int64, took time.Duration) {
	if frames > 1 {
		g.want = queued + bytes*7/8
	}
	g.commit += (took - g.commit) / 8
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
	begun := g.since()
	for range gatherYields {
		g.yield()
		if g.queued() >= want {
			g.pause -= min(g.pause, 1+g.pause/8)
			return
		}
		if g.since()-begun >= min(g.commit/2, gatherMost) {
			break
		}
	}
	g.pause = min(2*g.pause+2, gatherPause)
	g.left = g.pause
}
