package loopback

import (
	"net"
	"testing"
)

func TestAnAddressIsGivenAwayOnce(t *testing.T) {
	addresses, err := FreeAddresses(50)
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range addresses {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			t.Errorf("a server cannot listen: %v", err)
			continue
		}
		_ = listener.Close()
		if socket, err := net.ListenPacket("udp", address); err == nil {
			_ = socket.Close()
			t.Errorf("%s is not reserved", address)
		}
	}
}
