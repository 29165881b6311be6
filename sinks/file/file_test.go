package file_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/seed-462d9463/sluice/sinks"
	"github.com/seed-462d9463/sluice/sinks/file"
	"github.com/seed-462d9463/sluice/sinks/sinktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSinkKeepsItsPromises(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinktest.Harness {
		dir := filepath.Join(t.TempDir(), "not", "there", "yet")
		return sinktest.Harness{
			Sink: open(t, dir, "bucket"),
			Open: func(_ context.Context, key string) (io.ReadCloser, error) {
				name, err := file.Path(key)
				if err != nil {
					return nil, fs.ErrNotExist // refused, so it cannot be there
				}
				path := filepath.Join(dir, "bucket", name)
				if info, err := os.Stat(path); err != nil || info.IsDir() {
					return nil, fs.ErrNotExist
				}
				return os.Open(path)
			},
			Leftovers: func(t *testing.T) []string { return outside(t, dir, "bucket") },
		}
	})
}

// open returns the sink of a bucket below dir.
func open(t testing.TB, dir, bucket string) sinks.Sink {
	t.Helper()
	opener, err := file.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	sink, err := opener.Open(bucket)
	if err != nil {
		t.Fatal(err)
	}
	return sink
}

// outside lists the files below dir that are not in the bucket.
func outside(t *testing.T, dir, bucket string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && path == filepath.Join(dir, bucket) {
			return filepath.SkipDir
		}
		if !entry.IsDir() {
			files = append(files, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func object(key, content string) sinks.Object {
	return sinks.Object{Key: key, Body: strings.NewReader(content)}
}

func TestOrdinaryKeysAreTheirOwnPaths(t *testing.T) {
	dir := t.TempDir()
	key := "2026/11/21/05/clicks-1-2026-11-21-05-56-00-0d6b8f3e.gz"
	if err := open(t, dir, "bucket").Put(t.Context(), object(key, "hello")); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, "bucket", filepath.FromSlash(key)))
	if err != nil || string(got) != "hello" {
		t.Fatalf("read: %q, %v", got, err)
	}
}

func TestPathsAreEscapedAsDocumented(t *testing.T) {
	for key, want := range map[string]string{
		"a/b.gz":  "a/b.gz",
		"/a":      "%/a",
		"a/":      "a/%",
		"a//b":    "a/%/b",
		"//":      "%/%/%",
		".":       "%2E",
		"../x/..": "%2E%2E/x/%2E%2E",
		"...":     "...",
		"100%":    "100%25",
		"%2E":     "%252E",
	} {
		if got, err := file.Path(key); err != nil || got != want {
			t.Errorf("Path(%q) = %q, %v; want %q", key, got, err, want)
		}
	}
}

// unescape is the way back that Path's comment describes.
func unescape(t interface{ Fatalf(string, ...any) }, path string) string {
	parts := strings.Split(path, "/")
	for i, part := range parts {
		if part == "%" {
			parts[i] = ""
			continue
		}
		decoded, err := url.PathUnescape(part)
		if err != nil {
			t.Fatalf("unescape %q: %v", part, err)
		}
		parts[i] = decoded
	}
	return strings.Join(parts, "/")
}

func checkPath(t interface{ Fatalf(string, ...any) }, key string) {
	path, err := file.Path(key)
	if err != nil {
		if !errors.Is(err, sinks.ErrInvalidKey) || !sinks.IsPermanent(err) {
			t.Fatalf("Path(%q): %v", key, err)
		}
		return
	}
	if !filepath.IsLocal(path) || filepath.ToSlash(filepath.Clean(path)) != path {
		t.Fatalf("Path(%q) = %q leaves the bucket or is not clean", key, path)
	}
	for part := range strings.SplitSeq(path, "/") {
		if len(part) > 255 {
			t.Fatalf("Path(%q) = %q has a name of %d bytes", key, path, len(part))
		}
	}
	if got := unescape(t, path); got != key {
		t.Fatalf("Path(%q) = %q, and back %q", key, path, got)
	}
}

func TestEveryPathStaysInTheBucketAndLeadsBackToItsKey(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		part := rapid.OneOf(
			rapid.SampledFrom([]string{"", ".", "..", "...", "%", "%25", "%2E", "~", `\`, ".tmp", "a"}),
			rapid.String(),
		)
		checkPath(t, strings.Join(rapid.SliceOfN(part, 1, 8).Draw(t, "parts"), "/"))
	})
}

func FuzzEveryPathStaysInTheBucketAndLeadsBackToItsKey(f *testing.F) {
	for _, key := range []string{"a/b", "../..", "/etc/passwd", "%2E%2E/%2F", "a//b/", "nul\x00", "\xff", strings.Repeat("%", 86)} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) { checkPath(t, key) })
}

func TestBadBucketNamesAreRefused(t *testing.T) {
	opener, err := file.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, bucket := range []string{"", "ab", ".tmp", "..", "../up", "a/b", "Upper", "under_score", "-dash", "dot.", "a..b",
		"127.0.0.1", "nul\x00nul", strings.Repeat("b", 64)} {
		if _, err := opener.Open(bucket); !errors.Is(err, sinks.ErrInvalidKey) || !sinks.IsPermanent(err) {
			t.Errorf("open %q: %v, want a permanent %q", bucket, err, sinks.ErrInvalidKey)
		}
	}
}

func TestUnfinishedObjectsAreRemovedAtTheStart(t *testing.T) {
	dir := t.TempDir()
	sink := open(t, dir, "bucket")
	if err := sink.Put(t.Context(), object("stays", "content")); err != nil {
		t.Fatal(err)
	}
	// As a process leaves it that dies while it writes.
	if err := os.WriteFile(filepath.Join(dir, ".tmp", "half"), []byte("half an ob"), 0o600); err != nil {
		t.Fatal(err)
	}
	sink = open(t, dir, "bucket")
	if left := outside(t, dir, "bucket"); len(left) != 0 {
		t.Fatalf("left: %q", left)
	}
	if _, err := sink.Stat(t.Context(), "stays"); err != nil {
		t.Fatal(err)
	}
}

func TestNoLinkLeadsOutOfTheBucket(t *testing.T) {
	parent := t.TempDir()
	dir, secret := filepath.Join(parent, "buckets"), filepath.Join(parent, "secret")
	sink := open(t, dir, "bucket")
	for _, d := range []string{secret, filepath.Join(dir, "other"), filepath.Join(dir, "bucket")} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{"absolute": secret, "up": "../../secret", "beside": "../other"} {
		if err := os.Symlink(target, filepath.Join(dir, "bucket", name)); err != nil {
			t.Fatal(err)
		}
		if err := sink.Put(t.Context(), object(name+"/x", "content")); err == nil {
			t.Errorf("put below the link %q to %q succeeded", name, target)
		}
		// At the end of a path, a link is replaced and not followed.
		if err := sink.Put(t.Context(), object(name, "content")); err != nil {
			t.Errorf("put in place of the link %q: %v", name, err)
		}
	}
	for _, d := range []string{secret, filepath.Join(dir, "other")} {
		if entries, err := os.ReadDir(d); err != nil || len(entries) != 0 {
			t.Errorf("%s holds %v, %v", d, entries, err)
		}
	}
}

func TestPutsFailWhileTheDirectoryIsAwayAndWorkWhenItIsBack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "buckets")
	sink := open(t, dir, "bucket")
	if err := sink.Put(t.Context(), object("before", "1")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	err := sink.Put(t.Context(), object("during", "2"))
	if err == nil || sinks.IsPermanent(err) {
		t.Fatalf("put while the directory is away: %v, want an error that is not permanent", err)
	}
	if !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "during") {
		t.Errorf("the error names neither directory nor key: %v", err)
	}
	if _, err := sink.Stat(t.Context(), "before"); err == nil || errors.Is(err, sinks.ErrNotFound) {
		t.Errorf("stat while the directory is away: %v, want an error that does not deny the object", err)
	}
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	if err := sink.Put(t.Context(), object("during", "2")); err != nil {
		t.Fatal(err)
	}
	if _, err := sink.Stat(t.Context(), "before"); err != nil {
		t.Fatal(err)
	}
}

func TestADirectoryThatCannotBeIsToldAtTheStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{path, filepath.Join(path, "below")} {
		if _, err := file.New(dir); err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("New(%q): %v, want an error that names it", dir, err)
		}
	}
}

// lazy is a body that does not look at what its writes return.
type lazy struct{ size int }

func (l lazy) WriteTo(w io.Writer) (int64, error) {
	_, _ = w.Write(bytes.Repeat([]byte{'x'}, l.size))
	return int64(l.size), nil
}
