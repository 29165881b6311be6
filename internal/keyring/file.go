package keyring

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
)

// Create writes a new key file, which only its owner can read. A file that is there already is left alone, and an
// error.
func Create(file string) error {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	if _, err := os.Lstat(file); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is there already, and without its keys what they have encrypted is lost", file)
	}
	return write(file, handle, os.Link)
}

// Rotate adds a new key to a key file and makes it the one that wraps. The earlier ones stay, to unwrap.
func Rotate(file string) error {
	handle, err := read(file)
	if err != nil {
		return fmt.Errorf("key file %s: %w", file, err)
	}
	manager := keyset.NewManagerFromHandle(handle)
	id, err := manager.Add(aead.AES256GCMKeyTemplate())
	if err == nil {
		err = manager.SetPrimary(id)
	}
	if err == nil {
		handle, err = manager.Handle()
	}
	if err != nil {
		return fmt.Errorf("add a key to %s: %w", file, err)
	}
	return write(file, handle, os.Rename)
}

// write makes the file durable beside its place, puts it there, and makes that durable: a key that something has been
// encrypted with must not be lost.
func write(file string, handle *keyset.Handle, place func(from, to string) error) (err error) {
	var content bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&content)); err != nil {
		return fmt.Errorf("encode a key: %w", err)
	}
	content.WriteByte('\n')
	f, err := os.CreateTemp(filepath.Dir(file), ".keygen-*") // with mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.Write(content.Bytes())
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write key file: %w", err)
	}
	if err := place(f.Name(), file); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(file))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
