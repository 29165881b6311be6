package journal

import (
	"github.com/seed-462d9463/sluice/shard/journal/internal/mutant"
)

// What mutants of the engine do where it takes more than a line; see package mutant. Nothing of it is in a program.

// mutateCheckpoint does some steps of a checkpoint before their time.
func (f *flusher) mutateCheckpoint(at, durable lsn, journalFiles int) error {
	var err error
	switch {
	case mutant.On(mutant.RecycleFirst):
		f.e.journal.recycle(at)
	case mutant.On(mutant.RemoveSnapshotFirst):
		err = removeSnapshotsBefore(f.e.opts.FS, f.e.opts.Dir, f.snapshot+1)
	case mutant.On(mutant.RemovePlainFirst):
		err = f.removeReplaced()
	case mutant.On(mutant.SnapshotFirst):
		s := f.e.table.snapshot()
		_, s.generation = f.e.journal.count()
		s.journal, s.epoch, s.checkpoint, s.durable, s.journalFiles = f.e.journal.id, f.e.journal.epoch, at, durable, uint64(journalFiles)
		_, err = writeSnapshot(f.e.opts.FS, f.e.opts.Dir, f.snapshot+1, s)
	}
	return err
}

// mutateChange applies a change before it is durable.
func (e *Engine) mutateChange(c change) {
	if _, trim := c.(trimChange); trim && mutant.On(mutant.TrimFirst) || !trim && mutant.On(mutant.ChangeFirst) {
		c.apply(e)
	}
}

// mutate forgets which ids were given.
func (s *snapshot) mutate() {
	if !mutant.On(mutant.ReuseIDs) {
		return
	}
	s.nextLog = 1
	for _, t := range s.topics {
		for _, l := range t.logs {
			s.nextLog = max(s.nextLog, l.id+1)
		}
	}
}
