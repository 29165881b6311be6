package sigv4

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	signer "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"pgregory.net/rapid"
)

var (
	now        = time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC)
	credential = Credential{AccessKey: "AKIDEXAMPLE", SecretKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", Account: "123456789012"}
)

func request(t interface{ Fatal(...any) }, method, url, body string) *http.Request {
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// verify does what a server does, at the given time.
func verify(r *http.Request, service, body string, at time.Time, must ...string) error {
	v, err := NewVerifier([]Credential{credential})
	if err != nil {
		return err
	}
	var s Signature
	if err := v.Begin(&s, r, service, at, must...); err != nil {
		return err
	}
	return s.Verify(sha256.Sum256([]byte(body)))
}

// The facts of AWS's Signature Version 4 test suite (aws-sig-v4-test-suite): same keys, time, region, service.
func TestSignaturesAreThoseOfAWSsTestSuite(t *testing.T) {
	for _, c := range []struct{ name, method, url, headers, body, signed, signature string }{
		{"get-vanilla", "GET", "/", "", "", "host;x-amz-date",
			"5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
		{"post-vanilla", "POST", "/", "", "", "host;x-amz-date",
			"5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
		{"get-vanilla-query-order-key-case", "GET", "/?Param2=value2&Param1=value1", "", "", "host;x-amz-date",
			"b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
		{"post-header-key-sort", "POST", "/", "My-Header1:value1", "", "host;my-header1;x-amz-date",
			"c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"},
		{"get-header-value-trim", "GET", "/", "My-Header1: value1|My-Header2: \"a   b   c\"", "", "host;my-header1;my-header2;x-amz-date",
			"acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
		{"post-x-www-form-urlencoded", "POST", "/", "Content-Type:application/x-www-form-urlencoded", "Param1=value1", "content-type;host;x-amz-date",
			"ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := request(t, c.method, "https://example.amazonaws.com"+c.url, c.body)
			for _, header := range strings.Split(c.headers, "|") {
				if name, value, ok := strings.Cut(header, ":"); ok {
					r.Header.Set(name, value)
				}
			}
			Sign(r, credential, "us-east-1", "service", sha256.Sum256([]byte(c.body)), now)
			want := "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=" +
				c.signed + ", Signature=" + c.signature
			if got := r.Header.Get("Authorization"); got != want {
				t.Errorf("signed as\n%s\nwant\n%s", got, want)
			}
			if err := verify(r, "service", c.body, now); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestTheDerivedKeyIsThatOfAWSsDocumentation(t *testing.T) {
	// "Examples of how to derive a signing key", AWS General Reference.
	key := signingKey("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", scope{"20120215", "us-east-1", "iam"})
	if got, want := hex.EncodeToString(key[:]), "f4780e2d9f65fa895f9c67b32ce1baf0b0d8a43505a000a1a9e090d414db404d"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestTheSDKsSignaturesAreVerifiedAndOursAreTheSDKs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		body := rapid.String().Draw(t, "body")
		path := rapid.SampledFrom([]string{"", "/", "/a/b", "/a%20b/%C3%A9", "/a b", "/~x-_.", "/a//b/"}).Draw(t, "path")
		query := rapid.SampledFrom([]string{"", "?a=1&b=2", "?b=2&a=1", "?a=%20&a=%2F", "?x", "?%C3%A9=~-_."}).Draw(t, "query")
		value := rapid.StringMatching(`[ -~]{0,20}`).Draw(t, "value")
		url := "http://127.0.0.1:4566" + path + query
		hash := sha256.Sum256([]byte(body))
		theirs, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
		if err != nil {
			t.Skip(err)
		}
		theirs.Header.Set("Content-Type", "application/x-amz-json-1.1")
		theirs.Header.Set("X-Amz-Target", "Kinesis_20131202.PutRecord")
		theirs.Header.Set("X-Some", value)
		ours := theirs.Clone(t.Context())
		err = signer.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: credential.AccessKey, SecretAccessKey: credential.SecretKey},
			theirs, hex.EncodeToString(hash[:]), "kinesis", "eu-west-1", now)
		if err != nil {
			t.Fatal(err)
		}
		// What a server sees: the content length is no header any more.
		theirs.Header.Del("Content-Length")
		if err := verify(theirs, "kinesis", body, now, "X-Amz-Target"); err != nil {
			t.Fatalf("the SDK's signature of %s: %v", url, err)
		}
		Sign(ours, credential, "eu-west-1", "kinesis", hash, now)
		if err := verify(ours, "kinesis", body, now, "X-Amz-Target"); err != nil {
			t.Fatalf("our signature of %s: %v", url, err)
		}
	})
}

func TestAnyChangeBreaksTheSignature(t *testing.T) {
	const body = `{"StreamName":"a"}`
	for what, change := range map[string]func(r *http.Request, body *string){
		"nothing":                    func(*http.Request, *string) {},
		"the body":                   func(_ *http.Request, body *string) { *body = strings.Replace(*body, "a", "b", 1) },
		"the operation":              func(r *http.Request, _ *string) { r.Header.Set("X-Amz-Target", "Kinesis_20131202.DeleteStream") },
		"the host":                   func(r *http.Request, _ *string) { r.Host = "elsewhere" },
		"the path":                   func(r *http.Request, _ *string) { r.URL.Path = "/x" },
		"the query":                  func(r *http.Request, _ *string) { r.URL.RawQuery = "a=b" },
		"the method":                 func(r *http.Request, _ *string) { r.Method = http.MethodPut },
		"the time":                   func(r *http.Request, _ *string) { r.Header.Set("X-Amz-Date", "20150830T123601Z") },
		"a second value of a header": func(r *http.Request, _ *string) { r.Header.Add("X-Amz-Target", "Kinesis_20131202.DeleteStream") },
		"the region": func(r *http.Request, _ *string) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "us-east-1", "us-east-2", 1))
		},
		"a digit": func(r *http.Request, _ *string) {
			h := r.Header.Get("Authorization")
			last := "0"
			if strings.HasSuffix(h, "0") {
				last = "1"
			}
			r.Header.Set("Authorization", h[:len(h)-1]+last)
		},
		"the hash of the content": func(r *http.Request, _ *string) { r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD") },
	} {
		r := request(t, http.MethodPost, "http://127.0.0.1:4566/", body)
		r.Header.Set("X-Amz-Target", "Kinesis_20131202.PutRecord")
		Sign(r, credential, "us-east-1", "kinesis", sha256.Sum256([]byte(body)), now)
		sent := body
		change(r, &sent)
		err := verify(r, "kinesis", sent, now, "X-Amz-Target")
		var refused *Error
		switch {
		case what == "nothing" && err != nil:
			t.Errorf("unchanged: %v", err)
		case what != "nothing" && (!errors.As(err, &refused) || refused.Code != "InvalidSignatureException"):
			t.Errorf("changed %s: %v", what, err)
		}
	}
}

func TestABadSignatureIsToldWhatItShouldHaveBeen(t *testing.T) {
	r := request(t, http.MethodPost, "http://example.com/", "")
	Sign(r, credential, "us-east-1", "kinesis", sha256.Sum256([]byte("other")), now)
	err := verify(r, "kinesis", "", now)
	want := "InvalidSignatureException: The request signature we calculated does not match the signature you provided. " +
		"Check your AWS Secret Access Key and signing method. Consult the service documentation for details.\n\n" +
		"The Canonical String for this request should have been\n'POST\n/\n\nhost:example.com\nx-amz-date:20150830T123600Z\n\n" +
		"host;x-amz-date\ne3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'\n\n" +
		"The String-to-Sign should have been\n'AWS4-HMAC-SHA256\n20150830T123600Z\n20150830/us-east-1/kinesis/aws4_request\n"
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("%v\nwant %s", err, want)
	}
}

func TestWhatIsWrongWithAHeaderIsToldInTheWordsOfAWS(t *testing.T) {
	sign := func(r *http.Request) {
		r.Header.Set("X-Amz-Target", "T")
		Sign(r, credential, "us-east-1", "kinesis", EmptyPayload, now)
	}
	replace := func(old, with string) func(*http.Request) {
		return func(r *http.Request) {
			sign(r)
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), old, with, 1))
		}
	}
	for _, c := range []struct {
		name   string
		change func(*http.Request)
		at     time.Time
		code   string
		text   string
	}{
		{"fine", sign, now, "", ""},
		{"fine, five minutes late", sign, now.Add(MaxSkew), "", ""},
		{"fine, five minutes early", sign, now.Add(-MaxSkew), "", ""},
		{"unsigned", func(*http.Request) {}, now, "MissingAuthenticationTokenException", "Missing Authentication Token"},
		{"no parameters", func(r *http.Request) { r.Header.Set("Authorization", "X") }, now, "IncompleteSignatureException",
			"Authorization header requires 'Credential' parameter. Authorization header requires 'Signature' parameter. " +
				"Authorization header requires 'SignedHeaders' parameter. Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. "},
		{"two headers", func(r *http.Request) { sign(r); r.Header.Add("Authorization", "X") }, now, "IncompleteSignatureException", "Found more than one"},
		{"another algorithm", replace("AWS4-HMAC-SHA256", "AWS4-HMAC-MD5"), now, "IncompleteSignatureException", "Unsupported AWS 'algorithm': 'AWS4-HMAC-MD5'."},
		{"another scheme", replace("AWS4-HMAC-SHA256", "Basic"), now, "IncompleteSignatureException", "Unsupported AWS 'algorithm': 'Basic'."},
		{"a signed header twice", replace("SignedHeaders=host", "SignedHeaders=host;Host"), now, "InvalidSignatureException", "'Host' is in 'SignedHeaders' more than once."},
		{"a short credential", replace("/kinesis/", "/"), now, "IncompleteSignatureException",
			"Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got 'AKIDEXAMPLE/20150830/us-east-1/aws4_request'"},
		{"another service", replace("kinesis", "s3"), now, "InvalidSignatureException", "Credential should be scoped to correct service: 'kinesis'. "},
		{"another end", replace("aws4_request", "aws5_request"), now, "InvalidSignatureException",
			"Credential should be scoped with a valid terminator: 'aws4_request', not 'aws5_request'. "},
		{"another day", replace("20150830", "20150831"), now, "InvalidSignatureException", "Date in Credential scope does not match YYYYMMDD from ISO-8601 " +
			"version of date from HTTP: '20150831' != '20150830', from '20150830T123600Z'."},
		{"too old", sign, now.Add(MaxSkew + time.Second), "InvalidSignatureException",
			"Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z (20150830T124101Z - 5 min.)"},
		{"too new", sign, now.Add(-MaxSkew - time.Second), "InvalidSignatureException",
			"Signature not yet current: 20150830T123600Z is still later than 20150830T123559Z (20150830T123059Z + 5 min.)"},
		{"no date at all", func(r *http.Request) { sign(r); r.Header.Set("X-Amz-Date", "yesterday") }, now, "IncompleteSignatureException",
			"Date must be in ISO-8601 'basic format'. Got 'yesterday'. See http://en.wikipedia.org/wiki/ISO_8601"},
		{"a stranger", replace("AKIDEXAMPLE", "AKIDSTRANGER"), now, "UnrecognizedClientException", "The security token included in the request is invalid."},
		{"an unsigned host", replace("host;", ""), now, "InvalidSignatureException", "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."},
		{"the host as HTTP/2 has it", replace("host;", ":authority;"), now, "InvalidSignatureException",
			"The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and " +
				"signing method. Consult the service documentation for details.\n\nThe Canonical String for this request should have " +
				"been\n'POST\n/\n\n:authority:example.com\n"},
		{"an unsigned operation", replace(";x-amz-target", ""), now, "InvalidSignatureException", "'X-Amz-Target' must be a 'SignedHeader' in the AWS Authorization."},
		{"no hexadecimal", replace("Signature=", "Signature=zz"), now, "InvalidSignatureException", "The request signature we calculated does not match"},
		{"a query, too", func(r *http.Request) { sign(r); r.URL.RawQuery = "X-Amz-Algorithm=AWS4-HMAC-SHA256" }, now, "InvalidSignatureException",
			"Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header."},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := request(t, http.MethodPost, "http://example.com/", "")
			c.change(r)
			err := verify(r, "kinesis", "", c.at, "X-Amz-Target")
			var refused *Error
			if c.code == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.As(err, &refused) || refused.Code != c.code || !strings.HasPrefix(refused.Message, c.text) {
				t.Errorf("%v\nwant %s: %s", err, c.code, c.text)
			}
		})
	}
}

