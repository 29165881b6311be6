package vfs

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"syscall"
)

// Op names a call of FS or File.
type Op string

// The calls, as Call.Op has them.
const (
	OpCreate      Op = "create"
	OpOpen        Op = "open"
	OpList        Op = "list"
	OpStat        Op = "stat"
	OpRename      Op = "rename"
	OpRemove      Op = "remove"
	OpMkdir       Op = "mkdir"
	OpSyncDir     Op = "syncdir"
	OpOpenTree    Op = "opentree"
	OpSyncTree    Op = "synctree"
	OpLock        Op = "lock"
	OpFree        Op = "free"
	OpRead        Op = "read"
	OpWrite       Op = "write"
	OpSize        Op = "size"
	OpTruncate    Op = "truncate"
	OpPreallocate Op = "preallocate"
	OpWriteback   Op = "writeback"
	OpDropCache   Op = "dropcache"
	OpAwait       Op = "await"
	OpDatasync    Op = "datasync"
	OpSync        Op = "sync"
	OpClose       Op = "close"
)

// Call is one call on its way to the file system.
type Call struct {
	N     int64 // 1 for the first call
	Op    Op
	Name  string // of the file or directory
	Bytes int64  // of a read, a write or a preallocation
}

// Injector is a file system that asks a hook before every call. All methods may be called concurrently.
type Injector struct {
	fs   FS
	n    atomic.Int64
	hook atomic.Pointer[func(Call) error]
}

var _ FS = (*Injector)(nil)

// Inject puts an Injector before fs. Without a hook it only counts.
func Inject(fs FS) *Injector { return &Injector{fs: fs} }

// Hook sets what is asked before every call from now on: an error keeps the call from happening and is its
// result. nil takes the hook away.
func (i *Injector) Hook(hook func(Call) error) {
	if hook == nil {
		i.hook.Store(nil)
		return
	}
	i.hook.Store(&hook)
}

// Calls returns how many calls there were.
func (i *Injector) Calls() int64 { return i.n.Load() }

func (i *Injector) before(op Op, name string, bytes int64) error {
	c := Call{N: i.n.Add(1), Op: op, Name: name, Bytes: bytes}
	if hook := i.hook.Load(); hook != nil {
		return (*hook)(c)
	}
	return nil
}

// ErrCrashed is what every call gets after the crash.
var ErrCrashed = errors.New("the machine has crashed")

// Crash is a hook that loses the machine's power just before the n-th call.
type Crash struct {
	at   int64
	mem  *Mem
	seed uint64

	mu    sync.Mutex
	after *Mem
}

// CrashAt returns the hook function of a crash of mem before call n, and the crash, to ask it for what was
// left.
func CrashAt(mem *Mem, n int64, seed uint64) (*Crash, func(Call) error) {
	c := &Crash{at: n, mem: mem, seed: seed}
	return c, func(call Call) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.after == nil && call.N >= c.at {
			c.after = c.mem.Crash(c.seed)
		}
		if c.after != nil {
			return ErrCrashed
		}
		return nil
	}
}

// After returns the file system as the power loss left it, or nil if it has not happened.
func (c *Crash) After() *Mem {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.after
}

// Partial makes a read or a write that fails do half of its work before.
type Partial struct{ Err error }

func (p Partial) Error() string { return p.Err.Error() }

// Unwrap returns what the call fails with.
func (p Partial) Unwrap() error { return p.Err }

// half does the first half of a read or a write that is to fail partially.
func half(err error, p []byte, do func(p []byte) (int, error)) (int, error) {
	partial, ok := errors.AsType[Partial](err)
	if !ok {
		return 0, err
	}
	n, doErr := do(p[:len(p)/2])
	return n, errors.Join(partial.Err, doErr)
}

// FailAt returns a hook that fails call n, and it alone.
func FailAt(n int64, err error) func(Call) error {
	return func(c Call) error {
		if c.N == n {
			return err
		}
		return nil
	}
}

// FailOps returns a hook that fails every call of the given kinds, a broken disk for example with
// syscall.EIO on OpDatasync.
func FailOps(err error, ops ...Op) func(Call) error {
	return func(c Call) error {
		for _, op := range ops {
			if c.Op == op {
				return err
			}
		}
		return nil
	}
}

// FullAfter returns a hook that fails writes and preallocations with ENOSPC once they have asked for more
// than budget bytes together.
func FullAfter(budget int64) func(Call) error {
	var used atomic.Int64
	return func(c Call) error {
		if (c.Op == OpWrite || c.Op == OpPreallocate) && used.Add(c.Bytes) > budget {
			return syscall.ENOSPC
		}
		return nil
	}
}

// Create implements FS.
func (i *Injector) Create(name string) (File, error) {
	if err := i.before(OpCreate, name, 0); err != nil {
		return nil, err
	}
	return i.wrap(name)(i.fs.Create(name))
}

// Open implements FS.
func (i *Injector) Open(name string, write bool) (File, error) {
	if err := i.before(OpOpen, name, 0); err != nil {
		return nil, err
	}
	return i.wrap(name)(i.fs.Open(name, write))
}

