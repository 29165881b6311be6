package vfs

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestThereIsNoTreeWithAnotherFileSystemInIt(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "0"), 0o750); err != nil {
		t.Fatal(err)
	}
	tree, err := OS().OpenTree(dir)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip("no tree can be synced here")
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := tree.Close(); err != nil {
		t.Error(err)
	}
	if err := os.Symlink(t.TempDir(), filepath.Join(dir, "1")); err != nil {
		t.Fatal(err)
	}
	if tree, err := OS().OpenTree(dir); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("with a link to elsewhere: %v, %v; want that it is not supported", tree, err)
	}
}
