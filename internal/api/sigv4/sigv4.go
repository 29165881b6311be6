// Package sigv4 signs requests with AWS Signature Version 4 and verifies such signatures, in the
// Authorization header. The rules are those of "Authenticating Requests (AWS Signature Version 4)" in the AWS
// General Reference; the texts of errors are AWS's own.
package sigv4

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

const (
	algorithm  = "AWS4-HMAC-SHA256"
	terminator = "aws4_request"
	timeFormat = "20060102T150405Z"
	dateFormat = "20060102"
)

// scope is the part of a credential that limits where its signatures count.
type scope struct {
	date, region, service string
}

func (s scope) String() string {
	return s.date + "/" + s.region + "/" + s.service + "/" + terminator
}

// canonicalRequest is the text that stands for a request: what is signed is its hash. The signed headers are
// in lower case and sorted, as they appear in the Authorization header.
func canonicalRequest(r *http.Request, signed []string, payloadHash string) string {
	var b strings.Builder
	b.Grow(512)
	b.WriteString(r.Method)
	b.WriteByte('\n')
	b.WriteString(canonicalPath(r.URL))
	b.WriteByte('\n')
	b.WriteString(canonicalQuery(r.URL.RawQuery))
	b.WriteByte('\n')
	for _, name := range signed {
		b.WriteString(name)
		b.WriteByte(':')
		writeHeader(&b, r, name)
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
	for i, name := range signed {
		if i > 0 {
			b.WriteByte(';')
		}
		b.WriteString(name)
	}
	b.WriteByte('\n')
	b.WriteString(payloadHash)
	return b.String()
}

// stringToSign is what the signature is computed over.
func stringToSign(at string, s scope, canonical string) string {
	hash := sha256.Sum256([]byte(canonical))
	return algorithm + "\n" + at + "\n" + s.String() + "\n" + hex.EncodeToString(hash[:])
}

// canonicalPath encodes the path once more than it is on the wire, as every service but S3 does.
func canonicalPath(u *url.URL) string {
	path := u.EscapedPath()
	if path == "" || path == "/" {
		return "/"
	}
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	return encode(path, true)
}

// canonicalQuery sorts the parameters by their encoded names, then values.
func canonicalQuery(raw string) string {
	if raw == "" {
		return ""
	}
	var pairs [][2]string
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		pairs = append(pairs, [2]string{reencode(name), reencode(value)})
	}
	slices.SortFunc(pairs, func(a, b [2]string) int {
		if c := strings.Compare(a[0], b[0]); c != 0 {
			return c
		}
		return strings.Compare(a[1], b[1])
	})
	var b strings.Builder
	for i, p := range pairs {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(p[0] + "=" + p[1])
	}
	return b.String()
}

// reencode turns a query component into AWS's encoding, whatever encoding it had.
func reencode(s string) string {
	if plain, err := url.QueryUnescape(s); err == nil {
		s = plain
	}
	return encode(s, false)
}

// encode is AWS's URI encoding: everything but the unreserved characters of RFC 3986, and '/' if it is kept.
func encode(s string, keepSlash bool) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z', '0' <= c && c <= '9',
			c == '-', c == '_', c == '.', c == '~', c == '/' && keepSlash:
			b.WriteByte(c)
		default:
			b.WriteByte('%')
			b.WriteByte(digits[c>>4])
			b.WriteByte(digits[c&15])
		}
	}
	return b.String()
}

// writeHeader writes the values of a header, each trimmed and with runs of spaces made one, joined by commas.
// net/http takes some headers out of the map, so that they are written from where it puts them.
func writeHeader(b *strings.Builder, r *http.Request, name string) {
	if name == "host" {
		host := r.Host
		if host == "" {
			host = r.URL.Host
		}
		b.WriteString(host)
		return
	}
	values := r.Header[http.CanonicalHeaderKey(name)]
	if name == "content-length" && len(values) == 0 && r.ContentLength >= 0 {
		b.WriteString(strconv.FormatInt(r.ContentLength, 10))
		return
	}
	for i, value := range values {
		if i > 0 {
			b.WriteByte(',')
		}
		value = strings.Trim(value, " \t")
		if !strings.Contains(value, "  ") {
			b.WriteString(value)
			continue
		}
		space := false
		for j := range len(value) {
			if c := value[j]; c != ' ' || !space {
				b.WriteByte(c)
			}
			space = value[j] == ' '
		}
	}
}
