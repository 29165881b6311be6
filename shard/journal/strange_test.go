package journal

import (
	"errors"
	"path"
	"strings"
	"testing"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

func makeFile(t *testing.T, mem *vfs.Mem, name string) {
	t.Helper()
	if err := mem.MkdirAll(path.Dir(name)); err != nil {
		t.Fatal(err)
	}
	f, err := mem.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt([]byte("no batch, and no snapshot"), 0)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestFilesOfSomebodyElseAreNotTakenForWhatACrashHasLeft(t *testing.T) {
	for _, name := range []string{"journal/monday.md", "journal/1.j", "journal/0000.j.old", "meta/index.html", "meta/1.snap"} {
		mem := vfs.NewMem()
		makeFile(t, mem, "/data/"+name)
		e, err := openTiny(mem)
		if err == nil {
			err = e.Close()
		}
		var damage *shard.CorruptError
		if err == nil || errors.As(err, &damage) || !strings.Contains(err.Error(), "/data/"+name) {
			t.Errorf("%s: %v, want an error that names it and no repair", name, err)
		}
		if _, err := mem.Stat("/data/" + name); err != nil {
			t.Errorf("it is gone: %v", err)
		}
	}
}

func TestWhatACrashHasLeftOfADirectoryIsMadeAnew(t *testing.T) {
	mem := vfs.NewMem()
	for _, name := range []string{"journal/0000.j", "journal/0000.j.tmp", "journal/mark", "journal/mark.tmp",
		"meta/0000000000000001.snap", "meta/0000000000000001.snap.tmp", "meta/copy.tmp"} {
		makeFile(t, mem, "/data/"+name)
	}
	e, err := openTiny(mem)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	for name, ours := range map[string]bool{
		"LOCK": true, "FORMAT": true, "FORMAT.tmp": true, "SCRUB": true, "REPAIR": true, "repair-20260203-040506": true,
		"meta": true, "journal": true, "shards": true, "notes.txt": false, "buckets": false, "journals": false, "": false,
	} {
		if Owns(name) != ours {
			t.Errorf("the engine's own %q: %v", name, !ours)
		}
	}
}