func TestTheKeyCacheIsBoundedAndOnlyForThoseWhoKnowTheSecret(t *testing.T) {
	v, err := NewVerifier([]Credential{credential})
	if err != nil {
		t.Fatal(err)
	}
	try := func(region, secret string) error {
		r := request(t, http.MethodPost, "http://example.com/", "")
		Sign(r, Credential{AccessKey: credential.AccessKey, SecretKey: secret}, region, "kinesis", EmptyPayload, now)
		var s Signature
		if err := v.Begin(&s, r, "kinesis", now); err != nil {
			return err
		}
		return s.Verify(EmptyPayload)
	}
	for i := range 3 * maxKeys {
		if err := try("wrong-"+strings.Repeat("x", i), "guess"); err == nil {
			t.Fatal("a guess was accepted")
		}
	}
	if n := len(v.keys.keys); n != 0 {
		t.Errorf("%d keys of strangers are cached", n)
	}
	for i := range 3 * maxKeys {
		for range 2 {
			if err := try("right-"+strings.Repeat("x", i), credential.SecretKey); err != nil {
				t.Fatal(err)
			}
		}
		if n := len(v.keys.keys); n > maxKeys {
			t.Fatalf("%d keys are cached", n)
		}
	}
}

func TestBadCredentialsAreRefusedAtTheStart(t *testing.T) {
	for name, credentials := range map[string][]Credential{
		"none": nil, "no key": {{SecretKey: "s"}}, "no secret": {{AccessKey: "a"}},
		"a slash": {{AccessKey: "a/b", SecretKey: "s"}}, "twice": {{AccessKey: "a", SecretKey: "s"}, {AccessKey: "a", SecretKey: "t"}},
	} {
		if _, err := NewVerifier(credentials); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func FuzzNoHeaderBreaksTheVerifier(f *testing.F) {
	f.Add("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/kinesis/aws4_request, SignedHeaders=host;x-amz-date, Signature=00", "20150830T123600Z", "")
	f.Add("AWS4-HMAC-SHA256 Credential=////, SignedHeaders=;;;, Signature==", "", "?a=%zz&&=;x")
	f.Fuzz(func(t *testing.T, authorization, date, query string) {
		r, err := http.NewRequest(http.MethodPost, "http://example.com/", nil)
		if err != nil {
			t.Skip()
		}
		r.URL.RawQuery = query
		r.Header.Set("Authorization", authorization)
		r.Header.Set("X-Amz-Date", date)
		err = verify(r, "kinesis", "", now)
		var refused *Error
		if !errors.As(err, &refused) {
			t.Errorf("%q: %v", authorization, err)
		}
		_ = Region(r)
	})
}

// FuzzWhatTheSignatureBeforeSaidDoesNotShow holds a Signature that has served another request against a new one.
func FuzzWhatTheSignatureBeforeSaidDoesNotShow(f *testing.F) {
	const good = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/kinesis/aws4_request, SignedHeaders=host;x-amz-date, Signature="
	date := now.Format(timeFormat)
	for _, second := range []string{good + "01", good, good + "0,Signature=1", good + "0 SignedHeaders=host", good[:len(good)-1], "", "AWS4"} {
		f.Add(good+"00", date, second, date)
	}
	f.Add(good+"00", date, good+"01", "")
	f.Add(good+"00", date, strings.Replace(good, "us-east-1", "eu-west-1", 1)+"01", date)
	f.Add(strings.Replace(good, "host;", "host;host;", 1)+"00", date, strings.Replace(good, "host;", "host;host;", 1)+"01", date)
	v, err := NewVerifier([]Credential{credential})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, firstHeader, firstDate, secondHeader, secondDate string) {
		begin := func(s *Signature, authorization, date string) string {
			r := request(t, http.MethodPost, "http://example.com/", "")
			r.Header["Authorization"], r.Header["X-Amz-Date"] = []string{authorization}, []string{date}
			if err := v.Begin(s, r, "kinesis", now); err != nil {
				return err.Error()
			}
			return fmt.Sprint(s.Account(), s.AccessKey(), s.form.scope, s.form.signed, s.form.inOrder, s.at, s.signature, s.query, s.expires)
		}
		var used, fresh Signature
		begin(&used, firstHeader, firstDate)
		for range 2 {
			if got, want := begin(&used, secondHeader, secondDate), begin(&fresh, secondHeader, secondDate); got != want {
				t.Errorf("%q after %q: %s, want %s", secondHeader, firstHeader, got, want)
			}
			fresh = Signature{}
		}
	})
}
