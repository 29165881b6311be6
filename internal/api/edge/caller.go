package edge

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/seed-462d9463/sluice/internal/api/sigv4"
	"github.com/seed-462d9463/sluice/internal/api/wire"
)

// authenticate finds out who makes the request. Without credentials configured that is anybody, and there is
// no signature to be verified.
func (h *Handler) authenticate(r *http.Request, x *exchange) error {
	if h.verifier == nil {
		if fromForeignPage(r) {
			return &wire.Fault{Code: "AccessDeniedException", Status: http.StatusForbidden,
				Message: "Without credentials configured, Sluice takes no requests that a browser sends to another name than localhost."}
		}
		x.caller = wire.Caller{Account: h.account, Region: h.region}
		if region := sigv4.Region(r); validRegion(region) {
			x.caller.Region = region
		}
		return nil
	}
	signature := x.signature
	if err := h.verifier.Begin(signature, r, x.route.service.Name, x.start, "X-Amz-Target"); err != nil {
		return err
	}
	x.accessKey = signature.AccessKey()
	x.caller = wire.Caller{
		Account: signature.Account(), Region: signature.Region(),
		Verified: true, Address: r.RemoteAddr, Secure: overTLS(r),
	}
	if !validRegion(x.caller.Region) {
		return wire.Faultf("InvalidSignatureException", "Credential should be scoped to a valid region. ")
	}
	return nil
}

// fromForeignPage tells whether a browser sends the request to a name that need not be this machine's. A page
// from anywhere may have its own name resolve to the loopback address, and is then, to the browser, of the
// same origin as this server. Every browser names the page's origin when it posts; SDKs do not, and may use
// what names they like.
func fromForeignPage(r *http.Request) bool {
	if _, browser := r.Header["Origin"]; !browser {
		return false
	}
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.ToLower(strings.Trim(host, "[]")), ".")
	_, err := netip.ParseAddr(host)
	return err != nil && host != "localhost" && !strings.HasSuffix(host, ".localhost")
}

// validRegion tells whether a region may be part of names: "eu-central-1", "us-gov-west-1", "local".
func validRegion(region string) bool {
	if region == "" || len(region) > 32 {
		return false
	}
	for _, c := range []byte(region) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}
