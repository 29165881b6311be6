package sigv4

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	signer "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// presigned is a request as AWS's signer for Go signs it beforehand: it moves what begins with X-Amz- into the query
// string.
func presigned(t *testing.T, body, expires string) *http.Request {
	t.Helper()
	address := "https://kinesis.example.com/"
	if expires != "" {
		address += "?X-Amz-Expires=" + expires
	}
	r := request(t, http.MethodPost, address, body)
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "Kinesis_20131202.ListStreams")
	sum := sha256.Sum256([]byte(body))
	signed, headers, err := signer.NewSigner().PresignHTTP(t.Context(),
		aws.Credentials{AccessKeyID: credential.AccessKey, SecretAccessKey: credential.SecretKey}, r, hex.EncodeToString(sum[:]),
		"kinesis", "us-east-1", now)
	if err != nil {
		t.Fatal(err)
	}
	r = request(t, http.MethodPost, signed, body)
	r.Header = headers
	return r
}

func TestRequestsThatWereSignedBeforehandAreVerified(t *testing.T) {
	for _, c := range []struct {
		name, expires, body string
		at                  time.Time
		code, text          string
	}{
		{"fresh", "", "{}", now, "", ""},
		{"fresh, for an hour", "3600", "{}", now.Add(4 * time.Minute), "", ""},
		{"older than any signature may be", "3600", "{}", now.Add(6 * time.Minute), "InvalidSignatureException",
			"Signature expired: 20150830T123600Z is now earlier than 20150830T123700Z (20150830T124200Z - 5 min.)"},
		{"within its own time", "60", "{}", now.Add(60 * time.Second), "", ""},
		{"after its own time", "60", "{}", now.Add(61 * time.Second), "InvalidSignatureException",
			"Signature expired: 20150830T123701Z is now later than 20150830T123700Z (20150830T123600Z + 60 sec.)"},
		{"from the future", "", "{}", now.Add(-6 * time.Minute), "InvalidSignatureException",
			"Signature not yet current: 20150830T123600Z is still later than 20150830T123500Z (20150830T123000Z + 5 min.)"},
		{"with another body", "", `{"Limit":1}`, now, "InvalidSignatureException", "The request signature we calculated does not match"},
		{"no time at all", "0", "{}", now, "IncompleteSignatureException", "'X-Amz-Expires' must be a number of seconds from 1 to 604800, got '0'."},
		{"more than a week", "604801", "{}", now, "IncompleteSignatureException", "'X-Amz-Expires' must be"},
		{"no number", "1h", "{}", now, "IncompleteSignatureException", "got '1h'"},
	} {
		r := presigned(t, "{}", c.expires)
		if got := Target(r); got != "Kinesis_20131202.ListStreams" {
			t.Errorf("%s: target %q", c.name, got)
		}
		if got := Region(r); got != "us-east-1" {
			t.Errorf("%s: region %q", c.name, got)
		}
		checkRefusal(t, c.name, verify(r, "kinesis", c.body, c.at, "X-Amz-Target"), c.code, c.text)
	}
}

func checkRefusal(t *testing.T, name string, err error, code, text string) {
	t.Helper()
	var refused *Error
	switch {
	case code == "" && err == nil:
	case !errors.As(err, &refused) || refused.Code != code || !strings.HasPrefix(refused.Message, text) && !strings.Contains(refused.Message, text):
		t.Errorf("%s: %v, want %s: %s", name, err, code, text)
	}
}

func TestWhatWasSignedBeforehandCannotBeChanged(t *testing.T) {
	for name, change := range map[string]func(*http.Request, url.Values){
		"another operation": func(_ *http.Request, q url.Values) { q.Set("X-Amz-Target", "Kinesis_20131202.DeleteStream") },
		"another region": func(_ *http.Request, q url.Values) {
			q.Set("X-Amz-Credential", strings.Replace(q.Get("X-Amz-Credential"), "us-east-1", "eu-west-1", 1))
		},
		"one more parameter":          func(_ *http.Request, q url.Values) { q.Set("a", "b") },
		"a longer life":               func(_ *http.Request, q url.Values) { q.Set("X-Amz-Expires", "600") },
		"another host":                func(r *http.Request, _ url.Values) { r.Host = "other.example.com" },
		"an operation in a header":    func(r *http.Request, _ url.Values) { r.Header.Set("X-Amz-Target", "Kinesis_20131202.DeleteStream") },
		"a signature that is shorter": func(_ *http.Request, q url.Values) { q.Set("X-Amz-Signature", q.Get("X-Amz-Signature")[1:]) },
		"no host among what's signed": func(_ *http.Request, q url.Values) { q.Set("X-Amz-SignedHeaders", "content-type") },
	} {
		r := presigned(t, "{}", "60")
		query := r.URL.Query()
		change(r, query)
		r.URL.RawQuery = query.Encode()
		checkRefusal(t, name, verify(r, "kinesis", "{}", now, "X-Amz-Target"), "InvalidSignatureException", "")
	}
}

func TestWhatIsMissingOfASignatureInTheQueryStringIsTold(t *testing.T) {
	good := presigned(t, "{}", "").URL.Query()
	for _, name := range []string{"X-Amz-Credential", "X-Amz-Signature", "X-Amz-SignedHeaders", "X-Amz-Date"} {
		for what, change := range map[string]func(url.Values){
			"AWS query-string parameters must include '" + name + "'. Re-examine the query-string parameters.": func(q url.Values) { q.Del(name) },
			"Found more than one '" + name + "' query-string parameter.":                                       func(q url.Values) { q.Add(name, "x") },
		} {
			r := presigned(t, "{}", "")
			query := r.URL.Query()
			change(query)
			r.URL.RawQuery = query.Encode()
			checkRefusal(t, name, verify(r, "kinesis", "{}", now), "IncompleteSignatureException", what)
		}
	}
	r := request(t, http.MethodPost, "https://example.com/?X-Amz-Algorithm", "")
	checkRefusal(t, "all", verify(r, "kinesis", "", now), "IncompleteSignatureException",
		"AWS query-string parameters must include 'X-Amz-Algorithm'. AWS query-string parameters must include 'X-Amz-Credential'. "+
			"AWS query-string parameters must include 'X-Amz-Signature'. AWS query-string parameters must include 'X-Amz-SignedHeaders'. "+
			"AWS query-string parameters must include 'X-Amz-Date'. Re-examine the query-string parameters.")
	good.Set("X-Amz-Algorithm", "AWS4-ECDSA-P256-SHA256")
	r = request(t, http.MethodPost, "https://kinesis.example.com/?"+good.Encode(), "")
	checkRefusal(t, "another algorithm", verify(r, "kinesis", "", now), "IncompleteSignatureException", "Unsupported AWS 'algorithm'")
	r = request(t, http.MethodPost, "https://example.com/", "")
	r.URL.RawQuery = "X-Amz-Algorithm=%zz"
	checkRefusal(t, "malformed", verify(r, "kinesis", "", now), "IncompleteSignatureException", "The query string is malformed.")
}
