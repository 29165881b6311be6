//go:build linux

package child

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// The test program plays the children too.
func TestMain(m *testing.M) {
	switch os.Getenv("CHILD_TEST_ROLE") {
	case "":
		goleak.VerifyTestMain(m)
	case "polite":
		stop := make(chan os.Signal, 1)
		signal.Notify(stop, syscall.SIGTERM)
		fmt.Println("ready")
		<-stop
	case "busy":
		block := make([]byte, 64<<20)
		for i := 0; ; i++ {
			block[i%len(block)]++
		}
	case "failing":
		fmt.Fprint(os.Stderr, strings.Repeat("noise ", 10_000), "the disk is on fire")
		os.Exit(3)
	}
}

func start(t *testing.T, role string) *Process {
	t.Helper()
	p, err := Start(os.Args[0], nil, []string{"CHILD_TEST_ROLE=" + role})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.cmd.Process.Kill(); <-p.Exited() })
	return p
}

func TestAPoliteChildIsAskedToEnd(t *testing.T) {
	p := start(t, "polite")
	for !strings.Contains(p.log.String(), "ready") { // before, it would not handle the signal
		select {
		case <-p.Exited():
			t.Fatal(p.Failure())
		case <-time.After(time.Millisecond):
		}
	}
	if err := p.Stop(time.Minute); err != nil {
		t.Fatal(err)
	}
}

func TestAChildThatEndedTellsItsLastWords(t *testing.T) {
	p := start(t, "failing")
	<-p.Exited()
	err := p.Stop(time.Minute)
	if err == nil || !strings.Contains(err.Error(), "the disk is on fire") || !strings.Contains(err.Error(), "exit status 3") {
		t.Fatalf("got %v", err)
	}
	if n := len(p.log.String()); n > 2*tailBytes {
		t.Fatalf("%d bytes of its words were kept", n)
	}
}

func TestABusyChildsCPUAndMemoryAreSeen(t *testing.T) {
	p := start(t, "busy")
	for { // the condition, however long a loaded machine takes
		cpu, err := p.CPU()
		if err != nil {
			t.Fatal(err)
		}
		peak, err := p.Peak()
		if err != nil {
			t.Fatal(err)
		}
		if cpu >= 3*tick && peak > 1<<20 {
			break
		}
		select {
		case <-p.Exited():
			t.Fatal(p.Failure())
		case <-time.After(time.Millisecond):
		}
	}
	if err := p.ResetPeak(); err != nil {
		t.Fatal(err)
	}
	if err := p.Quiet(t.Context(), 300*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	own, err := OwnCPU()
	if err != nil {
		t.Fatal(err)
	}
	machine, err := MachineCPU()
	if err != nil || machine < own {
		t.Fatalf("the machine has used %v, this process alone %v; %v", machine, own, err)
	}
}

func TestWaitingForAChildToBeQuietEndsWhenItEnds(t *testing.T) {
	p := start(t, "failing")
	<-p.Exited()
	if err := p.Quiet(t.Context(), time.Minute); err == nil {
		t.Fatal("a child that is gone is not quiet")
	}
}

func TestTheDiskOfADirectoryIsFoundAndItsWorkCounted(t *testing.T) {
	dir := t.TempDir()
	var info syscall.Stat_t
	if err := syscall.Stat(dir, &info); err != nil {
		t.Fatal(err)
	}
	before, known, err := workOf(unix.Major(info.Dev), unix.Minor(info.Dev))
	if err != nil {
		t.Fatal(err)
	}
	if !known {
		t.Skip("the temporary directory is on no disk of /proc/diskstats")
	}
	f, err := os.Create(filepath.Join(dir, "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	if err := SettleDisk(t.Context(), dir, time.Second); err != nil {
		t.Fatal(err)
	}
	after, _, err := workOf(unix.Major(info.Dev), unix.Minor(info.Dev))
	if err != nil || after.writes <= before.writes {
		t.Errorf("the file is not written: %+v, before %+v, %v", after, before, err)
	}
}
