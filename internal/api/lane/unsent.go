package lane

import (
	"net"
	"syscall"
)

// raw finds the system's side of a connection, below TLS or not; nil if there is none.
func raw(c net.Conn) syscall.RawConn {
	for {
		switch below := c.(type) {
		case interface{ NetConn() net.Conn }:
			c = below.NetConn()
		case syscall.Conn:
			raw, err := below.SyscallConn()
			if err != nil {
				return nil
			}
			return raw
		default:
			return nil
		}
	}
}

// Tells says whether Got knows anything.
func (r *response) Tells() bool {
	if r.conn.raw == nil {
		r.conn.raw = raw(r.conn.net)
	}
	if r.conn.raw == nil {
		return false
	}
	_, ok := unsent(r.conn.raw)
	return ok
}

// Got is about how many bytes of the body have come to the client: what the system has taken of it, less what is on its way,
// of which the answer before may have a part, and TLS and what is being written, too. Any goroutine may ask.
func (r *response) Got() int64 {
	n, _ := unsent(r.conn.raw)
	return r.written.Load() - n
}
