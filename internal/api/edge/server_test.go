package edge

import (
	"encoding/binary"
	"net"
	"testing"
	"time"
)

// frame is a frame of HTTP/2 (RFC 9113, section 4.1).
func frame(kind, flags byte, stream uint32, payload []byte) []byte {
	head := binary.BigEndian.AppendUint32(nil, uint32(len(payload)))[1:]
	return append(binary.BigEndian.AppendUint32(append(head, kind, flags), stream), payload...)
}

func TestAnHTTP2ClientThatReadsNothingIsCutOff(t *testing.T) {
	handler, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	server := NewServer(handler)
	if server.HTTP2 == nil || server.HTTP2.WriteByteTimeout <= 0 {
		t.Fatal("nothing limits how long a write to an HTTP/2 connection may take")
	}
	server.HTTP2.WriteByteTimeout = 200 * time.Millisecond // as it is, a test would take too long
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(narrow{listener})
	}()
	defer func() {
		_ = server.Close()
		<-served
	}()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.(*net.TCPConn).SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	if _, err := conn.Write(append([]byte(preface), frame(4, 0, 0, nil)...)); err != nil {
		t.Fatal(err)
	}
	get := append([]byte{0x82, 0x86, 0x84, 0x01, 9}, "localhost"...) // GET http / from the static table of RFC 7541
	for stream := range uint32(1000) {
		if _, err := conn.Write(frame(1, 5, 2*stream+1, get)); err != nil {
			return // so soon
		}
	}
	// From now on the client only says, now and then, what needs no answer.
	for range 1000 {
		if _, err := conn.Write(frame(2, 0, 1, make([]byte, 5))); err != nil {
			return
		}
		<-time.After(10 * time.Millisecond)
	}
	t.Error("the connection is still there")
}

// narrow are connections on which little can be under way.
type narrow struct{ net.Listener }

func (l narrow) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		err = conn.(*net.TCPConn).SetWriteBuffer(4096)
	}
	return conn, err
}
