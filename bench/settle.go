package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/seed-462d9463/sluice/bench/child"
)

// settle has a server take records until its journal is as long as that of one that has run for hours: one that has just been
// started makes another file of 64 MiB for each 64 MiB that it takes, and writes it full of zeros first. So it takes as much as all
// of them hold, and that again for as long as it has made another file. Nothing of it is retained.
func (s *stage) settle(ctx context.Context, target *server) error {
	if s.settled == 0 {
		return nil
	}
	slog.Info("letting a server make all of its journal files")
	stream := s.name("settle")
	if err := createStream(ctx, target, stream, s.shards); err != nil {
		return err
	}
	if err := s.growJournal(ctx, target, stream); err != nil {
		return err
	}
	if err := deleteStream(ctx, target, stream); err != nil {
		return err
	}
	if err := target.Quiet(ctx, quietLimit); err != nil {
		return err
	}
	return child.SettleDisk(ctx, s.dataDir, settleLimit)
}

func (s *stage) growJournal(ctx context.Context, target *server, stream string) error {
	for files := -1; ; {
		if err := fill(ctx, target, stream, 1<<10, s.settled); err != nil {
			return err
		}
		now, err := os.ReadDir(filepath.Join(target.data, "journal"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // on Kafka there are none
			return err
		}
		if len(now) <= files || len(now) == 0 {
			return nil
		}
		files = len(now)
	}
}
