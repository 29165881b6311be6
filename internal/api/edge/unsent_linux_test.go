package edge

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

func TestTheSystemTakesLittleOfWhatItDoesNotSend(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := LimitUnsent(inner)
	defer func() { _ = l.Close() }()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var most int
	var failed error
	if err := raw.Control(func(fd uintptr) {
		most, failed = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT)
	}); err != nil || failed != nil || most != piece {
		t.Errorf("%d bytes, want %d: %v, %v", most, piece, err, failed)
	}
}
