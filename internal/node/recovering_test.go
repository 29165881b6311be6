package node

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/seed-462d9463/sluice/internal/client"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

// watchedFS calls before in every call that reads a directory, or a file that is there already.
type watchedFS struct {
	vfs.FS
	before func()
}

func (w watchedFS) List(dir string) ([]string, error) {
	w.before()
	return w.FS.List(dir)
}

func (w watchedFS) Open(name string, write bool) (vfs.File, error) {
	f, err := w.FS.Open(name, write)
	return watchedFile{f, w.before}, err
}

type watchedFile struct {
	vfs.File
	before func()
}

func (w watchedFile) ReadAt(b []byte, pos int64) (int, error) {
	w.before()
	return w.File.ReadAt(b, pos)
}

// recovery is what /readyz says while a log is recovered.
type recovery struct {
	url string

	mu     sync.Mutex // guards what follows
	phases map[string]int64
	err    error
}

// look asks, in the middle of a call of the file system, and so while the start waits.
func (r *recovery) look() {
	r.mu.Lock()
	defer r.mu.Unlock()
	answer, err := http.Get(r.url)
	if err != nil {
		r.err = err
		return
	}
	body, err := io.ReadAll(answer.Body)
	r.err = errors.Join(r.err, err, answer.Body.Close())
	phase, rest, ok := strings.Cut(strings.TrimPrefix(string(body), "recovering: "), ", ")
	if answer.StatusCode != http.StatusServiceUnavailable || !ok {
		return // not yet, or not any more
	}
	var done, total int64
	var unit string
	if _, err := fmt.Sscanf(rest, "%d of %d %s", &done, &total, &unit); err != nil || done < 0 || done > total {
		r.err = fmt.Errorf("/readyz says %q", body)
	}
	r.phases[phase] = max(r.phases[phase], total)
}

func TestWhileTheLogIsRecoveredReadinessTellsHowFarItIs(t *testing.T) {
	config := testConfig(t)
	clean := start(t, config, nil)
	if err := clean.client().CreateStream(t.Context(), client.CreateStreamInput{StreamName: "s", ShardCount: 1}); err != nil {
		t.Fatal(err)
	}
	clean.stop() // with segments
	if err := <-clean.end; err != nil {
		t.Fatal(err)
	}
	injector := vfs.Inject(vfs.OS())
	broken := start(t, config, func(n *Node) { n.fs = injector })
	put := client.PutRecordInput{StreamName: "s", PartitionKey: "k", Data: []byte("v")}
	if _, err := broken.client().PutRecord(t.Context(), put); err != nil {
		t.Fatal(err)
	}
	injector.Hook(vfs.FailOps(errors.New("the disk is gone"), vfs.OpDatasync))
	if _, err := broken.client().PutRecord(t.Context(), put); err == nil {
		t.Error("a record was acknowledged on a disk that cannot sync")
	}
	if err := <-broken.end; err == nil { // with a journal
		t.Error("the node went on with a disk that cannot sync")
	}

	seen := recovery{phases: map[string]int64{}}
	start(t, config, func(n *Node) {
		seen.url = "http://" + n.AdminAddr().String() + "/readyz"
		n.fs = watchedFS{vfs.OS(), seen.look}
	})
	seen.mu.Lock()
	defer seen.mu.Unlock()
	if seen.err != nil {
		t.Error(seen.err)
	}
	for _, phase := range []string{"reading the journal", "applying the journal", "looking for segments"} {
		if seen.phases[phase] == 0 {
			t.Errorf("%s: not told, among %v", phase, seen.phases)
		}
	}
}
