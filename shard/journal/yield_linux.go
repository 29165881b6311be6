package journal

import "syscall"

// yieldCore lets threads that are ready run on this core, of this program and of others. Linux looks at who has had his share of
// a core when something wakes up there, and else at its ticks, 4 ms apart at 250 Hz: so a thread that is woken just after
// another one has begun waits for up to that long behind it, however little it needs and however short their slices.
//
// Go is not told, so the thread keeps its processor of Go's, as when the system takes its core away. Telling it (syscall.Syscall)
// has that processor taken away and given back all the time.
func yieldCore() { _, _, _ = syscall.RawSyscall(syscall.SYS_SCHED_YIELD, 0, 0, 0) }
