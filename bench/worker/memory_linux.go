package worker

import "golang.org/x/sys/unix"

// memory returns the machine's memory in bytes, and how much of it nobody uses, not even the page cache.
func memory() (free, total int64, err error) {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return 0, 0, err
	}
	return int64(info.Freeram) * int64(info.Unit), int64(info.Totalram) * int64(info.Unit), nil
}
