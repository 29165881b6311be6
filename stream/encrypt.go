package stream

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Keys are the keys that an operator has configured. They never touch records: each stream has data keys of its own,
// which are kept in its definition, wrapped by one of these.
type Keys interface {
	// Wrap encrypts a data key by the key with the given id. The error wraps ErrKeyNotFound if there is none.
	Wrap(keyID string, dataKey, associated []byte) (wrapped []byte, err error)
	// Unwrap undoes Wrap. The error wraps ErrKeyNotFound if there is no key with the id, ErrWrongKey if what is
	// configured under it is not what wrapped the data key.
	Unwrap(keyID string, wrapped, associated []byte) (dataKey []byte, err error)
}

// Limits of data keys. The first is AWS's (API reference, "StartStreamEncryption"); the second keeps a stream's
// document small.
const (
	maxNewDataKeys = 25 // within a day
	maxDataKeys    = 100
	dataKeyBytes   = 32
	// unusedDataKey is how much longer than the retention a data key is kept.
	unusedDataKey = 25 * time.Hour
)

// encryption is what a stream's definition says about it. The zero value is a stream that never was encrypted.
type encryption struct {
	KeyID   string    // of the key that the stream is shown to be encrypted with; "": none
	Current int       // number of the data key that new records are encrypted with; 0: they are not
	Keys    []dataKey // by number: those of all records that the stream may have
}

// dataKey is a key of one stream, as the catalog has it.
type dataKey struct {
	Number  int // from 1
	KeyID   string
	Created time.Time // whole milliseconds
	Wrapped []byte
}

func (e *encryption) document() *documentEncryption {
	if e.KeyID == "" && len(e.Keys) == 0 {
		return nil
	}
	doc := &documentEncryption{KeyID: e.KeyID, Current: e.Current}
	for _, k := range e.Keys {
		doc.Keys = append(doc.Keys, documentDataKey{k.Number, k.KeyID, k.Created.UnixMilli(), k.Wrapped})
	}
	return doc
}

func (doc *documentEncryption) encryption() encryption {
	e := encryption{KeyID: doc.KeyID, Current: doc.Current}
	for _, k := range doc.Keys {
		e.Keys = append(e.Keys, dataKey{k.Number, k.KeyID, time.UnixMilli(k.Created).UTC(), k.Wrapped})
	}
	return e
}

// StartEncryption encrypts the records that are put from now on, by a new data key, and wraps it and the stream's
// earlier ones of the same key by what is configured under keyID now. Earlier records stay as they are. When no keys are
// configured at all, the stream is shown to be encrypted and is not, which is logged.
//
// Errors: ErrNotFound, ErrKeyNotFound, ErrKeyLimit.
func (s *Service) StartEncryption(ctx context.Context, name Name, keyID string) error {
	if err := CheckKeyID(keyID); err != nil {
		return err
	}
	if _, err := s.lookup(name); err != nil {
		return err
	}
	err := s.amend(ctx, name, func(d *definition) error {
		e := d.Encryption
		defer func() { d.Encryption = e }()
		if s.keys == nil && len(e.Keys) == 0 {
			if e.KeyID == keyID {
				return errUnchanged
			}
			e.KeyID = keyID
			return nil
		}
		return s.addDataKey(&e, d, keyID, time.Now())
	})
	switch {
	case err != nil:
		return fmt.Errorf("encrypt stream %s: %w", name, err)
	case s.keys == nil:
		s.logger.Warn("the stream is shown to be encrypted and is not, since no key file is configured", "stream", name.String(), "key", keyID)
	default:
		s.logger.Info("records of the stream are encrypted from now on", "stream", name.String(), "key", keyID)
	}
	return nil
}

