package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"time"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

// A repair makes a damaged directory consistent, and keeps all records that can still be read, with their offsets.
//
//	plan:  read everything: the newest snapshot that can be read, the journal, every segment.
//	       For each log: which intact frames are where, and which offsets are in none of them: those are lost.
//	ask
//	apply: copy the originals of what will be replaced or removed into a directory of their own, durably
//	       make the file REPAIR: from now on the directory cannot be opened
//	       write the frames of damaged places, and of a damaged journal, to new segments
//	       write a snapshot that lists what is there, and the gaps between
//	       make what is missing: FORMAT, journal files
//	       remove REPAIR
//
// Invariants:
//  1. Planning changes nothing.
//  2. At any time of applying, every intact frame is in a file under its final name: whatever comes in between, the
//     next repair plans the same again.
//  3. An original goes only when its copy, and new segments with all of its intact frames, are durable.

const (
	repairName  = "REPAIR"  // the file that says that a repair was begun and has not ended
	asidePrefix = "repair-" // of the directories that originals are kept in
)

// RepairOptions says what to repair. FS and Dir are needed.
type RepairOptions struct {
	FS  vfs.FS
	Dir string
	Now time.Time // names the directory that the originals are kept in

	// Own gives a file that was made the owner and the mode of another one; a directory only the owner. nil: whoever
	// repairs owns what is made.
	Own      func(name, like string) error
	Progress func(Progress) // nil: nobody looks
}

// Lost is a stretch of offsets whose records are damaged or gone.
type Lost struct {
	Topic     string
	Partition int
	From, To  shard.Offset // To is past the last one
	// AtMost says that there may have been fewer records, or none: nothing tells how many there were.
	AtMost bool
}

// RepairPlan is what a repair found, and what it would do or did.
type RepairPlan struct {
	Dir    string
	Damage []*shard.CorruptError
	Lost   []Lost
	// LostBytes of the journal may have held records that Lost cannot tell, and changes of the table: topics that were
	// made or deleted, and trims.
	LostBytes int64
	Notes     []string // what else the operator should know
	Moved     []string // files that are replaced or removed; Aside keeps them
	Made      []string // files that are new or have new contents
	Aside     string   // directory for the originals
}

// Sound says that there is nothing to repair.
func (p *RepairPlan) Sound() bool { return len(p.Damage) == 0 }

// Repair finds what is damaged in a data directory that nobody has open, and makes it consistent again if confirm,
// which is called when there is damage, agrees. Without damage it changes nothing. vfs.ErrLocked: it is in use.
func Repair(opts RepairOptions, confirm func(*RepairPlan) (bool, error)) (_ *RepairPlan, err error) {
	if opts.Progress == nil {
		opts.Progress = func(Progress) {}
	}
	if opts.Own == nil {
		opts.Own = func(string, string) error { return nil }
	}
	r := &repairer{
		fs: opts.FS, opts: opts, logs: map[uint64]*repairLog{}, hurt: map[string]bool{},
		plan: &RepairPlan{Dir: opts.Dir, Aside: path.Join(opts.Dir, asidePrefix+opts.Now.UTC().Format("20060102-150405"))},
	}
	if err := r.isDataDir(); err != nil {
		return nil, err
	}
	_, statErr := r.fs.Stat(r.path(LockName))
	lock, err := r.fs.Lock(r.path(LockName))
	if errors.Is(err, vfs.ErrLocked) {
		return nil, fmt.Errorf("a server uses this data directory; stop it first: %w", err)
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if errors.Is(statErr, fs.ErrNotExist) {
		if err := r.opts.Own(r.path(LockName), r.path("")); err != nil {
			return nil, err
		}
	}
	err = r.makePlan()
	defer r.journal.close()
	if err != nil {
		return nil, fmt.Errorf("%s cannot be repaired: %w", opts.Dir, err)
	}
	if r.plan.Sound() {
		return r.plan, nil
	}
	if ok, err := confirm(r.plan); err != nil || !ok {
		return r.plan, err
	}
	if err := r.apply(); err != nil {
		return r.plan, fmt.Errorf("repair %s: %w (run it again: it goes on from what is there)", opts.Dir, err)
	}
	return r.plan, nil
}

// repairer holds what a repair knows.
type repairer struct {
	fs   vfs.FS
	opts RepairOptions
	plan *RepairPlan

	id           uint64    // of the directory
	snap         *snapshot // the one to go out from, then the new one
	number       uint64    // of the newest snapshot
	mark         mark      // the newest one
	metas        []string  // files in meta/
	format       bool      // FORMAT must be written
	fold         bool      // the journal is damaged: all that is in it goes into segments
	journal      repairJournal
	logs         map[uint64]*repairLog
	hurt         map[string]bool // files whose originals are kept
	writes       []newSegment
	keeps        []string // segments that no snapshot knew
	missingBytes int64    // size of the journal files to make
	copies       []string // of originals
	asideDirs    []string // that they are in
}

func (r *repairer) path(name string) string { return path.Join(r.opts.Dir, name) }

// damage takes note of damage; the file's original is kept.
func (r *repairer) damage(name string, pos int64, format string, args ...any) {
	r.hurt[name] = true
	r.plan.Damage = append(r.plan.Damage, &shard.CorruptError{File: r.path(name), Offset: pos, Reason: fmt.Sprintf(format, args...)})
}

func (r *repairer) note(format string, args ...any) {
	r.plan.Notes = append(r.plan.Notes, fmt.Sprintf(format, args...))
}

// unreadable is what to do about sectors of a file that cannot be read.
func (r *repairer) unreadable(name string) func(pos int64, err error) {
	return func(pos int64, err error) { r.damage(name, pos, "it cannot be read: %v", err) }
}

// list returns the names in a directory, none if it is missing.
func (r *repairer) list(dir string) ([]string, error) {
	names, err := r.fs.List(r.path(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	slices.Sort(names)
	return names, err
}

// isDataDir refuses a directory that has nothing of a log in it.
func (r *repairer) isDataDir() error {
	info, err := r.fs.Stat(r.opts.Dir)
	if err != nil {
		return fmt.Errorf("%s is no data directory: %w", r.opts.Dir, err)
	}
	if !info.Dir {
		return fmt.Errorf("%s is no data directory: it is a file", r.opts.Dir)
	}
	for _, name := range []string{formatName, metaDir, journalDir, shardsDir} {
		if _, err := r.fs.Stat(r.path(name)); err == nil {
			return nil
		}
	}
	return fmt.Errorf("%s is no data directory: there is neither %s nor %s/, %s/ or %s/ in it",
		r.opts.Dir, formatName, metaDir, journalDir, shardsDir)
}

// makePlan finds out what there is.
func (r *repairer) makePlan() error {
	if _, err := r.fs.Stat(r.path(repairName)); err == nil {
		r.plan.Damage = append(r.plan.Damage, &shard.CorruptError{File: r.path(repairName), Reason: "a repair was begun and has not ended"})
	}
	if err := r.identify(); err != nil {
		return err
	}
	if err := r.readJournal(); err != nil {
		return err
	}
	if err := r.applyJournal(); err != nil {
		return err
	}
	if err := r.readShards(); err != nil {
		return err
	}
	if r.plan.Sound() {
		return nil
	}
	return r.layOut()
}
