package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/seed-462d9463/sluice/shard/vfs"
)

// maxMetaBytes bounds what is read of one file of the table.
const maxMetaBytes = 4 << 30

// identify finds the directory's id and the snapshot to go out from. Each file that carries the id has a voice, so that
// a single foreign one does not make all others foreign.
func (r *repairer) identify() error {
	votes := map[uint64]int{}
	formatID, formatErr := r.readFormat()
	if errors.Is(formatErr, vfs.ErrLink) {
		return formatErr
	}
	if errors.Is(formatErr, errOldFormat) {
		return fmt.Errorf("%s: %w", r.path(formatName), formatErr)
	}
	if formatErr == nil {
		votes[formatID]++
	}
	snapshots, err := r.readSnapshots(votes)
	if err != nil {
		return err
	}
	marks, err := r.readMarks(votes)
	if err != nil {
		return err
	}
	if err := r.openJournal(votes); err != nil {
		return err
	}
	if formatErr != nil && r.journal.old {
		return fmt.Errorf("%s: %w", r.path(journalDir), errOldFormat)
	}
	best := 0
	for id, n := range votes {
		if n > best || n == best && id == formatID {
			r.id, best = id, n
		}
	}
	if best == 0 {
		return errors.New("no file says which directory this is: FORMAT, all snapshots and the journal are damaged or missing; restore them from a backup")
	}
	if formatErr == nil && formatID != r.id {
		formatErr = errForeign
	}
	if formatErr != nil {
		r.format = true
		r.damage(formatName, 0, "%v", formatErr)
	}
	r.mark = marks[r.id]
	if len(marks) > 0 && r.mark.journal != r.id || marks != nil && len(marks) == 0 {
		r.damage(markName, 0, "neither of the two marks can be read, or they are another directory's")
	}
	r.chooseSnapshot(snapshots)
	return nil
}

func (r *repairer) readFormat() (uint64, error) {
	b, err := readFile(r.fs, r.path(formatName), 4096)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, errors.New("the file is missing")
	}
	if err != nil {
		return 0, err
	}
	return parseFormat(b)
}

// foundSnapshot is a file that should be a snapshot.
type foundSnapshot struct {
	*snapshot
	name   string
	number uint64 // 0: the copy
	err    error  // why it cannot be read
}

// readSnapshots reads all snapshots and the copy.
func (r *repairer) readSnapshots(votes map[uint64]int) ([]foundSnapshot, error) {
	names, err := r.list(metaDir)
	if err != nil {
		return nil, err
	}
	var all []foundSnapshot
	for _, base := range names {
		f := foundSnapshot{name: path.Join(metaDir, base)}
		var ok bool
		if f.number, ok = parseSnapshotName(base); !ok && f.name != copyName {
			continue
		}
		r.metas = append(r.metas, f.name)
		r.number = max(r.number, f.number)
		b, err := readFile(r.fs, r.path(f.name), maxMetaBytes)
		if err == nil {
			f.snapshot, err = decodeSnapshot(b)
		}
		if errors.Is(err, vfs.ErrLink) {
			return nil, err
		}
		if f.err = err; err == nil {
			votes[f.journal]++
		}
		all = append(all, f)
	}
	return all, nil
}

// readMarks reads the newest mark of each directory's that is there.
func (r *repairer) readMarks(votes map[uint64]int) (map[uint64]mark, error) {
	f, reader, size, err := openSalvage(r.fs, r.path(markName), r.unreadable(markName))
	if errors.Is(err, fs.ErrNotExist) {
		r.damage(markName, 0, "the file is missing")
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, min(size, 2*markSlotBytes))
	if _, err := reader.ReadAt(b, 0); err != nil {
		return nil, err
	}
	if size < 2*markSlotBytes {
		r.damage(markName, size, "the file ends here")
	}
	marks := map[uint64]mark{}
	for at := 0; at < len(b); at += markSlotBytes {
		if m, err := decodeMark(b[at:]); err == nil && m.sequence >= marks[m.journal].sequence {
			marks[m.journal] = m
		}
	}
	for id := range marks {
		votes[id]++
	}
	return marks, nil
}

// chooseSnapshot takes the newest snapshot, or its copy, or an older one.
func (r *repairer) chooseSnapshot(all []foundSnapshot) {
	r.number = max(r.number, r.mark.snapshot)
	var newest, spare *foundSnapshot
	there := false
	for i := range all {
		f := &all[i]
		if f.err == nil && f.journal != r.id {
			f.err = errForeign
		}
		there = there || f.number == r.number
		switch {
		case f.err != nil:
			r.damage(f.name, 0, "%v", f.err)
		case f.number == r.number:
			newest = f
		case spare == nil || f.number == 0 || spare.number > 0 && f.number > spare.number:
			spare = f
		}
	}
	if !there && r.number > 0 {
		r.damage(snapshotName(r.number), 0, "the file is missing")
	}
	if newest == nil {
		newest = spare
	}
	if newest == nil {
		r.damage(metaDir, 0, "there is no snapshot that can be read")
		r.snap = &snapshot{journal: r.id, nextTopic: 1, nextLog: 1}
		r.fold = true
		return
	}
	if newest.number > 0 && newest.number < r.number {
		r.note("Neither the newest snapshot nor its copy can be read, so an older one is used: what was trimmed or deleted since may be there again.")
		r.fold = true
	}
	r.snap = newest.snapshot
	r.indexLogs()
}

// indexLogs finds the logs of the snapshot.
func (r *repairer) indexLogs() {
	for i := range r.snap.topics {
		t := &r.snap.topics[i]
		for p := range t.logs {
			l := &t.logs[p]
			r.logs[l.id] = &repairLog{id: l.id, topic: t.name, partition: p, known: l.segments, gaps: l.gaps,
				first: l.first, flushed: l.flushed, end: l.flushed, lastMillis: l.lastMillis}
		}
	}
}