// addDataKey makes a data key and puts it into use. e shares its keys with another definition, which stays as it is.
func (s *Service) addDataKey(e *encryption, d *definition, keyID string, now time.Time) error {
	if s.keys == nil {
		return fmt.Errorf("%w: no keys are configured", ErrKeyNotFound)
	}
	kept := slices.Clone(e.Keys)
	// What is older than the retention is not read any more, though the retention becomes longer. One key's records end
	// where the next one was made.
	oldest := now.Add(-time.Duration(d.RetentionHours)*time.Hour - unusedDataKey)
	for len(kept) > 1 && kept[1].Created.Before(oldest) {
		kept = kept[1:]
	}
	lately := 0
	for i := range kept {
		if now.Sub(kept[i].Created) < 24*time.Hour {
			lately++
		}
	}
	if lately >= maxNewDataKeys || len(kept) >= maxDataKeys {
		return fmt.Errorf("%w: %d keys were applied within a day, the most is %d; %d in all, the most is %d",
			ErrKeyLimit, lately, maxNewDataKeys, len(kept), maxDataKeys)
	}
	for i := range kept {
		if k := &kept[i]; KeyName(k.KeyID) == KeyName(keyID) {
			if secret, err := s.keys.Unwrap(k.KeyID, k.Wrapped, dataKeyBinding(d.ID, k.Number)); err == nil {
				if again, err := s.keys.Wrap(k.KeyID, secret, dataKeyBinding(d.ID, k.Number)); err == nil {
					k.Wrapped = again
				}
			}
		}
	}
	next := dataKey{Number: 1, KeyID: keyID, Created: now.UTC().Truncate(time.Millisecond)}
	if len(e.Keys) > 0 {
		next.Number = e.Keys[len(e.Keys)-1].Number + 1
	}
	secret := make([]byte, dataKeyBytes)
	rand.Read(secret)
	var err error
	if next.Wrapped, err = s.keys.Wrap(keyID, secret, dataKeyBinding(d.ID, next.Number)); err != nil {
		return err
	}
	*e = encryption{KeyID: keyID, Current: next.Number, Keys: append(kept, next)}
	return nil
}

// StopEncryption leaves the records that are put from now on as they are. Earlier ones stay encrypted, and readable.
func (s *Service) StopEncryption(ctx context.Context, name Name) error {
	err := s.amend(ctx, name, func(d *definition) error {
		if d.Encryption.KeyID == "" {
			return errUnchanged
		}
		d.Encryption.KeyID, d.Encryption.Current = "", 0
		return nil
	})
	if err != nil {
		return fmt.Errorf("stop the encryption of stream %s: %w", name, err)
	}
	s.logger.Info("records of the stream are not encrypted from now on", "stream", name.String())
	return nil
}

// checkKeys tells of the streams whose records cannot be read or written for want of a key, and of those that are
// only shown to be encrypted. It is no error: the others go on.
func (s *Service) checkKeys(name Name, d *definition) {
	e := &d.Encryption
	v := newVault(name, d.ID, s.keys)
	v.learn(e.Keys)
	told := map[string]bool{}
	for _, k := range e.Keys {
		if _, err := v.secret(k.Number); err != nil && !told[k.KeyID] {
			told[k.KeyID] = true
			s.logger.Error("records of a stream cannot be decrypted", "stream", name.String(), "key", k.KeyID, "error", err)
		}
	}
	switch {
	case e.KeyID == "" || e.Current != 0:
	case s.keys == nil:
		s.logger.Warn("the stream is shown to be encrypted and is not, since no key file is configured",
			"stream", name.String(), "key", e.KeyID)
	default:
		s.logger.Warn("the stream is shown to be encrypted and is not: that was asked for when no key file was configured; "+
			"ask for it again", "stream", name.String(), "key", e.KeyID)
	}
}

var (
	// ErrKeyNotFound: there is no such key.
	ErrKeyNotFound = errors.New("encryption key not found")
	// ErrWrongKey: the key that is configured is not the one that was used.
	ErrWrongKey = errors.New("wrong encryption key")
	// ErrKeyLimit: a stream had too many new keys.
	ErrKeyLimit = errors.New("too many encryption keys")
	// ErrDecrypt: an encrypted record is not as it was written. A *DecryptError says which.
	ErrDecrypt = errors.New("record cannot be decrypted")
)

// DecryptError names an encrypted record that was changed, or brought from another place.
type DecryptError struct {
	Stream  Name
	ShardID string
	Offset  int64
	Reason  string
}

func (e *DecryptError) Error() string {
	return fmt.Sprintf("the record at offset %d of %s in stream %s cannot be decrypted: %s", e.Offset, e.ShardID, e.Stream, e.Reason)
}

// Unwrap makes errors.Is(err, ErrDecrypt) hold.
func (e *DecryptError) Unwrap() error { return ErrDecrypt }
