package ingest

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"
)

// origins are sites, as browsers name them in the header Origin: https://shop.example, a scheme, a host, and a port
// unless it is the scheme's own.
type origins []string

// validateOrigins checks sites as they are configured.
func validateOrigins(configured []string) error {
	for _, o := range configured {
		if o == "*" || o == "null" {
			continue
		}
		u, err := url.Parse(strings.Replace(o, "://*.", "://", 1))
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || u.User != nil ||
			u.Scheme+"://"+u.Host != strings.Replace(o, "://*.", "://", 1) || strings.Contains(u.Host, "*") {
			return fmt.Errorf(`%q must be like https://shop.example, https://*.shop.example or "*"`, o)
		}
	}
	return nil
}

func newOrigins(configured []string) origins {
	lower := make(origins, len(configured))
	for i, o := range configured {
		lower[i] = strings.ToLower(o)
	}
	return lower
}

// allow tells whether pages of a site may write.
func (o origins) allow(site string) bool {
	site = strings.ToLower(site)
	for _, one := range o {
		if one == "*" || one == site {
			return true
		}
		scheme, below, wild := strings.Cut(one, "*") // https:// and .shop.example
		if wild && len(site) > len(scheme)+len(below) && strings.HasPrefix(site, scheme) && strings.HasSuffix(site, below) &&
			!strings.ContainsAny(site[len(scheme):len(site)-len(below)], "/:@") {
			return true
		}
	}
	return false
}

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
