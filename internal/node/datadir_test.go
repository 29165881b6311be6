package node

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fill makes files and, for names that end in a slash, directories.
func fill(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		full := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o750); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "/") {
			if err := os.MkdirAll(full, 0o750); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.WriteFile(full, []byte("somebody's"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestADirectoryWithSomebodyElsesFilesIsRefusedAndLeftAsItWas(t *testing.T) {
	for name, c := range map[string]struct {
		files []string
		want  []string
	}{
		"one file":               {[]string{"notes.txt"}, []string{"notes.txt"}},
		"many":                   {[]string{"a", "b", "c", "d", "e"}, []string{"a, b, c and 2 more"}},
		"beside what is allowed": {[]string{".gitignore", "lost+found/", "buckets/", "main.go"}, []string{"but main.go;"}},
		"a folder of another's":  {[]string{"demo/LOCK", "demo/CURRENT"}, []string{"but demo;"}},
		"another store's":        {[]string{"LOCK", "CURRENT"}, []string{"CURRENT"}},
		"a folder named journal": {[]string{"journal/monday.md"}, []string{"journal/monday.md", "FORMAT"}},
		"a folder named meta":    {[]string{"photos/1.jpg", "meta/index.html"}, []string{"meta/index.html", "FORMAT"}},
	} {
		t.Run(name, func(t *testing.T) {
			config := testConfig(t)
			fill(t, config.Data, c.files...)
			err := <-launch(t, config, nil).end
			if err == nil {
				t.Fatal("it was used")
			}
			for _, want := range append(c.want, config.Data, "--data") {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v: does not say %q", err, want)
				}
			}
			for _, name := range c.files {
				if _, err := os.Stat(filepath.Join(config.Data, name)); err != nil {
					t.Error(err)
				}
			}
			if _, err := os.Stat(filepath.Join(config.Data, "FORMAT")); err == nil {
				t.Error("a log was made")
			}
		})
	}
}

func TestADirectoryWithNothingButWhatIsAlwaysThereIsNew(t *testing.T) {
	config := testConfig(t)
	fill(t, config.Data, "lost+found/", ".gitignore", ".snapshot/hourly/", "buckets/archive/object", "spool/", "tls/", "LOCK",
		"demo/FORMAT", "journal/", "meta/")
	start(t, config, nil)
}

func TestADirectoryInWhichADemoHasNoLogIsNew(t *testing.T) {
	for name, files := range map[string][]string{
		"its log is in Kafka":      {"demo/LOCK", "demo/buckets/clickstream/object", "demo/spool/"},
		"it ended before its log":  {"demo/LOCK"},
		"it ended before its lock": {"demo/"},
	} {
		t.Run(name, func(t *testing.T) {
			config := testConfig(t)
			fill(t, config.Data, files...)
			start(t, config, nil)
		})
	}
}

func TestWhatSomebodyPutsIntoADataDirectoryLaterIsNoMatter(t *testing.T) {
	config := testConfig(t)
	n := start(t, config, nil)
	n.stop()
	if err := <-n.end; err != nil {
		t.Fatal(err)
	}
	fill(t, config.Data, "sluice.yaml", "notes/")
	start(t, config, nil)
}
