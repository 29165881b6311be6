// Package yield is for work that takes milliseconds of a core without a break, such as reading and encoding megabytes, beside
// others that need a core for a moment only, to queue a record or to hand in a commit.
//
// Linux looks at who has had his share of a core when something wakes up there, and else at its ticks, 4 ms apart at 250 Hz. So a
// thread that is woken just after another one has begun waits for up to that long behind it, however little it needs and
// however short their slices are.
package yield

import (
	"sync/atomic"
	"time"
)

// Each is how many bytes may be worked on between two calls of Core: some tens of microseconds of copying or encoding.
const Each = 64 << 10

// soon is for how long after a call of Busy cores are given up: for as long as somebody is busy ten times a second or more.
const soon = 100 * time.Millisecond

var (
	begun = time.Now()
	until atomic.Int64 // since begun
)

// Busy says that there is somebody who needs a core for a moment, and again soon.
func Busy() { until.Store(int64(time.Since(begun) + soon)) }

// Core lets threads that are ready run on this core, if somebody has been busy just before. It is not for nothing: GetRecords beside
// puts takes up to a sixth more of the CPU for it.
func Core() {
	if wanted() {
		core()
	}
}

func wanted() bool { return int64(time.Since(begun)) < until.Load() }
