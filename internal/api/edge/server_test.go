package edge

import (
	"encoding/binary"
	"net"
	"net/http"
	"testing"
	"time"
)

// frame is a frame of HTTP/2 (RFC 9113, section 4.1).
func frame(kind, flags byte, stream uint32, payload []byte) []byte {
	head := binary.BigEndian.AppendUint32(nil, uint32(len(payload)))[1:]
	return append(binary.BigEndian.AppendUint32(append(head, kind, flags), stream), payload...)
}

func TestAnHTTP2ClientThatReadsNothingIsCutOff(t *testing.T) {
	cut := make(chan struct{})
	server := NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		defer close(cut)
		for { // more than fits in between, and without a deadline of its own
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	}))
	if server.HTTP2 == nil || server.HTTP2.WriteByteTimeout <= 0 {
		t.Fatal("nothing limits how long a write to an HTTP/2 connection may take")
	}
	server.HTTP2.WriteByteTimeout = 200 * time.Millisecond // as it is, a test would take too long
	server.HTTP2.SendPingTimeout = 0                       // which would find it out too, some time
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(listener)
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
	const preface, most = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 1<<31 - 1
	says := []byte(preface)
	says = append(says, frame(4, 0, 0, binary.BigEndian.AppendUint32([]byte{0, 4}, most))...) // a stream's window
	says = append(says, frame(8, 0, 0, binary.BigEndian.AppendUint32(nil, most-65535))...)    // the connection's
	get := append([]byte{0x82, 0x86, 0x84, 0x01, 9}, "localhost"...)                          // GET http / from the static table of RFC 7541
	if _, err := conn.Write(append(says, frame(1, 5, 1, get)...)); err != nil {
		t.Fatal(err)
	}
	<-cut
}
