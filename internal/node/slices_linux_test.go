package node

import (
	"os"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

func TestThreadsHaveShortSlices(t *testing.T) {
	before, err := unix.SchedGetAttr(0, 0)
	if err != nil || before.Runtime == 0 {
		t.Skipf("this system does not tell how long a thread may keep a core (error: %v): Linux 6.12 or later is needed", err)
	}
	shortSlices()
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		thread, err := strconv.Atoi(task.Name())
		if err != nil {
			t.Fatal(err)
		}
		attr, err := unix.SchedGetAttr(thread, 0)
		if err == unix.ESRCH { // it has ended
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if attr.Runtime != uint64(slice) || attr.Nice != before.Nice || attr.Policy != before.Policy {
			t.Errorf("thread %d: slice %d ns, nice %d, policy %d; want %d, %d, %d", thread, attr.Runtime, attr.Nice, attr.Policy,
				slice, before.Nice, before.Policy)
		}
	}
}
