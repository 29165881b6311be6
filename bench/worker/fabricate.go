package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/journal"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

// Fabricate fills the logs of the streams in a data directory as days of writing would, and leaves it as a kill does.
const Fabricate = "fabricate a data directory"

// streamTopics begins the names of the topics that belong to streams.
const streamTopics = "stream."

// fabricate gives every log of every stream so many sealed segments, small ones, with the engine itself: a segment
// holds one record when it may not be larger. Then it fills the journal, without letting the engine checkpoint, and
// ends without closing: what a kill leaves at the worst moment. Result.Records counts the logs.
func (t Task) fabricate(ctx context.Context) (Result, error) {
	config := journal.DefaultConfig()
	config.SegmentBytes = 4 << 10
	fs := &hasty{FS: vfs.OS()}
	e, logs, err := t.openLogs(ctx, fs, config)
	if err != nil {
		return Result{}, err
	}
	payload := payloadOf(3 << 10)
	for range t.Segments {
		if err := appendToAll(ctx, logs, payload); err != nil {
			return Result{}, errors.Join(err, e.Close())
		}
	}
	if err := e.Close(); err != nil {
		return Result{}, err
	}

	config = journal.DefaultConfig()
	config.CacheBytes = 1 << 30 // nothing is to be moved to segments
	if _, logs, err = t.openLogs(ctx, fs, config); err != nil {
		return Result{}, err
	}
	// Not to the last byte: the engine would wait for a checkpoint for ever.
	left := int64(config.JournalFiles)*config.JournalFileBytes*9/10 - int64(len(logs))*int64(t.Size)
	for ; left > 0; left -= int64(len(logs)) * int64(t.Size+100) {
		if err := appendToAll(ctx, logs, payloadOf(t.Size)); err != nil {
			return Result{}, err
		}
		files, err := filepath.Glob(filepath.Join(t.Dir, "journal", "*.j"))
		if err != nil {
			return Result{}, err
		}
		if len(files) == config.JournalFiles { // to make one takes a snapshot
			fs.held.Store(true)
		}
	}
	if !fs.held.Load() {
		return Result{}, errors.New("the journal did not become as big as it may")
	}
	return Result{Records: float64(len(logs))}, nil
}

// openLogs opens the engine and all logs of streams that are in it.
func (t Task) openLogs(ctx context.Context, fs vfs.FS, config journal.Config) (*journal.Engine, []shard.Log, error) {
	e, err := journal.Open(journal.Options{FS: fs, Dir: t.Dir, Config: config, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, nil, err
	}
	topics, err := e.Topics(ctx)
	if err != nil {
		return nil, nil, errors.Join(err, e.Close())
	}
	var logs []shard.Log
	for _, topic := range topics {
		if !strings.HasPrefix(topic.Name, streamTopics) {
			continue
		}
		for i := range topic.Partitions {
			l, err := e.Open(ctx, topic.Name, i)
			if err != nil {
				return nil, nil, errors.Join(err, e.Close())
			}
			logs = append(logs, l)
		}
	}
	if len(logs) == 0 {
		return nil, nil, errors.Join(fmt.Errorf("%s has no stream", t.Dir), e.Close())
	}
	return e, logs, nil
}

// appendToAll appends a record to every log.
func appendToAll(ctx context.Context, logs []shard.Log, payload []byte) error {
	const at = 64 // once for each of so many goroutines
	var g errgroup.Group
	for w := range at {
		g.Go(func() error {
			var pending []shard.Pending
			for i := w; i < len(logs); i += at {
				pending = append(pending, logs[i].Append(ctx, []shard.Record{{Key: []byte("key"), Value: payload}}))
			}
			for _, p := range pending {
				if _, err := p.Wait(ctx); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// hasty is a file system that does not wait for the disk: what is fabricated need not survive a loss of power. While
// it is held, snapshots cannot be written, nor anything that comes after them.
type hasty struct {
	vfs.FS
	held atomic.Bool
}

func (h *hasty) Create(name string) (vfs.File, error) {
	if h.held.Load() && strings.Contains(name, "/meta/") {
		select {} // until the process ends
	}
	f, err := h.FS.Create(name)
	return hastyFile{f}, err
}

func (h *hasty) Open(name string, write bool) (vfs.File, error) {
	f, err := h.FS.Open(name, write)
	return hastyFile{f}, err
}

func (h *hasty) SyncDir(string) error { return nil }

type hastyFile struct{ vfs.File }

func (hastyFile) Sync() error                     { return nil }
func (hastyFile) Datasync() error                 { return nil }
func (hastyFile) StartWriteback(_, _ int64) error { return nil }
func (hastyFile) Preallocate(_, _ int64) error    { return nil }
