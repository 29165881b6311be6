package stream

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/seed-462d9463/sluice/shard"
)

// sealHeader is the header that marks an encrypted record.
const sealHeader = "sluice.sealed"

// Encrypted reports whether a record that was read is kept encrypted.
func Encrypted(r *shard.Record) bool {
	_, ok := sealOf(r)
	return ok
}

func sealOf(r *shard.Record) (header []byte, ok bool) {
	for i := range r.Headers {
		if r.Headers[i].Name == sealHeader {
			return r.Headers[i].Value, true
		}
	}
	return nil, false
}

// sealer encrypts the records of a stream by one of its data keys.
type sealer struct {
	vault  *vault
	number int
	secret []byte

	mu  sync.Mutex // held while a session is begun
	now atomic.Pointer[sealSession]
}

type sealSession struct {
	headers []shard.Header // of every record
	cipher  tink.AEAD
	left    atomic.Int64 // records that may still be sealed
}

// sealer is what seals by the data key with the number.
func (v *vault) sealer(number int) (*sealer, error) {
	if s := v.current.Load(); s != nil && s.number == number {
		return s, nil
	}
	secret, err := v.secret(number)
	if err != nil {
		return nil, err
	}
	s := &sealer{vault: v, number: number, secret: secret}
	v.current.Store(s)
	return s, nil
}

// session is one in which n more records may be sealed.
func (s *sealer) session(n int) (*sealSession, error) {
	if now := s.now.Load(); now != nil && now.left.Add(-int64(n)) >= 0 {
		return now, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := s.now.Load(); now != nil && now.left.Add(-int64(n)) >= 0 {
		return now, nil // another has begun one
	}
	header := newHeader(s.number)
	_, salt, err := parseHeader(header)
	if err != nil {
		return nil, err
	}
	next := &sealSession{headers: []shard.Header{{Name: sealHeader, Value: header}}}
	if next.cipher, err = sessionCipher(s.secret, salt); err != nil {
		return nil, err
	}
	next.left.Store(sessionRecords - int64(n))
	s.now.Store(next)
	return next, nil
}

// binding is what a record's ciphertext holds only together with: it cannot be moved to another stream or shard, or
// to another session. It may be moved within its shard, since its offset is not known when it is sealed.
func binding(dst []byte, streamID string, index int, header []byte) []byte {
	dst = append(append(dst, streamID...), 0)
	dst = binary.BigEndian.AppendUint32(dst, uint32(index))
	return append(dst, header...)
}

// memory is for what is put together to be encrypted.
var memory = sync.Pool{New: func() any { return new([]byte) }}

// maxKeptMemory keeps a large record's memory from being kept for small ones.
const maxKeptMemory = 1 << 20

// seal encrypts records for the shard with the given number, key and value as one, in place.
func (s *sealer) seal(index int, records []shard.Record) error {
	session, err := s.session(len(records))
	if err != nil {
		return err
	}
	plain := memory.Get().(*[]byte)
	defer func() {
		if cap(*plain) <= maxKeptMemory {
			clear(*plain)
			memory.Put(plain)
		}
	}()
	bound := binding(make([]byte, 0, 96), s.vault.stream, index, session.headers[0].Value)
	for i := range records {
		r := &records[i]
		b := binary.AppendUvarint((*plain)[:0], uint64(len(r.Key)))
		b = append(append(b, r.Key...), r.Value...)
		*plain = b
		sealed, err := session.cipher.Encrypt(b, bound)
		if err != nil {
			return err
		}
		r.Key, r.Value, r.Headers = nil, sealed, session.headers
	}
	return nil
}

// sealedLog is the log of a shard as its readers see it: with records as they were put, encrypted or not. Only this
// decrypts. Writers seal before they append.
type sealedLog struct {
	shard.Log
	vault *vault
	index int
}

// Trimmed forwards what shard.Trimmed asks for.
func (l *sealedLog) Trimmed() shard.Offset { return shard.Trimmed(l.Log) }

// Lost forwards what shard.Lost asks for.
func (l *sealedLog) Lost() bool { return shard.Lost(l.Log) }

// Read reads like the log, and decrypts. What is before a record that cannot be decrypted is returned; such a record
// itself is an error: a *DecryptError, or one that wraps ErrKeyNotFound or ErrWrongKey.
func (l *sealedLog) Read(ctx context.Context, from shard.Offset, most shard.Limit) ([]shard.Record, error) {
	records, err := l.Log.Read(ctx, from, most)
	if err != nil {
		return records, err
	}
	return l.opened(records)
}

// ReadInto forwards what shard.ReadInto asks for. Records that are decrypted get memory of their own, and are none beyond
// the limit.
func (l *sealedLog) ReadInto(ctx context.Context, from shard.Offset, most shard.Limit, scratch *shard.Scratch) ([]shard.Record, error) {
	records, err := shard.ReadInto(ctx, l.Log, from, most, scratch)
	if err != nil {
		return records, err
	}
	if l.vault.used.Load() {
		records = most.Cut(records)
	}
	return l.opened(records)
}

// opened returns records that were read, decrypted.
func (l *sealedLog) opened(records []shard.Record) ([]shard.Record, error) {
	if !l.vault.used.Load() {
		return records, nil
	}
	var (
		last   []byte // header
		cipher tink.AEAD
		bound  []byte
		cloned bool
		err    error
	)
	for i := range records {
		header, ok := sealOf(&records[i])
		if !ok {
			continue
		}
		if !cloned {
			records, cloned = slices.Clone(records), true
		}
		if cipher == nil || !slices.Equal(last, header) {
			cipher, err = l.vault.session(header)
			last, bound = header, binding(bound[:0], l.vault.stream, l.index, header)
		}
		if err == nil {
			err = l.open(&records[i], cipher, bound)
		}
		if err == nil {
			continue
		}
		if i > 0 {
			return records[:i], nil
		}
		var malformed *headerError
		if errors.As(err, &malformed) {
			return nil, l.damaged(&records[0], malformed.reason)
		}
		return nil, err
	}
	return records, nil
}

// open decrypts a record in place.
func (l *sealedLog) open(r *shard.Record, cipher tink.AEAD, bound []byte) error {
	plain, err := cipher.Decrypt(r.Value, bound)
	if err != nil {
		return l.damaged(r, "it was changed, or written to another shard or stream")
	}
	n, size := binary.Uvarint(plain)
	if size <= 0 || n > uint64(len(plain)-size) {
		return l.damaged(r, "it has no partition key")
	}
	key := plain[size : size+int(n) : size+int(n)]
	r.Key, r.Value = key, plain[size+int(n):]
	return nil
}

func (l *sealedLog) damaged(r *shard.Record, reason string) error {
	return &DecryptError{Stream: l.vault.name, ShardID: ShardID(l.index), Offset: int64(r.Offset), Reason: reason}
}
