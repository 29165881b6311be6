package journal

import (
	"bytes"
	crand "crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/seed-462d9463/sluice/shard/vfs"
)

// makeDir makes a directory whose name survives a power loss, and likewise those above it. One that is there may be
// the work of a process that was killed before it had synced the name.
func makeDir(fsys vfs.FS, dir string) error {
	parent := path.Dir(dir)
	if parent == dir {
		return nil
	}
	_, err := fsys.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeDir(fsys, parent); err != nil {
			return err
		}
		if err := fsys.MkdirAll(dir); err != nil {
			return err
		}
		if err := fsys.SyncDir(parent); err != nil {
			// Another sync of the name may lie; whoever tries again must make it again.
			return errors.Join(err, removeIfThere(fsys, dir))
		}
		return nil
	}
	if err != nil {
		return err
	}
	err = fsys.SyncDir(parent)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EINVAL) {
		return nil // where it cannot be synced, it was not a process like this one that made it
	}
	return err
}

// openFormat reads FORMAT, or makes a new directory. FORMAT is written last, so it says that all else is there.
func (e *Engine) openFormat() error {
	if _, err := e.opts.FS.Stat(e.path(repairName)); !errors.Is(err, fs.ErrNotExist) {
		if err != nil {
			return err
		}
		return e.corrupt(repairName, 0, "a repair was begun and has not ended")
	}
	b, err := readFile(e.opts.FS, e.path(formatName), 4096)
	if errors.Is(err, fs.ErrNotExist) {
		return e.initialize()
	}
	if err != nil {
		return err
	}
	e.journal.id, err = parseFormat(b)
	if errors.Is(err, errOldFormat) {
		return fmt.Errorf("%s: %w", e.path(formatName), err)
	}
	if err != nil {
		return e.corrupt(formatName, 0, "%v", err)
	}
	return nil
}

// errOldFormat says that nothing is damaged, and nothing to be repaired.
var errOldFormat = errors.New("the directory has format version 1, which only earlier versions of Sluice can read: use one of these, or an empty directory")

// parseFormat returns the directory's id.
func parseFormat(b []byte) (uint64, error) {
	var version int
	var id string
	if _, err := fmt.Fscanf(bytes.NewReader(b), "sluice-journal %d\nid %s\n", &version, &id); err != nil {
		return 0, errors.New("not a format file")
	}
	if version == 1 {
		return 0, errOldFormat
	}
	if version != formatVersion {
		return 0, fmt.Errorf("format version %d, this program knows %d", version, formatVersion)
	}
	n, err := strconv.ParseUint(id, 16, 64)
	if err != nil || !bytes.Equal(b, encodeFormat(n)) {
		return 0, errors.New("not a format file")
	}
	return n, nil
}

func encodeFormat(id uint64) []byte {
	return fmt.Appendf(nil, "sluice-journal %d\nid %016x\n", formatVersion, id)
}

// initialize makes a new directory. Whatever a crash left of an earlier attempt holds nothing, and goes.
func (e *Engine) initialize() error {
	fsys := e.opts.FS
	if err := e.checkUnused(); err != nil {
		return err
	}
	for _, dir := range []string{journalDir, metaDir, shardsDir} {
		if err := removeDir(fsys, e.path(dir)); err != nil {
			return err
		}
		if err := fsys.MkdirAll(e.path(dir)); err != nil {
			return err
		}
	}
	var id [8]byte
	if _, err := crand.Read(id[:]); err != nil {
		return err
	}
	e.journal.id = binary.LittleEndian.Uint64(id[:])
	file, err := createJournalFile(fsys, e.opts.Dir, 0, e.opts.JournalFileBytes, unpaced)
	if err != nil {
		return fullIfNoSpace(err)
	}
	if err := file.f.Close(); err != nil {
		return err
	}
	if err := createMarks(fsys, e.opts.Dir, e.journal.id); err != nil {
		return err
	}
	s := &snapshot{journal: e.journal.id, journalFiles: 1, nextTopic: 1, nextLog: 1}
	if _, err := writeSnapshot(fsys, e.opts.Dir, 1, s); err != nil {
		return err
	}
	if err := fsys.SyncDir(e.path("")); err != nil {
		return err
	}
	return e.writeFormat()
}

func (e *Engine) writeFormat() error {
	return writeFile(e.opts.FS, e.opts.Dir, formatName, encodeFormat(e.journal.id))
}

// checkUnused makes sure that no data is lost because only FORMAT is missing, and nothing that is somebody else's.
func (e *Engine) checkUnused() error {
	used := func(name string) error {
		return e.corrupt(formatName, 0, "the file is missing, but %s is there", e.path(name))
	}
	names, err := e.opts.FS.List(e.path(shardsDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(names) > 0 {
		return used(path.Join(shardsDir, names[0]))
	}
	inJournal, err := e.opts.FS.List(e.path(journalDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, name := range inJournal {
		name = path.Join(journalDir, name)
		if holds, err := e.holdsBatch(name); err != nil {
			return err
		} else if holds {
			return used(name)
		}
	}
	inMeta, err := e.opts.FS.List(e.path(metaDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := e.checkNames(journalDir, inJournal, isJournalName); err != nil {
		return err
	}
	return e.checkNames(metaDir, inMeta, isMetaName)
}

// holdsBatch tells whether a file begins with a batch, of whatever version.
func (e *Engine) holdsBatch(name string) (bool, error) {
	info, err := e.opts.FS.Stat(e.path(name))
	if err != nil || info.Dir {
		return false, err
	}
	f, err := e.opts.FS.Open(e.path(name), false)
	if err != nil {
		return false, err
	}
	b := make([]byte, batchHeaderBytes)
	n, err := f.ReadAt(b, 0)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return false, err
	}
	_, err = parseBatchHeader(b[:n])
	return err == nil || errors.Is(err, errVersion), nil
}

// ErrStrange says that there are somebody else's files where a new directory should be made.
var ErrStrange = errors.New("is not Sluice's")

// checkNames refuses names that no attempt to make a directory has left: such files would go with those that one has.
func (e *Engine) checkNames(dir string, names []string, ours func(name string) bool) error {
	for _, name := range names {
		if !ours(strings.TrimSuffix(name, tmpSuffix)) {
			return fmt.Errorf("%s %w, and there is no %s", e.path(path.Join(dir, name)), ErrStrange, e.path(formatName))
		}
	}
	return nil
}

func isJournalName(name string) bool {
	digits, ok := strings.CutSuffix(name, ".j")
	n, err := strconv.Atoi(digits)
	return name == path.Base(markName) || ok && err == nil && path.Join(journalDir, name) == journalFileName(n)
}

func isMetaName(name string) bool {
	_, ok := parseSnapshotName(name)
	return ok || name == path.Base(copyName)
}

// Begun tells by the names in a directory whether there may be a log in it, or a part of one.
func Begun(names []string) bool {
	return slices.ContainsFunc([]string{formatName, repairName, metaDir, journalDir, shardsDir}, func(name string) bool {
		return slices.Contains(names, name)
	})
}

// Owns tells whether a name in a data directory is one that the engine gives to its own.
func Owns(name string) bool {
	switch strings.TrimSuffix(name, tmpSuffix) {
	case LockName, formatName, scrubName, repairName, metaDir, journalDir, shardsDir:
		return true
	}
	return strings.HasPrefix(name, asidePrefix)
}
