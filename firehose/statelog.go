package firehose

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/sinks"
)

// snapshotEvery is how many entries are appended before the log is cut down to a snapshot.
const snapshotEvery = 128

// stateLog is the log of a delivery stream's state. One goroutine writes it.
type stateLog struct {
	log     shard.Log
	logger  *slog.Logger
	entries int // since the last snapshot
}

// load reads the state. The log of a delivery stream is never empty: it starts with a snapshot.
func (l *stateLog) load(ctx context.Context) (*state, error) {
	s := newState()
	found := false
	for at := shard.Offset(0); ; {
		records, err := l.log.Read(ctx, at, shard.Limit{Bytes: readBytes})
		if err != nil {
			return nil, fmt.Errorf("read state: %w", err)
		}
		if len(records) == 0 {
			break
		}
		for _, r := range records {
			snapshot := isSnapshot(r.Value)
			// What comes before the first snapshot is left from a trim that has not reached it.
			if found = found || snapshot; !found {
				continue
			}
			if err := s.replay(r.Value); err != nil {
				return nil, fmt.Errorf("state at offset %d: %w", r.Offset, err)
			}
			if l.entries++; snapshot {
				l.entries = 0
			}
		}
		at = records[len(records)-1].Offset + 1
	}
	if !found {
		return nil, fmt.Errorf("%w: it has no snapshot", errState)
	}
	return s, nil
}

func isSnapshot(entry []byte) bool { return len(entry) >= 2 && entry[1] == entrySnapshot }

// append makes an entry durable. While the disk is full it waits for room: nothing else can be done, and what
// is in the logs is safe.
func (l *stateLog) append(ctx context.Context, entry []byte) (shard.Offset, error) {
	for attempt := 0; ; attempt++ {
		at, err := l.log.Append(ctx, []shard.Record{{Value: entry}}).Wait(ctx)
		if err == nil {
			l.entries++
			if attempt > 0 {
				l.logger.Info("delivery goes on: there is room on the disk again")
			}
			return at.First, nil
		}
		if !errors.Is(err, shard.ErrNoSpace) {
			return 0, fmt.Errorf("write state: %w", err)
		}
		if attempt == 0 {
			l.logger.Warn("delivery waits: the disk is full", "error", err)
		}
		if err := sinks.WaitBackoff(ctx, attempt); err != nil {
			return 0, err
		}
	}
}

// snapshot writes the whole state and drops what was before it.
func (l *stateLog) snapshot(ctx context.Context, s *state) error {
	at, err := l.append(ctx, encodeSnapshot(s))
	if err != nil {
		return err
	}
	l.entries = 0
	if err := l.log.Trim(ctx, at); err != nil {
		return fmt.Errorf("trim state: %w", err)
	}
	return nil
}
