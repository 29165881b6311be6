package stream

import (
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/tink-crypto/tink-go/v2/aead/subtle"
	tinksubtle "github.com/tink-crypto/tink-go/v2/subtle"
	"github.com/tink-crypto/tink-go/v2/subtle/random"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// How records are encrypted; FORMAT.md has the bytes.
//
//	data key     of a stream, random, in its definition, wrapped by a key of the operator's
//	session key  HKDF of the data key and a random salt, which stands in the header of each record
//	record       AES-256-GCM by the session key, with a random nonce
//
// A session ends with the process, or after so many records that two of them still have the same nonce with a
// probability below 2^-36 (NIST SP 800-38D allows four times as many). So a record costs one AES-GCM seal and no
// derivation, and no count of records has to be durable.
const sessionRecords = 1 << 30

const (
	sealVersion    = 1
	saltBytes      = 16
	maxSessions    = 64 // that a vault remembers
	sessionInfo    = "sluice session key"
	dataKeyPurpose = "sluice data key"
)

// dataKeyBinding ties a wrapped data key to its place.
func dataKeyBinding(streamID string, number int) []byte {
	b := append([]byte(dataKeyPurpose), 0)
	b = append(append(b, streamID...), 0)
	return binary.BigEndian.AppendUint32(b, uint32(number))
}

// vault has the data keys of one stream. Its revisions and shards share it.
type vault struct {
	name   Name
	stream string // the stream's id
	keys   Keys   // nil: none are configured

	used atomic.Bool // there are data keys

	mu       sync.Mutex             // guards what follows
	defined  map[int]dataKey        // by number
	secrets  map[int][]byte         // those of them that have been unwrapped
	sessions map[string]tink.AEAD   // by the header of their records
	current  atomic.Pointer[sealer] // what new records are sealed by; kept through revisions that do not change it
}

func newVault(name Name, streamID string, keys Keys) *vault {
	return &vault{name: name, stream: streamID, keys: keys}
}

// learn takes note of the data keys that a revision of the stream has.
func (v *vault) learn(keys []dataKey) {
	if len(keys) == 0 {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.defined == nil { // hardly any stream of many has data keys
		v.defined, v.secrets, v.sessions = map[int]dataKey{}, map[int][]byte{}, map[string]tink.AEAD{}
	}
	for _, k := range keys {
		v.defined[k.Number] = k
	}
	v.used.Store(true)
}

// secret is the data key with the number.
func (v *vault) secret(number int) ([]byte, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.unwrap(number)
}

func (v *vault) unwrap(number int) ([]byte, error) {
	if secret := v.secrets[number]; secret != nil {
		return secret, nil
	}
	k, ok := v.defined[number]
	if !ok {
		return nil, fmt.Errorf("stream %s has no data key %d", v.name, number)
	}
	if v.keys == nil {
		return nil, fmt.Errorf("data key %d of stream %s: %w: %s (no keys are configured)", number, v.name, ErrKeyNotFound, k.KeyID)
	}
	secret, err := v.keys.Unwrap(k.KeyID, k.Wrapped, dataKeyBinding(v.stream, number))
	if err != nil {
		return nil, fmt.Errorf("data key %d of stream %s: %w", number, v.name, err)
	}
	if len(secret) != dataKeyBytes {
		return nil, fmt.Errorf("data key %d of stream %s has %d bytes", number, v.name, len(secret))
	}
	v.secrets[number] = secret
	return secret, nil
}

// session is the cipher of the records with a header of the given content. A *headerError says that no sealer of this
// stream has written it.
func (v *vault) session(header []byte) (cipher tink.AEAD, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if cipher = v.sessions[string(header)]; cipher != nil {
		return cipher, nil
	}
	number, salt, err := parseHeader(header)
	if err != nil {
		return nil, err
	}
	if _, ok := v.defined[number]; !ok {
		return nil, &headerError{fmt.Sprintf("the stream has no data key %d", number)}
	}
	secret, err := v.unwrap(number)
	if err != nil {
		return nil, err
	}
	if cipher, err = sessionCipher(secret, salt); err != nil {
		return nil, err
	}
	if len(v.sessions) >= maxSessions {
		clear(v.sessions)
	}
	v.sessions[string(header)] = cipher
	return cipher, nil
}

func sessionCipher(secret, salt []byte) (tink.AEAD, error) {
	key, err := tinksubtle.ComputeHKDF("SHA256", secret, salt, []byte(sessionInfo), dataKeyBytes)
	if err != nil {
		return nil, fmt.Errorf("derive a session key: %w", err)
	}
	return subtle.NewAESGCM(key)
}

// headerError says that the header of a record is not one that a sealer has written.
type headerError struct{ reason string }

func (e *headerError) Error() string { return e.reason }

func parseHeader(header []byte) (number int, salt []byte, err error) {
	if len(header) == 0 || header[0] != sealVersion {
		return 0, nil, &headerError{fmt.Sprintf("its header %x is of no version that this program knows", header[:min(len(header), 1)])}
	}
	n, size := binary.Uvarint(header[1:])
	if size <= 0 || n == 0 || n > 1<<31 || len(header) != 1+size+saltBytes {
		return 0, nil, &headerError{"its header is damaged"}
	}
	return int(n), header[1+size:], nil
}

func newHeader(number int) []byte {
	h := binary.AppendUvarint([]byte{sealVersion}, uint64(number))
	return append(h, random.GetRandomBytes(saltBytes)...)
}
