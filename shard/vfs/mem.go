package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
)

const sectorBytes = 512

// Mem is a file system in memory that can crash: CrashClone gives what a power loss at this moment would have
// left. It is stricter than real ones: nothing is durable that was not synced, and what was not is kept or
// lost sector by sector and entry by entry, in no order.
type Mem struct {
	mu       sync.Mutex
	root     *memNode
	capacity int64 // 0: no bound
	used     int64
	locks    map[string]bool
	crashed  bool // nothing happens any more
}

var _ FS = (*Mem)(nil)

// NewMem returns an empty file system without a bound.
func NewMem() *Mem {
	return &Mem{root: newMemDir(), locks: map[string]bool{}}
}

// SetCapacity bounds what all files together may take; 0 takes the bound away.
func (m *Mem) SetCapacity(bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.capacity = bytes
}

// Used returns the bytes that all files together take, preallocated ones included.
func (m *Mem) Used() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.used
}

// memNode is a file or a directory. Guarded by Mem.mu.
type memNode struct {
	// A directory: its entries now, its entries on disk, and the changes between the two.
	entries map[string]*memNode
	synced  map[string]*memNode
	changes []memChange

	data *memData // a file
	refs int      // open files and directory entries that keep a file's space taken
}

// memChange is one change of a directory, which a crash keeps or loses as a whole.
type memChange struct {
	add    string // "" for none
	node   *memNode
	remove string // "" for none
}

func (c memChange) apply(entries map[string]*memNode) {
	if c.remove != "" {
		delete(entries, c.remove)
	}
	if c.add != "" {
		entries[c.add] = c.node
	}
}

func newMemDir() *memNode {
	return &memNode{entries: map[string]*memNode{}, synced: map[string]*memNode{}}
}

func (m *Mem) change(dir *memNode, c memChange) {
	before := dir.entries[c.add]
	removed := dir.entries[c.remove]
	c.apply(dir.entries)
	dir.changes = append(dir.changes, c)
	if c.add != "" {
		c.node.refs++
	}
	for _, n := range []*memNode{before, removed} {
		if n != nil {
			m.unref(n)
		}
	}
}

func (m *Mem) unref(n *memNode) {
	n.refs--
	if n.refs == 0 && n.data != nil {
		m.used -= n.data.space()
	}
}

// find returns the node of a name, or nil.
func (m *Mem) find(name string) *memNode {
	n := m.root
	for part := range strings.SplitSeq(path.Clean("/" + name)[1:], "/") {
		if part == "" {
			continue
		}
		if n = n.entries[part]; n == nil {
			return nil
		}
	}
	return n
}

func pathError(op Op, name string, err error) error {
	return &fs.PathError{Op: string(op), Path: name, Err: err}
}

// parent returns the directory that holds name, and the last part of name.
func (m *Mem) parent(op Op, name string) (*memNode, string, error) {
	dir, base := path.Split(path.Clean("/" + name))
	n := m.find(dir)
	if n == nil || n.data != nil {
		return nil, "", pathError(op, name, fs.ErrNotExist)
	}
	return n, base, nil
}

// Create implements FS.
func (m *Mem) Create(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.crashed {
		return nil, ErrCrashed
	}
	dir, base, err := m.parent(OpCreate, name)
	if err != nil {
		return nil, err
	}
	if dir.entries[base] != nil {
		return nil, pathError(OpCreate, name, fs.ErrExist)
	}
	n := &memNode{data: newMemData()}
	m.change(dir, memChange{add: base, node: n})
	n.refs++
	return &memFile{m: m, n: n, name: name, write: true}, nil
}

// Open implements FS.
func (m *Mem) Open(name string, write bool) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.crashed {
		return nil, ErrCrashed
	}
	n := m.find(name)
	if n == nil || n.data == nil {
		return nil, pathError(OpOpen, name, fs.ErrNotExist)
	}
	n.refs++
	return &memFile{m: m, n: n, name: name, write: write}, nil
}

// List implements FS.
func (m *Mem) List(dir string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.crashed {
		return nil, ErrCrashed
	}
	n := m.find(dir)
	if n == nil || n.data != nil {
		return nil, pathError(OpList, dir, fs.ErrNotExist)
	}
	return slices.Sorted(maps.Keys(n.entries)), nil
}

