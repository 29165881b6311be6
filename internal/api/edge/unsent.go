package edge

import "net"

// LimitUnsent returns a listener on whose connections the system takes not much more of an answer than it is about to
// send. It would take up to some MiB else, and more only when a third of that has been sent: for so long nobody could tell a client
// that takes an answer slowly from one that takes nothing. The listener itself cannot be asked for that: what it accepts does not
// inherit it where it speaks Multipath TCP, as Go's do.
func LimitUnsent(l net.Listener) net.Listener { return unsentListener{l} }

type unsentListener struct{ net.Listener }

// Accept implements net.Listener.
func (l unsentListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if tcp, ok := conn.(*net.TCPConn); ok {
		limitUnsent(tcp)
	}
	return conn, err
}
