package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

func TestWhoWaitsForTheDiskHoldsUpNobody(t *testing.T) {
	disk := vfs.Inject(vfs.NewMem())
	opts := tinyOptions(disk)
	opts.Compression = compressionOff
	e := mustOpen(t, opts)
	values := map[string][][]byte{}
	for _, name := range []string{"slow", "quick"} {
		values[name] = fill(t, mustLog(t, e, name), 20)
	}
	if err := e.Close(); err != nil { // now all is in segments
		t.Fatal(err)
	}
	e = mustOpen(t, opts)
	e.turns = make(readTurns, 1)
	e.disk.turns = make(chan struct{}, 2) // an injected file has nothing in memory
	slow := mustLog(t, e, "slow")
	waits, goOn := make(chan struct{}, 100), make(chan struct{})
	disk.Hook(func(c vfs.Call) error {
		if c.Op == vfs.OpRead && strings.Contains(c.Name, "/1-") {
			waits <- struct{}{}
			<-goOn
		}
		return nil
	})
	read := make(chan error, 1)
	go func() {
		_, err := slow.Read(context.Background(), 0, shard.Limit{})
		read <- err
	}()
	<-waits
	wantValues(t, e, "quick", values["quick"])
	close(goOn)
	if err := <-read; err != nil {
		t.Error(err)
	}
	wantValues(t, e, "slow", values["slow"])
	if n := len(e.turns); n != 0 {
		t.Errorf("%d turns are not given back", n)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestReadsFromTheDiskAreFewAndShortAndNoneBeginsBesideACommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := vfs.Inject(vfs.NewMem())
		opts := contractOptions(disk, "/data")
		opts.Compression = compressionOff
		e := mustOpen(t, opts)
		names := []string{"a", "b", "c"}
		for _, name := range names {
			record := shard.Record{Value: bytes.Repeat([]byte{1}, 1<<20)}
			if _, err := mustLog(t, e, name).Append(t.Context(), []shard.Record{record}).Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := e.Close(); err != nil { // now all is in segments
			t.Fatal(err)
		}
		e = mustOpen(t, opts)
		l, logs := mustLog(t, e, "d"), map[string]shard.Log{}
		for _, name := range names {
			logs[name] = mustLog(t, e, name)
		}
		var mu sync.Mutex // guards what follows
		var under, pieces int
		var committing bool
		goOn := make(chan struct{})
		disk.Hook(func(c vfs.Call) error {
			mu.Lock()
			defer mu.Unlock()
			switch {
			case c.Op == vfs.OpRead && c.Bytes >= diskBytes/2: // not of an index
				under++
				pieces++
				if under > diskReads || c.Bytes > diskBytes || committing {
					t.Errorf("%d reads are under way, the last one of %d bytes; a commit is, too: %v", under, c.Bytes, committing)
				}
				mu.Unlock()
				time.Sleep(time.Millisecond)
				mu.Lock()
				under--
			case c.Op == vfs.OpDatasync && strings.HasSuffix(c.Name, ".j"):
				committing = true
				mu.Unlock()
				<-goOn
				mu.Lock()
				committing = false
			}
			return nil
		})
		p := l.Append(t.Context(), []shard.Record{{}})
		synctest.Wait() // until it is being synced
		var readers sync.WaitGroup
		for _, name := range names {
			l := logs[name]
			readers.Go(func() {
				if got, err := l.Read(t.Context(), 0, shard.Limit{}); err != nil || len(got) != 1 || len(got[0].Value) != 1<<20 {
					t.Errorf("%d records, %v", len(got), err)
				}
			})
		}
		synctest.Wait()
		close(goOn)
		if _, err := p.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		readers.Wait()
		if pieces < 4*len(names) {
			t.Errorf("%d MiB were read in %d pieces", len(names), pieces)
		}
		disk.Hook(nil)
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestWhoWaitsForATurnAtTheDiskMayGiveUp(t *testing.T) {
	turns := newDiskTurns()
	for range diskReads {
		if err := turns.take(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := turns.take(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	turns.give()
	turns.commit(true)
	if err := turns.take(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("beside a commit: %v", err)
	}
	turns.commit(false)
	if err := turns.take(t.Context()); err != nil {
		t.Errorf("the turn was not given back: %v", err)
	}
}

// A file system that copies on write may have no space to write over the journal: that may take for ever, and what ends it may
// need to read.
func TestReadersDoNotWaitForACommitThatWaitsForSpace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := vfs.Inject(vfs.NewMem())
		e := mustOpen(t, tinyOptions(disk))
		values := fill(t, mustLog(t, e, "a"), 20)
		if err := e.Close(); err != nil { // now all is in segments
			t.Fatal(err)
		}
		e = mustOpen(t, tinyOptions(disk))
		l := mustLog(t, e, "b")
		var full atomic.Bool
		full.Store(true)
		disk.Hook(func(c vfs.Call) error {
			if c.Op == vfs.OpWrite && strings.HasSuffix(c.Name, ".j") && full.Load() {
				return syscall.ENOSPC
			}
			return nil
		})
		p := l.Append(t.Context(), []shard.Record{{Value: []byte("v")}})
		synctest.Wait() // until it has found no space
		a, err := e.Open(t.Context(), "a", 0)
		if err != nil {
			t.Fatal(err)
		}
		read := make(chan error, 1)
		go func() {
			got, err := a.Read(t.Context(), 0, shard.Limit{})
			if len(got) != len(values) {
				err = errors.Join(err, fmt.Errorf("%d records", len(got)))
			}
			read <- err
		}()
		synctest.Wait()
		select {
		case err := <-read:
			if err != nil {
				t.Error(err)
			}
		default:
			t.Error("the reader waits")
		}
		full.Store(false)
		if _, err := p.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		disk.Hook(nil)
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
}

// Commits may have to wait for the flusher, and readers for the disk; so the flusher does not wait for readers.
func TestTheFlusherWaitsForNoTurnAtTheDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := tinyOptions(vfs.NewMem())
		e := mustOpen(t, opts)
		fill(t, mustLog(t, e, "a"), 20)
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		e = mustOpen(t, opts) // and what is in the active segment is not known
		if err := e.disk.take(t.Context()); err != nil {
			t.Fatal(err)
		}
		appended := make(chan struct{})
		go func() {
			defer close(appended)
			fill(t, mustLog(t, e, "a"), 400)
		}()
		synctest.Wait()
		select {
		case <-appended:
		default:
			t.Error("appends wait for the flusher, which waits for a reader")
		}
		e.disk.give()
		<-appended
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
}
