// Package yield is for work that takes milliseconds of a core without a break, such as reading and encoding megabytes, beside
// others that need a core for a moment only, to queue a record or to hand in a commit.
//
// Linux looks at who has had his share of a core when something wakes up there, and else at its ticks, 4 ms apart at 250 Hz. So a
// thread that is woken just after another one has begun waits for up to that long behind it, however little it needs and
// however short their slices are.
//
// To give a core up has a price. The thread may lose what is left of its slice, so it is done only where slices are short
// (Enable). It keeps its processor of Go's meanwhile, and the collector may have to wait for it, as when the system takes its core
// away. And others' programs in the same control group go first, too, for as long as their slices are: so after a long absence
// cores are kept for as long.
package yield

import (
	"sync/atomic"
	"time"
)

// Each is about how many bytes may be worked on between two calls of Core: some tens of microseconds of copying or encoding.
const Each = 64 << 10

// soon is for how long after a call of Busy cores are given up: for as long as somebody is busy ten times a second or more.
const soon = 100 * time.Millisecond

// long is what those who need a core for a moment do not take, even a few of them.
const long = 500 * time.Microsecond

var (
	begun   = time.Now()
	until   atomic.Int64 // since begun
	enabled atomic.Bool
	given   atomic.Uint64
	keep    atomic.Int64 // since begun: no core is given up before
)

// Enable has Core do something from now on. It is for a program whose threads have asked for short slices and got them: a
// thread with a usual one loses milliseconds with every call where others want the core.
func Enable() { enabled.Store(true) }

// Busy says that there is somebody who needs a core for a moment, and again soon. The embedded engine does so with each commit.
func Busy() { until.Store(int64(time.Since(begun) + soon)) }

// Core lets threads that are ready run on this core, if somebody has been busy just before.
func Core() {
	now := time.Since(begun)
	if !wanted(now) {
		return
	}
	given.Add(1)
	core()
	back(now, time.Since(begun))
}

// back takes note of how long a core was given up.
func back(from, to time.Duration) {
	if absent := to - from; absent > long {
		keep.Store(int64(to + absent))
	}
}

// Given returns how often cores have been given up.
func Given() uint64 { return given.Load() }

func wanted(now time.Duration) bool {
	return enabled.Load() && int64(now) < until.Load() && int64(now) >= keep.Load()
}
