package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/seed-462d9463/sluice/internal/api/edge"
)

// browse makes a request as a page of a site makes it.
func (s *server) browse(t *testing.T, method, host, origin string, headers ...string) answer {
	t.Helper()
	r, err := http.NewRequest(method, s.url, strings.NewReader(""))
	if method == http.MethodPost {
		r, err = http.NewRequest(method, s.url, strings.NewReader("{}"))
	}
	if err != nil {
		t.Fatal(err)
	}
	if host != "" {
		r.Host = host
	}
	r.Header.Set("Origin", origin)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-amz-json-1.1")
		r.Header.Set("X-Amz-Target", listStreams)
		sign(r, "{}")
	}
	return s.do(t, r)
}

func TestPagesMayCallThatAreAllowedTo(t *testing.T) {
	const page, other = "https://app.example", "https://other.example"
	asks := []string{"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers",
		"amz-sdk-invocation-id,amz-sdk-request,authorization,content-type,x-amz-date,x-amz-security-token,x-amz-target,x-amz-user-agent,x-evil"}
	for _, c := range []struct {
		name    string
		origins []string
		origin  string
		allow   string
	}{
		{"none are", nil, page, ""},
		{"one is", []string{page}, page, page},
		{"however it is spelled", []string{"https://APP.example"}, page, page},
		{"another one is", []string{other}, page, ""},
		{"all are", []string{"*"}, page, "*"},
		{"a part of a name is none", []string{page}, "https://app.example.evil.example", ""},
		{"another scheme is another site", []string{page}, "http://app.example", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := start(t, func(set *setting) { set.api.CORS = edge.CORSConfig{Origins: c.origins} })
			before := s.browse(t, http.MethodOptions, "", c.origin, asks...)
			a := s.browse(t, http.MethodPost, "", c.origin)
			failed := s.browse(t, http.MethodPost, "", c.origin, "X-Amz-Content-Sha256", "bad")
			for what, h := range map[string]http.Header{"preflight": before.header, "answer": a.header, "error": failed.header} {
				if got := h.Get("Access-Control-Allow-Origin"); got != c.allow {
					t.Errorf("%s: allowed origin %q, want %q", what, got, c.allow)
				}
				if exposed := h.Get("Access-Control-Expose-Headers"); (c.allow != "") != strings.Contains(exposed, "x-amzn-RequestId") {
					t.Errorf("%s: exposed %q", what, exposed)
				}
				if vary := h.Values("Vary"); len(c.origins) > 0 && c.allow != "*" && !strings.Contains(strings.Join(vary, ","), "Origin") {
					t.Errorf("%s: Vary %q, though the answer depends on the origin", what, vary)
				}
				if h.Get("Access-Control-Allow-Credentials") != "" {
					t.Errorf("%s: credentials of the browser's are allowed", what)
				}
			}
			if a.status != http.StatusOK || failed.status != http.StatusBadRequest {
				t.Errorf("status %d and %d", a.status, failed.status)
			}
			if c.allow == "" {
				if before.status != http.StatusForbidden || before.header.Get("Access-Control-Allow-Methods") != "" {
					t.Errorf("preflight: %d %v", before.status, before.header)
				}
				return
			}
			allowed := before.header.Get("Access-Control-Allow-Headers")
			if before.status != http.StatusOK || len(before.body) > 0 || !strings.Contains(before.header.Get("Access-Control-Allow-Methods"), "POST") ||
				allowed != strings.TrimSuffix(asks[3], ",x-evil") || before.header.Get("Access-Control-Max-Age") != "172800" {
				t.Errorf("preflight: %d %q %v", before.status, before.body, before.header)
			}
		})
	}
}

// A page may have its own name resolve to this machine, and no list of pages changes what that is worth.
func TestAllowedPagesReachAServerWithoutCredentialsByAnAddressOnly(t *testing.T) {
	const page = "http://app.example"
	s := start(t, func(set *setting) {
		set.api.Credentials = nil
		set.api.CORS = edge.CORSConfig{Origins: []string{page}}
	})
	for host, status := range map[string]int{"app.example": http.StatusForbidden, "127.0.0.1:4566": http.StatusOK, "localhost:4566": http.StatusOK} {
		if a := s.browse(t, http.MethodPost, host, page); a.status != status {
			t.Errorf("%s: %d %s", host, a.status, a.body)
		}
	}
}

func TestOriginsAreCheckedAtTheStart(t *testing.T) {
	for _, c := range []struct {
		origin string
		open   bool
		want   string
	}{
		{"https://app.example", false, ""}, {"http://localhost:3000", true, ""}, {"*", false, ""},
		{"*", true, "any page that is looked at on this machine"}, {"app.example", false, "must be like"},
		{"https://app.example/", false, "must be like"}, {"https://*.example", false, ""}, {"https://a.*.example", false, "must be like"}, {"null", false, "must be like"}, {"", false, "must be like"},
	} {
		config := edge.CORSConfig{Origins: []string{c.origin}}
		err := config.Validate(c.open)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q, open %v: %v", c.origin, c.open, err)
		}
	}
}
