package lane

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// unsent is how many bytes of what was written to a connection the other side has not confirmed.
func unsent(c syscall.RawConn) (bytes int64, ok bool) {
	_ = c.Control(func(fd uintptr) {
		if n, err := unix.IoctlGetInt(int(fd), unix.SIOCOUTQ); err == nil {
			bytes, ok = int64(n), true
		}
	})
	return bytes, ok
}
