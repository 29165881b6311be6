package journal

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/seed-462d9463/sluice/shard"
	"github.com/seed-462d9463/sluice/shard/vfs"
)

// branch has the machine crash now, beside the history, which goes on as if it had not.
func (r *history) branch(before vfs.Call) error {
	b := &branch{rng: rand.New(rand.NewPCG(r.rng.Uint64(), 3)), ledger: r.ledger.clone()}
	left, how := b.crash(r.mem)
	if syncsDisk(before.Op) && b.rng.IntN(2) == 0 {
		// A start finds what a power loss would still take, and what, if the sync has failed, no other one will save.
		if left, how = r.mem.KillClone(), "kill"; b.rng.IntN(2) == 0 {
			failSync(left, before)
			how = "failed sync"
		}
	}
	if err := b.recover(left, 0); err != nil {
		return fmt.Errorf("%s: %w", how, err)
	}
	return nil
}

// failSync does to a disk what a sync that fails does.
func failSync(mem *vfs.Mem, c vfs.Call) {
	switch c.Op {
	case vfs.OpSyncDir:
		mem.FailSyncDir(c.Name)
	case vfs.OpSyncTree:
		mem.FailSyncTree(c.Name)
	default:
		mem.FailSync(c.Name)
	}
}

// branch is what comes after one crash point.
type branch struct {
	rng    *rand.Rand
	ledger *ledger
}

// crash returns what a crash leaves.
func (b *branch) crash(mem *vfs.Mem) (left *vfs.Mem, how string) {
	switch p := b.rng.IntN(10); {
	case p < 3:
		return mem.KillClone(), "kill"
	case p < 5:
		return mem.CrashClone(0), "power loss without luck"
	default:
		return mem.CrashClone(b.rng.Uint64()), "power loss"
	}
}

// recover starts an engine on what is left, with or without another crash meanwhile, and holds it against the ledger.
func (b *branch) recover(left *vfs.Mem, depth int) error {
	disk := vfs.Inject(left)
	again := &crashPoint{}
	if depth < 2 && b.rng.IntN(3) == 0 {
		again.at = 1 + b.rng.IntN(20)
		again.crash = func() (*vfs.Mem, string) { return b.crash(left) }
		disk.Hook(again.hook)
	}
	opts := campaignOptions(b.rng)
	opts.FS = mutated(disk)
	e, err := Open(opts)
	if again.disarm() {
		if err == nil {
			e.Close()
		}
		if err := b.recover(again.left, depth+1); err != nil {
			return fmt.Errorf("%s before call %d of the recovery: %w", again.how, again.at, err)
		}
		return nil
	}
	if err != nil {
		if newAndFull(left, err) {
			return nil
		}
		return err
	}
	if err := b.ledger.check(e); err != nil {
		e.Close()
		return err
	}
	next, err := b.goOn(e, disk, left, depth)
	if err != nil || next == nil {
		return err
	}
	if err := b.recover(next, depth+1); err != nil {
		return fmt.Errorf("then: %w", err)
	}
	return nil
}

// goOn uses an engine that has recovered, and ends it. It returns the disk, if there is more to see.
func (b *branch) goOn(e *Engine, disk *vfs.Injector, left *vfs.Mem, depth int) (*vfs.Mem, error) {
	end := func() {
		disk.Hook(func(vfs.Call) error { return vfs.ErrCrashed })
		e.Close()
	}
	p := b.rng.IntN(10)
	switch {
	case depth >= 2 || p < 2:
		end()
		return nil, nil
	case p < 5: // what was shown must not go in a power loss
		next := left.CrashClone(b.rng.Uint64() * uint64(b.rng.IntN(2)))
		end()
		return next, nil
	case p < 9:
		for range []int{1, 1, 4}[b.rng.IntN(3)] {
			if err := b.write(e); err != nil {
				end()
				return nil, fmt.Errorf("writing after the recovery: %w", err)
			}
		}
		next := left.CrashClone(b.rng.Uint64() * uint64(b.rng.IntN(2)))
		end()
		return next, nil
	}
	if err := e.Close(); err != nil {
		return nil, fmt.Errorf("close after the recovery: %w", err)
	}
	next, _ := b.crash(left)
	return next, nil
}

// write appends to every log, and notes it.
func (b *branch) write(e *Engine) error {
	ctx := context.Background()
	cl := &client{rng: b.rng}
	for _, name := range slices.Sorted(maps.Keys(b.ledger.topics)) {
		t := b.ledger.topics[name]
		for i := range t.partitions {
			led := t.logs[i]
			log, err := e.Open(ctx, name, i)
			if err != nil {
				return err
			}
			a := &attempt{records: cl.records()}
			led.tried = append(led.tried, a)
			at, err := log.Append(ctx, a.records).Wait(ctx)
			if err != nil && !isFullError(err) {
				return err
			}
			if err := led.answered(a, at, err); err != nil {
				return err
			}
			if b.rng.IntN(4) > 0 {
				continue
			}
			led.trying = max(led.trying, led.next-shard.Offset(b.rng.IntN(4)))
			if err := log.Trim(ctx, led.trying); err != nil && !isFullError(err) {
				return err
			}
			if err := led.saw(log.Bounds()); err != nil {
				return err
			}
		}
	}
	return nil
}

// crashPoint crashes a disk before one of the calls that change it.
type crashPoint struct {
	at    int
	crash func() (*vfs.Mem, string)

	mu   sync.Mutex // guards what follows
	n    int
	left *vfs.Mem
	how  string
	off  bool
}

func (c *crashPoint) hook(call vfs.Call) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left != nil {
		return vfs.ErrCrashed
	}
	if c.off || !changesDisk(call.Op) {
		return nil
	}
	if c.n++; c.n == c.at {
		c.left, c.how = c.crash()
		return vfs.ErrCrashed
	}
	return nil
}

// disarm ends the danger, and tells whether the crash has come.
func (c *crashPoint) disarm() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.off = true
	return c.left != nil
}
