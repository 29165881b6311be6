package firehose

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-462d9463/sluice/shard/journal"
	"github.com/seed-462d9463/sluice/shard/vfs"
	"github.com/seed-462d9463/sluice/sinks"
	"github.com/seed-462d9463/sluice/sinks/file"
	"github.com/seed-462d9463/sluice/sinks/s3"
	"github.com/seed-462d9463/sluice/sinks/sinktest/miniotest"
)

// The tests here run on the embedded engine and real sinks, in real time. They wait for conditions.

func TestRecordsReachDirectoriesOverRestarts(t *testing.T) {
	dir := t.TempDir()
	buckets, err := file.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	deliverOverRestarts(t, buckets, func() map[string][]byte { return filesIn(t, filepath.Join(dir, "clicks")) })
}

func TestRecordsReachMinIOOverRestarts(t *testing.T) {
	server := miniotest.Start(t)
	server.CreateBucket(t, "clicks")
	buckets, err := s3.New(s3.Config{Endpoint: server.Endpoint, AccessKey: server.AccessKey, SecretKey: server.SecretKey})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := buckets.Close(); err != nil {
			t.Error(err)
		}
	})
	deliverOverRestarts(t, buckets, func() map[string][]byte {
		out := map[string][]byte{}
		for _, key := range server.Keys(t, "clicks") {
			out[key] = server.Get(t, "clicks", key)
		}
		return out
	})
}

func TestRecordsWaitForMinIOToComeBack(t *testing.T) {
	server := miniotest.Start(t)
	server.CreateBucket(t, "clicks")
	buckets, err := s3.New(s3.Config{Endpoint: server.Endpoint, AccessKey: server.AccessKey, SecretKey: server.SecretKey})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = buckets.Close() }()
	e := newEnv(t)
	s, stop := e.startOn(e.engine, buckets)
	defer stop()
	e.create(s, clicks, definition(buffering(1, 0)))
	all := lines(0, 300, 10_000)
	e.put(s, clicks, all[:100]...)
	await(t, func() bool { return e.stats(s, clicks).DeliveredRecords == 100 })
	server.Kill()
	e.put(s, clicks, all[100:200]...)
	await(t, func() bool { return e.stats(s, clicks).LastError != nil })
	e.put(s, clicks, all[200:]...)
	server.Restart(t)
	await(t, func() bool { return e.stats(s, clicks).DeliveredRecords == 300 })
	var got []string
	for _, key := range server.Keys(t, "clicks") {
		got = append(got, strings.Split(strings.TrimSuffix(string(server.Get(t, "clicks", key)), "\n"), "\n")...)
	}
	slices.Sort(got)
	if !slices.Equal(all, got) {
		t.Error(cmp.Diff(heads(all), heads(got)))
	}
}

// deliverOverRestarts puts records while the service and its engine are closed and opened again and again, and
// checks what is in the bucket in the end.
func deliverOverRestarts(t *testing.T, buckets sinks.Opener, objects func() map[string][]byte) {
	e := newEnv(t)
	dir := t.TempDir()
	open := func() (*Service, func()) {
		engine, err := journal.Open(journal.Options{
			FS: vfs.OS(), Dir: dir, Config: journal.DefaultConfig(), Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		s, stop := e.startOn(engine, buckets)
		return s, func() {
			stop()
			if err := engine.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	s, stop := open()
	e.create(s, clicks, definition(compressed, buffering(1, 0), func(d *Definition) {
		d.S3.Prefix, d.S3.ErrorOutputPrefix = "raw/!{timestamp:yyyy/MM/dd}/!{firehose:random-string}/", "errors/"
	}))
	var all []string
	for round := range 10 {
		part := lines(round*2000, 2000, 400)
		all = append(all, part...)
		for batch := range slices.Chunk(part, 250) {
			e.put(s, clicks, batch...)
		}
		stop()
		s, stop = open()
	}
	defer func() { stop() }()
	await(t, func() bool { return e.stats(s, clicks).DeliveredRecords == int64(len(all)) })
	var got []string
	for key, content := range objects() {
		if !strings.HasPrefix(key, "raw/") || !strings.HasSuffix(key, ".gz") {
			t.Errorf("object %q", key)
		}
		plain := decode(t, key, content)
		if len(plain) >= 1<<20+401 {
			t.Errorf("object %q has %d bytes", key, len(plain))
		}
		got = append(got, strings.Split(strings.TrimSuffix(plain, "\n"), "\n")...)
	}
	slices.Sort(got)
	if !slices.Equal(all, got) {
		t.Error(cmp.Diff(heads(all), heads(got)))
	}
}

// await waits for a condition that is bound to come; the test's own time limit is the only one.
func await(t *testing.T, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatal("the test ended first")
		}
	}
}

// filesIn reads all files below a directory.
func filesIn(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		key, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		out[filepath.ToSlash(key)], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestPrefixesThatTheSinkCannotStoreAreRefused(t *testing.T) {
	e := newEnv(t)
	away, err := s3.New(s3.Config{Endpoint: "http://127.0.0.1:1", AccessKey: "a", SecretKey: "b"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = away.Close() }()
	s, stop := e.startOn(e.engine, away)
	defer stop()
	bad := definition(func(d *Definition) { d.S3.Prefix = "a//b/" })
	if _, ok := errors.AsType[*InvalidError](s.Create(t.Context(), clicks, bad)); !ok {
		t.Error("a prefix with an empty part was accepted for a store that takes none")
	}
	e.create(s, clicks, definition()) // that the store is away does not matter
}
