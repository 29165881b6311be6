package kinesis

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strings"
	"time"

	"github.com/seed-462d9463/sluice/consumers/fanout"
	"github.com/seed-462d9463/sluice/internal/api/arn"
	"github.com/seed-462d9463/sluice/internal/api/wire"
	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/stream"
)

// Shard iterators and next tokens are what a client gives back to go on. They hold all that is needed, so
// that the server keeps nothing, and a seal, so that nobody makes them up. In base64:
//
//	1  kind and version
//	8  when it was made, milliseconds since 1970, big-endian
//	…  what the kind needs, see below
//	1  length of the stream's name, and the name, for ListShards behind its account and a slash if that is not the caller's
//	16 the seal: HMAC-SHA-256, cut, of account, region and all the above, under the stream's unique id
//
// The stream's id is told to nobody, and dies with the stream: its iterators are no iterators of a later
// stream of the same name. They do survive a restart of the server.
const (
	kindIterator byte = 0x11 // 4 bytes shard number, 8 bytes offset
	kindShards   byte = 0x21 // 4 bytes shard number, 1 byte filter, 8 bytes milliseconds
	kindConsumer byte = 0x41 // 1 byte length and 128 bytes the consumer's name
	kindStreams  byte = 0x31 // nothing; it has no seal either, because it says nothing that is not the client's
)

// tokenLife is how long an iterator or token is good for.
const tokenLife = 5 * time.Minute

const (
	sealSize     = 16
	headSize     = 1 + 8
	iteratorBody = 4 + 8
	shardsBody   = 4 + 1 + 8
	consumerBody = 1 + fanout.MaxNameLength
)

// appendSeal seals a token. The key is the stream's id.
func appendSeal(token []byte, c wire.Caller, id string) []byte {
	return append(token, sealOf(token, c, id)...)
}

func sealOf(token []byte, c wire.Caller, id string) []byte {
	mac := hmac.New(sha256.New, []byte(id))
	mac.Write([]byte(c.Account + "\x00" + c.Region + "\x00"))
	mac.Write(token)
	return mac.Sum(nil)[:sealSize]
}

func newToken(kind byte, now time.Time) []byte {
	return binary.BigEndian.AppendUint64(append(make([]byte, 0, 192), kind), uint64(now.UnixMilli()))
}

func appendName(token []byte, name string) []byte {
	return append(append(token, byte(len(name))), name...)
}

// token is a token taken apart, its seal not yet checked.
type token struct {
	raw  []byte // what the seal covers
	body []byte
	name string
	seal []byte
	made time.Time
}

// parseToken takes a token apart. False: it is none of this kind.
func parseToken(text string, kind byte, bodySize, sealed int) (token, bool) {
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(raw) < headSize+bodySize+1+1+sealed || raw[0] != kind {
		return token{}, false
	}
	t := token{
		raw: raw[:len(raw)-sealed], seal: raw[len(raw)-sealed:], body: raw[headSize : headSize+bodySize],
		made: time.UnixMilli(int64(binary.BigEndian.Uint64(raw[1:]))).UTC(),
	}
	rest := t.raw[headSize+bodySize:]
	t.name = string(rest[1:])
	name := t.name
	if owner, rest, foreign := strings.Cut(name, "/"); foreign && kind == kindShards && arn.IsAccount(owner) {
		name = rest
	}
	return t, int(rest[0]) == len(t.name) && isName(name) && len(name) <= stream.MaxNameLength
}

// tokenName is how a stream is called in a token for the caller: with its account if that is another one.
func tokenName(c wire.Caller, name stream.Name) string {
	if name.Account == c.Account {
		return name.Name
	}
	return name.Account + "/" + name.Name
}

// sealedBy tells whether the stream with the id has sealed the token for this caller.
func (t *token) sealedBy(c wire.Caller, id string) bool {
	return hmac.Equal(t.seal, sealOf(t.raw, c, id))
}

// made too long ago, or in the future, which no server of ours has done.
func (t *token) expired(now time.Time) bool {
	return now.Sub(t.made) > tokenLife
}

// sealIterator makes a shard iterator, at most 224 characters.
func sealIterator(name string, p stream.Position, c wire.Caller, now time.Time) string {
	t := newToken(kindIterator, now)
	t = binary.BigEndian.AppendUint32(t, uint32(p.Shard))
	t = binary.BigEndian.AppendUint64(t, uint64(p.Offset))
	return base64.StdEncoding.EncodeToString(appendSeal(appendName(t, name), c, p.StreamID))
}