// Stat implements FS.
func (m *Mem) Stat(name string) (Info, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.crashed {
		return Info{}, ErrCrashed
	}
	n := m.find(name)
	switch {
	case n == nil:
		return Info{}, pathError(OpStat, name, fs.ErrNotExist)
	case n.data == nil:
		return Info{Dir: true}, nil
	}
	return Info{Size: n.data.size}, nil
}

// Rename implements FS.
func (m *Mem) Rename(oldName, newName string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.crashed {
		return ErrCrashed
	}
	dir, oldBase, err := m.parent(OpRename, oldName)
	if err != nil {
		return err
	}
	newDir, newBase, err := m.parent(OpRename, newName)
	if err != nil {
		return err
	}
	n := dir.entries[oldBase]
	if n == nil {
		return pathError(OpRename, oldName, fs.ErrNotExist)
	}
	if dir != newDir {
		return pathError(OpRename, newName, errors.New("not in the same directory"))
	}
	m.change(dir, memChange{remove: oldBase, add: newBase, node: n})
	return nil
}

// Remove implements FS.
func (m *Mem) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.crashed {
		return ErrCrashed
	}
	dir, base, err := m.parent(OpRemove, name)
	if err != nil {
		return err
	}
	n := dir.entries[base]
	if n == nil {
		return pathError(OpRemove, name, fs.ErrNotExist)
	}
	if len(n.entries) > 0 {
		return pathError(OpRemove, name, syscall.ENOTEMPTY)
	}
	m.change(dir, memChange{remove: base})
	return nil
}

// MkdirAll implements FS.
func (m *Mem) MkdirAll(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.crashed {
		return ErrCrashed
	}
	n := m.root
	for part := range strings.SplitSeq(path.Clean("/" + dir)[1:], "/") {
		if part == "" {
			continue
		}
		next := n.entries[part]
		if next == nil {
			next = newMemDir()
			m.change(n, memChange{add: part, node: next})
		}
		if next.data != nil {
			return pathError(OpMkdir, dir, syscall.ENOTDIR)
		}
		n = next
	}
	return nil
}

// SyncDir implements FS.
func (m *Mem) SyncDir(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.crashed {
		return ErrCrashed
	}
	n := m.find(dir)
	if n == nil || n.data != nil {
		return pathError(OpSyncDir, dir, fs.ErrNotExist)
	}
	n.syncEntries()
	return nil
}

func (n *memNode) syncEntries() {
	for _, c := range n.changes {
		c.apply(n.synced)
	}
	n.changes = nil
}

// OpenTree implements FS.
func (m *Mem) OpenTree(dir string) (Tree, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.crashed {
		return nil, ErrCrashed
	}
	n := m.find(dir)
	if n == nil || n.data != nil {
		return nil, pathError(OpOpenTree, dir, fs.ErrNotExist)
	}
	return &memTree{m: m, root: n}, nil
}

type memTree struct {
	m    *Mem
	root *memNode
}

func (t *memTree) Sync() error {
	t.m.mu.Lock()
	defer t.m.mu.Unlock()
	if t.m.crashed {
		return ErrCrashed
	}
	t.root.walk(func(n *memNode) {
		if n.data != nil {
			n.data.sync()
		} else {
			n.syncEntries()
		}
	})
	return nil
}

func (t *memTree) Close() error { return nil }

// walk calls f for a node and all that are in it now.
func (n *memNode) walk(f func(*memNode)) {
	f(n)
	for _, child := range n.entries {
		child.walk(f)
	}
}

type memLock struct {
	m    *Mem
	name string
}

func (l *memLock) Close() error {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	delete(l.m.locks, l.name)
	return nil
}

// Lock implements FS.
func (m *Mem) Lock(name string) (io.Closer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, base, err := m.parent(OpLock, name)
	if err != nil {
		return nil, err
	}
	if m.locks[name] {
		return nil, fmt.Errorf("%s: %w", name, ErrLocked)
	}
	if dir.entries[base] == nil {
		m.change(dir, memChange{add: base, node: &memNode{data: newMemData()}})
	}
	m.locks[name] = true
	return &memLock{m: m, name: name}, nil
}

// Free implements FS.
func (m *Mem) Free(dir string) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.capacity == 0 {
		return 1 << 50, nil
	}
	return max(0, m.capacity-m.used), nil
}
