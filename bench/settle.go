package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
)

// settle has a server take records until it is as one that has run for hours: a server that has just been started makes
// another journal file of 64 MiB for each 64 MiB that it takes, writes it full of zeros first, and gets memory for its caches. So
// it takes as much as all of them hold, and that again for as long as it has made another file.
func (s *stage) settle(ctx context.Context, target *server) (err error) {
	if s.settled == 0 {
		return nil
	}
	stream := s.name("settle")
	if err := createStream(ctx, target, stream, s.shards); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, deleteStream(ctx, target, stream)) }()
	for files := -1; ; {
		if err := fill(ctx, target, stream, 1<<10, s.settled); err != nil {
			return err
		}
		now, err := os.ReadDir(filepath.Join(target.data, "journal"))
		if err != nil {
			return err
		}
		if len(now) <= files {
			return nil
		}
		files = len(now)
	}
}