func (i *Injector) wrap(name string) func(File, error) (File, error) {
	return func(f File, err error) (File, error) {
		if err != nil {
			return nil, err
		}
		return &injectedFile{i: i, f: f, name: name}, nil
	}
}

// List implements FS.
func (i *Injector) List(dir string) ([]string, error) {
	if err := i.before(OpList, dir, 0); err != nil {
		return nil, err
	}
	return i.fs.List(dir)
}

// Stat implements FS.
func (i *Injector) Stat(name string) (Info, error) {
	if err := i.before(OpStat, name, 0); err != nil {
		return Info{}, err
	}
	return i.fs.Stat(name)
}

// Rename implements FS.
func (i *Injector) Rename(oldName, newName string) error {
	if err := i.before(OpRename, newName, 0); err != nil {
		return err
	}
	return i.fs.Rename(oldName, newName)
}

// Remove implements FS.
func (i *Injector) Remove(name string) error {
	if err := i.before(OpRemove, name, 0); err != nil {
		return err
	}
	return i.fs.Remove(name)
}

// MkdirAll implements FS.
func (i *Injector) MkdirAll(dir string) error {
	if err := i.before(OpMkdir, dir, 0); err != nil {
		return err
	}
	return i.fs.MkdirAll(dir)
}

// SyncDir implements FS.
func (i *Injector) SyncDir(dir string) error {
	if err := i.before(OpSyncDir, dir, 0); err != nil {
		return err
	}
	return i.fs.SyncDir(dir)
}

// OpenTree implements FS.
func (i *Injector) OpenTree(dir string) (Tree, error) {
	if err := i.before(OpOpenTree, dir, 0); err != nil {
		return nil, err
	}
	t, err := i.fs.OpenTree(dir)
	if err != nil {
		return nil, err
	}
	return &injectedTree{i: i, Tree: t, name: dir}, nil
}

type injectedTree struct {
	Tree
	i    *Injector
	name string
}

func (t *injectedTree) Sync() error {
	if err := t.i.before(OpSyncTree, t.name, 0); err != nil {
		return err
	}
	return t.Tree.Sync()
}

// Lock implements FS.
func (i *Injector) Lock(name string) (io.Closer, error) {
	if err := i.before(OpLock, name, 0); err != nil {
		return nil, err
	}
	return i.fs.Lock(name)
}

// Free implements FS.
func (i *Injector) Free(dir string) (int64, error) {
	if err := i.before(OpFree, dir, 0); err != nil {
		return 0, err
	}
	return i.fs.Free(dir)
}

type injectedFile struct {
	i    *Injector
	f    File
	name string
}

func (f *injectedFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.i.before(OpRead, f.name, int64(len(p))); err != nil {
		return half(err, p, func(p []byte) (int, error) { return f.f.ReadAt(p, off) })
	}
	return f.f.ReadAt(p, off)
}

// ReadCached reads nothing, so that ReadAt does it all, of which the hook is asked.
func (f *injectedFile) ReadCached(p []byte, off int64) int { return 0 }

func (f *injectedFile) NoReadahead() error { return f.f.NoReadahead() }

func (f *injectedFile) Prefetch(off, n int64) error { return f.f.Prefetch(off, n) }

func (f *injectedFile) WriteAt(p []byte, off int64) (int, error) {
	if err := f.i.before(OpWrite, f.name, int64(len(p))); err != nil {
		return half(err, p, func(p []byte) (int, error) { return f.f.WriteAt(p, off) })
	}
	return f.f.WriteAt(p, off)
}

func (f *injectedFile) Size() (int64, error) {
	if err := f.i.before(OpSize, f.name, 0); err != nil {
		return 0, err
	}
	return f.f.Size()
}

func (f *injectedFile) Truncate(size int64) error {
	if err := f.i.before(OpTruncate, f.name, 0); err != nil {
		return err
	}
	return f.f.Truncate(size)
}

func (f *injectedFile) Preallocate(off, n int64) error {
	if err := f.i.before(OpPreallocate, f.name, n); err != nil {
		return err
	}
	return f.f.Preallocate(off, n)
}

func (f *injectedFile) StartWriteback(off, n int64) error {
	if err := f.i.before(OpWriteback, f.name, 0); err != nil {
		return err
	}
	return f.f.StartWriteback(off, n)
}

func (f *injectedFile) DropCache(off, n int64) error {
	if err := f.i.before(OpDropCache, f.name, 0); err != nil {
		return err
	}
	return f.f.DropCache(off, n)
}

func (f *injectedFile) AwaitWriteback(off, n int64) error {
	if err := f.i.before(OpAwait, f.name, 0); err != nil {
		return err
	}
	return f.f.AwaitWriteback(off, n)
}

func (f *injectedFile) Datasync() error {
	if err := f.i.before(OpDatasync, f.name, 0); err != nil {
		return err
	}
	return f.f.Datasync()
}

func (f *injectedFile) Sync() error {
	if err := f.i.before(OpSync, f.name, 0); err != nil {
		return err
	}
	return f.f.Sync()
}

// Close always closes: a crash must not leak files.
func (f *injectedFile) Close() error {
	err := f.i.before(OpClose, f.name, 0)
	return errors.Join(err, f.f.Close())
}
