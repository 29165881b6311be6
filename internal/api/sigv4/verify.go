package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// MaxSkew is how far the time of a signature may be from the server's clock, either way, as with Kinesis.
const MaxSkew = 5 * time.Minute

// Error is a refused signature, as AWS reports it.
type Error struct {
	Code    string
	Message string
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Verifier checks signatures against a fixed set of credentials. It may be used concurrently.
type Verifier struct {
	credentials map[string]Credential // by access key
	keys        keyCache
}

// NewVerifier returns a verifier that accepts the given credentials.
func NewVerifier(credentials []Credential) (*Verifier, error) {
	v := &Verifier{credentials: map[string]Credential{}}
	for _, c := range credentials {
		switch {
		case c.AccessKey == "" || strings.ContainsAny(c.AccessKey, "/, \t=;"):
			return nil, fmt.Errorf("access key %q is empty or has one of '/', ',', '=', ';' or space in it", c.AccessKey)
		case c.SecretKey == "":
			return nil, fmt.Errorf("access key %s has no secret key", c.AccessKey)
		}
		if _, twice := v.credentials[c.AccessKey]; twice {
			return nil, fmt.Errorf("access key %s is given twice", c.AccessKey)
		}
		v.credentials[c.AccessKey] = c
	}
	if len(v.credentials) == 0 {
		return nil, errors.New("no credentials")
	}
	return v, nil
}

// Signature is a signature that names known credentials, a right scope and a time near enough, but has not
// been verified: that takes the hash of the body.
type Signature struct {
	verifier   *Verifier
	request    *http.Request
	credential Credential
	form       form
	at         string // time as signed
	signature  string
	query      bool          // it is in the query string
	expires    time.Duration // after the time as signed; 0: it does not say
}

// form is what an Authorization header says beside the signature: a client says the same with every request. It is kept
// with its memory for the next request, and counts again if that begins with the same text, which ends with "Signature=".
type form struct {
	text      string // "" if none counts
	accessKey string
	scope     scope
	signed    []string
	inOrder   bool       // so are the names in signed, and none is there twice
	names     [16]string // memory for signed: SDKs sign fewer headers
}

// Account owns the credentials.
func (s *Signature) Account() string { return s.credential.Account }

// AccessKey names the credentials.
func (s *Signature) AccessKey() string { return s.credential.AccessKey }

// Region is the region in the scope.
func (s *Signature) Region() string { return s.form.scope.region }

// Begin checks what can be checked of a request's signature before its body has been read, so that nobody
// without an access key can make the server read one. The service is the one that the request is for; the
// headers named in must have to be signed, beside Host and the date. Any error is an *Error. Without one the signature
// is in s, which must not be copied from then on; s may serve one request after the other, and is cheaper then.
func (v *Verifier) Begin(s *Signature, r *http.Request, service string, now time.Time, must ...string) error {
	s.verifier, s.request = v, r
	s.at, s.signature, s.query, s.expires = "", "", false, 0
	if err := s.parse(r); err != nil {
		return err
	}
	if s.form.scope.service != service {
		return &Error{"InvalidSignatureException",
			"Credential should be scoped to correct service: '" + service + "'. "}
	}
	if err := s.checkTime(now.UTC()); err != nil {
		return err
	}
	if err := s.checkSigned(must); err != nil {
		return err
	}
	credential, known := v.credentials[s.form.accessKey]
	if !known {
		return &Error{"UnrecognizedClientException", "The security token included in the request is invalid."}
	}
	s.credential = credential
	return nil
}

// parse takes a request's signature apart, which is in the Authorization header or in the query string.
func (s *Signature) parse(r *http.Request) error {
	headers := r.Header["Authorization"]
	signed := len(headers) > 0 && headers[0] != ""
	switch query := inQuery(r); {
	case signed && query:
		return &Error{"InvalidSignatureException",
			"Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header."}
	case query:
		return s.parseQuery(r)
	case !signed:
		return &Error{"MissingAuthenticationTokenException", "Missing Authentication Token"}
	case len(headers) > 1:
		return &Error{"IncompleteSignatureException", "Found more than one 'Authorization' HTTP header."}
	}
	return s.parseHeader(r, headers[0])
}

func (s *Signature) parseHeader(r *http.Request, header string) error {
	if s.at = first(r.Header["X-Amz-Date"]); s.at == "" {
		s.at = first(r.Header["Date"])
	}
	if n := len(s.form.text); n > 0 && len(header) > n && header[:n] == s.form.text && s.at != "" && separator(header[n:]) < 0 {
		s.signature = header[n:]
		return nil
	}
	kind, rest, _ := strings.Cut(header, " ")
	var credential, signed string
	for rest != "" {
		part := rest
		if end := separator(rest); end >= 0 {
			part, rest = rest[:end], rest[end+1:]
		} else {
			rest = ""
		}
		name, value, _ := strings.Cut(part, "=")
		switch name {
		case "Credential":
			credential = value
		case "SignedHeaders":
			signed = value
		case "Signature":
			s.signature = value
		}
	}
	if text := missing(credential, s.signature, signed, s.at); text != "" {
		// AWS shows a hash of the header, not the header, which may hold a secret in the wrong place.
		hash := sha256.Sum256([]byte(header))
		return &Error{"IncompleteSignatureException",
			text + "(Hashed with SHA-256 and encoded with Base64) Authorization=" + base64.StdEncoding.EncodeToString(hash[:])}
	}
	if err := s.set(kind, credential, signed); err != nil {
		return err
	}
	if text := header[:len(header)-len(s.signature)]; len(text) <= maxForm && strings.HasSuffix(text, ", Signature=") {
		s.form.text = text
	}
	return nil
}

// maxForm bounds what is kept of a header; SDKs send some 250 bytes.
const maxForm = 1 << 10

// separator is the place of the first byte that separates what an Authorization header says; −1 without one.
func separator(text string) int {
	for i := range len(text) {
		if c := text[i]; c == ',' || c == ' ' {
			return i
		}
	}
	return -1
}

// set takes the rest of what a signature says.
func (s *Signature) set(kind, credential, signed string) error {
	if kind != algorithm {
		return &Error{"IncompleteSignatureException", "Unsupported AWS 'algorithm': '" + clip(kind) + "'."}
	}
	f := &s.form
	*f = form{}
	f.signed = appendSplit(f.names[:0], signed, ';')
	f.inOrder = inOrder(f.signed)
	var memory [5]string
	elements := appendSplit(memory[:0], credential, '/')
	if len(elements) != 5 {
		return &Error{"IncompleteSignatureException",
			"Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '" + clip(credential) + "'"}
	}
	if elements[4] != terminator {
		return &Error{"InvalidSignatureException",
			"Credential should be scoped with a valid terminator: 'aws4_request', not '" + clip(elements[4]) + "'. "}
	}
	f.accessKey = elements[0]
	f.scope = scope{date: elements[1], region: elements[2], service: elements[3]}
	return nil
}

// appendSplit is strings.Split into memory that is there.
func appendSplit(parts []string, text string, separator byte) []string {
	for {
		end := strings.IndexByte(text, separator)
		if end < 0 {
			return append(parts, text)
		}
		parts, text = append(parts, text[:end]), text[end+1:]
	}
}

func missing(credential, signature, signed, at string) string {
	if credential != "" && signature != "" && signed != "" && at != "" {
		return ""
	}
	var b strings.Builder
	for _, p := range []struct{ name, value string }{
		{"Credential", credential}, {"Signature", signature}, {"SignedHeaders", signed},
	} {
		if p.value == "" {
			b.WriteString("Authorization header requires '" + p.name + "' parameter. ")
		}
	}
	if at == "" {
		b.WriteString("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ")
	}
	return b.String()
}

// checkTime compares the time of the signature with the clock and with the date in the scope.
func (s *Signature) checkTime(now time.Time) error {
	at, ok := parseTime(s.at)
	if !ok {
		var err error
		if at, err = http.ParseTime(s.at); err != nil {
			return &Error{"IncompleteSignatureException",
				"Date must be in ISO-8601 'basic format'. Got '" + clip(s.at) + "'. See http://en.wikipedia.org/wiki/ISO_8601"}
		}
		s.at = at.UTC().Format(timeFormat)
	}
	if day := s.at[:len(dateFormat)]; s.form.scope.date != day {
		return &Error{"InvalidSignatureException",
			"Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '" +
				clip(s.form.scope.date) + "' != '" + day + "', from '" + s.at + "'."}
	}
	minutes := int(MaxSkew / time.Minute)
	if end := at.Add(s.expires); s.expires > 0 && now.After(end) {
		return &Error{"InvalidSignatureException", fmt.Sprintf("Signature expired: %s is now later than %s (%s + %d sec.)",
			now.Format(timeFormat), end.Format(timeFormat), s.at, int(s.expires/time.Second))}
	}
	if earliest := now.Add(-MaxSkew); at.Before(earliest) {
		return &Error{"InvalidSignatureException", fmt.Sprintf("Signature expired: %s is now earlier than %s (%s - %d min.)",
			s.at, earliest.Format(timeFormat), now.Format(timeFormat), minutes)}
	}
	if latest := now.Add(MaxSkew); at.After(latest) {
		return &Error{"InvalidSignatureException", fmt.Sprintf("Signature not yet current: %s is still later than %s (%s + %d min.)",
			s.at, latest.Format(timeFormat), now.Format(timeFormat), minutes)}
	}
	return nil
}

// parseTime is time.Parse for timeFormat, which every request is checked with.
func parseTime(text string) (time.Time, bool) {
	if len(text) != len(timeFormat) || text[8] != 'T' || text[15] != 'Z' {
		return time.Time{}, false
	}
	var part [6]int
	at := 0
	for i, digits := range [6]int{4, 2, 2, 2, 2, 2} {
		if i == 3 {
			at++ // the T
		}
		for _, c := range []byte(text[at : at+digits]) {
			if c < '0' || c > '9' {
				return time.Time{}, false
			}
			part[i] = part[i]*10 + int(c-'0')
		}
		at += digits
	}
	t := time.Date(part[0], time.Month(part[1]), part[2], part[3], part[4], part[5], 0, time.UTC)
	// A month 13 or a 31 February has become another day.
	valid := t.Month() == time.Month(part[1]) && t.Day() == part[2] && part[3] < 24 && part[4] < 60 && part[5] < 60
	return t, valid
}

// checkSigned makes sure that the headers that decide what the request does are covered by the signature.
func (s *Signature) checkSigned(must []string) error {
	if !slices.Contains(s.form.signed, host) && !slices.Contains(s.form.signed, authority) {
		return &Error{"InvalidSignatureException", "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."}
	}
	if !s.query && !slices.Contains(s.form.signed, "x-amz-date") && !slices.Contains(s.form.signed, "date") {
		return &Error{"InvalidSignatureException", "'X-Amz-Date' or 'Date' must be a 'SignedHeader' in the AWS Authorization."}
	}
	if !s.query && first(s.request.Header["X-Amz-Date"]) != "" && !slices.Contains(s.form.signed, "x-amz-date") {
		must = append(must, "X-Amz-Date")
	}
	for _, name := range must {
		if s.query && len(s.request.Header[http.CanonicalHeaderKey(name)]) == 0 {
			continue // it is in the query string, all of which is signed, or nowhere
		}
		if !slices.ContainsFunc(s.form.signed, func(signed string) bool { return isLower(signed, name) }) {
			return &Error{"InvalidSignatureException", "'" + name + "' must be a 'SignedHeader' in the AWS Authorization."}
		}
	}
	if len(s.form.signed) > 64 {
		return &Error{"InvalidSignatureException", "Too many signed headers."}
	}
	if s.form.inOrder {
		return nil
	}
	for i, name := range s.form.signed {
		// Or else a refusal, which repeats all values, could be huge.
		if slices.ContainsFunc(s.form.signed[:i], func(other string) bool { return strings.EqualFold(name, other) }) {
			return &Error{"InvalidSignatureException", "'" + clip(name) + "' is in 'SignedHeaders' more than once."}
		}
	}
	return nil
}

// first is http.Header.Get for a name that is spelled as net/http does.
func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

// isLower tells whether lower is an ASCII name in lower case.
func isLower(lower, name string) bool {
	if len(lower) != len(name) {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if lower[i] != c {
			return false
		}
	}
	return true
}

// inOrder tells whether names are as SDKs sign them: in lower case and sorted, none twice.
func inOrder(names []string) bool {
	for i, name := range names {
		if i > 0 && names[i-1] >= name {
			return false
		}
		for j := range len(name) {
			if c := name[j]; c >= utf8.RuneSelf || 'A' <= c && c <= 'Z' {
				return false
			}
		}
	}
	return true
}

// Verify checks the signature for a body with the given SHA-256 hash. Any error is an *Error.
func (s *Signature) Verify(payload [32]byte) error {
	if given := first(s.request.Header["X-Amz-Content-Sha256"]); given != "" && given != hex.EncodeToString(payload[:]) {
		return &Error{"InvalidSignatureException",
			"The value of the x-amz-content-sha256 header is not the SHA-256 hash of the request body."}
	}
	b := scratches.Get().(*scratch)
	defer scratches.Put(b)
	query := s.request.URL.RawQuery
	if s.query {
		query = withoutSignature(query)
	}
	b.canonical = appendCanonical(b.canonical[:0], s.request, query, s.form.signed, payload)
	b.text = appendStringToSign(b.text[:0], s.at, s.form.scope, b.canonical)
	id := keyID{s.credential.AccessKey, s.form.scope}
	key, cached := s.verifier.keys.get(id)
	if !cached {
		key = newKey(signingKey(s.credential.SecretKey, s.form.scope))
	}
	b.sum = key.appendSum(b.sum[:0], b.text)
	b.expected, b.given = hex.AppendEncode(b.expected[:0], b.sum), append(b.given[:0], s.signature...)
	if !hmac.Equal(b.expected, b.given) {
		return &Error{"InvalidSignatureException",
			"The request signature we calculated does not match the signature you provided. Check your AWS Secret " +
				"Access Key and signing method. Consult the service documentation for details.\n\n" +
				"The Canonical String for this request should have been\n'" + string(b.canonical) + "'\n\n" +
				"The String-to-Sign should have been\n'" + string(b.text) + "'\n"}
	}
	if !cached { // only now: nobody without the secret can fill the cache
		s.verifier.keys.put(id, key)
	}
	return nil
}

// scratch is memory for one verification. Nothing in it is secret: a signature is good for one request.
type scratch struct{ canonical, text, sum, expected, given []byte }

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// Region returns the region that a request's signature names, without verifying anything; "" if there is none to be
// found.
func Region(r *http.Request) string {
	_, credential, found := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	if !found && inQuery(r) {
		credential = r.URL.Query().Get("X-Amz-Credential")
	}
	if end := strings.IndexAny(credential, ", "); end >= 0 {
		credential = credential[:end]
	}
	if elements := strings.Split(credential, "/"); len(elements) == 5 {
		return elements[2]
	}
	return ""
}

// clip bounds what an answer repeats of a request.
func clip(s string) string {
	if len(s) > 256 {
		s = s[:256] + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
