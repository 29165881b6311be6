package journal

import (
	"context"
	"strings"
	"testing"

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
