package journal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
)

// apply does what was planned.
func (r *repairer) apply() error {
	if err := r.keepOriginals(); err != nil {
		return errors.Join(err, r.dropOriginals(), r.journal.close())
	}
	if err := r.begin(); err != nil {
		return errors.Join(err, r.journal.close())
	}
	for _, step := range []func() error{r.journal.close, r.writeSegments, r.removeMoved, r.completeJournal, r.writeTable, r.end} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// keepOriginals copies every file that is damaged, or will be replaced or removed.
func (r *repairer) keepOriginals() error {
	names := map[string]bool{}
	for name := range r.hurt {
		names[name] = true
	}
	for _, name := range r.plan.Moved {
		names[strings.TrimPrefix(strings.TrimPrefix(name, path.Clean(r.opts.Dir)), "/")] = true
	}
	for _, name := range r.metas {
		names[name] = true
	}
	base := r.plan.Aside
	for i := 2; ; i++ {
		_, err := r.fs.Stat(r.plan.Aside)
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return err
		}
		r.plan.Aside = fmt.Sprintf("%s-%d", base, i)
	}
	dirs := map[string]bool{}
	defer func() { r.asideDirs = slices.Sorted(maps.Keys(dirs)) }()
	for name := range names {
		info, err := r.fs.Stat(r.path(name))
		if errors.Is(err, fs.ErrNotExist) || err == nil && info.Dir {
			continue
		}
		if err != nil {
			return err
		}
		to := path.Join(r.plan.Aside, name)
		for dir := path.Dir(to); !dirs[dir] && dir != path.Clean(r.opts.Dir); dir = path.Dir(dir) {
			dirs[dir] = true
		}
		if err := r.fs.MkdirAll(path.Dir(to)); err != nil {
			return err
		}
		r.copies = append(r.copies, to)
		if err := r.copyFile(r.path(name), to); err != nil {
			return fmt.Errorf("keep the original of %s: %w", name, err)
		}
	}
	for dir := range dirs {
		if err := errors.Join(r.opts.Own(dir, r.path("")), r.fs.SyncDir(dir)); err != nil {
			return err
		}
	}
	return r.fs.SyncDir(r.path(""))
}

// dropOriginals removes the copies of a repair that has changed nothing: on a full disk, each attempt would leave more.
func (r *repairer) dropOriginals() error {
	for _, name := range r.copies {
		if err := removeIfThere(r.fs, name); err != nil {
			return err
		}
	}
	for _, dir := range slices.Backward(r.asideDirs) { // what is in a directory comes behind it
		if err := removeIfThere(r.fs, dir); err != nil {
			return err
		}
	}
	return nil
}

// copyFile copies what can be read of a file, durably but for its name.
func (r *repairer) copyFile(from, to string) error {
	in, reader, size, err := openSalvage(r.fs, from, func(int64, error) {})
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := r.fs.Create(to)
	if err != nil {
		return err
	}
	w := &offsetWriter{to: out}
	_, err = io.CopyBuffer(w, io.NewSectionReader(reader, 0, size), make([]byte, 1<<20))
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return err
	}
	return r.opts.Own(to, from)
}

// offsetWriter writes one thing after the other.
type offsetWriter struct {
	to  io.WriterAt
	pos int64
}

func (w *offsetWriter) Write(p []byte) (int, error) {
	n, err := w.to.WriteAt(p, w.pos)
	w.pos += int64(n)
	return n, err
}

// begin makes sure that the directory cannot be opened before the repair has ended: what it writes would be taken for
// the remains of a crash, and removed.
func (r *repairer) begin() error {
	text := fmt.Sprintf("sluice repair was begun and has not ended. Run it again.\nThe originals of what it changes are in %s.\n", r.plan.Aside)
	if err := r.writeOwned(repairName, []byte(text)); err != nil {
		return err
	}
	return r.makeDir(shardsDir)
}

// writeOwned makes a small file that belongs to whom the directory belongs to.
func (r *repairer) writeOwned(name string, b []byte) error {
	if err := writeFile(r.fs, r.opts.Dir, name, b); err != nil {
		return err
	}
	return r.opts.Own(r.path(name), r.path(""))
}

// writeSegments writes the new segments. Under names that are taken they come last, when all that the original holds
// has another durable name.
func (r *repairer) writeSegments() error {
	dirs := map[string]bool{}
	for i := range r.writes {
		if err := r.writeSegment(&r.writes[i], dirs); err != nil {
			return err
		}
	}
	for _, name := range r.keeps {
		f, err := r.fs.Open(r.path(name), true)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
		dirs[path.Dir(name)] = true
	}
	for _, taken := range []bool{false, true} {
		for i := range r.writes {
			name := r.path(segmentName(r.writes[i].log, r.writes[i].base))
			if slices.Contains(r.plan.Moved, name) != taken {
				continue
			}
			if err := r.fs.Rename(name+tmpSuffix, name); err != nil {
				return err
			}
		}
		for dir := range dirs {
			if err := r.fs.SyncDir(r.path(dir)); err != nil {
				return err
			}
		}
	}
	return r.fs.SyncDir(r.path(shardsDir))
}

