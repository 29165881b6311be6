package kafkatest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
)

const (
	// How long a broker may take to serve before the test is given up: far more than it needs.
	readyTimeout = 3 * time.Minute
	// How long it may take to answer one question.
	askTimeout = 10 * time.Second
	// How much of a broker's log is shown.
	logBytes = 8 << 10
)

// Broker is one process of a cluster, with its data and its addresses, which stay the same when it is started anew.
type Broker struct {
	ID int

	cluster   *Cluster
	dir       string
	addresses map[Listener]string

	mu      sync.Mutex
	running *process // nil while it is stopped
	begin   int64    // where the log of the last start begins
}

// Address is host:port of a listener.
func (b *Broker) Address(l Listener) string {
	address, ok := b.addresses[l]
	if !ok {
		panic(fmt.Sprintf("kafkatest: no listener %s without Options.Secure", l))
	}
	return address
}

// Kill ends the broker as kill -9 does. It may be called while it is not running, and from any goroutine.
func (b *Broker) Kill() { b.end(os.Kill) }

// Stop ends the broker in an orderly way: it hands its partitions to others first.
func (b *Broker) Stop(t testing.TB) {
	t.Helper()
	if !b.end(syscall.SIGTERM) {
		t.Fatalf("broker %d is not running", b.ID)
	}
}

// Pause makes the broker hang: its connections stay, and nothing is answered. Continue ends that.
func (b *Broker) Pause(t testing.TB) {
	t.Helper()
	b.signal(t, syscall.SIGSTOP)
}

// Continue lets a paused broker go on.
func (b *Broker) Continue(t testing.TB) {
	t.Helper()
	b.signal(t, syscall.SIGCONT)
}

// Restart starts the broker again after Kill or Stop and returns when it serves.
func (b *Broker) Restart(t testing.TB) {
	t.Helper()
	for attempt := 1; ; attempt++ {
		err := b.launch()
		if err == nil {
			err = b.awaitReady([]*Broker{b})
		}
		if err == nil {
			return
		}
		b.end(os.Kill)
		if attempt == attempts || !b.portTaken() { // by a connection, where the system gives those any port
			t.Fatalf("start broker %d again: %v", b.ID, err)
		}
	}
}

// Launch starts the broker again and does not wait until it serves.
func (b *Broker) Launch(t testing.TB) {
	t.Helper()
	if err := b.launch(); err != nil {
		t.Fatalf("start broker %d again: %v", b.ID, err)
	}
}

func (b *Broker) settingsFile() string { return filepath.Join(b.dir, "server.properties") }
func (b *Broker) logFile() string      { return filepath.Join(b.dir, "broker.log") }

// format makes the broker's directory.
func (b *Broker) format() error {
	if err := os.MkdirAll(b.dir, 0o700); err != nil {
		return err
	}
	if err := writeProperties(b.settingsFile(), b.cluster.properties(b)); err != nil {
		return err
	}
	args := []string{"format", "--cluster-id", b.cluster.id, "--config", b.settingsFile()}
	if b.cluster.Security != nil {
		args = append(args, b.cluster.Security.scram()...)
	}
	output, err := b.cluster.tools.command("kafka.tools.StorageTool", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("format the directory of broker %d: %w: %s", b.ID, err, output)
	}
	return nil
}

func (b *Broker) launch() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.running != nil {
		return fmt.Errorf("broker %d is running", b.ID)
	}
	log, err := os.OpenFile(b.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if end, err := log.Seek(0, io.SeekEnd); err == nil {
		b.begin = end
	}
	defer func() { _ = log.Close() }() // the child has its own
	command := b.cluster.tools.command("kafka.Kafka", b.settingsFile())
	command.Stdout, command.Stderr = log, log
	b.running, err = startProcess(command)
	return err
}

// awaitReady returns when the broker's metadata has all of the others, itself among them. A broker is in it only
// when it serves.
func (b *Broker) awaitReady(others []*Broker) error {
	ctx, cancel := context.WithTimeout(context.Background(), readyTimeout)
	defer cancel()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := b.knows(ctx, others)
		if err == nil {
			return nil
		}
		for _, other := range others { // they wait for each other
			if other.ended() {
				return fmt.Errorf("broker %d ended at once; its last words: %s", other.ID, other.log())
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("broker %d does not serve after %s: %w; its last words: %s", b.ID, readyTimeout, err, b.log())
		case <-ticker.C:
		}
	}
}

// ended tells whether the process has ended, by itself or not.
func (b *Broker) ended() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.running == nil {
		return true
	}
	select {
	case <-b.running.done:
		return true
	default:
		return false
	}
}

// portTaken tells whether the broker said since its last start that somebody else listens where it should.
func (b *Broker) portTaken() bool {
	text, err := os.ReadFile(b.logFile())
	if err != nil {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	text = text[min(b.begin, int64(len(text))):]
	return bytes.Contains(text, []byte("BindException")) || bytes.Contains(text, []byte("Address already in use"))
}

// knows asks the broker itself for the cluster's metadata.
func (b *Broker) knows(ctx context.Context, others []*Broker) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	conn, err := kafka.DialContext(ctx, "tcp", b.addresses[Plain])
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(askTimeout))
	known, err := conn.Brokers()
	if err != nil {
		return err
	}
	ids := map[int]bool{}
	for _, one := range known {
		ids[one.ID] = true
	}
	for _, other := range others {
		if !ids[other.ID] {
			return fmt.Errorf("it does not know broker %d", other.ID)
		}
	}
	return nil
}

// end ends the process and waits for it. It reports whether there was one.
func (b *Broker) end(signal os.Signal) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.running == nil {
		return false
	}
	_ = b.running.command.Process.Signal(signal) // it may have ended by itself
	<-b.running.done
	b.running = nil
	return true
}

func (b *Broker) signal(t testing.TB, signal os.Signal) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.running == nil {
		t.Fatalf("broker %d is not running", b.ID)
	}
	if err := b.running.command.Process.Signal(signal); err != nil {
		t.Fatalf("signal to broker %d: %v", b.ID, err)
	}
}

// log is the end of what the broker wrote.
func (b *Broker) log() string {
	text, err := os.ReadFile(b.logFile())
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-logBytes):])
}

// process is a child with an owner: a goroutine that started it and waits for it.
type process struct {
	command *exec.Cmd
	done    chan struct{} // closed when it has ended
}

func startProcess(command *exec.Cmd) (*process, error) {
	dieWithParent(command)
	p := &process{command: command, done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		defer close(p.done)
		// Linux ties the child's life to the thread that made it, so this one must stay.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := command.Start()
		started <- err
		if err == nil {
			_ = command.Wait() // how it ends is the test's doing
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}
