// Package yield is for work that takes milliseconds of a core without a break, beside others that need one for a moment only,
// to queue a record or to hand in a commit.
//
// Linux looks at who has had his share of a core when something wakes up there, and else at its ticks, 4 ms apart at 250 Hz. So a
// thread that is woken just after another one has begun waits for up to that long behind it, however little it needs and
// however short their slices are.
package yield

// Each is how many bytes may be worked on between two calls of Core: some tens of microseconds of copying or encoding.
const Each = 64 << 10
