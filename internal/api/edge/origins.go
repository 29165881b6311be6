package edge

import (
	"fmt"
	"net/url"
	"strings"
)

// Origins are sites whose pages may do something, as browsers name them in the header Origin: https://app.example, a
// scheme, a host, and a port unless it is the scheme's own. https://*.app.example are all sites below one, and "*" are all.
type Origins []string

// ValidateOrigins checks sites as they are configured.
func ValidateOrigins(configured []string) error {
	for _, o := range configured {
		if o == "*" {
			continue
		}
		site := strings.Replace(o, "://*.", "://", 1)
		u, err := url.Parse(site)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || u.User != nil ||
			u.Scheme+"://"+u.Host != site || strings.Contains(u.Host, "*") {
			return fmt.Errorf(`%q must be like https://app.example or https://*.app.example, without a path, or "*"`, o)
		}
	}
	return nil
}

// NewOrigins makes origins of what is configured, which has been checked.
func NewOrigins(configured []string) Origins {
	lower := make(Origins, len(configured))
	for i, o := range configured {
		lower[i] = strings.ToLower(o)
	}
	return lower
}

// Allow tells whether a site is one of them.
func (o Origins) Allow(site string) bool {
	site = strings.ToLower(site)
	for _, one := range o {
		if one == "*" || one == site {
			return true
		}
		scheme, below, wild := strings.Cut(one, "*") // https:// and .app.example
		if wild && len(site) > len(scheme)+len(below) && strings.HasPrefix(site, scheme) && strings.HasSuffix(site, below) &&
			!strings.ContainsAny(site[len(scheme):len(site)-len(below)], "/:@") {
			return true
		}
	}
	return false
}
