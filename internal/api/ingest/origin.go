package ingest

import (
	"net/netip"
	"net/url"
	"strings"
)

// local tells whether a site is of this machine, whose pages are its user's own.
func local(site string) bool {
	u, err := url.Parse(strings.ToLower(site))
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") {
		return false
	}
	host := u.Hostname()
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.IsLoopback()
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}