func errInvalidIterator() error { return wire.Faultf(invalidArgument, "Invalid ShardIterator.") }

// iterator is a shard iterator whose seal has not been checked.
type iterator struct {
	token
	position stream.Position // without the stream's id
}

func parseIterator(text string) (iterator, error) {
	t, ok := parseToken(text, kindIterator, iteratorBody, sealSize)
	if !ok {
		return iterator{}, errInvalidIterator()
	}
	i := iterator{token: t}
	i.position.Shard = int(binary.BigEndian.Uint32(t.body))
	i.position.Offset = shard.Offset(binary.BigEndian.Uint64(t.body[4:]))
	return i, nil
}

// open checks the iterator's seal and age and returns the position.
func (i *iterator) open(c wire.Caller, id string, now time.Time) (stream.Position, error) {
	if !i.sealedBy(c, id) || i.position.Offset < 0 {
		return stream.Position{}, errInvalidIterator()
	}
	if i.expired(now) {
		const layout = "Mon Jan 02 15:04:05 UTC 2006"
		return stream.Position{}, wire.Faultf(expiredIterator,
			"Iterator expired. The iterator was created at time %s while right now it is %s which is further in the "+
				"future than the tolerated delay of %d milliseconds.",
			i.made.Format(layout), now.UTC().Format(layout), tokenLife.Milliseconds())
	}
	p := i.position
	p.StreamID = id
	return p, nil
}

func errInvalidToken() error { return wire.Faultf(invalidArgument, "NextToken is invalid.") }

func errExpiredToken() error {
	return wire.Faultf(expiredNextToken, "NextToken has expired: it is valid for %d seconds.", int(tokenLife.Seconds()))
}

// sealShardsToken makes a token for the shards behind the one with the number after.
func sealShardsToken(name string, f filter, after int, c wire.Caller, id string, now time.Time) string {
	t := newToken(kindShards, now)
	t = binary.BigEndian.AppendUint32(t, uint32(after))
	t = append(t, byte(f.kind))
	t = binary.BigEndian.AppendUint64(t, uint64(f.at.UnixMilli()))
	return base64.StdEncoding.EncodeToString(appendSeal(appendName(t, name), c, id))
}

// shardsTokenName is the stream that a token of ListShards is for.
func shardsTokenName(text string) (string, error) {
	t, ok := parseToken(text, kindShards, shardsBody, sealSize)
	if !ok {
		return "", errInvalidToken()
	}
	return t.name, nil
}

func openShardsToken(text string, c wire.Caller, id string, now time.Time) (f filter, after int, err error) {
	t, ok := parseToken(text, kindShards, shardsBody, sealSize)
	if !ok || !t.sealedBy(c, id) {
		return filter{}, 0, errInvalidToken()
	}
	if t.expired(now) {
		return filter{}, 0, errExpiredToken()
	}
	f = filter{kind: filterKind(t.body[4]), at: time.UnixMilli(int64(binary.BigEndian.Uint64(t.body[5:]))).UTC()}
	return f, int(binary.BigEndian.Uint32(t.body)), nil
}

// sealConsumersToken makes a token for a stream's consumers behind the named one.
func sealConsumersToken(name, after string, c wire.Caller, id string, now time.Time) string {
	t := newToken(kindConsumer, now)
	var body [consumerBody]byte
	body[0] = byte(copy(body[1:], after))
	return base64.StdEncoding.EncodeToString(appendSeal(appendName(append(t, body[:]...), name), c, id))
}

func openConsumersToken(text, name string, c wire.Caller, id string, now time.Time) (after string, err error) {
	t, ok := parseToken(text, kindConsumer, consumerBody, sealSize)
	if !ok || t.name != name || !t.sealedBy(c, id) {
		return "", errInvalidToken()
	}
	if t.expired(now) {
		return "", errExpiredToken()
	}
	return string(t.body[1 : 1+min(int(t.body[0]), fanout.MaxNameLength)]), nil
}

// sealStreamsToken makes a token for the streams behind the named one.
func sealStreamsToken(after string, now time.Time) string {
	return base64.StdEncoding.EncodeToString(appendName(newToken(kindStreams, now), after))
}

func openStreamsToken(text string, now time.Time) (after string, err error) {
	t, ok := parseToken(text, kindStreams, 0, 0)
	if !ok {
		return "", errInvalidToken()
	}
	if t.expired(now) {
		return "", errExpiredToken()
	}
	return t.name, nil
}
