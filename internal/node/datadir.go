package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/journal"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

// otherDir is what helps against a data directory that cannot be used.
const otherDir = "give another data directory with --data or SLUICE_DATA"

// dataDirError adds what helps.
func dataDirError(err error) error {
	switch {
	case errors.Is(err, vfs.ErrLocked):
		return fmt.Errorf("%w; stop the other one, or %s", err, otherDir)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w; %s", err, otherDir)
	case errors.Is(err, shard.ErrNoSpace):
		return fmt.Errorf("%w; free some space on that disk, or %s", err, otherDir)
	case errors.Is(err, journal.ErrStrange):
		return fmt.Errorf("%w; %s that is empty or new", err, otherDir)
	default:
		return err
	}
}

// makeDataDir makes the directory that everything is kept in, readable by this user and group only.
func makeDataDir(dir string) error {
	err := os.MkdirAll(dir, 0o750)
	if err == nil {
		return nil
	}
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("cannot make the data directory %s: this user may not write there; %s", absolute(dir), otherDir)
	case errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("cannot make the data directory %s: a file is in its place; %s", absolute(dir), otherDir)
	default:
		return fmt.Errorf("cannot make the data directory: %w; %s", err, otherDir)
	}
}

func absolute(dir string) string {
	if full, err := filepath.Abs(dir); err == nil {
		return full
	}
	return dir
}

// besideLog are the names of what a data directory holds beside the log.
var besideLog = []string{"buckets", "spool", "tls"}

// checkDataDir refuses a directory that is not empty, and in which nothing tells that it is Sluice's: whoever names his
// photos' directory by mistake should not find a log among them. Where there is a part of a log, it is for the engine to say
// what that is. With the log in Kafka the lock file is all that is sure to be there.
func checkDataDir(fsys vfs.FS, dir string, inKafka bool) error {
	names, err := fsys.List(dir)
	if err != nil {
		return dataDirError(fmt.Errorf("read the data directory %s: %w", absolute(dir), err))
	}
	if journal.Begun(names) || inKafka && slices.Contains(names, journal.LockName) {
		return nil
	}
	var strange []string
	for _, name := range names {
		switch {
		case name == "lost+found" || strings.HasPrefix(name, "."): // of a new file system, of version control and the like
		case ours(name):
		case isDataDir(fsys, filepath.Join(dir, name)): // the demo's is in that of serve
		default:
			strange = append(strange, name)
		}
	}
	if len(strange) == 0 {
		return nil
	}
	return fmt.Errorf("the data directory %s is not Sluice's: there is no log in it, but %s; %s that is empty or new",
		absolute(dir), some(strange), otherDir)
}

// ours tells whether a name in a data directory is one that Sluice gives.
func ours(name string) bool { return journal.Owns(name) || slices.Contains(besideLog, name) }

// isDataDir tells whether there is a log in a directory, or nothing that is not Sluice's: so is one whose log is in Kafka, or
// that was made just before a crash.
func isDataDir(fsys vfs.FS, dir string) bool {
	names, err := fsys.List(dir)
	return err == nil && (journal.Begun(names) || !slices.ContainsFunc(names, func(name string) bool { return !ours(name) }))
}

// some names a few of many.
func some(names []string) string {
	const few = 3
	if more := len(names) - few; more > 1 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:few], ", "), more)
	}
	return strings.Join(names, ", ")
}
