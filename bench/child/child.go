// Package child runs the servers that are measured, each as a process of its own, and reads from /proc what
// they cost.
package child

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// Process is a running child.
type Process struct {
	cmd    *exec.Cmd
	log    *tail
	exited chan struct{} // closed when the process has ended; err is set before
	err    error
}

// Start runs a program with the given arguments and, beside the environment of this process, env. What it
// prints on standard error is kept (the end of it) for error messages.
func Start(path string, args, env []string) (*Process, error) {
	p := &Process{cmd: exec.Command(path, args...), log: &tail{}, exited: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.cmd.SysProcAttr = diesWithParent()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

// Exited is closed when the process has ended, whoever ended it.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Failure says that the process has ended, and with what last words. Only to be called after Exited.
func (p *Process) Failure() error {
	return fmt.Errorf("%s ended (%v); its last words:\n%s", p.cmd.Path, p.cmd.ProcessState, p.log)
}

// Stop asks the process to end and waits until it has; after the grace it is killed, which is an error.
func (p *Process) Stop(grace time.Duration) error {
	select {
	case <-p.exited:
		return p.Failure()
	default:
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	late := time.NewTimer(grace)
	defer late.Stop()
	select {
	case <-p.exited:
		if p.err != nil {
			return p.Failure()
		}
		return nil
	case <-late.C:
		killed := p.cmd.Process.Kill()
		<-p.exited
		return errors.Join(fmt.Errorf("%s did not end within %v and was killed", p.cmd.Path, grace), killed)
	}
}

// Kill ends the process as kill -9 does.
func (p *Process) Kill() error {
	select {
	case <-p.exited:
		return p.Failure()
	default:
	}
	err := p.cmd.Process.Kill()
	<-p.exited
	return err
}

// CPU is the processor time, in user and kernel, that the process has used since it started, in steps of
// 10 ms.
func (p *Process) CPU() (time.Duration, error) { return cpuOf(p.cmd.Process.Pid) }

// Peak is the most memory that the process has had resident since the last ResetPeak.
func (p *Process) Peak() (int64, error) { return peakOf(p.cmd.Process.Pid) }

// OwnPeak is the most memory that this process has had resident.
func OwnPeak() (int64, error) { return peakOf(os.Getpid()) }

// Resident is the memory that the process has resident now.
func (p *Process) Resident() (int64, error) { return residentOf(p.cmd.Process.Pid) }

// OpenFiles is the number of descriptors that the process has open, sockets included.
func (p *Process) OpenFiles() (int, error) { return openFilesOf(p.cmd.Process.Pid) }

// ResetPeak makes Peak start anew at what is resident now.
func (p *Process) ResetPeak() error { return resetPeakOf(p.cmd.Process.Pid) }

// Quiet waits until the process uses next to no CPU, so that work it has put off is neither forgotten in its
// own figures nor charged to who is measured next. It gives up, silently, after the limit: a process
// that is never quiet then has that in its figures.
func (p *Process) Quiet(ctx context.Context, limit time.Duration) error {
	return quiet(ctx, limit, func() (time.Duration, error) {
		select {
		case <-p.exited:
			return 0, p.Failure()
		default:
			return p.CPU()
		}
	})
}

// OwnQuiet is Quiet for this process.
func OwnQuiet(ctx context.Context, limit time.Duration) error { return quiet(ctx, limit, OwnCPU) }

func quiet(ctx context.Context, limit time.Duration, cpu func() (time.Duration, error)) error {
	const step, idle = 100 * time.Millisecond, 10 * time.Millisecond
	ticker := time.NewTicker(step)
	defer ticker.Stop()
	before, err := cpu()
	if err != nil {
		return err
	}
	for range int(limit / step) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
		now, err := cpu()
		if err != nil {
			return err
		}
		if now-before < idle {
			return nil
		}
		before = now
	}
	return nil
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	text []byte // at most 2 × tailBytes
}

const tailBytes = 8 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(p)
	if len(p) > tailBytes {
		p = p[len(p)-tailBytes:]
	}
	t.text = append(t.text, p...)
	if len(t.text) > 2*tailBytes {
		t.text = append(t.text[:0], t.text[len(t.text)-tailBytes:]...)
	}
	return n, nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}
