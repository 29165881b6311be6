package child

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
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

// SettleDisk has all written that is to be written, and waits until the disk of a directory does nothing more: a sync
// waits for what others have had written, or have had discarded with files that they removed, before it. It gives up,
// silently, after the limit, and waits for nothing where the disk is not known.
func SettleDisk(ctx context.Context, dir string, limit time.Duration) error {
	syscall.Sync()
	var info syscall.Stat_t
	if err := syscall.Stat(dir, &info); err != nil {
		return &os.PathError{Op: "stat", Path: dir, Err: err}
	}
	const step, enough = 20 * time.Millisecond, 10 // steps without work
	ticker := time.NewTicker(step)
	defer ticker.Stop()
	idle := 0
	var before diskWork
	for range int(limit / step) {
		now, known, err := workOf(unix.Major(info.Dev), unix.Minor(info.Dev))
		if err != nil || !known {
			return err
		}
		if idle++; now != before || now.underWay > 0 {
			idle, before = 0, now
		}
		if idle == enough {
			break
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
	return nil
}

// diskWork is how many requests a disk has done since the machine started, and has to do now.
type diskWork struct{ writes, discards, underWay int64 }

// workOf reads the line of a disk in /proc/diskstats (Documentation/admin-guide/iostats.rst in Linux).
func workOf(major, minor uint32) (w diskWork, known bool, err error) {
	stats, err := os.ReadFile("/proc/diskstats")
	if err != nil {
		return w, false, err
	}
	begin := []string{strconv.Itoa(int(major)), strconv.Itoa(int(minor))}
	for line := range strings.Lines(string(stats)) {
		fields := strings.Fields(line)
		if len(fields) < 18 || !slices.Equal(fields[:2], begin) {
			continue
		}
		for at, to := range map[int]*int64{7: &w.writes, 11: &w.underWay, 14: &w.discards} {
			if *to, err = strconv.ParseInt(fields[at], 10, 64); err != nil {
				return w, false, fmt.Errorf("/proc/diskstats: %w", err)
			}
		}
		return w, true, nil
	}
	return w, false, nil
}
