package child

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"
)

// tick is the unit of the times in /proc: Linux shows them to users in 1/100 s on every architecture.
const tick = 10 * time.Millisecond

func diesWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// cpuOf reads utime and stime, the fields 14 and 15 of /proc/PID/stat (proc(5)).
func cpuOf(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The second field, the program's name in parentheses, may hold anything; the third follows the last ')'.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat has too few fields", pid)
	}
	return sumTicks(fields[11:13])
}

// peakOf reads the high-water mark of resident memory.
func peakOf(pid int) (int64, error) { return memoryOf(pid, "VmHWM:") }

func residentOf(pid int) (int64, error) { return memoryOf(pid, "VmRSS:") }

func openFilesOf(pid int) (int, error) {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	return len(entries), err
}

func memoryOf(pid int, name string) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(status) {
		if value, ok := bytes.CutPrefix(line, []byte(name)); ok {
			kib, err := strconv.ParseInt(string(bytes.TrimSuffix(bytes.TrimSpace(value), []byte(" kB"))), 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("/proc/%d/status has no %s", pid, name)
}

func resetPeakOf(pid int) error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
}

// MachineCPU is the processor time that all programs and the kernel have used since the machine started. What
// the host of a virtual machine took away (steal) counts as used: it was not there for the measurement.
func MachineCPU() (time.Duration, error) {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	line, _, _ := bytes.Cut(stat, []byte("\n"))
	fields := bytes.Fields(line) // cpu user nice system idle iowait irq softirq steal guest guest_nice
	if len(fields) < 9 {
		return 0, fmt.Errorf("/proc/stat: unexpected first line %q", line)
	}
	used, err := sumTicks(fields[1:4])
	if err != nil {
		return 0, err
	}
	interrupts, err := sumTicks(fields[6:9])
	return used + interrupts, err
}

// OwnCPU is the processor time that this process has used.
func OwnCPU() (time.Duration, error) { return cpuOf(os.Getpid()) }

func sumTicks(fields [][]byte) (time.Duration, error) {
	sum := time.Duration(0)
	for _, field := range fields {
		n, err := strconv.ParseInt(string(field), 10, 64)
		if err != nil {
			return 0, err
		}
		sum += time.Duration(n) * tick
	}
	return sum, nil
}
