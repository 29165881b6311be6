package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/seed-462d9463/sluice/test/loopback"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"sluice": main})
}

// TestCommandLine runs the scripts in testdata/script, each in a directory of its own, with the addresses LISTEN,
// LISTEN2, ADMIN and ADMIN2 free and TAKEN in use.
func TestCommandLine(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(e *testscript.Env) error {
			taken, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return err
			}
			e.Defer(func() { _ = taken.Close() })
			e.Setenv("TAKEN", taken.Addr().String())
			for _, name := range []string{"LISTEN", "ADMIN", "LISTEN2", "ADMIN2"} {
				address, err := loopback.FreeAddress()
				if err != nil {
					return err
				}
				e.Setenv(name, address)
			}
			e.Setenv("AWS_ENDPOINT_URL", "http://"+e.Getenv("LISTEN"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "ready": ready, "until": until, "objects": objects, "number": number, "delivered": delivered, "damage": damage,
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

// exits CODE COMMAND… runs a command and wants that exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND…")
	}
	code := 0
	var failed *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &failed) {
		code = failed.ExitCode()
	} else {
		ts.Check(err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

// ready waits until the server with this admin address serves.
func ready(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: ready ADDRESS")
	}
	deadline := time.Now().Add(time.Minute)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		response, err := http.Get("http://" + args[0] + "/readyz")
		if err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return
			}
			err = errors.New(response.Status)
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s is not ready: %v", args[0], err)
		}
	}
}

// until COMMAND… runs a command again and again until it succeeds.
func until(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: until COMMAND…")
	}
	deadline := time.Now().Add(time.Minute)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		err := ts.Exec(args[0], args[1:]...)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%q does not succeed: %v", args, err)
		}
	}
}

// objects DIR FILE collects what is in all objects below DIR, uncompressed and sorted by line, in FILE.
func objects(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: objects DIR FILE")
	}
	var lines []string
	ts.Check(filepath.WalkDir(ts.MkAbs(args[0]), func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		uncompressed, err := gzip.NewReader(f)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		l := newLineReader(uncompressed, path, 1<<30)
		for {
			line, err := l.next()
			if err != nil {
				break
			}
			lines = append(lines, string(line)+"\n")
		}
		return uncompressed.Close()
	}))
	slices.Sort(lines)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(strings.Join(lines, "")), 0o600))
}

// number N FILE wants a file to have N lines, all different.
func number(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: number N FILE")
	}
	lines := strings.Split(strings.TrimSuffix(ts.ReadFile(args[1]), "\n"), "\n")
	seen := map[string]bool{}
	for _, line := range lines {
		seen[line] = true
	}
	if strconv.Itoa(len(lines)) != args[0] || len(seen) != len(lines) {
		ts.Fatalf("%d lines, %d of them different; want %s", len(lines), len(seen), args[0])
	}
}

// delivered FILE wants all lines of a file to be different, and as many as the last demo says were delivered in all.
func delivered(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: delivered FILE")
	}
	_, all, _ := strings.Cut(ts.ReadFile("stdout"), "All runs on this data directory:")
	fields := strings.Fields(all)
	if len(fields) < 2 {
		ts.Fatalf("the last command was no demo")
	}
	number(ts, neg, []string{strings.ReplaceAll(fields[1], ",", ""), args[0]})
}

// damage PATTERN TEXT flips a bit of the first TEXT in each file that matches and has it, and wants one to have it.
func damage(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: damage PATTERN TEXT")
	}
	names, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	done := false
	for _, name := range names {
		b, err := os.ReadFile(name)
		ts.Check(err)
		if i := bytes.Index(b, []byte(args[1])); i >= 0 {
			b[i] ^= 1
			ts.Check(os.WriteFile(name, b, 0o600))
			done = true
		}
	}
	if !done {
		ts.Fatalf("no file %s has %q in it", args[0], args[1])
	}
}