func (r *repairer) writeSegment(s *newSegment, dirs map[string]bool) error {
	name := segmentName(s.log, s.base)
	dir := path.Dir(name)
	if !dirs[dir] {
		dirs[dir] = true
		if err := r.makeDir(dir); err != nil {
			return err
		}
	}
	tmp := r.path(name) + tmpSuffix
	if err := removeIfThere(r.fs, tmp); err != nil {
		return err
	}
	f, err := r.fs.Create(tmp)
	if err != nil {
		return err
	}
	w := &offsetWriter{to: f}
	var index []indexEntry
	_, err = w.Write(segmentHeader(s.log, s.base))
	for _, part := range s.parts {
		if err != nil {
			break
		}
		err = r.copyRun(w, part, &index)
	}
	if err == nil {
		_, err = w.Write(encodeFooter(index))
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return r.opts.Own(tmp, r.path("")) // FORMAT may be missing
}

// copyRun copies frames, which are checked once more.
func (r *repairer) copyRun(w *offsetWriter, part run, index *[]indexEntry) error {
	start := w.pos
	err := part.eachIn(r.fs, r.opts.Dir, func(h *frameHeader, frame []byte, _ int64) error {
		*index = addIndex(*index, h, w.pos)
		_, err := w.Write(frame)
		return err
	})
	if n, want := w.pos-start, part.end-part.pos; err == nil && n != want {
		err = fmt.Errorf("%d bytes of %s, of which there were %d before", n, part.file, want)
	}
	return err
}

// makeDir makes a directory of the data directory, with the owner of that.
func (r *repairer) makeDir(dir string) error {
	if _, err := r.fs.Stat(r.path(dir)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := r.fs.MkdirAll(r.path(dir)); err != nil {
		return err
	}
	for ; dir != "."; dir = path.Dir(dir) {
		if err := errors.Join(r.opts.Own(r.path(dir), r.path("")), r.fs.SyncDir(path.Dir(r.path(dir)))); err != nil {
			return err
		}
	}
	return nil
}

// removeMoved removes the originals that were not replaced.
func (r *repairer) removeMoved() error {
	dirs := map[string]bool{}
	for _, name := range r.plan.Moved {
		if slices.Contains(r.plan.Made, name) {
			continue
		}
		if err := removeIfThere(r.fs, name); err != nil {
			return err
		}
		dirs[path.Dir(name)] = true
	}
	for dir := range dirs {
		if err := r.fs.SyncDir(dir); err != nil {
			return err
		}
	}
	return nil
}

// completeJournal makes the journal files that are missing.
func (r *repairer) completeJournal() error {
	if err := r.makeDir(journalDir); err != nil {
		return err
	}
	for i := range int(r.snap.journalFiles) {
		name := r.path(journalFileName(i))
		if _, err := r.fs.Stat(name); !errors.Is(err, fs.ErrNotExist) {
			if err != nil {
				return err
			}
			continue
		}
		file, err := createJournalFile(r.fs, r.opts.Dir, i, r.missingBytes, unpaced)
		if err != nil {
			return err
		}
		if err := errors.Join(file.f.Close(), r.opts.Own(name, r.path(""))); err != nil {
			return err
		}
	}
	return nil
}

// writeTable writes the new snapshot, and FORMAT if need be.
func (r *repairer) writeTable() error {
	if err := r.makeDir(metaDir); err != nil {
		return err
	}
	if _, err := decodeSnapshot(r.snap.encode()); err != nil {
		return fmt.Errorf("this is an error in this program: the new snapshot is wrong: %w", err)
	}
	if _, err := writeSnapshot(r.fs, r.opts.Dir, r.number+1, r.snap); err != nil {
		return err
	}
	marks := make([]byte, 2*markSlotBytes)
	copy(marks, mark{journal: r.id, sequence: r.mark.sequence + 2, durable: r.snap.durable, snapshot: r.number + 1}.encode())
	if err := r.writeOwned(markName, marks); err != nil {
		return err
	}
	for _, name := range []string{snapshotName(r.number + 1), copyName} {
		if err := r.opts.Own(r.path(name), r.path("")); err != nil {
			return err
		}
	}
	for _, name := range r.metas {
		if name == copyName {
			continue
		}
		if err := removeIfThere(r.fs, r.path(name)); err != nil {
			return err
		}
	}
	if err := r.fs.SyncDir(r.path(metaDir)); err != nil {
		return err
	}
	if r.format {
		if err := r.writeOwned(formatName, encodeFormat(r.id)); err != nil {
			return err
		}
	}
	return nil
}

// end allows the directory to be opened again.
func (r *repairer) end() error {
	if err := removeIfThere(r.fs, r.path(repairName)); err != nil {
		return err
	}
	return r.fs.SyncDir(r.path(""))
}
