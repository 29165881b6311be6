package journal

import (
	"context"
	"strings"
	"testing"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

// What keeps a removed file open keeps its space, and on a full disk nothing more is written that would end that.
func TestARemovedSegmentIsNotKeptOpenBecauseItWasOnItsWayToTheDisk(t *testing.T) {
	ctx := context.Background()
	disk := vfs.Inject(vfs.NewMem())
	grown, sent, closed := make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{}, 1)
	disk.Hook(func(c vfs.Call) error {
		switch {
		case c.Op == vfs.OpRename && strings.HasSuffix(c.Name, journalFileName(1)):
			signal(grown)
		case !strings.HasSuffix(c.Name, ".seg"):
		case c.Op == vfs.OpWriteback:
			signal(sent)
		case c.Op == vfs.OpClose:
			signal(closed)
		}
		return nil
	})
	e := mustOpen(t, Options{FS: disk, Dir: "/data", Logger: quiet(), MaxAppendBytes: minChunk, placesBytes: 1,
		Config: Config{JournalFiles: 2, CacheBytes: 4 * minChunk}})
	if err := e.Create(ctx, "a", 1); err != nil {
		t.Fatal(err)
	}
	l, err := e.Open(ctx, "a", 0)
	if err != nil {
		t.Fatal(err)
	}
	<-grown       // which ends with a checkpoint, and there is no other until the journal is full
	for range 6 { // more than the cache holds
		if _, err := l.Append(ctx, []shard.Record{{Value: make([]byte, minChunk-1024)}}).Wait(ctx); err != nil {
			t.Fatal(err)
		}
	}
	<-sent
	if err := e.Delete(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	<-closed
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}
