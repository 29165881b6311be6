package node

import (
	"errors"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-462d9463/sluice/internal/yield"
)

// slice is the shortest time that Linux lets a thread ask for.
const slice = 100 * time.Microsecond

// shortSlices asks for short slices of the cores for all threads of the process, and so for those that they will make. By
// default a thread that is ready to run waits for milliseconds behind another one that reads, where it needs the core for
// a moment only, to queue a record or to hand in a commit. From Linux 6.12 on the scheduler goes by it; others take no
// notice, and where it is forbidden things stay as they are. Where all have got them, those who take long give up their cores
// now and then.
func shortSlices() {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return
	}
	all := true
	for _, task := range tasks {
		thread, err := strconv.Atoi(task.Name())
		if err != nil {
			continue
		}
		attr, err := unix.SchedGetAttr(thread, 0)
		if err != nil || attr.Policy != unix.SCHED_NORMAL && attr.Policy != unix.SCHED_BATCH {
			all = all && errors.Is(err, unix.ESRCH) // it has ended
			continue
		}
		attr.Runtime = uint64(slice)
		if err := unix.SchedSetAttr(thread, attr, 0); err != nil {
			all = all && errors.Is(err, unix.ESRCH)
			continue
		}
		got, err := unix.SchedGetAttr(thread, 0)
		all = all && (errors.Is(err, unix.ESRCH) || err == nil && got.Runtime == uint64(slice))
	}
	if all {
		yield.Enable()
	}
}
