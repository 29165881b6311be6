//go:build !linux

package lane

import "syscall"

func unsent(syscall.RawConn) (bytes int64, ok bool) { return 0, false }
