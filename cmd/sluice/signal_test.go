package main

import (
	"bufio"
	"errors"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// A demo that was interrupted delivers what it has put. Its bucket is away here, so it would wait for ever.
func TestASecondInterruptLeavesAtOnce(t *testing.T) {
	away, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and answers nothing
	if err != nil {
		t.Fatal(err)
	}
	defer away.Close()
	demo := exec.CommandContext(t.Context(), "sluice", "demo", "--data", t.TempDir(), "--rate", "1000")
	demo.Env = append(os.Environ(),
		"SLUICE_S3_ENDPOINT=http://"+away.Addr().String(), "SLUICE_S3_ACCESS_KEY=a", "SLUICE_S3_SECRET_KEY=b")
	stdout, err := demo.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	demo.Stderr = &stderr
	if err := demo.Start(); err != nil {
		t.Fatal(err)
	}
	signals := []struct {
		seen string
		then os.Signal
	}{{"put ", os.Interrupt}, {"Interrupted: delivering what was put", syscall.SIGTERM}}
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if len(signals) > 0 && strings.HasPrefix(lines.Text(), signals[0].seen) {
			if err := demo.Process.Signal(signals[0].then); err != nil {
				t.Fatal(err)
			}
			signals = signals[1:]
		}
	}
	var exit *exec.ExitError
	if err := demo.Wait(); !errors.As(err, &exit) || exit.ExitCode() != exitSignal || len(signals) > 0 {
		t.Errorf("%v\n%s", err, stderr.String())
	}
	if !strings.Contains(stderr.String(), "left at once by a second signal") {
		t.Errorf("%s", stderr.String())
	}
}
