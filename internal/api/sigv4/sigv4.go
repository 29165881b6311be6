// Package sigv4 signs requests with AWS Signature Version 4 and verifies such signatures, in the
// Authorization header or, of requests that were signed beforehand, in the query string. The rules are those of "Authenticating Requests (AWS Signature Version 4)" in the AWS
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

// appendCanonical appends the text that stands for a request: what is signed is its hash. The signed headers
// are in lower case and sorted, as they appear in the Authorization header. The query is the request's, without a
// signature in it.
func appendCanonical(dst []byte, r *http.Request, query string, signed []string, payload [32]byte) []byte {
	dst = append(append(dst, r.Method...), '\n')
	dst = append(append(dst, canonicalPath(r.URL)...), '\n')
	dst = append(append(dst, canonicalQuery(query)...), '\n')
	for _, name := range signed {
		dst = append(append(dst, name...), ':')
		dst = append(appendHeader(dst, r, name), '\n')
	}
	dst = append(dst, '\n')
	for i, name := range signed {
		if i > 0 {
			dst = append(dst, ';')
		}
		dst = append(dst, name...)
	}
	return hex.AppendEncode(append(dst, '\n'), payload[:])
}

// appendStringToSign appends what the signature is computed over.
func appendStringToSign(dst []byte, at string, s scope, canonical []byte) []byte {
	dst = append(append(dst, algorithm+"\n"...), at...)
	dst = append(append(dst, '\n'), s.date...)
	dst = append(append(dst, '/'), s.region...)
	dst = append(append(dst, '/'), s.service...)
	dst = append(dst, "/"+terminator+"\n"...)
	hash := sha256.Sum256(canonical)
	return hex.AppendEncode(dst, hash[:])
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

// What a client signs the host as: HTTP/2 has it in a pseudo-header, and the AWS SDK for JavaScript signs that.
const (
	host      = "host"
	authority = ":authority"
)

// appendHeader appends the values of a header, each trimmed and with runs of spaces made one, joined by
// commas. net/http takes some headers out of the map, so that they are found where it puts them.
func appendHeader(dst []byte, r *http.Request, name string) []byte {
	if name == host || name == authority {
		if r.Host == "" {
			return append(dst, r.URL.Host...)
		}
		return append(dst, r.Host...)
	}
	values := r.Header[canonicalName(name)]
	if name == "content-length" && len(values) == 0 && r.ContentLength >= 0 {
		return strconv.AppendInt(dst, r.ContentLength, 10)
	}
	for i, value := range values {
		if i > 0 {
			dst = append(dst, ',')
		}
		value = trim(value)
		if !strings.Contains(value, "  ") {
			dst = append(dst, value...)
			continue
		}
		for j := range len(value) {
			if value[j] != ' ' || value[j-1] != ' ' {
				dst = append(dst, value[j])
			}
		}
	}
	return dst
}

// trim is strings.Trim for spaces and tabs.
func trim(value string) string {
	for value != "" && (value[0] == ' ' || value[0] == '\t') {
		value = value[1:]
	}
	for value != "" && (value[len(value)-1] == ' ' || value[len(value)-1] == '\t') {
		value = value[:len(value)-1]
	}
	return value
}

// canonicalName is the name that net/http keeps a header under. Those that every SDK signs are known, which
// saves the making of a string for each.
func canonicalName(name string) string {
	switch name {
	case "accept-encoding":
		return "Accept-Encoding"
	case "amz-sdk-invocation-id":
		return "Amz-Sdk-Invocation-Id"
	case "amz-sdk-request":
		return "Amz-Sdk-Request"
	case "content-length":
		return "Content-Length"
	case "content-type":
		return "Content-Type"
	case "x-amz-date":
		return "X-Amz-Date"
	case "x-amz-target":
		return "X-Amz-Target"
	}
	return http.CanonicalHeaderKey(name)
}
