package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Credential is a pair of keys. The account owns what requests signed with it create.
type Credential struct {
	AccessKey string
	SecretKey string
	Account   string // twelve digits; used by Verifier alone
}

// EmptyPayload is the hash of no bytes.
var EmptyPayload = sha256.Sum256(nil)

// Sign signs the request as it is, at the given time, for a payload with the given SHA-256 hash. It sets the
// headers X-Amz-Date and Authorization and signs every header that is there, except those that proxies
// change. The request must not change afterwards.
func Sign(r *http.Request, c Credential, region, service string, payload [32]byte, now time.Time) {
	now = now.UTC()
	at := now.Format(timeFormat)
	r.Header.Set("X-Amz-Date", at)
	signed := []string{"host"}
	for name := range r.Header {
		switch name = strings.ToLower(name); name {
		case "authorization", "user-agent", "expect", "transfer-encoding", "connection", "x-amzn-trace-id":
		default:
			signed = append(signed, name)
		}
	}
	slices.Sort(signed)
	s := scope{date: at[:8], region: region, service: service}
	text := appendStringToSign(nil, at, s, appendCanonical(nil, r, r.URL.RawQuery, signed, payload))
	key := signingKey(c.SecretKey, s)
	mac := hmac.New(sha256.New, key[:])
	mac.Write(text)
	r.Header.Set("Authorization", algorithm+
		" Credential="+c.AccessKey+"/"+s.String()+
		", SignedHeaders="+strings.Join(signed, ";")+
		", Signature="+hex.EncodeToString(mac.Sum(nil)))
}

// signingKey derives the key for a scope from a secret key.
func signingKey(secret string, s scope) (key [32]byte) {
	step := []byte("AWS4" + secret)
	for _, part := range []string{s.date, s.region, s.service, terminator} {
		mac := hmac.New(sha256.New, step)
		mac.Write([]byte(part))
		step = mac.Sum(nil)
	}
	return [32]byte(step)
}
