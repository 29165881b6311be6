package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

// readBytes is what one read asks for, and readRecords how many records of 1 KiB that is.
const readBytes = 1 << 20

// reads has a reader for each log, over and over from its start to its end.
func (t Task) reads(ctx context.Context) (Result, error) {
	if t.What == ReadBare {
		return t.readBare(ctx)
	}
	e, err := openEngine(ctx, t.Dir, t.Logs)
	if err != nil {
		return Result{}, err
	}
	if err := t.fill(ctx, e); err != nil {
		return Result{}, errors.Join(err, e.close())
	}
	if t.What != ReadCache { // what is in memory of the engine goes, and all is in segments
		if err := e.close(); err != nil {
			return Result{}, err
		}
		if e, err = openEngine(ctx, t.Dir, t.Logs); err != nil {
			return Result{}, err
		}
	}
	m := newMeter()
	result, err := t.measure(ctx, m, func(ctx context.Context) error {
		var readers errgroup.Group
		for i, l := range e.logs {
			readers.Go(func() error { return t.readLog(ctx, l, i, m, nil) })
		}
		return readers.Wait()
	})
	return result, errors.Join(err, e.close())
}

func (t Task) fill(ctx context.Context, e *engine) error {
	records := make([]shard.Record, readBytes/t.Size)
	for i := range records {
		records[i].Value = payloadOf(t.Size)
	}
	each := t.Total / int64(len(e.logs))
	var writers errgroup.Group
	for _, l := range e.logs {
		writers.Go(func() error {
			for done := int64(0); done < each; done += readBytes {
				if _, err := l.Append(ctx, records).Wait(ctx); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return writers.Wait()
}

// readLog reads one log until ctx ends. Cold, the first reader has the page cache emptied of all segments, and of the
// journal, before each of its rounds. Without scratch the records get memory of their own.
func (t Task) readLog(ctx context.Context, l shard.Log, who int, m *meter, scratch *shard.Scratch) error {
	read := l.Read
	if scratch != nil {
		read = func(ctx context.Context, from shard.Offset, most shard.Limit) ([]shard.Record, error) {
			return shard.ReadInto(ctx, l, from, most, scratch)
		}
	}
	for ctx.Err() == nil {
		if t.What == ReadCold && who == 0 {
			for _, dir := range []string{"shards", "journal"} {
				if err := forget(filepath.Join(t.Dir, dir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
					return err
				}
			}
		}
		at, next := l.Bounds()
		for at < next && ctx.Err() == nil {
			start := time.Now()
			got, err := read(ctx, at, shard.Limit{Bytes: readBytes})
			if err != nil || len(got) == 0 {
				if ctx.Err() != nil {
					return nil
				}
				return fmt.Errorf("reading offset %d of %d: %d records, %w", at, next, len(got), err)
			}
			bytes := 0
			for i := range got {
				bytes += len(got[i].Value)
			}
			m.count(who, start, len(got), bytes)
			at = got[len(got)-1].Offset + 1
		}
	}
	return nil
}

// readBare reads plain files, one for each log, as large as what the engine would read, in pieces of as many bytes, into
// new memory, as the engine must.
func (t Task) readBare(ctx context.Context) (Result, error) {
	var files []vfs.File
	defer func() {
		for _, f := range files {
			_ = f.Close() // nothing that is needed is in it
		}
	}()
	each := t.Total / int64(t.Logs)
	payload := payloadOf(readBytes)
	for i := range t.Logs {
		f, err := vfs.OS().Create(path.Join(t.Dir, fmt.Sprint(i)))
		if err != nil {
			return Result{}, err
		}
		files = append(files, f)
		for at := int64(0); at < each; at += readBytes {
			if _, err := f.WriteAt(payload, at); err != nil {
				return Result{}, err
			}
		}
		if err := f.Sync(); err != nil {
			return Result{}, err
		}
	}
	m := newMeter()
	return t.measure(ctx, m, func(ctx context.Context) error {
		var readers errgroup.Group
		for i, f := range files {
			readers.Go(func() error {
				for at := int64(0); ctx.Err() == nil; at = (at + readBytes) % each {
					start := time.Now()
					b := make([]byte, readBytes)
					if _, err := f.ReadAt(b, at); err != nil && !errors.Is(err, io.EOF) {
						return err
					}
					m.count(i, start, readBytes/t.Size, readBytes)
				}
				return nil
			})
		}
		return readers.Wait()
	})
}
