package journal

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"time"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/journal/internal/mutant"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

// LockName is the file that is locked by whoever has the directory open.
const LockName = "LOCK"

const (
	formatName    = "FORMAT"
	formatVersion = 2
)

func (e *Engine) path(name string) string { return path.Join(e.opts.Dir, name) }

func (e *Engine) corrupt(name string, pos int64, format string, args ...any) error {
	return &shard.CorruptError{File: e.path(name), Offset: pos, Reason: fmt.Sprintf(format, args...)}
}

// recover brings back what was acknowledged: the newest snapshot, and what the journal says after it.
//
// What a killed process wrote may be in the page cache only. Nothing of it may be shown, or built upon, that a
// power loss could take back: so what is found is made durable first.
func (e *Engine) recover() error {
	start := time.Now()
	if err := e.openMarks(); err != nil {
		return err
	}
	s, err := e.loadSnapshot()
	if err != nil {
		return err
	}
	if err := e.openJournalFiles(int(s.journalFiles)); err != nil {
		return err
	}
	found, err := e.scanJournal()
	if err != nil {
		return err
	}
	chain, err := e.chain(found, s)
	if err != nil {
		return err
	}
	if err := e.renew(found, s); err != nil {
		return err
	}
	if err := e.position(chain, found, s); err != nil {
		return err
	}
	if err := e.replay(chain); err != nil {
		return err
	}
	for _, f := range e.journal.files {
		_ = f.f.NoReadahead()
	}
	if err := e.checkSegments(); err != nil {
		return err
	}
	took := time.Since(start)
	e.metrics.recovered(took)
	e.opts.Logger.Info("log engine is ready", "dir", e.opts.Dir, "topics", len(e.table.topics), "batches_replayed", len(chain),
		"took", took)
	return nil
}

