package kafkatest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// tools are the programs that brokers are made of.
type tools struct {
	java string
	libs string // directory with Kafka's jars
}

// findTools finds Java and the jars that SLUICE_TEST_KAFKA names, else those in .tools/kafka in the repository. If
// they are missing the test is skipped; with CI=true it fails.
func findTools(t testing.TB) tools {
	t.Helper()
	libs := os.Getenv("SLUICE_TEST_KAFKA")
	if libs == "" {
		libs = filepath.Join(repository(t), ".tools", "kafka")
	}
	jars, err := filepath.Glob(filepath.Join(libs, "kafka_*.jar"))
	if err != nil || len(jars) == 0 {
		missing(t, fmt.Sprintf("no Kafka in %s; run `make tools` once, or set SLUICE_TEST_KAFKA to the directory with its jars", libs))
	}
	java, err := exec.LookPath("java")
	if err != nil {
		missing(t, "no java to run Kafka with: "+err.Error())
	}
	return tools{java: java, libs: libs}
}

func missing(t testing.TB, why string) {
	t.Helper()
	message := "NOT TESTED: " + why
	if os.Getenv("CI") == "true" {
		t.Fatal(message)
	}
	t.Skip(message)
}

// repository is the directory above the working directory that has the go.mod.
func repository(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("no go.mod above the working directory")
		}
		dir = parent
	}
}

// Small machines run several of these at once: one compiler, one collector, a heap that is just enough.
var jvm = []string{
	"-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-Xshare:auto",
	"-Djava.awt.headless=true",
	"-Dorg.slf4j.simpleLogger.showDateTime=true", "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
	"-Dorg.slf4j.simpleLogger.log.org.apache.kafka.clients.NetworkClient=error", // who is away is known
}

// command runs a class of Kafka's.
func (k tools) command(class string, args ...string) *exec.Cmd {
	all := append(append([]string{}, jvm...), "-cp", filepath.Join(k.libs, "*"), class)
	return exec.Command(k.java, append(all, args...)...)
}
