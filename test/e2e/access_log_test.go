package e2e

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-462d9463/sluice/sinks/sinktest/miniotest"
)

// demoBucket is the bucket that `sluice demo` delivers to.
const demoBucket = "clickstream"

// accessLog is a real web server's log where one is at hand, else one made up with the same traits: lines that
// repeat, odd bytes, very long lines, empty ones.
func accessLog(t *testing.T) (path string, lines [][]byte) {
	t.Helper()
	path = os.Getenv("SLUICE_TEST_ACCESS_LOG")
	if path == "" {
		path = filepath.Join("..", "..", "..", "shared", "data", "access.log")
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Logf("no access log at hand (%v): using a made-up one", err)
		data = madeUpLog()
		path = filepath.Join(t.TempDir(), "access.log")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return path, bytes.Split(bytes.TrimSuffix(data, []byte("\n")), []byte("\n"))
}

func madeUpLog() []byte {
	var b bytes.Buffer
	for i := range 10_000 {
		switch {
		case i%997 == 0:
			b.WriteString("\n")
		case i%1009 == 0:
			fmt.Fprintf(&b, "%d %s\n", i, bytes.Repeat([]byte("long "), 20_000))
		case i%13 == 0:
			b.WriteString("10.0.0.1 - - \"GET / HTTP/1.1\" 200 17 \"-\" \"the same line again\"\n")
		default:
			fmt.Fprintf(&b, "10.0.%d.%d - - \"GET /page/%d?q=\xff\xfe\\x22%c HTTP/1.1\" 200 %d\r\n", i%256, i%7, i, rune(0x4e00+i%99), i*7)
		}
	}
	return b.Bytes()
}

func count(lines [][]byte) map[string]int {
	counts := map[string]int{}
	for _, line := range lines {
		counts[string(line)]++
	}
	return counts
}

func TestDemoDeliversEveryLineOfAnAccessLogExactlyOnceToADirectory(t *testing.T) {
	path, lines := accessLog(t)
	onEachEngine(t, func(t *testing.T, e engine) { demoToDirectory(t, e, path, lines) })
}

func demoToDirectory(t *testing.T, e engine, path string, lines [][]byte) {
	data := t.TempDir()
	out := run(t, e.env, binary, "demo", "--data", data, "--input", path)
	t.Logf("demo printed:\n%s", last(out, 1500))
	if strings.Contains(out, "lost") {
		t.Error("the demo says that records were lost")
	}
	want := count(lines)
	if diff := cmp.Diff(want, demoLines(t, data)); diff != "" {
		t.Fatalf("lines in the objects (-want +got):\n%s", last(diff, 3000))
	}

	// A second run on the same directory goes on: nothing is lost, nothing repeated.
	more := filepath.Join(t.TempDir(), "more.log")
	if err := os.WriteFile(more, []byte("one\ntwo\nthe last line has no newline"), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, e.env, binary, "demo", "--data", data, "--input", more)
	for _, line := range []string{"one", "two", "the last line has no newline"} {
		want[line]++
	}
	if diff := cmp.Diff(want, demoLines(t, data)); diff != "" {
		t.Fatalf("lines in the objects after a second run (-want +got):\n%s", last(diff, 3000))
	}
}

// demoLines counts the lines in all buckets of a demo's data directory.
func demoLines(t *testing.T, data string) map[string]int {
	t.Helper()
	return linesIn(t, filepath.Join(data, "buckets"))
}

func TestDemoDeliversEveryLineOfAnAccessLogExactlyOnceToMinIO(t *testing.T) {
	path, lines := accessLog(t)
	store := miniotest.Start(t)
	data := t.TempDir()
	out := run(t, append(storeEnv(store), "SLUICE_S3_CREATE_BUCKETS=true"), binary, "demo", "--data", data, "--input", path)
	t.Logf("demo printed:\n%s", last(out, 1500))
	if diff := cmp.Diff(count(lines), countLines(minioObjects(t, store, demoBucket))); diff != "" {
		t.Fatalf("lines in the objects (-want +got):\n%s", last(diff, 3000))
	}
	if names := slices.Collect(maps.Keys(objectsIn(t, filepath.Join(data, "buckets")))); len(names) != 0 {
		t.Errorf("objects in the directory sink beside MinIO: %q", names)
	}
}

// storeEnv are the settings with which objects go to a store.
func storeEnv(store *miniotest.Server) []string {
	return []string{
		"SLUICE_S3_ENDPOINT=" + store.Endpoint, "SLUICE_S3_ACCESS_KEY=" + store.AccessKey,
		"SLUICE_S3_SECRET_KEY=" + store.SecretKey,
	}
}

// minioObjects reads every object of a bucket of a store.
func minioObjects(t *testing.T, store *miniotest.Server, bucket string) map[string][]byte {
	t.Helper()
	objects := map[string][]byte{}
	for _, key := range store.Keys(t, bucket) {
		objects[key] = plain(t, key, store.Get(t, bucket, key))
	}
	return objects
}
