package node

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed-462d9463/sluice/internal/keyring"
	"github.com/seed-462d9463/sluice/stream"
)

// keys gives streams the keys of a keyring. A key that is not configured under its ARN is looked for by what the ARN
// ends with.
type keys struct{ ring *keyring.Keyring }

var _ stream.Keys = keys{}

func (k keys) name(keyID string) string {
	if k.ring.Has(keyID) {
		return keyID
	}
	return stream.KeyName(keyID)
}

func (k keys) Wrap(keyID string, dataKey, associated []byte) ([]byte, error) {
	wrapped, err := k.ring.Wrap(k.name(keyID), dataKey, associated)
	return wrapped, keyError(keyID, err)
}

func (k keys) Unwrap(keyID string, wrapped, associated []byte) ([]byte, error) {
	dataKey, err := k.ring.Unwrap(k.name(keyID), wrapped, associated)
	return dataKey, keyError(keyID, err)
}

func keyError(keyID string, err error) error {
	switch {
	case errors.Is(err, keyring.ErrNotFound):
		return fmt.Errorf("%w: %s is not configured in encryption.keys", stream.ErrKeyNotFound, keyID)
	case errors.Is(err, keyring.ErrWrongKey):
		return fmt.Errorf("%w: %s: %w", stream.ErrWrongKey, keyID, err)
	case err != nil:
		return fmt.Errorf("key %s: %w", keyID, err)
	}
	return nil
}

func (p *parts) openKeys(_ context.Context, n *Node) error {
	ring, err := keyring.Open(n.config.Encryption)
	if err != nil {
		return fmt.Errorf("encryption: %w", err)
	}
	if ring != nil {
		p.keys = keys{ring}
	}
	return nil
}

// validateKeys checks the names of keys, and reads the files.
func (c *Config) validateKeys() error {
	var problems []error
	for name := range c.Encryption.Keys {
		if err := stream.CheckKeyID(name); err != nil {
			problems = append(problems, fmt.Errorf("keys: %w", err))
		}
	}
	return errors.Join(append(problems, c.Encryption.Validate())...)
}
