package loadgen

import (
	"syscall"
	"time"
)

// SleepUntil is time.Sleep, but to some 50 µs and not to a millisecond, which Go's own timers wait for in epoll_wait. It
// keeps a thread, and until the scheduler notices, a processor of Go's: call it from one goroutine, and have one more of
// those than cores.
func SleepUntil(t time.Time) {
	for rest := time.Until(t); rest > 0; rest = time.Until(t) {
		ts := syscall.NsecToTimespec(int64(rest))
		_ = syscall.Nanosleep(&ts, nil) // interrupted by a signal: again
	}
}
