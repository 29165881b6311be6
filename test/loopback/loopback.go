// Package loopback finds addresses on this machine for the servers that tests start.
package loopback

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
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

// FreeAddresses are addresses on the loopback interface that nobody listens on at the moment, chosen at random, so
// that test processes beside this one choose others. One may be taken all the same before a server comes to it.
func FreeAddresses(n int) ([]string, error) {
	chosen := map[string]bool{}
	var addresses []string
	var config net.ListenConfig
	for range 100 * n {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(firstPort+rand.IntN(lastPort-firstPort)))
		if chosen[address] {
			continue
		}
		listener, err := config.Listen(context.Background(), "tcp", address)
		if err != nil {
			continue // in use
		}
		_ = listener.Close()
		chosen[address] = true
		if addresses = append(addresses, address); len(addresses) == n {
			return addresses, nil
		}
	}
	return nil, errors.New("no free ports on 127.0.0.1")
}
