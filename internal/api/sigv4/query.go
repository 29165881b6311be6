package sigv4

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Signatures in the query string, of requests that were signed beforehand. Outside of S3 they are no good for longer
// than others, whatever X-Amz-Expires says ("Api issue or STS does not respect x-amz-expires in presigned requests",
// aws-sdk-go issue 2167); for less they are.

// Parameters of the query string.
const (
	paramAlgorithm  = "X-Amz-Algorithm"
	paramCredential = "X-Amz-Credential"
	paramDate       = "X-Amz-Date"
	paramExpires    = "X-Amz-Expires"
	paramSigned     = "X-Amz-SignedHeaders"
	paramSignature  = "X-Amz-Signature"
)

// maxExpires is the most that X-Amz-Expires may say, in seconds: a week.
const maxExpires = 7 * 24 * 60 * 60

// inQuery tells whether the query string has a signature, or something like it.
func inQuery(r *http.Request) bool { return strings.Contains(r.URL.RawQuery, paramAlgorithm) }

func (s *Signature) parseQuery(r *http.Request) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return &Error{"IncompleteSignatureException", "The query string is malformed. Re-examine the query-string parameters."}
	}
	var text strings.Builder
	for _, name := range []string{paramAlgorithm, paramCredential, paramSignature, paramSigned, paramDate} {
		switch values := query[name]; {
		case len(values) == 0 || values[0] == "":
			text.WriteString("AWS query-string parameters must include '" + name + "'. ")
		case len(values) > 1:
			return &Error{"IncompleteSignatureException", "Found more than one '" + name + "' query-string parameter."}
		}
	}
	if text.Len() > 0 {
		return &Error{"IncompleteSignatureException", text.String() + "Re-examine the query-string parameters."}
	}
	s.query, s.at, s.signature = true, query.Get(paramDate), query.Get(paramSignature)
	if values := query[paramExpires]; len(values) > 0 {
		seconds, err := strconv.Atoi(values[0])
		if err != nil || seconds < 1 || seconds > maxExpires || len(values) > 1 {
			return &Error{"IncompleteSignatureException",
				"'" + paramExpires + "' must be a number of seconds from 1 to " + strconv.Itoa(maxExpires) + ", got '" + clip(values[0]) + "'."}
		}
		s.expires = time.Duration(seconds) * time.Second
	}
	return s.set(query.Get(paramAlgorithm), query.Get(paramCredential), query.Get(paramSigned))
}

// withoutSignature is a query string without the signature in it: what was signed.
func withoutSignature(raw string) string {
	var parts []string
	for part := range strings.SplitSeq(raw, "&") {
		name, _, _ := strings.Cut(part, "=")
		if plain, err := url.QueryUnescape(name); err != nil || plain != paramSignature {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, "&")
}

// Target is the operation that a request is for. Some signers move headers that begin with X-Amz- into the query string
// when they sign beforehand.
func Target(r *http.Request) string {
	if target := r.Header["X-Amz-Target"]; len(target) > 0 {
		return target[0]
	}
	if inQuery(r) {
		return r.URL.Query().Get("X-Amz-Target")
	}
	return ""
}
