package edge

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// CORSConfig says which web pages may call the API from a browser (Fetch Standard, "CORS protocol").
type CORSConfig struct {
	// Origins are sites as browsers name them, https://app.example, or https://*.app.example for all below one; "*" is
	// every site. None: no page may.
	Origins []string `yaml:"origins" env:"ORIGINS"`
}

// Validate reports what is wrong. Without credentials, in which case open is set, not every page may call: any that a
// user of this machine looks at could read and write.
func (c *CORSConfig) Validate(open bool) error {
	if open && slices.Contains(c.Origins, "*") {
		return fmt.Errorf(`origins: with "*", and without credentials, any page that is looked at on this machine could ` +
			`read and write all streams; name the sites, or set credentials`)
	}
	if err := ValidateOrigins(c.Origins); err != nil {
		return fmt.Errorf("origins: %w", err)
	}
	return nil
}

// What AWS allows pages to read of an answer, and for how many seconds browsers may remember what is allowed.
const (
	exposedHeaders = "x-amzn-RequestId,x-amzn-ErrorType,x-amz-request-id,x-amz-id-2,x-amzn-ErrorMessage,Date"
	preflightAge   = "172800"
)

// cors answers for the pages that may call. A nil one lets none.
type cors struct {
	any     bool
	origins Origins
}

func newCORS(c CORSConfig) *cors {
	if len(c.Origins) == 0 {
		return nil
	}
	return &cors{any: slices.Contains(c.Origins, "*"), origins: NewOrigins(c.Origins)}
}

// share lets the page that makes a request read the answer, and tells whether it may. Credentials of the browser's are
// never asked for: there are none that the API would look at.
func (c *cors) share(header http.Header, r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if c == nil || origin == "" {
		return false
	}
	if !c.any {
		header.Add("Vary", "Origin")
		if !c.origins.Allow(origin) {
			return false
		}
		header.Set("Access-Control-Allow-Origin", origin)
	} else {
		header.Set("Access-Control-Allow-Origin", "*")
	}
	header.Set("Access-Control-Expose-Headers", exposedHeaders)
	return true
}

// preflight tells whether a request is a browser's question whether a page may make another one, and puts the answer
// into the header. The page has been found to be one that may.
func preflight(header http.Header, r *http.Request) bool {
	method := r.Header.Get("Access-Control-Request-Method")
	if r.Method != http.MethodOptions || method == "" {
		return false
	}
	header.Set("Access-Control-Allow-Methods", "POST, GET")
	if asked := r.Header.Get("Access-Control-Request-Headers"); asked != "" {
		header.Set("Access-Control-Allow-Headers", allowedHeaders(asked))
	}
	header.Set("Access-Control-Max-Age", preflightAge)
	header.Add("Vary", "Access-Control-Request-Headers")
	if r.Header.Get("Access-Control-Request-Private-Network") == "true" {
		header.Set("Access-Control-Allow-Private-Network", "true")
	}
	return true
}

// allowedHeaders are those of the headers asked for that the SDKs send.
func allowedHeaders(asked string) string {
	var allowed []string
	for name := range strings.SplitSeq(asked, ",") {
		name = strings.ToLower(strings.TrimSpace(name))
		switch name {
		case "authorization", "cache-control", "content-encoding", "content-type", "expect":
		default:
			if !strings.HasPrefix(name, "x-amz-") && !strings.HasPrefix(name, "x-amzn-") && !strings.HasPrefix(name, "amz-sdk-") {
				continue
			}
		}
		allowed = append(allowed, name)
	}
	return strings.Join(allowed, ",")
}
