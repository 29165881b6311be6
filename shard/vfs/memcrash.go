package vfs

import (
	"cmp"
	"maps"
	"math/rand/v2"
	"slices"
)

// FailSync does to a file what a kernel does when its sync fails: the bytes that are not on disk stay in memory, but
// count as written. Only those that are written again get to the disk with a later sync. A hook that fails a
// Datasync may call it.
func (m *Mem) FailSync(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := m.find(name); n != nil && n.data != nil { // it may have been removed while it is open
		n.data.failSync()
	}
}

// FailSyncDir does the same to a directory: its changes that are not on disk stay in memory, and only names that change
// once more get to the disk with a later sync.
func (m *Mem) FailSyncDir(dir string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := m.find(dir); n != nil {
		n.changes = nil
	}
}

// FailSyncTree does both to a directory, and all that is in it.
func (m *Mem) FailSyncTree(dir string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.find(dir).walk(func(n *memNode) {
		if n.data != nil {
			n.data.failSync()
		} else {
			n.changes = nil
		}
	})
}

// Crash is CrashClone, and the end of the original: every later call fails with ErrCrashed, one that is under way
// too, so that nobody can take for durable what the clone has not seen.
func (m *Mem) Crash(seed uint64) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.crashed = true
	return m.crashClone(seed)
}

// CrashClone returns the file system as a power loss now would leave it: what was synced, and of the rest a
// part that the seed decides. The seed 0 loses all of the rest. The clone is independent, and all that it
// holds is durable in it.
func (m *Mem) CrashClone(seed uint64) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.crashClone(seed)
}

func (m *Mem) crashClone(seed uint64) *Mem {
	c := &memCloner{lucky: func() bool { return false }, to: NewMem(), nodes: map[*memNode]*memNode{}}
	if seed != 0 {
		rng := rand.New(rand.NewPCG(seed, 0))
		odds := []float64{0, 0.1, 0.5, 0.9, 1}[rng.IntN(5)]
		c.lucky = func() bool { return rng.Float64() < odds }
	}
	c.to.root = c.node(m.root)
	c.to.capacity = m.capacity
	return c.to
}

// KillClone returns the file system as the end of all its processes now would leave it: everything is there, in memory,
// and nothing is open or locked. The clone is independent.
func (m *Mem) KillClone() *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := &memCloner{to: NewMem(), nodes: map[*memNode]*memNode{}}
	c.to.root = c.same(m.root)
	c.to.capacity = m.capacity
	return c.to
}

type memCloner struct {
	lucky func() bool
	to    *Mem
	nodes map[*memNode]*memNode
}

// node clones a node as a power loss leaves it.
func (c *memCloner) node(n *memNode) *memNode {
	if done := c.nodes[n]; done != nil {
		return done
	}
	out := &memNode{}
	c.nodes[n] = out
	if n.data != nil {
		out.data = n.data.crash(c.lucky)
		c.to.used += out.data.space()
		return out
	}
	entries := maps.Clone(n.synced)
	for _, change := range n.changes {
		if c.lucky() {
			change.apply(entries)
		}
	}
	out.entries = map[string]*memNode{}
	for _, name := range slices.SortedFunc(maps.Keys(entries), cmp.Compare) {
		child := c.node(entries[name])
		child.refs++
		out.entries[name] = child
	}
	out.synced = maps.Clone(out.entries)
	return out
}

// same clones a node with all that a power loss could still take.
func (c *memCloner) same(n *memNode) *memNode {
	if done := c.nodes[n]; n == nil || done != nil {
		return done
	}
	out := &memNode{}
	c.nodes[n] = out
	if n.data != nil {
		out.data = n.data.clone()
		return out
	}
	out.entries, out.synced = map[string]*memNode{}, map[string]*memNode{}
	for name, child := range n.entries {
		child = c.same(child)
		if child.refs++; child.refs == 1 && child.data != nil {
			c.to.used += child.data.space()
		}
		out.entries[name] = child
	}
	for name, child := range n.synced {
		out.synced[name] = c.same(child)
	}
	for _, change := range n.changes {
		change.node = c.same(change.node)
		out.changes = append(out.changes, change)
	}
	return out
}

func (d *memData) failSync() {
	maps.Copy(d.lost, d.old)
	clear(d.old)
}

// clone shares the pages.
func (d *memData) clone() *memData {
	for i := range d.pages {
		d.pages[i].own = false
	}
	c := *d
	c.pages = slices.Clone(d.pages)
	c.old, c.lost = maps.Clone(d.old), maps.Clone(d.lost)
	return &c
}

func (d *memData) crash(lucky func() bool) *memData {
	out := d.clone()
	out.old, out.lost = map[int64][]byte{}, map[int64][]byte{}
	out.size = d.syncedSize
	if d.size != d.syncedSize && lucky() {
		out.size = d.size
	}
	for _, s := range slices.Sorted(maps.Keys(d.old)) {
		if !lucky() {
			out.store(d.old[s], s*sectorBytes)
		}
	}
	for s, before := range d.lost {
		out.store(before, s*sectorBytes)
	}
	// Bytes past the end read as zeros should the file grow again.
	if end := int64(len(out.pages)) * pageBytes; end > out.size {
		out.store(make([]byte, end-out.size), out.size)
	}
	out.alloc = out.size
	out.syncedSize = out.size
	return out
}
