// Package loopback finds addresses on this machine for the servers that tests start.
package loopback

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// Ports come from below the range that systems give to outgoing connections and to listeners on port 0 (from 32768
// on Linux, from 49152 elsewhere): nobody takes a server's while it is away, and it comes back to the same.
const (
	firstPort = 10_000
	lastPort  = 32_000
)

// FreeAddress is FreeAddresses for one.
func FreeAddress() (string, error) {
	addresses, err := FreeAddresses(1)
	if err != nil {
		return "", err
	}
	return addresses[0], nil
}

// reserved are sockets for datagrams, of which no server here has any, on the ports that have been given away. As long as this
// process has them, no other one is given these ports, also while the servers on them are away.
var reserved struct {
	sync.Mutex
	sockets []net.PacketConn
}

// FreeAddresses are addresses on the loopback interface that nobody listens on at the moment, chosen at random, and given
// to no other test process until this one ends.
func FreeAddresses(n int) ([]string, error) {
	chosen := map[string]bool{}
	var addresses []string
	var config net.ListenConfig
	for range 100 * n {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(firstPort+rand.IntN(lastPort-firstPort)))
		if chosen[address] {
			continue
		}
		socket, err := config.ListenPacket(context.Background(), "udp", address)
		if err != nil {
			continue // given away
		}
		listener, err := config.Listen(context.Background(), "tcp", address)
		if err != nil {
			_ = socket.Close()
			continue // in use
		}
		_ = listener.Close()
		reserved.Lock()
		reserved.sockets = append(reserved.sockets, socket)
		reserved.Unlock()
		chosen[address] = true
		if addresses = append(addresses, address); len(addresses) == n {
			return addresses, nil
		}
	}
	return nil, errors.New("no free ports on 127.0.0.1")
}
