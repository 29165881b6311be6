package journal

import (
	"path"
	"strings"

	"github.com/seed-462d9463/sluice/shard/journal/internal/mutant"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

// mutated puts a file system before disk that does what a mutant of the engine would with its syncs.
func mutated(disk vfs.FS) vfs.FS {
	if !mutant.Any() {
		return disk
	}
	return badSyncs{disk}
}

// badSyncs leaves out a kind of sync, or does not bear that one has failed.
type badSyncs struct{ vfs.FS }

func (b badSyncs) SyncDir(dir string) error {
	parent, base := path.Dir(dir), path.Base(dir)
	for m, skip := range map[mutant.Mutant]bool{
		mutant.SkipLogDirSync: path.Base(parent) == shardsDir, mutant.SkipShardsSync: base == shardsDir,
		mutant.SkipMetaSync: base == metaDir, mutant.SkipJournalDirSync: base == journalDir,
	} {
		if skip && mutant.On(m) {
			return nil
		}
	}
	return badOutcome(func() error { return b.FS.SyncDir(dir) })
}

func (b badSyncs) Create(name string) (vfs.File, error) { return b.file(name)(b.FS.Create(name)) }

func (b badSyncs) Open(name string, write bool) (vfs.File, error) {
	return b.file(name)(b.FS.Open(name, write))
}

func (b badSyncs) file(name string) func(vfs.File, error) (vfs.File, error) {
	return func(f vfs.File, err error) (vfs.File, error) {
		if err != nil {
			return nil, err
		}
		return badSyncFile{f, name}, nil
	}
}

type badSyncFile struct {
	vfs.File
	name string
}

func (f badSyncFile) Datasync() error { return f.sync(f.File.Datasync) }
func (f badSyncFile) Sync() error     { return f.sync(f.File.Sync) }

func (f badSyncFile) sync(sync func() error) error {
	name := strings.TrimSuffix(f.name, tmpSuffix)
	for m, skip := range map[mutant.Mutant]bool{
		mutant.SkipJournalSync: strings.HasSuffix(f.name, ".j"), mutant.SkipSegmentSync: strings.HasSuffix(name, ".seg"),
		mutant.SkipSnapshotSync: strings.HasSuffix(name, ".snap"), mutant.SkipCompressedSync: strings.HasSuffix(name, compressedSuffix),
	} {
		if skip && mutant.On(m) {
			return nil
		}
	}
	return badOutcome(sync)
}

func badOutcome(sync func() error) error {
	err := sync()
	switch {
	case err == nil:
		return nil
	case mutant.On(mutant.IgnoreFailedSync):
		return nil
	case mutant.On(mutant.RetryFailedSync):
		return sync()
	}
	return err
}
