package keyring

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
)

func newFile(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key.json")
	if err := Create(file); err != nil {
		t.Fatal(err)
	}
	return file
}

func opened(t *testing.T, c Config) *Keyring {
	t.Helper()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	ring, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func TestKeysAreFoundByTheirNames(t *testing.T) {
	c := Config{KeyFile: newFile(t), Keys: map[string]string{"alias/orders": newFile(t)}}
	ring := opened(t, c)
	if diff := cmp.Diff([]string{"alias/aws/kinesis", "alias/orders"}, c.Names()); diff != "" {
		t.Error(diff)
	}
	wrapped, err := ring.Wrap("alias/orders", []byte("data key"), []byte("stream"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ring.Unwrap("alias/orders", wrapped, []byte("stream")); err != nil || string(got) != "data key" {
		t.Errorf("%q %v", got, err)
	}
	for name, unwrap := range map[string]func() ([]byte, error){
		"another key":     func() ([]byte, error) { return ring.Unwrap(Default, wrapped, []byte("stream")) },
		"another stream":  func() ([]byte, error) { return ring.Unwrap("alias/orders", wrapped, []byte("other")) },
		"a wrapped stub":  func() ([]byte, error) { return ring.Unwrap("alias/orders", wrapped[:3], []byte("stream")) },
		"nothing wrapped": func() ([]byte, error) { return ring.Unwrap("alias/orders", nil, []byte("stream")) },
	} {
		if got, err := unwrap(); !errors.Is(err, ErrWrongKey) {
			t.Errorf("%s: %q %v", name, got, err)
		}
	}
	if _, err := ring.Wrap("alias/unknown", nil, nil); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if _, err := ring.Unwrap("alias/unknown", wrapped, nil); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if ring := opened(t, Config{}); ring != nil {
		t.Error("a keyring without keys")
	}
}

func TestARotatedKeyFileStillUnwraps(t *testing.T) {
	file := newFile(t)
	before := opened(t, Config{KeyFile: file})
	old, err := before.Wrap(Default, []byte("old"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := Rotate(file); err != nil {
		t.Fatal(err)
	}
	after := opened(t, Config{KeyFile: file})
	if got, err := after.Unwrap(Default, old, nil); err != nil || string(got) != "old" {
		t.Errorf("%q %v", got, err)
	}
	young, err := after.Wrap(Default, []byte("new"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := before.Unwrap(Default, young, nil); !errors.Is(err, ErrWrongKey) {
		t.Errorf("the earlier key still wraps: %v", err)
	}
}

func TestKeyFilesAreTheirOwnersAlone(t *testing.T) {
	file := newFile(t)
	info, err := os.Stat(file)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(content)))
	if err != nil || handle.Len() != 1 {
		t.Errorf("not a keyset of one key: %v", err)
	}
	if err := Create(file); err == nil || !strings.Contains(err.Error(), "is there already") {
		t.Errorf("a key file was written over: %v", err)
	}
	if again, err := os.ReadFile(file); err != nil || !bytes.Equal(again, content) {
		t.Errorf("the key file has changed: %v", err)
	}
	if left, err := os.ReadDir(filepath.Dir(file)); err != nil || len(left) != 1 {
		t.Errorf("%v %v", left, err)
	}
	if err := os.Chmod(file, 0o604); err != nil {
		t.Fatal(err)
	}
	if err := (Config{KeyFile: file}).Validate(); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a key file that anybody may read: %v", err)
	}
}

func TestKeyFilesThatAreNoneAreNamed(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.json")
	if err := os.WriteFile(bad, []byte(`{"primaryKeyId":1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(t.TempDir(), "missing.json")
	err := Config{KeyFile: bad, Keys: map[string]string{"alias/a": missing, "alias/b": t.TempDir()}}.Validate()
	for _, want := range []string{"alias/aws/kinesis", bad, "alias/a", missing, "alias/b", "not a key file"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
	file := newFile(t)
	if err := (Config{KeyFile: file, Keys: map[string]string{Default: file}}).Validate(); err == nil {
		t.Error("one name for two keys")
	}
	if err := Rotate(missing); err == nil {
		t.Error("a missing file was rotated")
	}
}
