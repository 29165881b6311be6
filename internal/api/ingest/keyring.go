package ingest

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/seed-462d9463/sluice/internal/api/edge"
)

// digest is the SHA-256 of an API key. No key is kept longer than its digest takes to be made.
type digest [sha256.Size]byte

func digestOf(key string) digest { return sha256.Sum256([]byte(key)) }

// sender is who may write: one for each API key, and one for everybody where no key is needed.
type sender struct {
	name    string // of the key; "" for everybody
	digest  digest
	streams []string // patterns; none for any stream
	origins edge.Origins
	account string
	region  string
	limit   limit
	metrics *senderMetrics
}

// mayWriteTo tells whether the streams include one.
func (s *sender) mayWriteTo(stream string) bool {
	for _, pattern := range s.streams {
		if matches, _ := path.Match(pattern, stream); matches { // patterns have been checked
			return true
		}
	}
	return len(s.streams) == 0
}

// mayUseFrom tells whether pages of a site may write. Without a key a page of this machine may.
func (s *sender) mayUseFrom(site string) bool {
	return s.origins.Allow(site) || s.name == "" && local(site)
}

// keyring knows all senders.
type keyring struct {
	everybody *sender // nil if a key is needed
	senders   []*sender
}

// find is the sender of a key, or nil. It compares with all of them, so that the time tells nothing.
func (k *keyring) find(key string) *sender {
	given := digestOf(key)
	var found *sender
	for _, s := range k.senders {
		if subtle.ConstantTimeCompare(given[:], s.digest[:]) == 1 {
			found = s
		}
	}
	return found
}

// anyFrom tells whether pages of a site may write with some key. It is for preflights, which do not tell the key.
func (k *keyring) anyFrom(site string) bool {
	for _, s := range k.senders {
		if s.mayUseFrom(site) {
			return true
		}
	}
	return k.everybody != nil && k.everybody.mayUseFrom(site)
}

// presented is the key that a request has, in a header or, for beacons, which cannot have headers, in the query.
func presented(r *http.Request, query url.Values) string {
	if key := r.Header.Get("X-Api-Key"); key != "" {
		return key
	}
	if scheme, key, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(key)
	}
	return query.Get("api_key")
}
