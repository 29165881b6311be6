package journal

import (
	"testing"

	"github.com/seed-462d9463/sluice/internal/yield"
	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

// A commit makes those who read much give up their cores for a while. It may be over before the read, on a busy machine: so both are
// tried again.
func TestLongReadsGiveUpTheirCoresBesideCommits(t *testing.T) {
	yield.Enable()
	opts := Options{FS: vfs.NewMem(), Dir: "/data", Logger: quiet(), Config: DefaultConfig()}
	e := mustOpen(t, opts)
	l := mustLog(t, e, "topic")
	before := yield.Given()
	for try := 0; yield.Given() == before; try++ {
		if try == 1000 {
			t.Fatal("no core was given up")
		}
		for range 4 {
			if _, err := l.Append(t.Context(), []shard.Record{{Value: make([]byte, turnBytes)}}).Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		first, _ := l.Bounds()
		if _, err := l.Read(t.Context(), first, shard.Limit{Bytes: 4 * turnBytes}); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}