func (e *Engine) loadSnapshot() (*snapshot, error) {
	numbers, err := listSnapshots(e.opts.FS, e.opts.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if len(numbers) == 0 {
		return nil, e.corrupt(metaDir, 0, "there is no snapshot")
	}
	newest := numbers[len(numbers)-1]
	if last := e.marks.last.snapshot; newest < last {
		return nil, e.corrupt(snapshotName(last), 0, "the file is missing, which %s says was durable", e.path(markName))
	}
	name := snapshotName(newest)
	b, err := readFile(e.opts.FS, e.path(name), 4<<30)
	if err != nil {
		return nil, err
	}
	s, err := decodeSnapshot(b)
	if err == nil && s.journal != e.journal.id {
		err = errors.New("it belongs to another directory")
	}
	if err == nil {
		err = e.table.load(e, s)
	}
	if err != nil {
		return nil, e.corrupt(name, 0, "%v", err)
	}
	e.flusher.snapshot, e.flusher.loaded = newest, b
	e.flusher.snapshotBytes.Store(int64(len(b)))
	return s, nil
}

// openJournalFiles opens the files, of which at least so many must be there.
func (e *Engine) openJournalFiles(atLeast int) error {
	names, err := e.opts.FS.List(e.path(journalDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	there := map[string]bool{}
	for _, name := range names {
		there[path.Join(journalDir, name)] = true
	}
	for i := 0; i < atLeast || there[journalFileName(i)]; i++ {
		name := journalFileName(i)
		f, err := e.opts.FS.Open(e.path(name), true)
		if errors.Is(err, fs.ErrNotExist) {
			return e.corrupt(name, 0, "the file is missing")
		}
		if err != nil {
			return err
		}
		file := &journalFile{name: name, f: f}
		e.journal.files = append(e.journal.files, file)
		if file.size, err = f.Size(); err != nil {
			return err
		}
	}
	return nil
}

// foundBatch is a valid batch in a journal file.
type foundBatch struct {
	batchHeader
	file *journalFile
	pos  int64
}

// scanJournal finds all valid batches, old ones too.
func (e *Engine) scanJournal() ([]foundBatch, error) {
	var found []foundBatch
	total := int64(0)
	for _, f := range e.journal.files {
		total += f.size
	}
	done := int64(0)
	for _, f := range e.journal.files {
		e.opts.Progress(Progress{Phase: phaseScan, Done: done, Total: total, Unit: unitScan})
		err := scanBatches(f.f, f.size, e.journal.id, func(h *batchHeader, pos int64, _ []byte) error {
			found = append(found, foundBatch{batchHeader: *h, file: f, pos: pos})
			e.opts.Progress(Progress{Phase: phaseScan, Done: done + pos, Total: total, Unit: unitScan})
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", f.name, err)
		}
		done += f.size
	}
	e.opts.Progress(Progress{Phase: phaseScan, Done: total, Total: total, Unit: unitScan})
	return found, nil
}

// chain returns the batches from the checkpoint on. They must follow one another without a gap. Behind the last
// one there may be a batch that was being written: it is not valid, and nobody was told that it was durable.
// But if a valid batch further on says that there was a durable one, or the snapshot does, it was damaged.
func (e *Engine) chain(found []foundBatch, s *snapshot) ([]foundBatch, error) {
	slices.SortFunc(found, func(a, b foundBatch) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(b.epoch, a.epoch), cmp.Compare(b.generation, a.generation))
	})
	next := s.checkpoint
	var chain []foundBatch
	for _, b := range found {
		switch {
		case b.at < next:
			// Before the checkpoint, or the remains of what a later start wrote over.
		case b.at == next:
			chain = append(chain, b)
			next = b.end()
		case b.durable > next:
			return nil, e.brokenChain(chain, next, fmt.Sprintf("%s says at byte %d that it was durable", e.path(b.file.name), b.pos))
		}
	}
	switch {
	case next < s.durable:
		return nil, e.brokenChain(chain, next, "the newest snapshot says that it was durable")
	case next < e.marks.last.durable:
		return nil, e.brokenChain(chain, next, e.path(markName)+" says that it was durable")
	}
	return chain, nil
}

// brokenChain names the place where the chain should have gone on.
func (e *Engine) brokenChain(chain []foundBatch, at lsn, why string) error {
	where := e.journal.files[0]
	pos := int64(0)
	if len(chain) > 0 {
		last := chain[len(chain)-1]
		where, pos = last.file, last.pos+last.padded()
	}
	return e.corrupt(where.name, pos, "the batch with LSN %d is not there, or begins another file; %s", at, why)
}

// renew makes the names durable that the start goes by. They may be in memory only: the process before may have been
// killed before it synced them, or its sync of the directory may have failed, after which another one proves nothing.
// So they are made again. What no snapshot speaks of was not used yet, and goes.
func (e *Engine) renew(found []foundBatch, s *snapshot) error {
	fsys, j := e.opts.FS, e.journal
	known := min(len(j.files), int(s.journalFiles))
	if mutant.On(mutant.TrustNewFiles) {
		known = len(j.files)
	}
	for _, b := range found {
		if slices.Contains(j.files[known:], b.file) {
			return e.corrupt(metaDir, 0, "the newest snapshot is missing: the one there does not know %s, which has been written to",
				e.path(b.file.name))
		}
	}
	for _, f := range j.files[known:] {
		if err := errors.Join(f.f.Close(), removeIfThere(fsys, e.path(f.name))); err != nil {
			return err
		}
	}
	j.files = j.files[:known]
	if e.flusher.snapshot == 1 { // the first start: FORMAT was the last that was made
		err := e.writeFormat()
		if vfs.IsNoSpace(err) { // then at least the name that is there, which a process may have made that was killed
			err = fsys.SyncDir(e.path(""))
		}
		if err != nil {
			return err
		}
	}
	if mutant.On(mutant.SkipRename) {
		return fsys.SyncDir(e.path(metaDir))
	}
	now := e.flusher.snapshot + 1
	if err := fsys.Rename(e.path(snapshotName(e.flusher.snapshot)), e.path(snapshotName(now))); err != nil {
		return err
	}
	e.flusher.snapshot = now
	if err := fsys.SyncDir(e.path(metaDir)); err != nil {
		return err
	}
	return e.renewCopy()
}

// renewCopy writes the copy of the snapshot again if it is not one. Where there is no space it is done without.
func (e *Engine) renewCopy() error {
	loaded := e.flusher.loaded
	e.flusher.loaded = nil
	if b, err := readFile(e.opts.FS, e.path(copyName), int64(len(loaded))); err == nil && bytes.Equal(b, loaded) {
		return nil
	}
	err := writeFile(e.opts.FS, e.opts.Dir, copyName, loaded)
	if vfs.IsNoSpace(err) {
		return nil
	}
	return err
}

// position sets up the journal to go on behind the chain.
func (e *Engine) position(chain, found []foundBatch, s *snapshot) error {
	j := e.journal
	j.checkpoint, j.next, j.generation, j.epoch = s.checkpoint, s.checkpoint, s.generation, s.epoch
	for _, b := range found {
		j.generation = max(j.generation, b.generation)
		j.epoch = max(j.epoch, b.epoch)
	}
	j.epoch++
	for _, b := range chain {
		f := b.file
		if f.end == 0 {
			f.start, f.generation = b.at-lsn(b.pos), b.generation
		}
		f.end = b.end()
		j.current, j.pos, j.next = f, b.pos+b.padded(), b.end()
	}
	if len(chain) > 0 && !mutant.On(mutant.SkipRewrite) {
		if err := chain[len(chain)-1].rewrite(); err != nil {
			return err
		}
	}
	for _, f := range j.files {
		if f.end > 0 {
			if mutant.On(mutant.SkipStartSync) {
				continue
			}
			if err := f.f.Datasync(); err != nil {
				return fmt.Errorf("sync %s: %w", f.name, err)
			}
			continue
		}
		if f.size != e.opts.JournalFileBytes {
			if err := f.resize(e.opts.JournalFileBytes); err != nil && !isFullError(err) { // then it stays as it is
				return err
			}
		}
		j.release(f)
	}
	e.durable.Store(uint64(j.next))
	return nil
}

// rewrite writes a batch again, as it is. Of the last one nobody knows whether its sync failed: then it may be in
// memory only, and a sync alone would not bring it to the disk any more. The ones before it were durable before it
// was written. A crash meanwhile changes nothing, since the bytes are the same.
func (b *foundBatch) rewrite() error {
	buf := make([]byte, b.length)
	n, err := b.file.f.ReadAt(buf, b.pos)
	if n == len(buf) {
		if err = checkBatch(&b.batchHeader, buf); err == nil {
			_, err = b.file.f.WriteAt(buf, b.pos)
		}
	}
	if err != nil {
		return fmt.Errorf("write the last batch of %s again: %w", b.file.name, err)
	}
	return nil
}

// replay applies the chain's frames again. Those that are in segments are known by their offsets. The payloads of records
// are not looked at: the scan has checked them, and whoever reads them does.
func (e *Engine) replay(chain []foundBatch) error {
	e.flusher.replays = true
	defer func() { e.flusher.replays = false }()
	logs := e.table.byID()
	find := func(id uint64) *logState { return logs[id] }
	var buf []byte
	for i := range chain {
		b := &chain[i]
		e.opts.Progress(Progress{Phase: phaseReplay, Done: int64(i), Total: int64(len(chain)), Unit: unitReplay})
		buf = slices.Grow(buf[:0], int(b.length))[:b.length]
		if n, err := b.file.f.ReadAt(buf, b.pos); n < len(buf) {
			return fmt.Errorf("read %s: %w", b.file.name, err)
		}
		next := int64(batchHeaderBytes)
		err := eachFrame(&b.batchHeader, buf, func(h frameHeader, frame []byte) error {
			skip := next
			next += h.length
			if h.kind == frameRecords {
				return e.replayRecords(&h, b.at, skip, find)
			}
			if err := checkPayload(frame); err != nil {
				return err
			}
			c, err := decodeChange(&h, frame[frameHeaderBytes:], find)
			if err != nil || c == nil {
				return err
			}
			if mutant.On(mutant.SkipChanges) {
				return nil
			}
			c.apply(e)
			if c, ok := c.(createChange); ok {
				for _, l := range e.table.topics[c.name].logs {
					logs[l.id] = l
				}
			}
			return nil
		})
		var real *shard.CorruptError
		if errors.As(err, &real) {
			return err
		}
		if err != nil {
			return e.corrupt(b.file.name, b.pos, "%v", err)
		}
		if err := e.makeRoom(); err != nil {
			return err
		}
	}
	return nil
}

// replayRecords leaves the records of a frame in the journal, where they can be read.
func (e *Engine) replayRecords(h *frameHeader, at lsn, skip int64, find func(uint64) *logState) error {
	l := find(h.log)
	switch {
	case l == nil && h.log < e.table.nextLog:
		return nil // of a deleted topic
	case l == nil:
		return fmt.Errorf("records of log %d, which was never made", h.log)
	case l.gone || h.end() <= l.flushed:
		return nil
	case h.base != l.next:
		return fmt.Errorf("log %d goes on at offset %d after %d", h.log, h.base, l.next)
	}
	l.next, l.durable = h.end(), h.end()
	l.lastMillis = max(l.lastMillis, h.millis)
	if h.end() <= l.first {
		l.flushed = h.end()
		return nil
	}
	l.unflushed += h.length
	e.flusher.unflushed.Add(h.length)
	e.flusher.note(l, at)
	e.budget.force(l.replayed(h, at, skip))
	return nil
}

// makeRoom moves to segments what was replayed, if the places of it take more memory than they may. On a full disk it
// stays as it is: trims and deletes must still be possible.
func (e *Engine) makeRoom() error {
	f := e.flusher
	if e.budget.used.Load() <= 2*e.opts.placesBytes || f.isFull.Load() {
		return nil
	}
	err := f.removeFiles() // the segment that a log would go on with may be trimmed, and gone
	if err == nil {
		err = f.flushBefore(^lsn(0))
	}
	if isFullError(err) {
		f.setFull(err)
		return nil
	}
	return err
}
