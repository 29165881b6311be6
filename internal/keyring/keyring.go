package keyring

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// Default is the name of the key in Config.KeyFile: the one that AWS makes for everybody.
const Default = "alias/aws/kinesis"

// Config says where the keys are.
type Config struct {
	// KeyFile is the file with the key alias/aws/kinesis. None, and no Keys: streams can be shown to be encrypted, as
	// clients may ask for, and are not.
	KeyFile string `yaml:"key_file" env:"KEY_FILE"`

	// Keys are files with further keys, by the KeyId that selects them: alias/NAME, a key id, or the ARN of either.
	Keys map[string]string `yaml:"keys" env:"-"`
}

// files are the configured files by the names of their keys.
func (c Config) files() map[string]string {
	files := maps.Clone(c.Keys)
	if c.KeyFile != "" {
		if files == nil {
			files = map[string]string{}
		}
		files[Default] = c.KeyFile
	}
	return files
}

// Names are those of the keys that are configured.
func (c Config) Names() []string { return slices.Sorted(maps.Keys(c.files())) }

// Validate says everything that is wrong, with the files too.
func (c Config) Validate() error {
	if _, twice := c.Keys[Default]; twice && c.KeyFile != "" {
		return fmt.Errorf("keys: %s is the key in key_file, and given here once more", Default)
	}
	_, err := Open(c)
	return err
}

// Keyring has the keys of all configured files.
type Keyring struct{ keys map[string]tink.AEAD }

var (
	// ErrNotFound: no key has the name.
	ErrNotFound = errors.New("no such key is configured")
	// ErrWrongKey: the key file under the name does not have the key that was used.
	ErrWrongKey = errors.New("it was wrapped by another key than those in its file, or is damaged")
)

// Open reads the files. It returns nil if there are none.
func Open(c Config) (*Keyring, error) {
	files := c.files()
	if len(files) == 0 {
		return nil, nil
	}
	ring := &Keyring{keys: map[string]tink.AEAD{}}
	var problems []error
	for _, name := range slices.Sorted(maps.Keys(files)) {
		handle, err := read(files[name])
		if err == nil {
			ring.keys[name], err = aead.New(handle)
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("key %s: key file %s: %w", name, files[name], err))
		}
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return ring, nil
}

// Has reports whether there is a key of the name.
func (r *Keyring) Has(name string) bool { return r.keys[name] != nil }

// Wrap encrypts a data key. The error wraps ErrNotFound if there is no key of the name.
func (r *Keyring) Wrap(name string, dataKey, associated []byte) ([]byte, error) {
	key := r.keys[name]
	if key == nil {
		return nil, ErrNotFound
	}
	return key.Encrypt(dataKey, associated)
}

// Unwrap decrypts a data key. The error wraps ErrNotFound if there is no key of the name, ErrWrongKey if it cannot
// decrypt.
func (r *Keyring) Unwrap(name string, wrapped, associated []byte) ([]byte, error) {
	key := r.keys[name]
	if key == nil {
		return nil, ErrNotFound
	}
	dataKey, err := key.Decrypt(wrapped, associated)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrWrongKey, err)
	}
	return dataKey, nil
}

// maxFileBytes is far more than a keyset takes.
const maxFileBytes = 1 << 20

func read(file string) (*keyset.Handle, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxFileBytes {
		return nil, errors.New("not a key file")
	}
	if info.Mode().Perm()&0o007 != 0 {
		return nil, fmt.Errorf("anybody may read or write it (mode %#o); chmod 600 it", info.Mode().Perm())
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(content)))
	if err != nil {
		return nil, fmt.Errorf("not a Tink keyset in JSON: %w", err)
	}
	return handle, nil
}
