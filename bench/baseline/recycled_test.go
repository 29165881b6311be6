package baseline

import (
	"bytes"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/seed-462d9463/sluice/shard/vfs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTheBareJournalHoldsWhatItWasGiven(t *testing.T) {
	dir := t.TempDir()
	r, err := OpenRecycled(vfs.OS(), dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	records := [][]byte{[]byte("first"), bytes.Repeat([]byte("x"), blockBytes+1), []byte("third")}
	for _, record := range records {
		if err := r.Append(0, record); err != nil {
			t.Fatal(err)
		}
	}
	// One at a time: each begins at a block of its own.
	for i, at := range []int64{0, blockBytes, 3 * blockBytes} {
		got := make([]byte, len(records[i]))
		if _, err := r.files[0].ReadAt(got, at); err != nil || !bytes.Equal(got, records[i]) {
			t.Errorf("record %d is not at %d: %v", i, at, err)
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestTheBareJournalAndItsSegmentsGoRoundAndRound(t *testing.T) {
	dir := t.TempDir()
	const writers, each, logs = 4, 70, 3
	const size = 1 << 20 // 280 MiB in all: more than the journal's files hold together, and a log's segment
	r, err := OpenRecycled(vfs.OS(), dir, logs)
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	for w := range writers {
		running.Go(func() {
			payload := bytes.Repeat([]byte{byte('a' + w)}, size)
			for i := range each {
				if err := r.Append((w+i)%logs, payload); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	running.Wait()
	if err := r.Append(0, []byte("small ones wait in memory for more")); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	total := int64(0)
	names, err := vfs.OS().List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, ".segment") {
			info, err := vfs.OS().Stat(dir + "/" + name)
			if err != nil {
				t.Fatal(err)
			}
			total += info.Size
		}
	}
	if total != writers*each*size {
		t.Errorf("%d bytes are in segments, %d were given", total, writers*each*size)
	}
}
