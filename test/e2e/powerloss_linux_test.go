package e2e

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-462d9463/sluice/shard/vfs"
	"github.com/seed-462d9463/sluice/test/fusefs"
)

// machine is a server on a disk of its own, and the switch for the power of both. The disk is a real file system to the
// server; it is kept in the test's memory, which knows what was synced.
type machine struct {
	*server
	disk *fusefs.Disk
	mem  *vfs.Mem
	lies atomic.Bool // the disk says that data is synced, and does not do it
}

// newMachine mounts the disk. Where that is not possible the test is skipped, with CI=true too: containers are seldom
// allowed to.
func newMachine(t *testing.T, args ...string) *machine {
	t.Helper()
	m := &machine{mem: vfs.NewMem()}
	dir := t.TempDir()
	var err error
	if m.disk, err = fusefs.Mount(dir, lyingDisk{m.mem, &m.lies}); err != nil {
		t.Skipf("SKIPPED, NOT TESTED: power loss under the real process needs /dev/fuse and the right to mount: %v", err)
	}
	t.Cleanup(func() { // after the server's own, which kills it
		if err := m.disk.Unmount(); err != nil {
			t.Error(err)
		}
	})
	m.server = newServer(t, args...)
	m.data = filepath.Join(dir, "data")
	return m
}

// losePower stops the disk in the middle of whatever it does, kills the server, and puts in the disk's place what a
// power loss leaves of it by this seed.
func (m *machine) losePower(seed uint64) {
	m.t.Helper()
	m.disk.Freeze()
	left := m.mem.Crash(seed)
	_ = m.cmd.Process.Kill()
	m.disk.Release() // it is dead, but for the calls that were held
	m.kill()
	if err := m.disk.Unmount(); err != nil {
		m.t.Fatal(err)
	}
	var err error
	m.mem = left
	if m.disk, err = fusefs.Mount(filepath.Dir(m.data), lyingDisk{left, &m.lies}); err != nil {
		m.t.Fatal(err)
	}
}

// powerLosses is how often the power fails; `make nightly` has more.
var powerLosses = flag.Int("losses", 8, "how often the power fails in TestNothingAcknowledgedIsLostWhenThePowerFails")

// TestNothingAcknowledgedIsLostWhenThePowerFails writes from several producers, and reads, while the power of the real
// server and its disk fails at random moments, and holds what is left against a ledger that is outside.
func TestNothingAcknowledgedIsLostWhenThePowerFails(t *testing.T) {
	losses := *powerLosses
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	m := newMachine(t, "--limits", "off", "--config", "testdata/small-log.yaml")
	m.start()
	createStream(t, m.server, "clicks", 3)

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	l, watcher := newLedger(), newWatcher()
	var acks atomic.Int64
	var clients sync.WaitGroup
	for i := range 3 {
		client := m.kinesis()
		clients.Go(func() { produce(ctx, client, "clicks", fmt.Sprintf("producer-%d", i), l, &acks) })
	}
	large := m.kinesis() // so that segments are filled and the journal's files written over
	clients.Go(func() { produceSized(ctx, large, "clicks", "large", 20_000, l, &acks) })
	clients.Go(func() { watcher.watch(ctx, m.kinesis(), "clicks") })
	defer clients.Wait() // before the disk goes
	defer stop()

	for range losses {
		before := acks.Load()
		eventually(t, "producers make progress after a restart", func() error {
			if acks.Load() < before+100 {
				return errNotYet
			}
			return nil
		})
		// The moment is random on purpose: nothing is awaited here.
		<-time.After(time.Duration(random.IntN(300)) * time.Millisecond)
		m.losePower(random.Uint64())
		m.start()
	}
	stop()
	clients.Wait()

	records := readStream(t.Context(), t, m.reader(), "clicks")
	checkStream(t, l, records)
	watcher.check(t, records)
	t.Logf("%d records acknowledged, %d found, %d seen while writing, %d losses of power",
		len(l.acknowledged()), len(records), len(watcher.seen), losses)
	m.stop()
}

// TestALyingDiskIsNoticed makes sure that the test above would notice a loss: on a disk that does not do what fdatasync
// asks for, records that were acknowledged are missing after the power has failed, or the server refuses to start.
func TestALyingDiskIsNoticed(t *testing.T) {
	m := newMachine(t, "--limits", "off", "--config", "testdata/small-log.yaml")
	m.start()
	createStream(t, m.server, "clicks", 1)
	m.lies.Store(true)
	l := newLedger()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var acks atomic.Int64
	var producer sync.WaitGroup
	client := m.kinesis()
	producer.Go(func() { produce(ctx, client, "clicks", "producer", l, &acks) })
	eventually(t, "records are acknowledged", func() error {
		if acks.Load() < 200 {
			return errNotYet
		}
		return nil
	})
	stop()
	producer.Wait()
	m.losePower(0)

	m.lies.Store(false)
	m.launch()
	if err := m.readyOrEnded(); err != nil {
		if out := m.output.String(); !strings.Contains(out, "is damaged at byte") {
			t.Errorf("the server refuses to start, and does not say what is damaged: %v\n%s", err, last(out, 2000))
		}
		t.Logf("noticed at the start: %v\n%s", err, last(m.output.String(), 500))
		return
	}
	there := map[string]bool{}
	for _, r := range readStream(t.Context(), t, m.reader(), "clicks") {
		there[parseEntry(t, r.data).id()] = true
	}
	lost := 0
	for _, a := range l.acknowledged() {
		if !there[a.entry.id()] {
			lost++
		}
	}
	t.Logf("%d of %d acknowledged records are lost", lost, len(l.acknowledged()))
	if lost == 0 {
		t.Error("the disk has lied, and nobody noticed: the ledger would not notice a loss either")
	}
}

// lyingDisk is a file system whose files, when told to, are not synced though it says so.
type lyingDisk struct {
	vfs.FS
	lies *atomic.Bool
}

func (d lyingDisk) Create(name string) (vfs.File, error) {
	f, err := d.FS.Create(name)
	return lyingFile{f, d.lies}, err
}

func (d lyingDisk) Open(name string, write bool) (vfs.File, error) {
	f, err := d.FS.Open(name, write)
	return lyingFile{f, d.lies}, err
}

type lyingFile struct {
	vfs.File
	lies *atomic.Bool
}

func (f lyingFile) Datasync() error {
	if f.lies.Load() {
		return nil
	}
	return f.File.Datasync()
}
