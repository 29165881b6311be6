package stream

import (
	"crypto/rand"
	"encoding/base32"
	"fmt"
	"strings"
)

// MaxNameLength is the longest name a stream may have.
const MaxNameLength = 128

// Name is what a stream is known by: unique within its account and region.
type Name struct {
	Account, Region, Name string
}

// String is the name for logs and errors.
func (n Name) String() string { return n.Account + "/" + n.Region + "/" + n.Name }

// check returns an error that wraps ErrInvalidArgument unless all parts are [a-zA-Z0-9_.-]{1,128}.
func (n Name) check() error {
	for _, part := range []string{n.Account, n.Region, n.Name} {
		if part == "" || len(part) > MaxNameLength || strings.ContainsFunc(part, notInName) {
			return fmt.Errorf("%w: stream name %q: account, region and name must each match [a-zA-Z0-9_.-]{1,%d}",
				ErrInvalidArgument, clip(n.String()), MaxNameLength)
		}
	}
	return nil
}

func notInName(c rune) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '.', c == '-':
		return false
	}
	return true
}

const (
	topicPrefix    = "stream."
	maxTopicLength = 249 // shard.Engine's rule
	idLength       = 24
)

// topic is the engine's name for a stream's logs. It is for people to recognize; the id alone makes it
// unique, so that the rest may be cut.
func (n Name) topic(id string) string {
	readable := topicPrefix + n.Account + "." + n.Region + "." + n.Name
	return readable[:min(len(readable), maxTopicLength-1-len(id))] + "." + id
}

// newID makes an identifier that no stream has had, in the form of AWS's StreamId: [a-z0-9]{20}-[a-z0-9]{3}.
func newID() string {
	var random [15]byte
	// Never fails: crypto/rand ends the process when the system has no randomness.
	_, _ = rand.Read(random[:])
	text := strings.ToLower(base32.StdEncoding.EncodeToString(random[:]))
	return text[:20] + "-" + text[20:idLength-1]
}
