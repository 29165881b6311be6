package ingest

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/seed-462d9463/sluice/internal/api/edge"
	"github.com/seed-462d9463/sluice/internal/api/wire"
)

// What a page may send beside what any page may, and read. (Fetch Standard, "CORS protocol".)
const (
	sharedMethods = "POST"
	sharedHeaders = "authorization, content-encoding, content-type, x-api-key, x-partition-key, x-partition-key-field"
	exposed       = "Retry-After, x-amzn-RequestId"
	sharedFor     = "7200" // seconds; no browser remembers a preflight for longer
)

// share lets a page of the site read the answer. Beacons are always sent with credentials, so the answer must allow
// them, and name the site, though there are none that this server would look at.
func share(w http.ResponseWriter, site string) {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", site)
	h.Set("Access-Control-Allow-Credentials", "true")
	h.Set("Access-Control-Expose-Headers", exposed)
	h.Add("Vary", "Origin")
}

// preflight tells a browser whether a page may send what it is about to. The key may be in a header that is not sent
// yet; then pages may that may with some key, and the request itself is judged by its own.
func (in *Ingestion) preflight(w http.ResponseWriter, r *http.Request, v *edge.Visit, query url.Values) error {
	site := r.Header.Get("Origin")
	if site == "" || r.Header.Get("Access-Control-Request-Method") == "" {
		w.Header().Set("Allow", "POST, OPTIONS")
		v.Answer(w, http.StatusNoContent, nil)
		return nil
	}
	allowed := in.keys.anyFrom(site)
	if key := query.Get("api_key"); key != "" && in.keys.everybody == nil {
		from := in.keys.find(key)
		allowed = from != nil && from.mayUseFrom(site)
	}
	if !allowed || in.keys.everybody != nil && edge.FromForeignPage(r) {
		return &wire.Fault{Code: "ForbiddenOrigin", Status: http.StatusForbidden, Message: "Pages of this site may not write here."}
	}
	share(w, site)
	h := w.Header()
	h.Set("Access-Control-Allow-Methods", sharedMethods)
	h.Set("Access-Control-Allow-Headers", sharedHeaders)
	h.Set("Access-Control-Max-Age", sharedFor)
	h.Add("Vary", "Access-Control-Request-Method, Access-Control-Request-Headers")
	if strings.EqualFold(r.Header.Get("Access-Control-Request-Private-Network"), "true") {
		h.Set("Access-Control-Allow-Private-Network", "true")
	}
	v.Answer(w, http.StatusNoContent, nil)
	return nil
}
