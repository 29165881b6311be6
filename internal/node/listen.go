package node

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
)

// resolve turns an address into the one socket address that will be listened on, so that what is judged to be
// loopback is what is opened.
func resolve(setting, address string) (*net.TCPAddr, error) {
	if address == "" { // which would be any port of every interface
		return nil, fmt.Errorf("%s: an address like 127.0.0.1:4566 is needed", setting)
	}
	a, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s: %q is not an address like 127.0.0.1:4566: %w", setting, address, err)
	}
	return a, nil
}

// loopback reports whether only this machine can reach the address. No host at all means every interface.
func loopback(a *net.TCPAddr) bool { return a.IP != nil && a.IP.IsLoopback() }

// overlap reports whether two addresses have a socket address in common. No host, or an unspecified one, means every one.
func overlap(a, b *net.TCPAddr) bool {
	every := func(a *net.TCPAddr) bool { return a.IP == nil || a.IP.IsUnspecified() }
	return a.Port != 0 && a.Port == b.Port && (every(a) || every(b) || a.IP.Equal(b.IP) && a.Zone == b.Zone)
}

// listen opens a socket; setting is what a user changes when the address does not work.
func listen(setting, address string) (net.Listener, error) {
	a, err := resolve(setting, address)
	if err != nil {
		return nil, err
	}
	l, err := net.ListenTCP("tcp", a)
	if err == nil {
		return l, nil
	}
	remedy := fmt.Sprintf("give another address with --%s or SLUICE_%s", setting, strings.ToUpper(setting))
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("cannot listen on %s: the port is in use, maybe by another sluice; %s", a, remedy)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("cannot listen on %s: this machine does not have the address; %s", a, remedy)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("cannot listen on %s: not allowed for this user; %s", a, remedy)
	default:
		return nil, fmt.Errorf("cannot listen on %s: %w", a, err)
	}
}
