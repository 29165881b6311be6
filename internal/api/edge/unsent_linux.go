package edge

import (
	"net"

	"golang.org/x/sys/unix"
)

// limitUnsent bounds what the system takes. Where it does not, slow clients are cut off a little too soon.
func limitUnsent(conn *net.TCPConn) {
	if raw, err := conn.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) {
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, piece)
		})
	}
}
